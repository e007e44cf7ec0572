"""Decisions of people about clips, in `decisions.jsonl` beside the corpus: they override thresholds in every later run.

A line is one decision about one clip. The last `keep` or `drop` counts; a text, a speaker and a word about a defect
stay until another line of that kind replaces them:

    {"clip_id": "6f1c…", "decision": "drop", "who": "ann", "when": "2026-11-29T12:00:00Z", "why": "a door slams"}
    {"clip_id": "52aa…", "decision": "text", "text": "Well, that is that."}
    {"clip_id": "52aa…", "decision": "speaker", "speaker": "the guest"}
    {"clip_id": "907b…", "decision": "defect", "defect": "music", "present": false}

`keep` and `drop` override thresholds, not a licence or a removal. `text` replaces the text. Clips with one `speaker`
are a speaker of their own, apart from all others. `defect` names the reason of a test of sound and says whether it is
right, whatever was measured. `undo` takes back the last line about the clip, `auto` all of them.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from speechmill.core.config_errors import ConfigError
from speechmill.core.ownership import DECISIONS_FILE
from speechmill.core.store import Store

NEEDED = {"text": ("text",), "speaker": ("speaker",), "defect": ("defect", "present")}  # keys by decision
OWNER = {key: decision for decision, keys in NEEDED.items() for key in keys}
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Entry(BaseModel):
    """A line of `decisions.jsonl`.

    >>> Entry(clip_id="6f1c", decision="defect", defect="music", present=False).line()
    '{"clip_id": "6f1c", "decision": "defect", "defect": "music", "present": false}'
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    clip_id: Annotated[str, StringConstraints(min_length=1)]
    decision: Literal["keep", "drop", "text", "speaker", "defect", "undo", "auto"]
    text: Name | None = None
    speaker: Name | None = None
    defect: Name | None = None
    present: bool | None = None
    who: str | None = None
    when: str | None = None
    why: str | None = None

    @model_validator(mode="after")
    def _has_its_keys(self) -> Self:
        given = {key: decision for key, decision in OWNER.items() if getattr(self, key) is not None}
        needed = NEEDED.get(self.decision, ())
        if given.keys() != {*needed}:
            decision = next((owner for owner in given.values() if owner != self.decision), self.decision)
            names = " and ".join(f"`{key}`" for key in NEEDED[decision])
            raise ValueError(f"{names} goes with the decision {decision}, and only with it")
        return self

    def line(self) -> str:
        """The entry as a line of JSON, without its end."""
        return json.dumps(self.model_dump(exclude_none=True), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class ManualDecisions:
    """All decisions of people about the clips of a corpus. Small and picklable, since it is sent to every worker."""

    kept: frozenset[str] = frozenset()
    """Ids of clips to keep."""
    dropped: frozenset[str] = frozenset()
    """Ids of clips to drop."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Replaced texts by clip_id."""
    speakers: Mapping[str, str] = field(default_factory=dict)
    """Names of speakers by clip_id."""
    defects: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    """Whether a clip has a defect, by the reason that it is rejected for, and by clip_id."""

    @classmethod
    def load(cls, store: Store) -> Self:
        """Read the decisions of a corpus; empty without the file. Raises ConfigError naming the line and the fault."""
        return cls.from_entries(read_entries(store))

    @classmethod
    def from_entries(cls, entries: Iterable[Entry]) -> Self:
        """Resolve entries, in the order of the file, to the decisions that count."""
        fates: dict[str, str] = {}
        texts: dict[str, str] = {}
        speakers: dict[str, str] = {}
        defects: dict[str, dict[str, bool]] = defaultdict(dict)
        for entry in standing(entries):
            if entry.text is not None:
                texts[entry.clip_id] = entry.text
            elif entry.speaker is not None:
                speakers[entry.clip_id] = entry.speaker
            elif entry.defect is not None and entry.present is not None:
                defects[entry.defect][entry.clip_id] = entry.present
            else:
                fates[entry.clip_id] = entry.decision
        return cls(
            kept=frozenset(clip_id for clip_id, decision in fates.items() if decision == "keep"),
            dropped=frozenset(clip_id for clip_id, decision in fates.items() if decision == "drop"),
            texts=texts,
            speakers=speakers,
            defects=dict(defects),
        )

    @property
    def clip_ids(self) -> frozenset[str]:
        """Ids of all clips with a decision."""
        return self.kept.union(self.dropped, self.texts, self.speakers, *self.defects.values())

    def digest(self) -> str:
        """SHA-256 of all decisions that count, 64 hexadecimal digits."""
        parts: list[Any] = [sorted(self.kept), sorted(self.dropped), sorted(self.texts.items())]
        if self.speakers or self.defects:  # else the digest is that of corpora from before these decisions
            defects = {name: sorted(by_clip.items()) for name, by_clip in self.defects.items()}
            parts += [sorted(self.speakers.items()), sorted(defects.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def standing(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that nobody took back, clip by clip; `undo` and `auto` are resolved.

    >>> kept, undone = Entry(clip_id="a", decision="keep"), Entry(clip_id="a", decision="undo")
    >>> standing([kept, Entry(clip_id="a", decision="auto"), undone]) == [kept]
    True
    """
    by_clip: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.decision != "undo":
            by_clip[entry.clip_id].append(entry)
        elif by_clip[entry.clip_id]:
            by_clip[entry.clip_id].pop()
    return [entry for history in by_clip.values() for entry in _since_auto(history)]


def _since_auto(history: list[Entry]) -> list[Entry]:
    """The entries about a clip after the last `auto`."""
    last = max((at for at, entry in enumerate(history) if entry.decision == "auto"), default=-1)
    return history[last + 1 :]


def read_entries(store: Store) -> list[Entry]:
    """All lines of the decisions of a corpus, in order. Raises ConfigError naming the line and the fault."""
    if not store.exists(DECISIONS_FILE):
        return []
    with store.open(DECISIONS_FILE) as file:
        return list(_entries(file, f"{store.root}/{DECISIONS_FILE}"))


def append_entries(store: Store, entries: Iterable[Entry]) -> None:
    """Append lines to the decisions of a corpus: all or, if the process dies, none. Older lines stay as they are.

    Whoever appends holds a lock, since the file is copied, extended and renamed. Raises OSError.
    """
    before = b""
    if store.exists(DECISIONS_FILE):
        with store.open(DECISIONS_FILE) as file:
            before = file.read()
    end = b"" if not before or before.endswith(b"\n") else b"\n"
    with store.create(DECISIONS_FILE) as file:
        file.write(before + end + b"".join(f"{entry.line()}\n".encode() for entry in entries))


def _entries(lines: Iterable[bytes], name: str) -> Iterable[Entry]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield Entry.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            fault = f"{where}: {first['msg']}" if where else first["msg"]
            fix = (
                'a line is {"clip_id": "…", "decision": "keep", "drop", "text", "speaker", "defect", "undo" or "auto"}'
            )
            raise ConfigError(f"{name}, line {number}: {fault}; {fix}") from None
