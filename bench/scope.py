"""What a model says to pictures that it was not made for: of other kinds, drawn ones, spoilt ones.

Trains each problem's network by a preset, and asks val: no test label is read. Each look that
decides what is in scope stands by itself, and then the largest of them, which decides. Beside them
stand two that are not sealed: energy (Liu et al., arXiv:2010.03759) and the distance to the nearest
centre of a class in one covariance (Lee et al., arXiv:1807.03888), as far as ``out_of_scope``
resolves it.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from bench import ingest
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.lake import images, releases
from neuro.lake.lake import Lake
from neuro.models import package
from neuro.models.package import Package
from neuro.prediction import predict
from neuro.problems import problem
from neuro.synthetic import phantom, strangers
from neuro.training import build_package
from neuro.training import config as recipes
from neuro.uncertainty import calibration, out_of_scope
from neuro.uncertainty.calibration import LOOKS, Calibrated
from tasks import train
from tasks.load import release_data
from tasks.load.release_data import Loaded
from tasks.runtime import settings

PROBLEMS = ("brain", "chest", "skin")
ASKED_AUROC, ASKED_ANSWERED, ASKED_IN_SCOPE, ASKED_SPOILT = 0.99, 0.02, 0.95, 0.10
UNSEALED = ("energy", "centres")
FEWEST = 10  # groups of a class that has a centre
MOST, DRAWN = 300, 100  # pictures of val and of another problem, and of each drawn kind
SEED = 0

Pixels = NDArray[np.uint8]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench scope", description=__doc__)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--preset", choices=recipes.PRESETS, default="fast")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each problem")
    parser.add_argument("--packages", type=Path, nargs="*", default=[], help="in place of these")
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NEURO_HOME"] = scratch
        lake = Lake(f"{scratch}/lake")
        for name in PROBLEMS:
            ingest.whole(lake, problem.load(name), Path(source, name), settings.cores())
        for folder in options.packages:
            found = package.open_verified(folder)
            _judge(lake, found, _loaded(lake, found.card.problem, found.card.preprocess))
        for name in options.problems if not options.packages else ():
            for seed in range(options.seeds):
                loaded = _loaded(lake, name, problem.load(name).preprocess)
                _judge(lake, _trained(loaded, options.preset, seed), loaded)


def _loaded(lake: Lake, name: str, spec: PreprocessSpec) -> Loaded:
    return release_data.load(lake, replace(problem.load(name), preprocess=spec))


def _trained(loaded: Loaded, preset: str, seed: int) -> Package:
    n = len(loaded.frames.labelled("train"))
    given = {"seed": seed, "model": recipes.DEFAULT_MODEL}
    config = recipes.choose(preset, given, images=n, kind="cpu", tunes=False)
    return train.train(loaded, config).package


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Seen:
    """What a package says of some pictures. scores: of each look, sealed or not, (n,)."""

    calibrated: Calibrated
    scores: Mapping[str, NDArray[np.float64]]


Judge = Callable[[Pixels], Seen]


def _judge(lake: Lake, found: Package, loaded: Loaded) -> None:
    """Print what the package says to each kind of picture."""
    card, spec = found.card, found.card.preprocess
    judge = _judged_by(found, loaded)
    rows = loaded.frames.labelled("val")
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MOST, replace=False))
    own, targets = loaded.frames.pixels[rows], loaded.frames.targets[rows]
    inside = judge(own)
    honest = inside.calibrated
    print(
        f"\n{card.problem}, {card.architecture}, seed {card.training['seed']}: "
        f"{(honest.ood_scores <= 1).mean():.3f} of {len(own)} val images in scope (asked "
        f"{ASKED_IN_SCOPE}); by look "
        + ", ".join(f"{name} {(honest.looks[name] <= 1).mean():.3f}" for name in LOOKS)
    )
    names = "".join(f"{name:>11}" for name in (*UNSEALED, *LOOKS, "together"))
    print(f"{'AUROC of':20}{names}{'answered':>10}{'wrong of them':>15}")
    for name, pictures in (_others(lake, card.dataset, spec) | _drawn(spec)).items():
        _print(name, judge(pictures), inside, None)
    for name, spoil in SPOILT.items():
        if name not in TURNED or build_package.has_upright(loaded.problem):
            spoilt = np.stack([spoil(picture) for picture in own])
            _print(name, judge(spoilt), inside, targets)
    print(
        f"asked: AUROC {ASKED_AUROC} and {ASKED_ANSWERED} answered of other kinds, "
        f"{ASKED_SPOILT} answered of phantoms, discs and half black, or wrong of the blurred and "
        "turned",
        flush=True,
    )


def _judged_by(found: Package, loaded: Loaded) -> Judge:
    """What the package says, with the looks that it does not hold, from some training images."""
    engine, frames = predict.load(found, threads=settings.cores()), loaded.frames
    rows = frames.labelled("train")
    rows = np.random.default_rng(SEED).permutation(rows)[: build_package.REFERENCE]
    _, learnt = predict.outputs(engine, frames.pixels, rows=rows)
    targets, groups = frames.targets[rows], frames.groups[rows]
    k = len(found.card.classes)
    many = [n for n in range(k) if len(np.unique(groups[targets == n])) >= FEWEST]
    centres = {n: learnt[targets == n].mean(axis=0) for n in many}
    of_class = np.isin(targets, many)
    around = learnt[of_class] - np.stack([centres[n] for n in targets[of_class].tolist()])
    reference = out_of_scope.fit(around)

    def judge(pictures: Pixels) -> Seen:
        logits, embeddings = predict.outputs(engine, pictures)
        honest = calibration.apply(found.card.calibration, logits, embeddings, pictures)
        distances = [reference.distances(embeddings - centre) for centre in centres.values()]
        beside = {"energy": -logsumexp(logits.astype(np.float64), axis=1)}
        beside["centres"] = np.min(distances, axis=0)
        scores = beside | dict(honest.looks) | {"together": honest.ood_scores}
        return Seen(calibrated=honest, scores=scores)

    return judge


def _print(name: str, outside: Seen, inside: Seen, targets: NDArray[np.int64] | None) -> None:
    is_odd = np.repeat([0, 1], [len(each.calibrated.ood_scores) for each in (inside, outside)])
    areas = [
        roc_auc_score(is_odd, np.concatenate([inside.scores[look], outside.scores[look]]))
        for look in (*UNSEALED, *LOOKS, "together")
    ]
    honest = outside.calibrated
    answered, wrong = honest.is_answered, ""
    if targets is not None:
        is_wrong = honest.called != targets
        wrong = f"{is_wrong[answered].mean():.2f}" if answered.any() else "none"
    shown = "".join(f"{area:11.3f}" for area in areas)
    print(f"{name:20}{shown}{answered.mean():10.3f}{wrong:>15}")


def _others(lake: Lake, dataset: str, spec: PreprocessSpec) -> dict[str, Pixels]:
    """Pictures of the other problems, as this one's frames."""
    found = {}
    for name in PROBLEMS:
        if name != dataset:
            release = releases.find(lake, name)
            names = [sample.sample_id for sample in releases.samples(lake, release)]
            wanted = np.random.default_rng(SEED).choice(names, MOST, replace=False).tolist()
            stored = images.stored_bytes(lake, release, wanted)
            found[name] = np.stack([preprocess.frame(raw, spec) for _, raw in stored])
    return found


