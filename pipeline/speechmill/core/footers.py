"""Footers of artifacts: what a Parquet file says of itself beside its rows, a dataclass for each kind of artifact.

A footer is a JSON object in the metadata of the file. Fields that have their defaults are not written, and fields that
a version does not know are ignored.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import TypeAdapter

from speechmill.core.reasons import Reason
from speechmill.core.records import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """The footer of any artifact.

    >>> Footer(retry=True).to_json()
    '{"retry": true}'
    >>> Footer.from_json("{}")
    Footer(retry=False)
    """

    retry: bool = False  # whether it is a failure that may pass, so that the next run tries again

    def to_json(self) -> str:
        """JSON object of the fields that differ from their defaults, with sorted keys."""
        values = _adapter(type(self)).dump_python(self, mode="json", exclude_defaults=True)
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote. Raises ValueError for anything else."""
        footer: Self = _adapter(cls).validate_python(json.loads(text))  # names of files may be no Unicode
        return footer


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """A document of a recording, as it was fetched."""

    kind: str  # transcript or text
    url: str
    type: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFooter(Footer):
    """Of the row of a recording."""

    is_local: bool = False
    media: str | None = None  # path for the filesystem of the store, or the local one
    aliases: tuple[str, ...] = ()  # digests of other names of the recording
    asked: float | None = None  # time of the request, in seconds since 1970
    size: int | None = None  # of a local file, in bytes
    mtime_ns: int | None = None  # time of change of a local file
    resolved: bool = False  # whether the address of the media is another one than that which was listed
    documents: dict[str, StoredDocument] = field(default_factory=dict)  # by path in the store
    documents_retry: bool = True  # whether documents are to be fetched again
    marks: int | None = None  # version of the code that looked for C2PA marks in the media
    unlisted: bool = False  # whether the source itself said that the recording failed

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Size and time of change of a local file; None for other media."""
        return None if self.size is None or self.mtime_ns is None else (self.size, self.mtime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeFooter(Footer):
    """Of the spans, or passages, of a recording: the results of decoding it."""

    status: Status = Status.OK
    reason: Reason | None = None
    detail: str | None = None
    container: str | None = None
    codec: str | None = None
    source_sample_rate: int | None = None
    source_channels: int | None = None
    declared_duration_s: float | None = None
    decoded_samples: int | None = None  # at the corpus rate
    bad_packets: int | None = None
    mixdown: str | None = None
    seconds: float = 0.0  # decoded
    clip_seconds: float = 0.0  # of them in clips, or passages
    breaks: tuple[int, ...] = ()  # of passages: samples at which packets were lost, or speech is cut off
    texts: str | None = None  # digest of the texts that clips were cut by
    clip_samples_by_profile: dict[str, int] = field(default_factory=dict)  # that each profile would make clips of


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsFooter(Footer):
    """Of artifacts whose inputs may change while their name stays."""

    inputs: str  # digest


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFooter(InputsFooter):
    """Of the tables of a group of recordings."""

    content: str  # digest of the tables


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFooter(Footer):
    """Of the index of known recordings."""

    run: int  # number of the run, from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedFooter(Footer):
    """Of what a plan of publication decided about a group of recordings."""

    duplicates: dict[int, tuple[str, ...]]  # row of a recording: `primary_order` of the one that it is a duplicate of
    held_out: tuple[int, ...]  # rows of the recordings for validation
    has_speakers: bool  # whether its rows are the speakers of the clips


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFooter(Footer):
    """Of a shard of a corpus."""

    made_of: str  # digest of its content


_adapters: dict[type[Footer], TypeAdapter[Any]] = {}


def _adapter(kind: type[Footer]) -> TypeAdapter[Any]:
    """What reads and writes footers of a kind; made once, which takes longer than reading."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
