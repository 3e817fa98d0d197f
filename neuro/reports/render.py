"""Pages from the templates beside this file: one HTML file each, every text escaped."""

import base64
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from neuro import limits

RESEARCH_USE = "Research use only; not a medical device."
SYNTHETIC = "Synthetic images: drawn by a program, of no patient."

Status = Literal["serious", "look", "fine", "unknown"]
# A word and a sign each: colour alone tells nothing to one in twelve men, nor to a printer.
STATUS_WORDS: Mapping[Status, str] = {
    "serious": "\N{BLACK SQUARE} Serious",
    "look": "\N{BLACK UP-POINTING TRIANGLE} Look at this",
    "fine": "\N{CHECK MARK} Fine",
    "unknown": "\N{EN DASH} Not inspected",
}


@cache
def environment() -> Environment:
    """What every template is rendered in: autoescape is on, and a name that is lacking an error."""
    jinja = Environment(
        loader=PackageLoader("neuro.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.globals |= {
        "research_use": RESEARCH_USE,
        "synthetic_images": SYNTHETIC,
        "status_words": STATUS_WORDS,
        "zip": zip,
    }
    jinja.filters |= {
        "number": number,
        "percent": _percent,
        "code": _code,
        "data_uri": _data_uri,
        "chart_width": _chart_width,
    }
    return jinja


def render(template: str, **facts: Any) -> str:
    """The finished page. The template reads the facts as ``page.NAME``."""
    return environment().get_template(template).render(page=facts)


def write(path: Path, content: str | bytes) -> Path:
    """Write a page or a picture, whole or not at all, and return its path."""
    with limits.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".page-") as folder:
            whole = Path(folder) / path.name
            text = content if isinstance(content, bytes) else content.encode(errors="replace")
            whole.write_bytes(text)
            whole.replace(path)
    return path


def number(value: float) -> str:
    """A count with thousands, another number with two decimals."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _percent(share: float) -> str:
    """A length in CSS, from 0 to 100 %."""
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def _code(text: str) -> Markup:
    """Text in which what stands between backticks is code; escaped."""
    parts = text.split("`")
    return Markup().join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


def _data_uri(picture: bytes) -> str:
    """A PNG or JPEG as an address that holds it."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _chart_width(png: bytes) -> int:
    """Width in CSS pixels, 96 to an inch, of a chart with 144 dots an inch."""
    return int.from_bytes(png[16:20], "big") * 2 // 3
