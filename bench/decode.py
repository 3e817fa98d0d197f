"""Stored images into frames, beside what one would write: Pillow's open, convert and resize."""

import argparse
import io
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.ingest import SETS
from neuro.images import preprocess, sanitize
from neuro.images.preprocess import PreprocessSpec
from tasks.runtime import settings

LARGE_PX = 1024
QUALITY = 90  # of a large JPEG, as in `bench ingest`
SMALL = ("brain, 224 px", "chest, 224 px", "skin, 200 x 150 px")  # as published, by SETS
ENLARGED, TILED = f"{LARGE_PX} px, enlarged", f"{LARGE_PX} px, tiled"
ASKED = dict.fromkeys([(what, 224) for what in SMALL[:2]], 2.4)  # times Pillow, grey JPEGs
ASKED |= dict.fromkeys([(what, 224) for what in (ENLARGED, TILED)], 2.5)

Frame = Callable[[bytes, PreprocessSpec], NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Stored images of one kind, and the side of the frame."""

    what: str
    kind: str
    mode: str
    size_px: int
    stored: Sequence[bytes]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench decode", description=__doc__)
    parser.add_argument("--files", type=int, default=200, help="of each set; a tenth as many large")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved; medians are shown")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    threads = settings.cores()
    print(
        f"{options.files} real images of each of three sets, {options.files // 10} large ones of "
        f"each kind, all as they lie in the lake; {threads} threads for both.\n"
    )
    print(
        f"{'source':20}{'kind':6}{'frame':>12}{'Pillow/s':>10}{'neuro/s':>9}{'ratio':>7}"
        f"{'asked':>7}{'mean |d|':>10}{'max |d|':>9}"
    )
    with ThreadPoolExecutor(threads) as pool:
        for case in _cases(Path(source), options):
            print(_row(case, pool, options.rounds), flush=True)
    print(
        "\nd: difference of a value (0 to 255) to Pillow's frame. enlarged: one picture, of little "
        "detail; tiled:\npictures side by side, of as much detail as a small one. A PNG is "
        "inflated and resized by Pillow either way."
    )


def _cases(data: Path, options: argparse.Namespace) -> list[Case]:
    rng = random.Random(options.seed)
    small: list[bytes] = []
    cases: list[Case] = []
    for what, name in zip(SMALL, SETS, strict=True):
        paths = rng.sample(sorted((data / name).rglob("*.jp*g")), options.files)
        stored = [sanitize.clean(path.read_bytes()).stored for path in paths]
        cases += [
            Case(what=what, kind="JPEG", mode="L", size_px=s, stored=stored) for s in (224, 96)
        ]
        small += stored
    n = options.files // 10
    for what, tiles in ((ENLARGED, 1), (TILED, 25)):
        parts = [rng.sample(small, tiles) for _ in range(n)]
        jpegs, pngs = ([_large(part, kind) for part in parts] for kind in ("JPEG", "PNG"))
        cases += [
            Case(what=what, kind=kind, mode=mode, size_px=size_px, stored=stored)
            for kind, mode, size_px, stored in (
                *[("JPEG", "L", size, jpegs) for size in (224, 96, 1024)],
                ("JPEG", "RGB", 224, jpegs),
                ("PNG", "L", 224, pngs),
            )
        ]
    return cases


def _large(raws: Sequence[bytes], kind: str) -> bytes:
    """One picture of LARGE_PX a side, enlarged or tiled, vetted and stripped as an ingest does."""
    across = round(len(raws) ** 0.5)
    side = -(-LARGE_PX // across)
    canvas = Image.new("RGB", (LARGE_PX, LARGE_PX))
    for number, raw in enumerate(raws):
        with Image.open(io.BytesIO(raw)) as opened:
            tile = opened.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        canvas.paste(tile, (number % across * side, number // across * side))
    buffer = io.BytesIO()
    canvas.save(buffer, kind, quality=QUALITY)
    return sanitize.clean(buffer.getvalue()).stored


def _row(case: Case, pool: ThreadPoolExecutor, rounds: int) -> str:
    spec = PreprocessSpec(mode=case.mode, size_px=case.size_px)
    seconds: dict[str, list[float]] = {}
    found: dict[str, list[NDArray[np.uint8]]] = {}
    paths: dict[str, Frame] = {"Pillow": _pillow, "neuro": preprocess.frame}
    for _ in range(rounds):
        for name, frame in paths.items():
            started = perf_counter()
            parts = pool.map(partial(_frames, frame, spec), _shares(case.stored))
            found[name] = [one for part in parts for one in part]
            seconds.setdefault(name, []).append(perf_counter() - started)
    peer, ours = (len(case.stored) / median(seconds[name]) for name in paths)
    apart = [np.abs(a.astype(int) - b) for a, b in zip(*found.values(), strict=True)]
    is_asked = (case.kind, case.mode) == ("JPEG", "L")
    asked = ASKED.get((case.what, case.size_px), "") if is_asked else ""
    mean, largest = np.mean([d.mean() for d in apart]), max(d.max() for d in apart)
    return (
        f"{case.what:20}{case.kind:6}{case.mode:>4}{case.size_px:>5} px{peer:10.0f}{ours:9.0f}"
        f"{ours / peer:7.2f}{asked:>7}{mean:10.2f}{largest:9d}"
    )


def _shares(stored: Sequence[bytes]) -> list[Sequence[bytes]]:
    """One part for each thread: a shard is longer than that."""
    threads = settings.cores()
    return [stored[number::threads] for number in range(threads)]


def _frames(frame: Frame, spec: PreprocessSpec, stored: Sequence[bytes]) -> list[NDArray[np.uint8]]:
    return [frame(raw, spec) for raw in stored]


def _pillow(raw: bytes, spec: PreprocessSpec) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(raw)) as opened:
        picture = opened.convert(spec.mode)
    side = (spec.size_px, spec.size_px)
    resized = np.asarray(picture.resize(side, Image.Resampling.BILINEAR))
    return resized.reshape(*side, spec.channels)
