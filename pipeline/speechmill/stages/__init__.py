"""The stages of a build: each turns one content's artifacts into the next, once.

A stage whose artifact is there does nothing. What cannot be used becomes an artifact too, with the reason
in its footer, so that it is neither lost nor tried again without cause.
"""

from typing import Any

from speechmill import publish
from speechmill.core.build import Build
from speechmill.core.processes import Died
from speechmill.core.records import Reason, Rejected
from speechmill.stages.align import align_documents
from speechmill.stages.compare import (
    Compared,
    Sounds,
    Spreader,
    Votes,
    compared,
    find_votes,
    fingerprint_clips,
    is_fingerprinted,
    note_repeats,
)
from speechmill.stages.embed import EMBEDDINGS
from speechmill.stages.fetch import fetch_recording, host_of, list_input, note_unfetched
from speechmill.stages.identity import Claims, Registry, load_registry, placeholder, recall, write_index
from speechmill.stages.parts import Done, Making, Pack, complete_alone
from speechmill.stages.score import is_scored, score_clips, scores_of
from speechmill.stages.segment import is_segmented, note_failure, segment_media
from speechmill.stages.tokenise import TOKENS
from speechmill.stages.transcribe import CROSS_CHECKS, TRANSCRIPTS
from speechmill.stages.work import Outcome, Work, identify, primary

__all__ = [
    "CROSS_CHECKS",
    "EMBEDDINGS",
    "TOKENS",
    "TRANSCRIPTS",
    "Claims",
    "Compared",
    "Done",
    "Making",
    "Outcome",
    "Pack",
    "Registry",
    "Sounds",
    "Spreader",
    "Votes",
    "Work",
    "align_documents",
    "compared",
    "complete_alone",
    "fetch_recording",
    "find_votes",
    "fingerprint_clips",
    "host_of",
    "identify",
    "is_fingerprinted",
    "is_scored",
    "is_segmented",
    "list_input",
    "load_registry",
    "note_error",
    "note_repeats",
    "placeholder",
    "primary",
    "publish_file",
    "recall",
    "score_clips",
    "scores_of",
    "segment_media",
    "write_index",
]


def publish_file(task: publish.Task, build: Build) -> Outcome:
    """Write one file of the finished corpus aside."""
    publish.write(task, build)
    return Outcome(state="done")


def note_error(stage: str, element: Any, build: Build, error: Exception) -> Outcome:
    """Keep a row for an input that brought its decoder down, or met a bug of ours: that is tried again next time."""
    verdict = _verdict(stage, error)
    if stage == "fetch":
        return note_unfetched(element, build, verdict)
    if stage == "segment":
        note_failure(element, build, verdict)
    if stage == "publish":
        raise error  # a corpus with a file missing is no corpus
    return Outcome(state="failed", reason=verdict.reason, detail=verdict.detail)


def _verdict(stage: str, error: Exception) -> Rejected:
    if stage == "segment" and isinstance(error, Died) and not error.was_killed:
        return Rejected(Reason.DECODER_HUNG if error.hung else Reason.DECODER_CRASHED, str(error))
    return Rejected(Reason.INTERNAL_ERROR, f"{stage}: {type(error).__name__}: {error}", retry=True)
