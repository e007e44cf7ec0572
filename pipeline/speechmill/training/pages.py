"""Renders the pages of evaluations in the look of the report: without a script, a server, or a network."""

import base64
import io
from pathlib import Path
from typing import Any

import soundfile

from speechmill.asr import SAMPLE_RATE_HZ
from speechmill.audio import Float32, to_int16
from speechmill.audio.spectrogram import draw
from speechmill.core.page_policy import policy

STYLE = Path(__file__).with_name("page.css")


def render(template: Path, **values: Any) -> str:
    """Render a template with the shared style; values are escaped.

    Args:
        template: A Jinja file that sets `title` and includes `head.html`.
        values: Its values.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(
        loader=FileSystemLoader([template.parent, STYLE.parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"percent": lambda share: f"{100 * share:.1f} %", "count": _count}
    style = STYLE.read_text(encoding="utf-8")
    trusted = Markup(style)  # noqa: S704 - a file of this package
    return pages.get_template(template.name).render(values, policy=policy([], [style]), style=trusted)


def picture(wave: Float32) -> str:
    """Spectrogram of float32[n] samples at 16 kHz: a PNG as base64."""
    return base64.b64encode(draw(to_int16(wave))).decode()


def mp3(wave: Float32) -> str:
    """Sound of float32[n] samples at 16 kHz: an MP3 as base64, since fifty clips as FLAC would be 30 MB."""
    file = io.BytesIO()
    soundfile.write(file, wave, SAMPLE_RATE_HZ, format="MP3", subtype="MPEG_LAYER_III")
    return base64.b64encode(file.getvalue()).decode()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
