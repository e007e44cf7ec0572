"""Labels from a review: clips whose defects people judged, as files with manifests for `evaluate` and `train`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speech_defects import Defect

from speechmill.core.manual import ManualDecisions
from speechmill.corpus.review.snapshot import Snapshot
from speechmill.corpus.review.sounds import clip_flac

MANIFEST, RECORDINGS = "manifest.jsonl", "recordings.jsonl"
Labels = dict[str, int | None]


def write_labels(snapshot: Snapshot, people: ManualDecisions, folder: Path) -> dict[str, int]:
    """Write the clips with labels to `folder`, which exists: `clips/*.flac` and two manifests.

    `manifest.jsonl` has a line for each clip with each defect, 1, 0 or null, for `speechmill evaluate defects`.
    `recordings.jsonl` has those that `speechmill train defects` learns from as they are: clean speech, and speech by
    telephone.

    Returns:
        Number of clips in all, and of each label: `{"clips": 12, "clean": 7, "music": 3, …}`.
    """
    (folder / "clips").mkdir(exist_ok=True)
    rows = list(_rows(snapshot, people, folder))
    kinds = [(row, kind) for row in rows if (kind := _kind(row))]
    _write(folder / MANIFEST, rows)
    _write(folder / RECORDINGS, [_recording(row, kind) for row, kind in kinds])
    clean = sum(kind == "speech" for _, kind in kinds)
    return {"clips": len(rows), "clean": clean} | {defect: sum(row[defect] == 1 for row in rows) for defect in Defect}


def labels_of(clip_id: str, people: ManualDecisions) -> Labels:
    """The label of each defect: 1, 0, or None where people said nothing. Who keeps a clip says that it has none.

    >>> labels_of("a", ManualDecisions(kept=frozenset("a"), defects={"noise": {"a": True}}))["music"]
    0
    """
    default = 0 if clip_id in people.kept else None
    said = {defect: people.defects.get(defect, {}).get(clip_id) for defect in Defect}
    return {defect.value: default if has is None else int(has) for defect, has in said.items()}


def _rows(snapshot: Snapshot, people: ManualDecisions, folder: Path) -> Iterator[dict[str, Any]]:
    clips = snapshot.clips
    for clip_id in sorted(people.clip_ids & clips.row.keys()):
        labels = labels_of(clip_id, people)
        if set(labels.values()) == {None}:
            continue
        content_id = clips.places["content_id"][clips.row[clip_id]].as_py()
        flac = clip_flac(clip_id, content_id, snapshot.build)
        if flac is None:
            continue
        file = f"clips/{clip_id}.flac"
        (folder / file).write_bytes(flac)
        (row,) = snapshot.rows([clip_id])
        who = {"speaker": row.get("speaker_id") or row["recording_id"], "source": row["recording_id"]}
        yield {"path": file, **labels, **who, "licence": row["licence"]}


def _kind(row: dict[str, Any]) -> str | None:
    """Kind of a recording that `train defects` takes unmodified; None for other defects, which it mixes itself."""
    labels = {defect: row[defect] for defect in Defect}
    if not any(label != 0 for label in labels.values()):
        return "speech"
    return "telephone" if labels[Defect.TELEPHONE] == 1 else None


def _recording(row: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"kind": kind} | {name: row[name] for name in ("path", "speaker", "source", "licence")}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
