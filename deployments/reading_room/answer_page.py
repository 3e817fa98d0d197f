"""An answer as one page that a person saves: picture, map, answer, version and time."""

import io
from datetime import UTC, datetime

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from deployments.reading_room import words
from deployments.reading_room.parts.components import data_uri
from neuro.client import Answer, Map
from neuro.problems import problem as problems


def build(answer: Answer, picture: bytes, maps: tuple[list[Map], str]) -> str:
    """The page; it names no file."""
    jinja = Environment(
        loader=PackageLoader("deployments.reading_room"), autoescape=True, undefined=StrictUndefined
    )
    jinja.filters["data_uri"] = data_uri
    return jinja.get_template("answer.html").render(
        words=words,
        answer=answer,
        picture=picture,
        maps=[each for each in maps[0] if each.png],
        said=maps[1],
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def quality(picture: bytes, side: int) -> list[str]:
    """What is worth a look in the picture itself."""
    with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG")) as opened:
        width, height = opened.size
        opened.thumbnail((256, 256))
        grey = np.asarray(opened.convert("L"))
    sizes = words.quality(width, height, side)
    return [*sizes, *words.dark_or_bright(float(grey.mean()), float(grey.std()))]


def side_px(problem: str) -> int:
    """Of the frame that the network sees."""
    return problems.load(problem).preprocess.size_px
