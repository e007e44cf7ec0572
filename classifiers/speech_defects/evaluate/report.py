"""Renders an evaluation as one page, without a server, script or network.

All text from manifests (file names, groups, sources) is escaped by the template engine, and the page's own policy
lets nothing load or run.
"""

import base64
import hashlib
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speech_defects import RATE, Defect, Float32

HERE = Path(__file__).parent
WIDTH, HEIGHT = 300.0, 190.0  # of a plot, in its own units
LEAST = 1e-3  # lowest value of the axes of rates
MOST_CURVES = 4  # in a plot: ours and the best baselines
TITLES = {
    Defect.NOISE: "Noise",
    Defect.MUSIC: "Music",
    Defect.TELEPHONE: "Telephone sound",
    Defect.OVERLAP: "Overlapped voices",
    Defect.REVERB: "Reverberation",
}

Plain = dict[str, Any]
Scale = Callable[[float], float]


def render(results: Plain, sounds: Mapping[int, str]) -> str:
    """The page as HTML, from the content of `evaluate`'s JSON, and MP3 as base64 by the index of a clip."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters |= {"percent": percent, "short": short, "heat": heat}
    style = (HERE / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return pages.get_template("report.html").render(
        found=results,
        titles={defect.value: title for defect, title in TITLES.items()},
        models=_compared(results["models"]),
        sections=[_section(results, defect, sounds) for defect in Defect],
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; media-src data:; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704 - a file of this package
    )


def percent(share: float | None) -> str:
    """A share in [0, 1] as e.g. `4.5 %`."""
    return "–" if share is None else f"{100 * share:.1f} %"


def short(value: float | None) -> str:
    """A number with three significant digits."""
    return "–" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def heat(share: float | None) -> int:
    """Tint of a share in [0, 1] in a table: 0 to 5."""
    return 0 if share is None else math.ceil(5 * min(share, 1.0) - 0.1)


def _compared(models: Sequence[Plain]) -> list[Plain]:
    """Every model, with the defects for which it is best: lowest equal error rate, then highest AUC."""
    best: dict[str, list[Defect]] = {model["name"]: [] for model in models}
    for defect in Defect:
        rivals = [model for model in models if model["defects"].get(defect, {}).get("eer") is not None]
        for model in rivals:
            if _rank(model, defect) == min(_rank(rival, defect) for rival in rivals):
                best[model["name"]].append(defect)
    return [model | {"best": best[model["name"]]} for model in models]


def _rank(model: Plain, defect: Defect) -> tuple[float, float]:
    figures = model["defects"][defect]
    return figures["eer"], -figures["auc"]


def mp3(wave: Float32) -> str:
    """A wave at 16 kHz as MP3, base64: a hundred clips as FLAC would be 15 MB."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="MP3", subtype="MPEG_LAYER_III")
    return base64.b64encode(file.getvalue()).decode()


def _section(results: Plain, defect: Defect, sounds: Mapping[int, str]) -> Plain:
    """A section of the page: figures and plots of one defect."""
    figures, limit = results["defects"][defect], results["thresholds"][defect]
    errors = [error | {"sound": sounds.get(error["clip"])} for error in figures["errors"]]
    return {
        "name": defect.value,
        "title": TITLES[defect],
        "limit": limit,
        "mark": _linear(0, 1)(min(max(limit, 0.0), 1.0)),
        "found": figures | {"errors": errors},
        "det": _det(results["models"], defect),
        "reliability": [
            {"x": _linear(0, 1)(b["score"]), "y": _upwards(_linear)(b["share"]), "clips": b["clips"]}
            for b in figures["reliability"]
        ],
        "bars": _bars(figures["histogram"]),
        "kept": _kept(figures["kept"], limit),
    }


# --- plots ---


def _linear(low: float, high: float, length: float = WIDTH) -> Scale:
    return lambda value: length * (value - low) / ((high - low) or 1.0)


def _rates(length: float) -> Scale:
    """Logarithmic scale of rates from LEAST to 1."""
    return lambda value: length * (1 - math.log10(max(value, LEAST)) / math.log10(LEAST))


def _upwards(kind: Callable[[float, float, float], Scale], low: float = 0, high: float = 1) -> Scale:
    scale = kind(low, high, HEIGHT)
    return lambda value: HEIGHT - scale(value)


def _line(points: Iterable[tuple[float, float]], x: Scale, y: Scale) -> str:
    """Points of a polyline."""
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)


def _det(models: Sequence[Plain], defect: Defect) -> list[Plain]:
    """Misses against false rejects: our curve first, then those of the best baselines."""
    rivals = [model for model in models if model["defects"].get(defect, {}).get("det")]
    chosen = rivals[:1] + sorted(rivals[1:], key=lambda model: _rank(model, defect))[: MOST_CURVES - 1]
    down = _rates(HEIGHT)
    return [
        {
            "name": model["name"],
            "line": _line(model["defects"][defect]["det"], _rates(WIDTH), lambda v: HEIGHT - down(v)),
        }
        for model in chosen
    ]


def _bars(histogram: dict[str, list[int]]) -> list[Plain]:
    """Bars of clean clips upwards and of others downwards from the middle; heights are square roots of the shares."""
    count = len(histogram["clean"])
    bars = []
    for kind, clips in histogram.items():
        tallest = max(clips) or 1
        for i, n in enumerate(clips):
            height = math.sqrt(n / tallest) * (HEIGHT / 2 - 4)
            y = HEIGHT / 2 - (height if kind == "clean" else 0)
            bars.append({"kind": kind, "x": WIDTH * i / count, "y": y, "height": height, "clips": n})
    return [bar | {"width": WIDTH / count * 0.9} for bar in bars if bar["clips"]]


def _kept(curve: Sequence[Plain], limit: float) -> Plain:
    """Hours kept against the share of them with the defect, and the point of the threshold."""
    if not curve:
        return {"line": "", "mark": None, "hours": 0.0, "share": 0.0}
    hours, share = curve[-1]["hours"], max(point["defect"] for point in curve) or 1.0
    x, y = _linear(0, hours), _upwards(_linear, 0, share)
    below = [point for point in curve if point["threshold"] <= limit]
    mark = {"x": x(below[-1]["hours"]), "y": y(below[-1]["defect"])} | below[-1] if below else None
    line = _line(((point["hours"], point["defect"]) for point in curve), x, y)
    return {"line": line, "mark": mark, "hours": hours, "share": share}
