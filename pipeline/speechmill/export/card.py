"""The card of an export: what it holds, how it is read, under which licences, and what was left out."""

from collections.abc import Mapping, Sequence
from typing import Any

from speechmill.core.version import __version__
from speechmill.export.reading import Job

Amounts = Mapping[str, tuple[int, float]]  # clips and seconds by name


def render(job: Job, result: Mapping[str, Any], licences: Amounts) -> str:
    """Card of an export, Markdown.

    Args:
        job: The export.
        result: As `engine.export` returns it.
        licences: Clips and seconds by SPDX id.
    """
    sections = [
        _summary(result),
        _formats(job, result),
        _loading(job),
        _licences(licences),
        _left_out(result),
        _notes(result),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _summary(result: Mapping[str, Any]) -> str:
    return (
        "# Speech for training\n\n"
        f"{result['clips']:,} clips, {result['hours']:.2f} hours, of a corpus with "
        f"{result['clips_of_the_corpus']:,} clips. Written by speechmill {__version__}. Machines have cut, judged and "
        "transcribed them, and nobody has checked them all. Do not use a voice to imitate its owner without consent."
    )


def _formats(job: Job, result: Mapping[str, Any]) -> str:
    rows = []
    for name, counts in result["formats"].items():
        audio = job.audio[name]
        rows.append((f"`{name}`", f"{counts['clips']:,}", f"{counts['hours']:.2f}", f"{audio.kind}, {audio.rate:,} Hz"))
    return _table(("format", "clips", "hours", "audio"), rows)


def _loading(job: Job) -> str:
    lines = [f"- `{exporter.name}`: {exporter.loading or exporter.about}" for exporter in job.exporters]
    return "## How to read it\n\n" + "\n".join(lines)


def _licences(licences: Amounts) -> str:
    rows = [(f"`{name}`", f"{clips:,}", f"{seconds / 3600:.2f}") for name, (clips, seconds) in sorted(licences.items())]
    text = (
        "`LICENCES.csv` has the licence, author, title and source of each clip. Most licences ask to name the author."
    )
    return f"## Licences\n\n{text}\n\n{_table(('licence', 'clips', 'hours'), rows)}"


def _left_out(result: Mapping[str, Any]) -> str:
    rows = [("all", f"`{option}`", f"{clips:,}") for option, clips in result["not_selected"].items()]
    for name, counts in result["formats"].items():
        rows += [(f"`{name}`", f"`{reason}`", f"{clips:,}") for reason, clips in counts["left_out"].items()]
    if not rows:
        return ""
    text = "Clips of the corpus that are not here. `LEFT_OUT.csv` names those that a format could not take."
    return f"## Left out\n\n{text}\n\n{_table(('format', 'reason', 'clips'), rows)}"


def _notes(result: Mapping[str, Any]) -> str:
    return "## Notes\n\n" + "\n".join(f"- {note}" for note in result["notes"]) if result["notes"] else ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
