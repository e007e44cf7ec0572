"""The card, word for word, so that a change of it is seen in review. UPDATE_GOLDEN=1 writes it anew."""

import os
from pathlib import Path

from speechmill.core.version import __version__
from speechmill.publish import card

from tests.tiny_corpus import publish_tiny

GOLDEN = Path(__file__).with_name("card.md")


def test_card_reads_as_agreed(tmp_path: Path) -> None:
    build, stats = publish_tiny(tmp_path)
    build.store.write_text(card.CARD_FILE, card.render(build, stats, build.store.read_json("run.json")["files"]))
    written = Path(build.store.path(card.CARD_FILE)).read_text().replace(__version__, "VERSION")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(written)
    assert written == GOLDEN.read_text()
