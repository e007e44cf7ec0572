"""Patterns of the file names that speechmill itself makes in a corpus; no other file is deleted with a folder."""

import re

# Temporary names of `atomic.atomic_write`.
UNFINISHED = re.compile(r"\..+\.[0-9]+-[0-9]+-[0-9a-f]{8}\.tmp")
_PUBLISHED = r"data/(train|validation)-[0-9]{5}-[0-9]{5}\.parquet|pool\.parquet/part-[0-9]{5}\.parquet"
# All files that are made below `work/`.
OWN_FILE = re.compile(
    r"work/(.+/)?([0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16}|[0-9a-f]{12})(\.parquet|\.json|\.part|\.part\.json(\.tmp)?)?"
    rf"|work/(.+/)?{UNFINISHED.pattern}"
    r"|work/((config|finished|models)\.json|log\.jsonl|lock|review|stop(-[0-9]{1,6}-of-[0-9]{1,6})?|erase|\.writable|publish/plan\.json)"
    r"|work/log/[0-9a-f]{32}\.jsonl"
    r"|work/progress/[0-9]{1,10}\.json"
    r"|work/tmp/tmp[a-z0-9_]{8}(/[0-9]{5})?|work/known\.parquet"
    r"|work/tables/[0-9]{5}-of-[0-9]{5}/(clips|spans|recordings)\.parquet"
    r"|work/publish/planned/[0-9a-f]{32}/[0-9]{5}\.parquet"
    rf"|work/publish/staged/[0-9a-f]{{32}}/({_PUBLISHED}|[A-Za-z0-9_-]+\.[a-z]+)"
)
