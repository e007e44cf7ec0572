"""Renders `report.html`: a self-contained page with the statistics of a corpus and clips to listen to.

Titles, authors, addresses and text come from sources that are not trusted: the template engine escapes them, and the
page's content security policy allows no script but its own.
"""

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from speechmill.audio import decode_flac
from speechmill.audio.spectrogram import draw
from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.page_policy import policy
from speechmill.core.records import Recording, Status
from speechmill.core.version import __version__
from speechmill.decide.decision import KEPT, REJECTED
from speechmill.publish import advice, figures
from speechmill.publish.columns import columns_of, data_schema
from speechmill.publish.decided import DecidedGroup
from speechmill.publish.report.clip_table import ClipTable
from speechmill.publish.report.extension import Extension
from speechmill.publish.report.samples import (
    DOUBTFUL,
    NEARLY,
    PICTURE_BYTES,
    SOUND_BYTES,
    WORST_TEXTS,
    Row,
    Sample,
    choose,
    read_clip_flac,
    within_budget,
)
from speechmill.publish.report.unclipped import Unclipped, Utterance
from speechmill.stages.segment import EXAMPLE_S

REPORT_FILE = "report.html"
HERE = Path(__file__).parent
MOST_FAILURES = 200  # listed one by one; all are in recordings.parquet
PLOT_WIDTH, PLOT_HEIGHT = 300.0, 80.0
MOST_BYTES = 15_000_000  # of the page
OTHER_BYTES = 1_200_000  # of it, for all but clips: script, style, tables, texts of the clips that are played
LEAST_SOUND_BYTES = 3_000_000  # of it, for clips to listen to

Limits = list[tuple[Column, float]]
Utterances = Mapping[str, Sequence[tuple[Utterance, bytes]]]


def render(
    build: Build, stats: dict[str, Any], groups: Iterable[DecidedGroup], *, extension: Extension | None = None
) -> str:
    """Render the report of a corpus: HTML of at most about 15 MB, the same for the same corpus.

    Args:
        build: The corpus.
        stats: Its statistics, as in `stats.json`.
        groups: All its decided groups.
        extension: What a server adds to the page; None for a page that stands alone.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters |= {"percent": figures.percent, "link": web_link, "clock": clock}
    pages.filters["length_of"] = partial(figures.length, rate=stats["sampling_rate"])
    failures: list[Recording] = []
    left_out: list[Recording] = []
    table, unclipped = ClipTable(build, sum(stats["clips"].values())), Unclipped(build)
    candidates = choose(table.through(unclipped.through(_collecting_failures(groups, failures, left_out))), build)
    packed = table.packed(MOST_BYTES - OTHER_BYTES - LEAST_SOUND_BYTES)
    utterances = unclipped.sounds()
    chosen = within_budget(candidates, _sound_bytes(len(packed), utterances))
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    scripts = [extension.script, script] if extension else [script]
    styles = [style, extension.style] if extension else [style]
    return pages.get_template("page.html").render(
        _template_values(build, stats),
        groups=_groups(chosen, build, stats),
        unclipped=_unclipped(utterances, build),
        clip_table=Markup(packed),  # noqa: S704 - base64
        sampled=table.clips if table.is_sample else None,
        failures=failures,
        left_out=left_out,
        policy=policy(scripts, styles, is_served=extension is not None),
        scripts=[Markup(text) for text in scripts],  # noqa: S704 - files of this package
        styles=[Markup(text) for text in styles],  # noqa: S704
    )


def _sound_bytes(packed: int, utterances: Utterances) -> int:
    """Bytes of FLAC that the clips may have, beside a table of `packed` bytes and the sound of utterances."""
    room = (MOST_BYTES - OTHER_BYTES - packed) * 3 // 4
    used = sum(len(flac) + PICTURE_BYTES for found in utterances.values() for _, flac in found)
    return min(SOUND_BYTES, room) - used


def _template_values(build: Build, stats: dict[str, Any]) -> dict[str, Any]:
    """Template values that follow from statistics and config."""
    samples, clips, limits = stats["samples"], stats["clips"], figures.limits(build)
    return {
        "name": figures.corpus_name(build),
        "version": __version__,
        "stats": stats,
        "all": figures.amount(stats, "all", samples["in"], of=samples["in"]),
        "kept": figures.amount(stats, KEPT, samples.get(KEPT, 0), of=samples["in"], clips=clips.get(KEPT, 0)),
        "rejected_clips": clips.get(REJECTED, 0),
        "fates": figures.by_fate(stats),
        "advice": advice.other_profile(stats, build.config.segment.profile),
        "reasons": figures.by_reason(stats),
        "licences": figures.kept_by(stats, "licence"),
        "languages": figures.kept_by(stats, "language"),
        "codes": _codes(stats.get("mel_tokens")),
        "has_text": build.runs("transcribe"),
        "has_defects": build.has_defects,
        "limits": [(column, _limit(column, limit)) for column, limit in limits],
    }


def _limit(column: Column, limit: float) -> str:
    return f"{'≤' if column.test and column.test.at_most else '≥'} {_short(limit)}"


def _short(value: float) -> str:
    """A number with four significant digits, without exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 4):.4g}"


def clock(seconds: float) -> str:
    """A position in seconds as h:mm:ss.s."""
    tenths = round(seconds * 10)
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"


