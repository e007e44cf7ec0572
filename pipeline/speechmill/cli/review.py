"""Command that opens a corpus for people to hear and judge: `review`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speechmill.cli.agreement import print_agreement
from speechmill.cli.options import corpus_argument, json_option
from speechmill.cli.output import print_result

if TYPE_CHECKING:
    from speechmill.corpus.review.session import Session

EXAMPLES = """
\b
Examples:
  speechmill review corpus                                  (the clips about which the thresholds are least sure)
  speechmill review corpus --queue random:200               (to see how good the corpus is)
  speechmill review corpus --queue reason:music             (was that music?)
  speechmill review corpus --agreement                      (precision and recall as judged so far)
  speechmill review corpus --labels labels                  (judged clips for `evaluate defects` and `train defects`)
  ssh -L 8765:localhost:8765 host speechmill review corpus --port 8765 --no-browser

\b
Decisions go to decisions.jsonl beside the corpus, at once; `speechmill select corpus` publishes them. Nothing that is
published changes until then, and a run may be at work on the corpus. ? lists the keys.
"""


@click.command(epilog=EXAMPLES)
@corpus_argument
@click.option(
    "--queue", metavar="QUEUE", default="doubtful", show_default=True,
    help="Clips to judge, in order: doubtful, random or reason:NAME; doubtful:100 are 100.",
)  # fmt: skip
@click.option("--who", metavar="NAME", help="Who decides; each line says so.  [default: name of the user]")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on.  [default: a free one]")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--agreement", "only_agreement", is_flag=True, help="Print how far people and models agree, and end.")
@click.option("--labels", metavar="FOLDER", help="Write judged clips with their labels to a folder, and end.")
@json_option
def review(
    corpus: str, queue: str, who: str | None, host: str, port: int, no_browser: bool, only_agreement: bool,
    labels: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Hear the clips of a corpus in a browser: keep, drop, correct, name speakers, and see how far the models agree."""
    from contextlib import closing

    from speechmill.corpus.review.session import Session

    needs_queue = not (only_agreement or labels)
    with closing(Session(corpus, queue=queue if needs_queue else "random", who=who or _user())) as session:
        if labels:
            print_result(_write_labels(session, labels), as_json=as_json)
        elif only_agreement:
            print_agreement(session.agreement(), as_json=as_json)
        else:
            _serve(session, host=host, port=port, opens_browser=not no_browser)
    return 0


def _user() -> str:
    """Name of the user, for the lines of decisions; `unknown` where the system has none."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _write_labels(session: "Session", output: str) -> dict[str, Any]:
    from speechmill.corpus.review.labels import MANIFEST, RECORDINGS
    from speechmill.training.outputs import claim

    folder: Path = claim(output, ("clips", MANIFEST, RECORDINGS))
    return session.write_labels(folder) | {"manifest": f"{output}/{MANIFEST}", "recordings": f"{output}/{RECORDINGS}"}


def _serve(session: "Session", *, host: str, port: int, opens_browser: bool) -> None:
    """Serve until Ctrl-C, which takes no decision along: each is written already."""
    import webbrowser

    from speechmill.corpus.review.server import ReviewServer

    with session.locked(), ReviewServer(session, host=host, port=port) as server:
        click.echo(f"Review of {session.corpus}: {server.address}")
        click.echo("Whoever has this address can hear the corpus and decide about it. Ctrl-C ends the review.")
        if opens_browser:
            webbrowser.open(session.private_link(server.address))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo(f"\n{session.summary()}")
