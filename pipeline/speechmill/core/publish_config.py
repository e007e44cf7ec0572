"""The section `publish` of a config: the layout of the finished corpus, and who publishes it."""

from typing import Annotated

from pydantic import Field

from speechmill.core.section import Section

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f<>`|\[\]{}\\]+$")]  # no markup


class Publish(Section):
    """How the finished corpus is laid out, and who publishes it."""

    validation_share: float = Field(0.05, ge=0, lt=1)
    """Share of recordings in the validation split, chosen by their hash. With speaker clustering: highest share of
    clips in it, in whole groups of recordings that share no speaker with others. Recordings that share texts are kept
    in one split either way."""
    separate_texts: bool = True
    """Keep recordings with the same text in one split, such as those of two readers of a book. false: speakers only."""
    shard_bytes: int = Field(500_000_000, ge=1_000_000)
    """Most bytes of audio in a shard."""
    drop_unreachable: bool = False
    """Publish without the published recordings that have to be made anew for the settings and whose media are out of
    reach. false: such a run publishes nothing, and the corpus stays as it was."""
    creator: Line | None = None
    """Who makes the corpus: named in the dataset card, in croissant.json and in the citation."""
    contact: Line | None = None
    """Where somebody whose voice is in it can ask to be taken out: a mail address or a page."""
    url: Annotated[str, Field(pattern=r"^https?://[^\s<>\"`]{1,500}$")] | None = None
    """Page on which the corpus is published."""
    gated: bool = False
    """Whether the Hub asks, before a download, for a promise not to identify speakers and not to imitate them."""
