"""Renders the summary of a run for a terminal: table of stages, audio by outcome, notes and paths."""

from typing import TYPE_CHECKING, Any

from speechmill.core.reasons import Reason
from speechmill.core.records import Status
from speechmill.core.terminal import printable
from speechmill.publish import RECORDINGS_FILE
from speechmill.publish.advice import no_clips
from speechmill.runner.run import EXIT_FAILED, EXIT_TOO_MANY_FAILED
from speechmill.runner.stopping import EXIT_INTERRUPTED
from speechmill.runner.summary import Summary

if TYPE_CHECKING:
    from rich.console import RenderableType

NOT_YET = {"not_transcribed": "transcript", "not_tokenised": "mel tokens"}
OTHERS = "score"  # stage whose row shows reasons of no stage, such as licences
NAMED_INPUTS = 10
LINE_CHARACTERS = 200  # of a line about a failed recording
LEFT_OUT_CHARACTERS = 110  # of a line about a file left out
UNITS = ((3_600, "hours"), (60, "minutes"), (1, "seconds"))  # in seconds, the longest first
FATES = ("kept", "rejected", "too_short", "too_long", "silence", "corrupt")


def render(summary: Summary) -> "RenderableType":
    """Summary of a run for a terminal."""
    from rich.console import Group
    from rich.text import Text

    return _below(Group(_stages(summary), *map(Text, _rejections(summary))), summary)


def render_selection(summary: Summary, changes: dict[str, Any]) -> "RenderableType":
    """Summary of `select`: with what changed in place of stages, which it does not run."""
    return _below(render_preview(changes), summary)


