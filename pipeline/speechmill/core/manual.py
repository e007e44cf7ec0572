"""Decisions of people about clips, in `decisions.jsonl` beside the corpus: they override thresholds in every later run.

A line is one decision, and the last line about a clip counts; a text stays until another replaces it:

    {"clip_id": "6f1c…", "decision": "drop", "who": "ann", "when": "2026-11-29T12:00:00Z", "why": "a door slams"}
    {"clip_id": "52aa…", "decision": "text", "text": "Well, that is that."}

`keep` and `drop` override thresholds, not a licence or a removal; `text` replaces the text; `auto` revokes all.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from speechmill.core.config_errors import ConfigError
from speechmill.core.ownership import DECISIONS_FILE
from speechmill.core.store import Store


class Entry(BaseModel):
    """A line of `decisions.jsonl`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    clip_id: Annotated[str, StringConstraints(min_length=1)]
    decision: Literal["keep", "drop", "text", "auto"]
    text: str | None = None
    who: str | None = None
    when: str | None = None
    why: str | None = None

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if (self.decision == "text") != bool((self.text or "").strip()):
            raise ValueError("`text` goes with the decision text, and only with it")
        return self


@dataclass(frozen=True, slots=True)
class ManualDecisions:
    """All decisions of people about the clips of a corpus. Small and picklable, since it is sent to every worker."""

    kept: frozenset[str] = frozenset()
    """Ids of clips to keep."""
    dropped: frozenset[str] = frozenset()
    """Ids of clips to drop."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Replaced texts by clip_id."""

    @classmethod
    def load(cls, store: Store) -> Self:
        """Read the decisions of a corpus; empty without the file. Raises ConfigError naming the line and the fault."""
        if not store.exists(DECISIONS_FILE):
            return cls()
        with store.open(DECISIONS_FILE) as file:
            return cls.from_entries(_entries(file, f"{store.root}/{DECISIONS_FILE}"))

    @classmethod
    def from_entries(cls, entries: Iterable[Entry]) -> Self:
        """Resolve entries, in the order of the file, to the decisions that count."""
        last: dict[str, str] = {}
        texts: dict[str, str] = {}
        for entry in entries:
            if entry.decision == "text" and entry.text is not None:
                texts[entry.clip_id] = entry.text.strip()
                continue
            last[entry.clip_id] = entry.decision
            if entry.decision == "auto":
                texts.pop(entry.clip_id, None)
        return cls(
            kept=frozenset(clip_id for clip_id, decision in last.items() if decision == "keep"),
            dropped=frozenset(clip_id for clip_id, decision in last.items() if decision == "drop"),
            texts=texts,
        )

    @property
    def clip_ids(self) -> frozenset[str]:
        """Ids of all clips with a decision."""
        return self.kept | self.dropped | self.texts.keys()

    def digest(self) -> str:
        """SHA-256 of all decisions that count, 64 hexadecimal digits."""
        parts = [sorted(self.kept), sorted(self.dropped), sorted(self.texts.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


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
            fix = 'a line is {"clip_id": "…", "decision": "keep", "drop", "text" or "auto", …}'
            raise ConfigError(f"{name}, line {number}: {fault}; {fix}") from None