def _drawn(spec: PreprocessSpec) -> dict[str, Pixels]:
    """Noise, black, text, phantoms and discs, DRAWN of each."""
    rng, side = np.random.default_rng(SEED), spec.size_px
    grey = {
        "phantoms": np.stack([phantom.draw(n % phantom.KINDS, rng, side) for n in range(DRAWN)]),
        "discs": np.stack([_discs(rng, side) for _ in range(DRAWN)]),
    }
    return strangers.draw(DRAWN, side, spec.channels, SEED) | {
        name: np.repeat(pictures[..., None], spec.channels, axis=3)
        for name, pictures in grey.items()
    }


def _discs(rng: np.random.Generator, side: int) -> Pixels:
    down, across = np.mgrid[:side, :side]
    picture = np.full((side, side), rng.integers(0, 60), np.uint8)
    for _ in range(rng.integers(1, 4)):
        middle, radius = rng.integers(0, side, 2), rng.integers(side // 10, side // 3)
        is_within = (down - middle[0]) ** 2 + (across - middle[1]) ** 2 < radius**2
        picture[is_within] = rng.integers(80, 256)
    return picture


def _half_black(picture: Pixels) -> Pixels:
    spoilt = picture.copy()
    spoilt[: len(spoilt) // 2] = 0
    return spoilt


def _blurred(picture: Pixels) -> Pixels:
    sigma = len(picture) / 32
    return np.asarray(ndimage.gaussian_filter(picture, (sigma, sigma, 0)))


TURNED = ("upside down", "turned")
SPOILT: Mapping[str, Callable[[Pixels], Pixels]] = {
    "half black": _half_black,
    "heavy blur": _blurred,
    "upside down": lambda picture: picture[::-1].copy(),
    "turned": lambda picture: np.rot90(picture).copy(),
}