def _below(table: "RenderableType", summary: Summary) -> "RenderableType":
    """A table, and below it what a run has to say at its end."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [table]
    if summary.stats is not None:
        parts.append(Text(_hours(summary.stats)))
    notes = _left_out(summary.stats) if summary.stats else []
    parts += [Text(printable(line)) for line in (*notes, *summary.notes, *_closing(summary))]
    return Group(*parts)


def _stages(summary: Summary) -> "RenderableType":
    from rich import box
    from rich.table import Table

    audio_ms = (counts.get("audio_in_ms", 0) for counts in summary.stages.values())
    unit_s, unit = (3600, "h") if max(audio_ms, default=0) >= 3_600_000 else (60, "min")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for name in ("in", "kept", f"{unit} in", f"{unit} kept", "took, s", "× real time"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage, counts in summary.stages.items():
        if counts:
            table.add_row(stage, *_row(stage, counts, unit_s))
    return table


def _row(stage: str, counts: dict[str, int], unit_s: int) -> list[str]:
    """Cells of a stage: recordings (files for publish), audio in units of so many seconds, time, speed on new audio."""
    seconds, done = counts.get("wall_ms", 0) / 1000, counts.get("audio_done_ms", 0) / 1000
    digits = 2 if unit_s == 3600 else 1
    audio = (counts.get(key, 0) / 1000 / unit_s for key in ("audio_in_ms", "audio_kept_ms"))
    is_reused = counts.get("reused", 0) == counts["in"]
    return [
        f"{counts['in']:,}",
        f"{counts['in'] - counts.get('failed', 0):,}",
        *(f"{value:,.{digits}f}" if value else "" for value in audio),
        "as before" if is_reused else f"{seconds:,.1f}",
        f"{done / seconds:,.0f}" if done and seconds and stage != "fetch" else "",
    ]


def _rejections(summary: Summary) -> list[str]:
    """A line for each stage that rejected something, with the reasons, the most frequent first."""
    found = ((stage, _rejected(stage, counts, summary.stats)) for stage, counts in summary.stages.items() if counts)
    return [f"rejected by {stage}: {reasons}" for stage, reasons in found if reasons]


def _rejected(stage: str, counts: dict[str, int], stats: dict[str, Any] | None) -> str:
    """Reasons with their counts: of recordings for the first stages, of clips for stages that reject clips."""
    from speechmill.stages.flow import rejecting_stage

    reasons = {key.removeprefix("reason."): n for key, n in counts.items() if key.startswith("reason.")}
    for reason, rejected in (stats or {}).get("rejected_by_reason", {}).items():
        if (rejecting_stage(reason) or OTHERS) == stage:
            reasons[reason] = rejected["clips"]
    return ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _hours(stats: dict[str, Any]) -> str:
    """What became of the audio, in a unit in which it is no long number."""
    rate, samples = stats["sampling_rate"], stats["samples"]
    seconds = samples["in"] / rate
    unit_s, unit = next(pair for pair in UNITS if seconds >= pair[0] or pair[0] == 1)
    amounts = {fate: samples.get(fate, 0) / rate / unit_s for fate in FATES}
    parts = [f"{fate.replace('_', ' ')} {value:,.1f}" for fate, value in amounts.items() if value]
    clips = stats["clips"].get("kept", 0)
    return f"{seconds / unit_s:,.1f} {unit} in = {' + '.join(parts)};  {clips:,} clips kept"


def _left_out(stats: dict[str, Any]) -> list[str]:
    """Lines about files in the inputs that are not recordings: their number, then the first names."""
    counts = dict(stats["left_out"]["by_reason"])
    hidden, keys = counts.pop(Reason.HIDDEN, 0), counts.get(Reason.UNUSED_KEYS, 0)
    feeds = counts.get(Reason.NO_ENCLOSURE, 0)
    files = sum(counts.values()) - keys - feeds
    if not files + keys + feeds:
        return []
    parts = [f"files left out as no recordings: {files:,}"] if files else []
    parts += [f"manifests with keys that are not used: {keys:,}"] if keys else []
    parts += [f"feeds with items that name no recording: {feeds:,}"] if feeds else []
    parts.append(f"{RECORDINGS_FILE} names them all" + (", and counts the hidden ones" if hidden else ""))
    return ["; ".join(parts), *(f"  {line[:LEFT_OUT_CHARACTERS]}" for line in stats["left_out"]["first"])]


def _closing(summary: Summary) -> list[str]:
    output = summary.output.rstrip("/")
    if summary.exit_code == EXIT_INTERRUPTED:
        return ["interrupted: run the same command again to go on from here"]
    if summary.stats is None:
        return [f"this share of the run is done; when all are, publish with: speechmill run --output {output}"]
    lines = _failures(summary) + _too_many(summary) + _empty(summary)
    lines += [] if summary.changed else ["nothing to do: the corpus is complete and up to date"]
    rejected = summary.stats["rejected_by_reason"]
    if missing := [what for reason, what in NOT_YET.items() if rejected.get(reason)]:
        lines.append(f"some selected clips have no {' or '.join(missing)} yet: speechmill run --output {output}")
    shards = [name for name in summary.files if name.startswith("data/")]
    lines.append(f"report  {output}/report.html")
    lines.append(f"clips   {output}/{shards[0]}" if shards else _no_clips(summary, output))
    return lines


def _failures(summary: Summary) -> list[str]:
    """Lines about recordings that failed: the first ones, and the number of others."""
    if not summary.failed or summary.stats is None:
        return []
    more = summary.stats["recordings"]["failed"] - len(summary.failed)
    others = [f"  and {more:,} more: {summary.output.rstrip('/')}/{RECORDINGS_FILE}"] if more else []
    return ["failed:", *(f"  {_shortened(line)}" for line in summary.failed), *others]


def _empty(summary: Summary) -> list[str]:
    """Lines about inputs without recordings, if that is true of all inputs."""
    if summary.exit_code != EXIT_FAILED:
        return []
    fix = "give the folder, file or address where the recordings are"
    return [f"no recordings in {address}; {fix}" for address in summary.empty_inputs[:NAMED_INPUTS]]


def _shortened(line: str) -> str:
    return line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}…"


def _too_many(summary: Summary) -> list[str]:
    """Line that explains exit code 3."""
    if summary.exit_code != EXIT_TOO_MANY_FAILED or summary.stats is None:
        return []
    recordings = summary.stats["recordings"]
    failed, total = recordings["failed"], sum(recordings.values()) - recordings.get(Status.LEFT_OUT, 0)
    limit = f"max_failed_ratio is {summary.max_failed_ratio:g}"
    return [f"{failed:,} of {total:,} recordings failed, and {limit}: exit code {EXIT_TOO_MANY_FAILED}"]


def _no_clips(summary: Summary, output: str) -> str:
    why = no_clips(summary.stats) if summary.stats else ""
    return f"no clips were kept: {why}" if why else f"no clips were kept; {output}/{RECORDINGS_FILE} says why"


def render_preview(preview: dict[str, Any]) -> "RenderableType":
    """The effect of other settings: rows for kept clips, kept hours and each reason, then what adds up to it."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("clips", no_wrap=True)
    for name in ("now", "then", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    kept = preview["kept"]
    table.add_row("kept", *_change(kept["clips"]))
    if max(kept["hours"].values()) < 1:
        minutes = {when: 60 * hours for when, hours in kept["hours"].items()}
        table.add_row("kept, in minutes", *_change(minutes, 1))
    else:
        table.add_row("kept, in hours", *_change(kept["hours"], 2))
    for reason, clips in preview["rejected"].items():
        table.add_row(f"rejected: {reason}", *_change(clips))
    return Group(table, *(Text(printable(line)) for line in _accumulated(preview)))


def _accumulated(preview: dict[str, Any]) -> list[str]:
    """Lines about settings other than the defaults, of this and earlier commands, and about decisions by hand."""
    settings = ", ".join(f"{key}={value}" for key, value in preview["settings"].items())
    lines = [f"settings other than the defaults, also of earlier commands: {settings or 'none'}"]
    if (by_hand := preview["decisions"]) is None:
        return lines
    parts = {
        "kept that thresholds reject": by_hand["kept"], "dropped that thresholds keep": by_hand["dropped"],
        "with another text": by_hand["text"], "decided alike by thresholds": by_hand["anyway"],
        "of no clip here": by_hand["not_here"],
    }  # fmt: skip
    return [*lines, "decisions by hand: " + ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)]


def _change(pair: dict[str, float], digits: int = 0) -> list[str]:
    difference = round(pair["then"] - pair["now"], digits)
    change = f"{difference:+,.{digits}f}" if difference else ""
    return [f"{pair['now']:,.{digits}f}", f"{pair['then']:,.{digits}f}", change]
