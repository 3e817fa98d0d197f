"""Copies of real images, changed as leaks are, and flipped labels; by itself a sheet of them."""

import argparse
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageOps

from neuro.duplicates import twins as twinning
from neuro.ingest import delivery
from neuro.problems import problem
from neuro.splits.draw_splits import Pairs

SETS = ("brain", "chest", "skin7")
KINDS = ("mirror", "rotate", "re-encode", "crop", "crop, area", "gamma")
MIXED = "mixed"  # a mirrored or rotated crop, with a gamma, encoded again: no figure was asked
QUALITY = 95  # of whatever is saved, but for what was to be encoded worse
_CROP = {
    "crop": 0.95,
    "crop, area": 0.95**0.5,
    "crop 80 %": 0.8,
    "crop 60 %": 0.6,
}  # kept of a side
_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
_FLIPS = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM)


@dataclass(frozen=True, kw_only=True, slots=True)
class Real:
    """One image of a set. label: of the problem, not of the source; group: digest, "" for none."""

    path: Path
    name: str
    label: str
    group: str
    given_split: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plant:
    """A changed copy. source: row of the image it was made of. how: what was done to it."""

    kind: str
    source: int
    how: str
    raw: bytes


def images(data: Path, name: str) -> list[Real]:
    """The labelled images of a set, as its problem reads them, sorted by name."""
    question = problem.load(name)
    items = delivery.read(data / question.dataset, question).items
    return [
        Real(
            path=item.path,
            name=item.source_name.rpartition("/")[2],
            label=question.labels.get(item.label, item.label),
            group=item.group_key,
            given_split=item.given_split,
        )
        for item in sorted(items, key=lambda item: item.source_name)
        if item.label
    ]


def twins(thumbnails: Sequence[bytes], cosine: float) -> Pairs:
    """The pairs that an ingest joins, (m, 2) rows."""
    return twinning.find(twinning.vectors(thumbnails), 0, cosine)


def draw(paths: Sequence[Path], kinds: Sequence[str], count: int, seed: int) -> list[Plant]:
    """``count`` copies of each kind, each of an image of its own.

    Raises ValueError if there are fewer images than copies.
    """
    if count * len(kinds) > len(paths):
        raise ValueError(
            f"{count} copies of {len(kinds)} kinds need as many images, got {len(paths)}; "
            "ask for fewer copies or more images"
        )
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(paths))[: count * len(kinds)].tolist()
    return [
        plant(paths[row].read_bytes(), kinds[number // count], row, rng)
        for number, row in enumerate(rows)
    ]


def plant(raw: bytes, kind: str, source: int, rng: Generator) -> Plant:
    """One copy of an image, saved as JPEG."""
    with Image.open(io.BytesIO(raw)) as opened:
        picture = opened.convert("L" if opened.mode in ("L", "1", "I;16") else "RGB")
    quality, how = QUALITY, []
    steps = (kind,) if kind != MIXED else _mixture(rng)
    for step in steps:
        if step == "re-encode":
            quality = int(rng.integers(40, 81))
            how.append(f"quality {quality}")
        else:
            picture, said = _changed(picture, step, rng)
            how.append(said)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality)
    return Plant(kind=kind, source=source, how=", ".join(how), raw=buffer.getvalue())


def flipped(
    labels: Sequence[str], classes: Sequence[str], share: float, seed: int
) -> tuple[list[str], NDArray[np.bool_]]:
    """Labels of which a share was changed to another class, any with equal chance; and which."""
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(labels), bool)
    wrong[rng.choice(len(labels), round(share * len(labels)), replace=False)] = True
    changed = [
        str(rng.choice([name for name in classes if name != label])) if is_wrong else label
        for label, is_wrong in zip(labels, wrong, strict=True)
    ]
    return changed, wrong


def _mixture(rng: Generator) -> tuple[str, ...]:
    return (str(rng.choice(["mirror", "rotate"])), "crop", "gamma", "re-encode")


def _changed(picture: Image.Image, kind: str, rng: Generator) -> tuple[Image.Image, str]:
    if kind == "mirror":
        number = int(rng.integers(2))
        return picture.transpose(_FLIPS[number]), ("left-right", "top-bottom")[number]
    if kind == "rotate":
        number = int(rng.integers(3))
        return picture.transpose(_TURNS[number]), f"{90 * (number + 1)} degrees"
    if kind == "gamma":
        gamma = float(np.exp(rng.uniform(np.log(0.8), np.log(1.25))))
        levels = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(int).tolist()
        return picture.point(levels * len(picture.getbands())), f"gamma {gamma:.2f}"
    size = [round(_CROP[kind] * side) for side in picture.size]
    left, top = (
        int(rng.integers(side - kept + 1)) for side, kept in zip(picture.size, size, strict=True)
    )
    box = (left, top, left + size[0], top + size[1])
    return picture.crop(box), f"{size[0]} x {size[1]} px at {left}, {top}"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench plants", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("plants.png"))
    parser.add_argument("--set", choices=SETS, default="brain")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    data = os.environ.get("NEURO_REAL_DATA")
    if not data:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    reals = images(Path(data), options.set)
    drawn = draw([real.path for real in reals], (*KINDS, MIXED), 4, options.seed)
    pairs = []
    for one in drawn:
        print(f"{one.kind:12}{reals[one.source].name:32}{one.how}")
        pairs.append((reals[one.source].path.read_bytes(), one.raw))
    sheet(pairs, across=4).save(options.out)


def sheet(pairs: Sequence[tuple[bytes, bytes]], across: int, side_px: int = 112) -> Image.Image:
    """Pairs of pictures beside one another, for a person to look at."""
    rows = -(-len(pairs) // across)
    drawn = Image.new("RGB", (across * (2 * side_px + 8), rows * (side_px + 8)), "white")
    for number, pair in enumerate(pairs):
        row, column = divmod(number, across)
        for place, raw in enumerate(pair):
            with Image.open(io.BytesIO(raw)) as picture:
                small = ImageOps.contain(picture.convert("RGB"), (side_px, side_px))
            drawn.paste(small, (column * (2 * side_px + 8) + place * side_px, row * (side_px + 8)))
    return drawn