def web_link(address: str | None) -> str | None:
    """The address if it is http or https, which a page may link to; None for anything else, such as a script."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return None
    return address if parts.scheme in {"http", "https"} and parts.netloc else None


# --- recordings without clips ---


def _collecting_failures(
    groups: Iterable[DecidedGroup], failures: list[Recording], left_out: list[Recording]
) -> Iterator[DecidedGroup]:
    """Pass groups on; append the first MOST_FAILURES failed recordings and files that were left out to the lists."""
    for decided in groups:
        for recording in decided.recordings:
            rows = left_out if recording.status is Status.LEFT_OUT else failures
            if recording.status is not Status.OK and len(rows) < MOST_FAILURES:
                rows.append(recording)
        yield decided


# --- mel tokens ---


def _codes(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    """Usage of mel tokens with a curve of counts by rank, both axes logarithmic; None without tokens."""
    if usage is None:
        return None
    counts = sorted((count for count in usage["histogram"] if count), reverse=True)
    across, up = math.log(max(len(counts), 2)), math.log(max(counts[0], 2))
    ranks = sorted({round(math.exp(across * at / PLOT_WIDTH)) for at in range(int(PLOT_WIDTH) + 1)})
    points = [
        (PLOT_WIDTH * math.log(rank) / across, PLOT_HEIGHT * (1 - math.log(counts[rank - 1]) / up))
        for rank in ranks
        if rank <= len(counts)
    ]
    return usage | {"line": " ".join(f"{x:.1f},{y:.1f}" for x, y in points), "ranks": len(counts), "most": counts[0]}


# --- clips to listen to ---


def _groups(groups: dict[str, list[Sample]], build: Build, stats: dict[str, Any]) -> list[dict[str, Any]]:
    """Template values of the chosen clips, by `kept` and by reason."""
    limits = figures.limits(build)
    flac = read_clip_flac((sample for samples in groups.values() for sample in samples), build)
    counts = {KEPT: stats["clips"].get(KEPT, 0)} | {r: c["clips"] for r, c in stats["rejected_by_reason"].items()}
    return [
        {
            "name": group,
            "title": TITLES.get(group, group),
            "about": ABOUT.get(group) or advice.MEANINGS.get(group, ""),
            "of": counts.get(group),
            "clips": [_clip(sample, flac.get(sample.row["clip_id"]), limits, build) for sample in samples],
        }
        for group, samples in groups.items()
        if samples
    ]


def _clip(sample: Sample, flac: bytes | None, limits: Limits, build: Build) -> Row:
    """Template values of a clip: no audio and no text if its licence forbids them."""
    row, rate = sample.row, build.config.audio.sample_rate
    picture = draw(decode_flac(flac)) if flac else None
    return {
        "row": row,
        "text": row.get("text") if sample.is_playable else None,
        "reference": row.get("reference_text") if sample.is_playable else None,
        "at": row["start"] / rate,
        "sound": base64.b64encode(flac).decode() if flac else None,
        "picture": base64.b64encode(picture).decode() if picture else None,
        "scores": _scores(row, limits, build),
    }


def _unclipped(utterances: Utterances, build: Build) -> list[dict[str, Any]]:
    """Template values of utterances that became no clip, by kind."""
    rate = build.config.audio.sample_rate
    return [
        {
            "kind": kind,
            "about": figures.FATES[kind],
            "utterances": [
                {
                    "recording": one.recording,
                    "at": one.start / rate,
                    "seconds": (one.end - one.start) / rate,
                    "heard_s": min((one.end - one.start) / rate, EXAMPLE_S),
                    "sound": base64.b64encode(flac).decode(),
                    "picture": base64.b64encode(draw(decode_flac(flac))).decode(),
                }
                for one, flac in found
            ],
        }
        for kind, found in utterances.items()
    ]


def _scores(row: Row, limits: Limits, build: Build) -> list[dict[str, Any]]:
    """Values shown beside a clip: its scores, NUMBERS and columns with a threshold; nulls are left out."""
    by_column = {column.name: (column, limit) for column, limit in limits}
    schema = data_schema(columns_of(build))
    names = [c.name for c in schema if c.name.startswith("score_") or c.name in NUMBERS]
    nearest = _nearest_threshold(row, limits)
    return [
        {
            "name": name,
            "value": _short(row[name]),
            "failed": name in by_column and _fails(row[name], *by_column[name]),
            "limit": _limit(*by_column[name]) if name in by_column else "",
            "is_nearest": name == nearest,
        }
        for name in [*names, *(c for c in by_column if c not in names)]
        if row.get(name) is not None
    ]


def _nearest_threshold(row: Row, limits: Limits) -> str | None:
    """The column whose threshold a kept clip comes nearest to, in histogram widths; None for rejected clips."""
    if row["decision"] != KEPT:
        return None
    margins = {
        column.name: abs(row[column.name] - limit) / (column.edges[-1] - column.edges[0])
        for column, limit in limits
        if column.edges and pa.types.is_floating(column.type) and row.get(column.name) is not None
    }
    return min(margins, key=lambda name: margins[name], default=None)


def _fails(value: float, column: Column, limit: float) -> bool:
    return column.test is not None and column.test.fails(value, limit)


TITLES = {DOUBTFUL: "doubtful, kept", NEARLY: "nearly kept", WORST_TEXTS: "least trusted texts, kept"}
ABOUT = {
    DOUBTFUL: "kept clips that are nearest to one of the thresholds",
    NEARLY: "clips that one threshold alone rejects, nearest to it first",
    WORST_TEXTS: "kept clips with the lowest confidence or agreement",
    KEPT: "any of the kept clips",
}
NUMBERS = {
    *("snr_db", "c50_db", "bandwidth_hz", "loudness_lufs", "peak_dbfs", "clipped_ratio", "edge_ratio"),
    *("asr_confidence", "asr_agreement", "pause_agreement", "speaker_purity"),
    *("speaking_rate", "pitch_mean_hz"),
}
