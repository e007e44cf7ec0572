"""How far each recording of a corpus came: by the clip tables where they are current, else by its artifacts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechmill.core.build import Build
from speechmill.core.footers import DecodeFooter
from speechmill.core.records import Recording, Status, recording_from
from speechmill.decide.licences import licence_allowed
from speechmill.publish.groups import Group, Versions, artifact_versions, group_inputs, is_current, stage_names
from speechmill.publish.tables import DONE, read_clips, read_recordings
from speechmill.stages import SCORE, SEGMENT, ClipStage
from speechmill.stages.flow import STAGES
from speechmill.stages.selection import among, clips_for, early_columns, failed_tests
from speechmill.stages.work import WorkItem


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingProgress:
    """A stored recording, the results of decoding it, if it was, and the later stages that finished its content."""

    recording: Recording
    decoded: DecodeFooter | None
    finished: tuple[str, ...]


def clip_stages(build: Build) -> list[ClipStage]:
    """The stages of a build whose artifacts have rows of clips in parts."""
    return [stage for stage in STAGES if isinstance(stage, ClipStage) and build.runs(stage.name)]


def progress(build: Build) -> Iterator[RecordingProgress]:
    """The progress of each stored recording, by recording_id. Nothing is written."""
    versions = artifact_versions(build)
    for inputs in group_inputs(build, versions):
        if is_current(inputs, build):
            yield from _by_tables(inputs.group, versions, build)
        else:
            yield from _by_artifacts(inputs.fetched, build)


def _by_tables(group: Group, versions: Versions, build: Build) -> Iterator[RecordingProgress]:
    rows = read_recordings(group, build).to_pylist()
    recordings = [recording_from(row) for row in rows]
    stages, finished = clip_stages(build), _finished_by_tables(group, recordings, build)
    for at, (recording, row) in enumerate(zip(recordings, rows, strict=True)):
        if row["fetched"] is None:  # a file that is no recording
            continue
        is_scored = SCORE.name in stage_names(versions.get(recording.content_id or "", []))
        decoded = DecodeFooter.from_json(row["decoded"]) if row["decoded"] else None
        names: list[str] = [SCORE.name] if is_scored else []
        for stage in stages if is_scored else ():
            by_recording = finished.get(stage.name)  # None: its clips are others than those of the clip table
            is_done = (
                _has_finished(stage, _work_item(recording, build), build) if by_recording is None else by_recording[at]
            )
            names += [stage.name] if is_done else []
        yield RecordingProgress(recording=recording, decoded=decoded, finished=tuple(names))


def _finished_by_tables(group: Group, recordings: list[Recording], build: Build) -> dict[str, Any]:
    """Whether each clip stage finished each recording of a group, bool[recordings] by name of the stage."""
    stages = [stage for stage in clip_stages(build) if stage.clips_of == SEGMENT.name]
    tested = [column.name for column in early_columns(build.config) if column.test]
    names = ["recording", "clip_id", *tested, *(DONE + stage.name for stage in stages)]
    clips = read_clips(group, build, names).combine_chunks()
    allowed = np.array([licence_allowed(row.licence, build.config.licences) for row in recordings], bool)
    of, by_hand = clips["recording"].to_numpy(), build.by_hand
    kept, excluded = among(clips, by_hand.kept), among(clips, build.removals.clips | by_hand.dropped)
    passes = ~failed_tests(clips, build).any | kept
    selected = passes & ~excluded & allowed[of]
    missing = {
        stage.name: ~clips[DONE + stage.name].to_numpy() & (selected if stage.clips_only else True) for stage in stages
    }
    return {name: np.bincount(of[where], minlength=len(recordings)) == 0 for name, where in missing.items()}


def _by_artifacts(recording_ids: Iterable[str], build: Build) -> Iterator[RecordingProgress]:
    for recording_id in recording_ids:
        recording = recording_from(build.store.read(build.fetched(recording_id)).to_pylist()[0])
        name = build.segments(recording.content_id or "")
        is_decoded = recording.content_id is not None and build.store.exists(name)
        decoded = build.store.footer(name, DecodeFooter) if is_decoded else None
        is_ok = decoded is not None and decoded.status is Status.OK
        finished = tuple(_finished_by_artifacts(recording, build)) if is_ok else ()
        yield RecordingProgress(recording=recording, decoded=decoded, finished=finished)


def _finished_by_artifacts(recording: Recording, build: Build) -> Iterator[str]:
    content_id = recording.content_id or ""
    if not build.store.exists(build.artifact(SCORE.name, content_id)):
        return
    yield SCORE.name
    work = _work_item(recording, build)
    yield from (stage.name for stage in clip_stages(build) if _has_finished(stage, work, build))


def _has_finished(stage: ClipStage, work: WorkItem, build: Build) -> bool:
    done = set(stage.read(work.content_id, build, ["clip_id"])["clip_id"].to_pylist())
    return clips_for(stage, work, build) <= done


def _work_item(recording: Recording, build: Build) -> WorkItem:
    """Item of a recording that was decoded, as stages that read its artifacts need it."""
    content_id, allowed = recording.content_id or "", licence_allowed(recording.licence, build.config.licences)
    return WorkItem(
        recording_id=recording.recording_id, content_id=content_id, media="", is_local=True, allowed=allowed, order=()
    )  # fmt: skip
