"""Data types of recordings and spans, and the Arrow schemas of tables and artifacts.

Columns that stages add are defined by the stages, see core/columns.py.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import pyarrow as pa

from speechmill.core.reasons import Reason

ID_HEX_DIGITS = 32  # 128 bits of a SHA-256: no collision is to be expected below 2**60 items


class Status(StrEnum):
    """State of a recording in a corpus."""

    OK = "ok"
    FAILED = "failed"
    OPTED_OUT = "opted_out"
    DUPLICATE = "duplicate"
    REMOVED = "removed"
    LEFT_OUT = "left_out"  # a file of an input that is not a recording


class SpanKind(StrEnum):
    """Kind of a span of a recording."""

    SILENCE = "silence"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    CLIP = "clip"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A publisher's machine-readable statement on the use of a recording: an opt-out, or terms that permit it."""

    signal: str  # kind, such as robots.txt, Content-Signal, RSL, TDM-Reservation, itunes:block or C2PA
    value: str  # as the publisher wrote it
    url: str  # of the page or file that has it
    seen: str  # time of reading, ISO 8601 in UTC


class RejectedError(Exception):
    """One input cannot be used. It gets a row with the reason, and the run goes on.

    `retry`: the cause may pass (a server that is down), so the next run tries again. `signals`: the statements of a
    publisher that are the reason.
    """

    def __init__(
        self, reason: Reason, detail: str = "", *, retry: bool = False, signals: tuple[Signal, ...] = ()
    ) -> None:
        super().__init__(reason, detail, retry)
        self.reason, self.detail, self.retry, self.signals = reason, detail, retry, signals

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling with all fields, to pass between processes."""
        return _rejected, (self.reason, self.detail, self.retry, self.signals)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


def _rejected(reason: Reason, detail: str, retry: bool, signals: tuple[Signal, ...]) -> RejectedError:  # noqa: FBT001 - as pickle calls it
    return RejectedError(reason, detail, retry=retry, signals=signals)


@dataclass(frozen=True, slots=True)
class Doc:
    """Description and unit of a column, for the Parquet schema."""

    text: str
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file of a source that belongs to a recording: its transcript, chapters, or the text that is read."""

    kind: str  # transcript, chapters, text, or about: JSON that was not read since it is a link that leads outside
    url: str
    type: str | None = None  # media type, as declared
    language: str | None = None
    text: str | None = None  # the text itself, where the source states it at `url`


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """An episode, a chapter or a file: the unit of work, and a row of `recordings.parquet`."""

    recording_id: Annotated[str, Doc("hash of the source's own stable identity")]
    source: Annotated[str, Doc("kind of source, e.g. local or rss")]
    media_url: Annotated[str, Doc("where the audio is; for a local file its path below the input")]
    start_s: Annotated[float | None, Doc("where it begins in the media; null if it is all of them", "s")] = None
    end_s: Annotated[float | None, Doc("where it ends in the media; null at their end", "s")] = None
    alternates: Annotated[tuple[str, ...], Doc("other addresses of the same audio, tried in this order")] = ()
    checksum: Annotated[str | None, Doc("announced hash of the media, as algorithm:hexadecimal")] = None
    attachments: Annotated[tuple[Attachment, ...], Doc("transcripts, chapters and texts beside it")] = ()
    feed_url: Annotated[str | None, Doc("address of the feed that listed it")] = None
    guid: Annotated[str | None, Doc("the feed's own identifier of the item")] = None
    page_url: Annotated[str | None, Doc("web page about the recording")] = None
    title: Annotated[str | None, Doc("title")] = None
    author: Annotated[str | None, Doc("author or publisher")] = None
    persons: Annotated[tuple[str, ...], Doc("people named by the source")] = ()
    language: Annotated[str | None, Doc("language declared by the source", "BCP 47")] = None
    published: Annotated[str | None, Doc("date of publication", "ISO 8601, UTC")] = None
    spoken_language: Annotated[str | None, Doc("language of most of what was transcribed", "ISO 639-1")] = None
    licence: Annotated[str, Doc("SPDX id, or unknown")] = "unknown"
    licence_url: Annotated[str | None, Doc("address of the licence text")] = None
    licence_evidence: Annotated[str | None, Doc("where the licence was seen")] = None
    consent: Annotated[
        tuple[Signal, ...], Doc("what the publisher says of machines that learn: kind, value, address and time of each")
    ] = ()
    ai_generated: Annotated[bool, Doc("the publisher or the file itself says that a machine made the sound")] = False
    declared_duration_s: Annotated[float | None, Doc("duration by container or feed", "s")] = None
    content_id: Annotated[str | None, Doc("SHA-256 of the media, with the times of a part; null if not fetched")] = None
    sha256: Annotated[str | None, Doc("SHA-256 of the media")] = None
    bytes: Annotated[int | None, Doc("size of the media", "byte")] = None
    first_url: Annotated[str | None, Doc("media_url under which it was listed first")] = None
    added_in_run: Annotated[int, Doc("publication that this content came with: 1 for the first; 0 if unknown")] = 0
    container: Annotated[str | None, Doc("container format, by FFmpeg's name")] = None
    codec: Annotated[str | None, Doc("audio codec, by FFmpeg's name")] = None
    source_sample_rate: Annotated[int | None, Doc("rate of the media", "Hz")] = None
    source_channels: Annotated[int | None, Doc("channels of the media")] = None
    mixdown: Annotated[str | None, Doc("what became of the channels: mono, mean, sum, difference, one of them")] = None
    decoded_samples: Annotated[int | None, Doc("decoded length at the corpus rate", "sample")] = None
    bad_packets: Annotated[int | None, Doc("packets that did not decode")] = None
    status: Annotated[Status, Doc("ok, failed, opted_out, duplicate, removed or left_out")] = Status.OK
    reason: Annotated[Reason | None, Doc("why it failed; null if it did not")] = None
    reason_detail: Annotated[str | None, Doc("the reason in words, and remarks on kept recordings")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Span [start, end) of a decoded recording, in samples at the corpus rate."""

    start: int
    end: int
    kind: SpanKind

    @property
    def samples(self) -> int:
        """Length in samples."""
        return self.end - self.start


def content_id_of(sha256: str, start_s: float | None, end_s: float | None) -> str:
    """Content id, 64 hexadecimal digits: SHA-256 of the media, with start and end in seconds where it is a span."""
    if start_s is None:
        return sha256
    return hashlib.sha256(json.dumps([sha256, start_s, end_s]).encode()).hexdigest()


def stable_id(*parts: str) -> str:
    """Hash strings to 32 hexadecimal digits, JSON-encoded, so that ("ab", "c") differs from ("a", "bc")."""
    encoded = json.dumps(parts, ensure_ascii=True, separators=(",", ":")).encode()
    return hashlib.sha256(encoded).hexdigest()[:ID_HEX_DIGITS]


_ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    tuple[str, ...]: pa.list_(pa.string()),
    tuple[Attachment, ...]: pa.list_(pa.struct([(field.name, pa.string()) for field in fields(Attachment)])),
    tuple[Signal, ...]: pa.list_(pa.struct([(field.name, pa.string()) for field in fields(Signal)])),
    Status: pa.string(),
    Reason: pa.string(),
}


def _field(name: str, kind: pa.DataType, text: str, unit: str = "") -> pa.Field:
    metadata = {"description": text} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, metadata=metadata)


def _recordings_schema() -> pa.Schema:
    columns = []
    for name, hint in get_type_hints(Recording, include_extras=True).items():
        annotation, doc = hint.__args__[0], hint.__metadata__[0]
        plain = next((t for t in getattr(annotation, "__args__", ()) if t in _ARROW_TYPES), annotation)
        kind = _ARROW_TYPES[annotation if annotation in _ARROW_TYPES else plain]
        columns.append(_field(name, kind, doc.text, doc.unit))
    return pa.schema(columns)


WORD = pa.struct(
    [("word", pa.string()), ("start_s", pa.float32()), ("end_s", pa.float32()), ("probability", pa.float32())]
)

TRUSTED_WORD = pa.struct([*WORD, ("confidence", pa.float32()), ("agreement", pa.float32())])

DECISION = (
    _field("decision", pa.string(), "kept or rejected"),
    _field(
        "reasons", pa.list_(pa.string()), "why it was rejected; empty when kept, or manual where somebody decided so"
    ),
)

_NAMES = frozenset(field.name for field in fields(Recording))
RECORDINGS = _recordings_schema()
LEDGER = pa.schema(
    [
        _field("recording_id", pa.string(), "the recording"),
        _field("start", pa.int64(), "first sample", "sample at the corpus rate"),
        _field("end", pa.int64(), "one past the last sample", "sample at the corpus rate"),
        _field("kind", pa.string(), "silence, too_short, too_long, clip or corrupt; null for a failed recording"),
        _field("clip_id", pa.string(), "the clip, where kind is clip"),
        *DECISION,
    ]
)
# Schemas of artifacts, one for each content (media bytes, or a span of them); recordings are joined when publishing.
SEGMENT_ARTIFACT = pa.schema(
    [
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("kind", pa.string()),
        ("clip_id", pa.string()),
        ("flac_bytes", pa.int64()),
        ("flac", pa.binary()),
        ("voices", pa.int8()),
        ("score_turn", pa.float32()),
        ("turn_id", pa.int32()),
    ]
)
PASSAGE_ARTIFACT = pa.schema(  # a row for each passage, and for what lies between two
    [
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("clip_id", pa.string()),  # of a passage; null between two
        ("flac", pa.binary()),
        ("speech", pa.binary()),  # bool of each 10 ms
        ("levels", pa.binary()),  # float32 of each 10 ms, in dBFS
    ]
)
NOBODY = -1  # voice of a step in which nobody speaks
TURNS_ARTIFACT = pa.schema([("voice", pa.int16()), ("second_voice", pa.float32())])  # a row for each step of turns
TRANSCRIPT_ARTIFACT = pa.schema(
    [
        ("clip_id", pa.string()),
        ("text", pa.string()),
        ("words", pa.list_(WORD)),
        ("language", pa.string()),
        ("language_probability", pa.float32()),
        ("asr_confidence", pa.float32()),
        ("avg_logprob", pa.float32()),
        ("no_speech_probability", pa.float32()),
        ("error", pa.string()),
    ]
)

FINGERPRINT_ARTIFACT = pa.schema([("hash", pa.uint64()), ("clip", pa.int32()), ("frame", pa.int32())])
EMBEDDING_ARTIFACT = pa.schema([("clip_id", pa.string()), ("embedding", pa.list_(pa.float32()))])
TOKEN_ARTIFACT = pa.schema(
    [
        ("clip_id", pa.string()),
        ("mel_tokens", pa.list_(pa.uint16())),
        ("mel_profile", pa.string()),
        ("error_nats", pa.float32()),  # mean error of the spectrogram that the tokens decode to
    ]
)


def to_row(recording: Recording) -> dict[str, Any]:
    """Plain values of a recording by column. `asdict` would copy all values, which takes a millisecond."""
    row = {name: getattr(recording, name) for name in _NAMES}
    row |= {name: [asdict(item) for item in row[name]] for name in ("attachments", "consent")}
    return row


def to_table(rows: Iterable[Recording], schema: pa.Schema = RECORDINGS) -> pa.Table:
    """Arrow table of recordings, one row each."""
    return pa.Table.from_pylist([to_row(row) for row in rows], schema=schema)


def recording_from(row: Mapping[str, Any]) -> Recording:
    """Recording of a row as read from Parquet; columns of later versions are ignored."""
    values = {name: value for name, value in row.items() if name in _NAMES}
    values["status"] = Status(values["status"])
    values["reason"] = Reason(values["reason"]) if values.get("reason") else None
    values |= {name: tuple(values.get(name) or ()) for name in ("persons", "alternates")}
    values["attachments"] = tuple(Attachment(**item) for item in values.get("attachments") or ())
    values["consent"] = tuple(Signal(**item) for item in values.get("consent") or ())
    values["ai_generated"] = bool(values.get("ai_generated"))
    return Recording(**values)
