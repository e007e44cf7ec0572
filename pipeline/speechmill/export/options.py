"""What a user asks of an export, and the audio that follows from it for each format."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from speechmill.core.config_errors import ConfigError
from speechmill.export.base import KINDS, Audio, Exporter

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)  # Hz, of RFC 6716
MIN_RATE, MAX_RATE = 8_000, 48_000
TEXTS = ("text", "text_normalized")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of `speechmill export`; by default all clips, and audio and text as each format has them.

    Raises ConfigError for values that cannot be meant.
    """

    splits: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    min_seconds: float = 0.0
    max_seconds: float = math.inf
    sample_rate: int | None = None
    audio: str | None = None
    text: str | None = None
    where: str | None = None
    """An SQL condition on the columns of `data/`, for DuckDB."""
    hours: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_seconds <= self.max_seconds:
            raise ConfigError(f"--min-seconds {self.min_seconds:g} --max-seconds {self.max_seconds:g}: takes no clip")
        if self.hours is not None and not 0 < self.hours < math.inf:
            raise ConfigError(f"--hours {self.hours:g}: give a number above 0")
        if self.sample_rate is not None and not MIN_RATE <= self.sample_rate <= MAX_RATE:
            raise ConfigError(f"--sample-rate {self.sample_rate}: give {MIN_RATE} to {MAX_RATE} Hz")
        if self.audio not in (None, *KINDS):
            raise ConfigError(f"--audio {self.audio}: give one of {', '.join(KINDS)}")
        if self.text not in (None, *TEXTS):
            raise ConfigError(f"--text {self.text}: give one of {', '.join(TEXTS)}")


def audio_of(exporters: Collection[Exporter], options: Options, rate: int) -> dict[str, Audio]:
    """Audio that each format is written with, by its name; formats that share it have the same.

    Args:
        exporters: The formats of an export.
        options: `audio` and `sample_rate` overrule what formats prefer.
        rate: That of the corpus, in Hz.

    Raises:
        ConfigError: A format does not take the kind, or formats that share audio want different rates.
    """
    for exporter in exporters:
        if options.audio and options.audio not in exporter.kinds:
            raise ConfigError(f"--audio {options.audio}: {exporter.name} takes {' and '.join(exporter.kinds)} only")
    sharing = [exporter for exporter in exporters if exporter.shares_audio]
    shared = _audio(sharing, options, rate) if sharing else None
    alone = {exporter.name: _audio([exporter], options, rate) for exporter in exporters if not exporter.shares_audio}
    every = alone | {exporter.name: shared for exporter in sharing if shared}
    return dict(sorted(every.items()))


def _audio(exporters: list[Exporter], options: Options, rate: int) -> Audio:
    """Audio of formats that share it."""
    kinds = [kind for kind in exporters[0].kinds if all(kind in exporter.kinds for exporter in exporters)]
    rates = {exporter.sample_rate: exporter.name for exporter in exporters if exporter.sample_rate}
    if not options.audio and not kinds:
        names = ", ".join(exporter.name for exporter in exporters)
        raise ConfigError(f"--to {names}: have no kind of audio in common; export them into two folders")
    if not options.sample_rate and len(rates) > 1:
        wanted = ", ".join(f"{name} {hertz} Hz" for hertz, name in rates.items())
        raise ConfigError(f"--to: share audio but want other rates ({wanted}); choose one with --sample-rate")
    kind, target = options.audio or kinds[0], options.sample_rate or next(iter(rates), rate)
    if kind == "opus" and target not in OPUS_RATES:
        raise ConfigError(f"--audio opus: has no {target} Hz; give one of {OPUS_RATES} with --sample-rate")
    return Audio(kind, target, is_copy=kind == "flac" and target == rate)
