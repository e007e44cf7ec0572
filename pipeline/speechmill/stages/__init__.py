"""The stages of a build: each makes one artifact of a content from those of earlier stages, once.

A stage whose artifact exists does nothing. A failure is stored as an artifact too, with the reason in its footer, so
that it is neither lost nor repeated without cause.
"""

from typing import Any

from speechmill.core.build import Build
from speechmill.core.processes import DiedError
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.stages.align import Align
from speechmill.stages.assess import Assess
from speechmill.stages.base import ClipStage, RecordingStage, Stage
from speechmill.stages.decode import note_failure
from speechmill.stages.dedup import Dedup, Fingerprint
from speechmill.stages.embed import Embed
from speechmill.stages.fetch import Fetch, note_unfetched
from speechmill.stages.passage_texts import PassageCrossCheck, PassageScores, PassageTexts
from speechmill.stages.passages import Passages
from speechmill.stages.pitch import Pitch
from speechmill.stages.publication import Speakers
from speechmill.stages.restore import Restore
from speechmill.stages.score import Score
from speechmill.stages.segment import Segment
from speechmill.stages.tokenise import Tokenise
from speechmill.stages.transcribe import CrossCheck, Transcribe
from speechmill.stages.turns import Turns
from speechmill.stages.work import Outcome

FETCH, TURNS, SEGMENT, SCORE, FINGERPRINT, DEDUP = Fetch(), Turns(), Segment(), Score(), Fingerprint(), Dedup()
PASSAGES, PASSAGE_SCORES = Passages(), PassageScores()
PASSAGE_TEXTS, PASSAGE_CROSS_CHECK = PassageTexts(), PassageCrossCheck()
TRANSCRIBE, CROSS_CHECK, ALIGN, EMBED, TOKENISE = Transcribe(), CrossCheck(), Align(), Embed(), Tokenise()
RESTORE, PITCH, SPEAKERS, ASSESS = Restore(), Pitch(), Speakers(), Assess()
BEFORE_PLUGINS: tuple[Stage, ...] = (
    *(FETCH, TURNS, PASSAGES, PASSAGE_SCORES, PASSAGE_TEXTS, PASSAGE_CROSS_CHECK),
    *(SEGMENT, SCORE, FINGERPRINT, DEDUP),
    *(RESTORE, TRANSCRIBE, CROSS_CHECK, ALIGN, EMBED, PITCH, TOKENISE),
)  # in order of execution; flow.py has all stages

DECODING = (PASSAGES.name, SEGMENT.name)  # stages whose failure is that of the recording

__all__ = [
    "ALIGN", "ASSESS", "BEFORE_PLUGINS", "CROSS_CHECK", "DEDUP", "EMBED", "FETCH", "FINGERPRINT",
    "PASSAGE_CROSS_CHECK", "PASSAGE_TEXTS", "RESTORE", "SCORE", "SEGMENT", "SPEAKERS", "TOKENISE", "TRANSCRIBE",
    "TURNS", "ClipStage", "RecordingStage", "Stage", "note_error",
]  # fmt: skip


def note_error(stage: str, element: Any, build: Build, error: Exception) -> Outcome:
    """Store a failure for an input that crashed or hung its decoder, or met a bug, which the next run tries again."""
    rejection = _rejection(stage, error)
    if stage == FETCH.name:
        return note_unfetched(element, build, rejection)
    if stage in DECODING:
        note_failure(element, build, rejection)
    return Outcome(state="failed", reason=rejection.reason, detail=rejection.detail)


def _rejection(stage: str, error: Exception) -> RejectedError:
    """The rejection for an unexpected error in a stage."""
    if stage in DECODING and isinstance(error, DiedError) and not error.was_killed:
        return RejectedError(Reason.DECODER_HUNG if error.hung else Reason.DECODER_CRASHED, str(error))
    return RejectedError(Reason.INTERNAL_ERROR, f"{stage}: {type(error).__name__}: {error}", retry=True)
