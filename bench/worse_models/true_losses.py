"""What a model truly loses beside the champion, on held-back phantoms that nobody trained on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from bench.worse_models.scene import NEW, OLD, Drawn, Scene
from neuro.dataset.frames import Frames
from neuro.duplicates import twins
from neuro.errors import NeuroError
from neuro.evaluation import conformal_coverage, evaluate
from neuro.images import preprocess, thumbnail
from neuro.images.preprocess import PreprocessSpec
from neuro.lake import images
from neuro.models import package
from neuro.models.package import Card
from neuro.prediction import predict
from neuro.prediction.predict import Engine
from neuro.promotion.gates import PromotionConfig
from neuro.sample import EXTERNAL
from neuro.synthetic import strangers
from neuro.uncertainty import calibration

STRANGERS = 40  # of each kind
TIMED, ROUNDS = 64, 5  # pictures in a batch that is timed, and how often
GREY = PreprocessSpec(size_px=64)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Of one model on the held-back phantoms. recalls: by class; accuracies: by scanner.

    strangers: share answered of drawn pictures of no problem. size: of its package, in bytes.
    """

    macro_f1: float
    answered: float
    in_scope: float
    covered: float
    log_loss: float
    calibration_error: float
    strangers: float
    recalls: Mapping[str, float]
    accuracies: Mapping[str, float]
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """How much worse than the champion, or how many times as slow. limit: None without a gate."""

    name: str
    value: float
    limit: float | None

    @property
    def exceeds(self) -> bool:
        """Whether it is more than a gate allows."""
        return self.limit is not None and self.value > self.limit


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeldBack:
    """Phantoms that are twins of none in the lake."""

    phantoms: Sequence[Drawn]

    def frames(self, card: Card) -> Frames:
        """Their frames as a model sees them, labelled in its order of classes, -1 for others."""
        spec = card.preprocess
        names = [f"{number:05d}" for number in range(len(self.phantoms))]
        number_of = {name: number for number, name in enumerate(card.classes)}
        return Frames(
            pixels=_decoded(self, spec),
            sample_ids=np.array(names),
            groups=np.array(names),
            splits=np.full(len(names), EXTERNAL),
            targets=np.array([number_of.get(drawn.label, -1) for drawn in self.phantoms]),
            content_hash="",
            preprocess_hash=spec.sha256,
        )

    def figures(self, folder: Path) -> tuple[Engine, Figures] | None:
        """Of a package; None for one that cannot be opened, or knows none of the classes."""
        try:
            engine = predict.load(package.open_verified(folder))
            frames = self.frames(engine.package.card)
            found = evaluate.evaluate(engine, frames, EXTERNAL, model_version="")
        except NeuroError:
            return None
        sets, odd = found.conformal_sets, found.ood_scores
        if sets is None or odd is None:
            return None
        scanners = np.array([drawn.scanner for drawn in self.phantoms])
        value = {metric.name: metric.value for metric in found.metrics}
        return engine, Figures(
            macro_f1=value["macro_f1"],
            answered=float(calibration.answered(sets, odd, found.called).mean()),
            in_scope=float((odd <= 1).mean()),
            covered=conformal_coverage.by_class(found, sets)[0].covered,
            log_loss=value["log_loss"],
            calibration_error=value["classwise_ece"],
            strangers=_strangers(engine),
            recalls={name: value[f"recall_{name}"] for name in found.classes},
            accuracies={
                name: float(found.is_right[scanners == name].mean()) for name in (OLD, NEW)
            },
            size=sum(path.stat().st_size for path in folder.iterdir()),
        )


@cache
def _decoded(held_back: HeldBack, spec: PreprocessSpec) -> Pixels:
    return np.stack([preprocess.frame(drawn.raw, spec) for drawn in held_back.phantoms])


def hold_back(scene: Scene, phantoms: Iterable[Drawn]) -> HeldBack:
    """Those of the phantoms that are no twins of one in the lake."""
    drawn = list(phantoms)
    ours = images.thumbnails(
        scene.loaded.lake, scene.loaded.release, scene.loaded.frames.sample_ids.tolist()
    )
    theirs = [
        thumbnail.thumbnail(preprocess.frame(each.raw, GREY)[..., 0]).tobytes() for each in drawn
    ]
    looks = twins.vectors([*(bytes(row) for row in ours), *theirs])
    pairs = twins.find(looks, len(ours), scene.loaded.problem.groups.twin_cosine)
    twin = {int(second) - len(ours) for first, second in pairs if first < len(ours)}
    return HeldBack(phantoms=[each for number, each in enumerate(drawn) if number not in twin])


def losses(
    worse: tuple[Engine, Figures],
    champion: tuple[Engine, Figures],
    config: PromotionConfig,
    floors: Mapping[str, float],
) -> tuple[Loss, ...]:
    """Of a model beside the champion, with the limit of the gate that looks at each.

    floors: of recalls, whose loss is what is missing.
    """
    (engine, ours), (other, theirs) = worse, champion
    by_scanner = [theirs.accuracies[name] - ours.accuracies[name] for name in theirs.accuracies]
    found = [
        ("macro-F1", theirs.macro_f1 - ours.macro_f1, "margin"),
        ("answered", theirs.answered - ours.answered, "answered_margin"),
        ("in scope", theirs.in_scope - ours.in_scope, "scope_margin"),
        ("covered", theirs.covered - ours.covered, "coverage_margin"),
        ("log loss", ours.log_loss - theirs.log_loss, "log_loss_margin"),
        ("calibr.", ours.calibration_error - theirs.calibration_error, "calibration_margin"),
        ("subgroup", max(by_scanner), "subgroup_margin"),
        ("strangers", ours.strangers - theirs.strangers, "stranger_margin"),
        ("slower", _slowdown(engine, other), "max_slowdown"),
        ("larger", ours.size / theirs.size, "max_growth"),
    ]
    missed = [floor - ours.recalls[name] for name, floor in floors.items()]
    return (
        *(
            Loss(name=name, value=value, limit=getattr(config, limit, None))
            for name, value, limit in found
        ),
        Loss(name="recall", value=max(0.0, *missed), limit=0.0),
    )


def _strangers(engine: Engine) -> float:
    spec = engine.package.card.preprocess
    drawn = strangers.draw(STRANGERS, spec.size_px, spec.channels, seed=1)
    found = predict.answer(engine, np.concatenate([*drawn.values()]))
    return float(found.calibrated.is_answered.mean())


def _slowdown(engine: Engine, other: Engine) -> float:
    """The least time of a batch of answers, in those of the other; measured in turn."""
    seconds = [
        [_seconds(partial(predict.answer, each, _black(each))) for each in (engine, other)]
        for _ in range(ROUNDS)
    ]
    ours, theirs = np.min(seconds, axis=0)
    return float(ours / theirs)


def _black(engine: Engine) -> Pixels:
    spec = engine.package.card.preprocess
    return np.zeros((TIMED, spec.size_px, spec.size_px, spec.channels), np.uint8)


def _seconds(call: Callable[[], object]) -> float:
    started = process_time()
    call()
    return process_time() - started
