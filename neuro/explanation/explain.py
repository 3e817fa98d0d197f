"""Explaining answers: what it says, where the model looked, and whether to believe it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.explanation import class_maps, faithfulness, sanity
from neuro.explanation.class_maps import Mapper
from neuro.images import preprocess
from neuro.prediction import predict
from neuro.prediction.predict import Engine

MOST, FEW = 40, 20  # right answers that maps are checked on, at most and at least
SHOWN, NOISE, BLOB, BRIGHTNESS = "the map", "noise", "a blob in the middle", "brightness"
LEAST_SHARE = 0.95  # of right answers in which a map must point better than noise
LEAST_GAP = 0.05  # of a probability: below this, what is marked does not decide

Asked = Callable[[NDArray[np.uint8]], NDArray[np.float64]]  # frames to probabilities, (n, k)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explained:
    """Answers with their maps, a row each.

    called: class number of what each is called, (n,). instead: of the class it is held against.
    probabilities: by which they are called, (n, k). maps: of what speaks for the class it is
    called, (n, grid, grid), 0 or more; all 0 where nothing does. against: of what speaks for it and
    not for the other class.
    """

    called: NDArray[np.int64]
    instead: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    maps: NDArray[np.float32]
    against: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> "Explained":
        """Some of the rows."""
        return Explained(
            called=self.called[rows],
            instead=self.instead[rows],
            probabilities=self.probabilities[rows],
            maps=self.maps[rows],
            against=self.against[rows],
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Checked:
    """How maps of right answers stand beside maps that know nothing, a row each.

    gaps: insertion less deletion of the map and of each other, (n,). alike: rank correlation of the
    map with that of shuffled weights, (n,).
    """

    gaps: Mapping[str, NDArray[np.float64]]
    alike: NDArray[np.float64]

    def beats(self, name: str) -> float:
        """Share of the answers in which the map points better than another."""
        return float((self.gaps[SHOWN] > self.gaps[name]).mean())


def explain(
    asked: Asked,
    mapper: Mapper,
    pixels: NDArray[np.uint8],
    *,
    instead: NDArray[np.int64] | None = None,
) -> Explained:
    """Of frames, (n, side, side, channels): answers and maps.

    asked: the model. instead: the class that each answer is held against, (n,), -1 for the next
    likely.
    """
    probabilities = asked(pixels)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    called, other = order[:, 0], order[:, 1]
    if instead is not None:
        other = np.where((instead < 0) | (instead == called), other, instead)
    k = probabilities.shape[1]
    one = np.eye(k, dtype=np.float32)
    return Explained(
        called=called,
        instead=other,
        probabilities=probabilities,
        maps=class_maps.maps(mapper, pixels, _for_class(called, k)),
        against=class_maps.maps(mapper, pixels, one[called] - one[other]),
    )


def _for_class(called: NDArray[np.int64], k: int) -> NDArray[np.float32]:
    """Weights of the logits for a class against the mean of all, (n, k)."""
    return np.eye(k, dtype=np.float32)[called] - np.float32(1 / k)


def answers_of(engine: Engine) -> Asked:
    """What gives the probabilities by which a package calls an image."""

    def asked(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        return predict.answer(engine, pixels).calibrated.balanced

    return asked


def answers_of_network(mapper: Mapper) -> Asked:
    """What gives the probabilities of a network itself, uncalibrated."""

    def asked(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        tensor = torch.from_numpy(preprocess.to_tensor(pixels, mapper.spec))
        with torch.inference_mode():
            logits, _ = mapper.network(tensor)
        return np.asarray(logits.double().softmax(dim=1).numpy())

    return asked


def check(asked: Asked, mapper: Mapper, pixels: NDArray[np.uint8], told: Explained) -> Checked:
    """Of frames and what was told of them: how the maps stand. asked: the model."""

    def score(frames: NDArray[np.uint8], classes: NDArray[np.int64]) -> NDArray[np.float64]:
        return asked(frames)[np.arange(len(frames)), classes]

    n, side, k = len(pixels), pixels.shape[1], told.probabilities.shape[1]
    maps = {
        SHOWN: faithfulness.enlarged(told.maps, side),
        NOISE: faithfulness.noise(n, mapper.cells, side),
        BLOB: faithfulness.blob(n, side),
        BRIGHTNESS: faithfulness.brightness(pixels),
    }
    return Checked(
        gaps={
            name: faithfulness.judge(score, pixels, told.called, each).gap
            for name, each in maps.items()
        },
        alike=sanity.correlation(mapper, pixels, _for_class(told.called, k), told.maps),
    )


def verdict(checked: Checked) -> tuple[bool, str]:
    """Whether the maps can be believed, and a sentence on why."""
    if len(checked.alike) < FEW:
        return False, (
            f"Whether the maps can be believed is not known: it takes {FEW} right answers or more "
            f"to judge by, and there are {len(checked.alike)}."
        )
    gap, blob = (float(checked.gaps[name].mean()) for name in (SHOWN, BLOB))
    faults = []
    if gap < LEAST_GAP:
        faults.append("what they mark does not decide the answer")
    if checked.beats(NOISE) < LEAST_SHARE:
        faults.append(f"they point better than noise in {checked.beats(NOISE):.1%} of them only")
    if gap <= blob:
        faults.append("a blob in the middle of the picture points as well")
    alike = float((checked.alike >= sanity.ALIKE).mean())
    if alike > 1 - LEAST_SHARE:
        faults.append(f"{alike:.0%} of them stay alike when the weights are shuffled")
    n = len(checked.alike)
    if faults:
        return False, f"The maps explain nothing here: of {n} right answers, {'; '.join(faults)}."
    return True, (
        f"The maps point at what decides: in {checked.beats(NOISE):.0%} of {n} right answers "
        "better than noise, on average better than a blob in the middle, and they change when the "
        "weights are shuffled."
    )
