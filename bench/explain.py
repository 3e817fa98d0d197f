"""Maps of where a network looked: on drawn lesions, beside maps that know nothing, and their price.

Trains on phantoms, whose lesion's place is known, and asks it of phantoms drawn anew.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from bench import ingest
from deployments.demo import deliveries
from neuro.explanation import class_maps, explain, sanity
from neuro.explanation.class_maps import Mapper
from neuro.explanation.explain import Checked
from neuro.images.preprocess import PreprocessSpec
from neuro.lake.lake import Lake
from neuro.models import backbone, package
from neuro.models.package import Package
from neuro.prediction import predict
from neuro.problems import problem
from neuro.synthetic import phantom
from neuro.training import config as recipes
from tasks import train
from tasks.load import release_data
from tasks.runtime import settings

ASKED_WITHIN, ASKED_BEATS = 0.90, 0.95
ASKED_PRICE = {"vit_small_patch16_224": 1.5}  # else 2: of layers before the last
ARCHITECTURES = (
    "resnet18",
    "mobilenetv3_small_050",
    "tf_efficientnet_lite0",
    "convnext_tiny",
    "densenet121",
    "vit_small_patch16_224",
)
SIDE = 224
ROUNDS, RANDOM = 7, 20
FRESH = 7  # seed of the phantoms that are asked about: the model has seen none of them


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drawn:
    """Phantoms, (n, side, side, 1), their kinds, (n,), and lesions, (n, side, side) bool."""

    pixels: NDArray[np.uint8]
    kinds: NDArray[np.int64]
    lesions: NDArray[np.bool_]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench explain", description=__doc__)
    parser.add_argument("--images", type=int, default=300, help="phantoms that are asked about")
    parser.add_argument("--learns", type=int, default=1200, help="phantoms that are delivered")
    parser.add_argument("--package", type=Path, help="a model of phantoms; default: train one")
    parser.add_argument("--keep", type=Path, help="folder for the home and lake of the training")
    parser.add_argument("--models", nargs="*", default=list(ARCHITECTURES), help="to time")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        home = options.keep or Path(scratch)
        found = package.open_verified(options.package or _trained(home, options.learns))
        _point(found, options.images)
    for name in options.models:
        _price(name)


def _trained(home: Path, images: int) -> Path:
    os.environ["NEURO_HOME"] = str(home)
    question = problem.load("brain")
    lake = Lake(str(home / "lake"))
    folder = deliveries.draw(home / "phantoms", question, images=images, seed=0)
    ingest.whole(lake, question, folder, settings.cores())
    loaded = release_data.load(lake, question)
    n = len(loaded.frames.labelled("train"))
    config = recipes.choose("fast", {}, images=n, kind="cpu", tunes=False)
    return train.train(loaded, config).package.folder


def _draw(n: int, side: int) -> Drawn:
    rng = np.random.default_rng(FRESH)
    kinds = np.arange(n) % phantom.KINDS
    both = [phantom.draw_with_lesion(int(kind), rng, side) for kind in kinds]
    return Drawn(
        pixels=np.stack([pixels for pixels, _ in both])[..., None],
        kinds=kinds,
        lesions=np.stack([lesion for _, lesion in both]),
    )


def _point(found: Package, n: int) -> None:
    """Print how often maps point at the lesion, and how they stand beside what knows nothing."""
    engine, mapper = predict.load(found, threads=settings.cores()), class_maps.load(found)
    drawn = _draw(n, found.card.preprocess.size_px)
    told = explain.explain(explain.answers_of(engine), mapper, drawn.pixels)
    right = np.flatnonzero(told.called == drawn.kinds)
    has_lesion = right[drawn.lesions[right].any(axis=(1, 2))]
    is_within = peaks_within(told.maps[has_lesion], drawn.lesions[has_lesion], mapper.cells)
    print(
        f"{n} phantoms, {len(right)} called right, {len(has_lesion)} of them with a lesion; maps "
        f"of {mapper.grid} x {mapper.grid} places, of which {mapper.cells} x {mapper.cells} are "
        "told apart.\n"
    )
    print(
        f"peak in the lesion, widened by half a cell: {is_within.mean():.3f} (asked {ASKED_WITHIN})"
    )
    asked = explain.answers_of(engine)
    checked = explain.check(asked, mapper, drawn.pixels[right], told.take(right))
    print(f"\n{'insertion less deletion':28}{'mean':>8}{'the map is above in':>22}")
    for name, gap in checked.gaps.items():
        share = "" if name == explain.SHOWN else f"{checked.beats(name):.3f}"
        print(f"{name:28}{gap.mean():8.3f}{share:>22}")
    print(f"asked: above noise in {ASKED_BEATS}, and above the blob on average")
    print(
        f"\nalike with shuffled weights: {np.mean(checked.alike):.3f} on average, "
        f"{np.mean(checked.alike >= sanity.ALIKE):.3f} of the maps from {sanity.ALIKE} on"
    )
    print(explain.verdict(checked)[1])
    failed = [
        not explain.verdict(_check_random(mapper, drawn.pixels[right], seed))[0]
        for seed in range(RANDOM)
    ]
    print(f"\nnetworks of shuffled weights whose maps fail: {np.mean(failed):.2f} of {RANDOM}")


def _check_random(mapper: Mapper, pixels: NDArray[np.uint8], seed: int) -> Checked:
    """The check of the maps of a network that has learnt nothing, of its own answers."""
    random = sanity.shuffled(mapper, seed=seed)
    asked = explain.answers_of_network(random)
    some = pixels[: explain.MOST]
    return explain.check(asked, random, some, explain.explain(asked, random, some))


def peaks_within(
    maps: NDArray[np.float32], lesions: NDArray[np.bool_], cells: int
) -> NDArray[np.bool_]:
    """Whether each map's highest place has its middle in the lesion, widened by half a cell."""
    side = lesions.shape[1]
    place, cell = side / maps.shape[1], side / cells
    inside = np.empty(len(maps), bool)
    for row, (map_, lesion) in enumerate(zip(maps, lesions, strict=True)):
        peak = np.unravel_index(map_.argmax(), map_.shape)
        middle = [int((index + 0.5) * place) for index in peak]
        away = ndimage.distance_transform_edt(~lesion)
        inside[row] = map_.max() > 0 and away[middle[0], middle[1]] <= cell / 2
    return inside


def _price(name: str) -> None:
    """Print what a map costs beside the forward pass of one pose, interleaved."""
    spec = PreprocessSpec(mode="RGB", size_px=SIDE)
    network = backbone.build(name, spec, n_classes=4).eval()
    mapper = class_maps.of_network(network, spec, name)
    pixels = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8)
    weights = np.eye(4, dtype=np.float32)[np.arange(8) % 4]
    images = torch.rand(8, 3, SIDE, SIDE)
    plain, mapped = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        with torch.inference_mode():
            network.glance(images)
        plain.append(time.perf_counter() - started)
        started = time.perf_counter()
        class_maps.maps(mapper, pixels, weights)
        mapped.append(time.perf_counter() - started)
    ratio = median(_ratios(mapped, plain))
    asked = ASKED_PRICE.get(name, 2.0)
    print(f"{name:28}{mapper.grid:3} places  {ratio:5.2f} of the forward pass (asked {asked})")


def _ratios(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(first, second, strict=True)][1:]
