"""A review of a corpus in a browser: hear clips, judge them, and see how far the models agree.

`session` has what a page asks for, `server` brings it to a browser, and what people say is written to `decisions.jsonl`
(`speechmill.core.manual`), which the next `select` or `run` honours.
"""
