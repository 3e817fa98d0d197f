"""Predicting with a verified package: frames in, calibrated answers out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError, PackageError
from neuro.images import preprocess
from neuro.models.package import Package
from neuro.models.package_manifest import CARD
from neuro.prediction import runtimes
from neuro.prediction.runtimes import Runtime
from neuro.sample import Answer, Prediction
from neuro.uncertainty import calibration
from neuro.uncertainty.calibration import Calibrated

_CLEARLY = 1.05  # times a limit: with fewer the first place after the point says 1.0
_ODD = {
    calibration.EMBEDDING: "Unlike the training images",
    calibration.PICTURE: "Its light, colour, contrast or edges are unlike the training images'",
    calibration.UPRIGHT: "It seems to be turned",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """A package, and what runs it."""

    package: Package
    runtime: Runtime


def load(
    package: Package,
    *,
    threads: int = 1,
    runtime: runtimes.Name = runtimes.EXACT,
    batch_size: int = 0,
) -> Engine:
    """Load the package's graph from its verified bytes; raises what ``runtimes.opened`` raises."""
    opened = runtimes.opened(runtime, package, threads=threads, batch_size=batch_size)
    return Engine(package=package, runtime=opened)


def outputs(
    engine: Engine,
    pixels: NDArray[np.uint8],
    *,
    rows: NDArray[np.int64] | None = None,
    batch_size: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (m, k) and embeddings (m, d) of ``rows`` of the pixels, or of all, batch by batch.

    pixels: (n, size, size, channels) uint8 of the package's preprocess, else ConfigError.
    batch_size: 0 for what suits the runtime. Raises PackageError for an answer that is not finite.
    """
    spec = engine.package.card.preprocess
    expected = (spec.size_px, spec.size_px, spec.channels)
    if pixels.dtype != np.uint8 or pixels.shape[1:] != expected:
        raise ConfigError(
            f"pixels are {pixels.dtype} of {pixels.shape[1:]}, the package takes uint8 of "
            f"{expected}; make them with preprocess.frame and the package's spec"
        )
    chosen = np.arange(len(pixels)) if rows is None else rows
    size = min(batch_size or engine.runtime.batch_size, engine.runtime.batch_size)
    batches = (
        preprocess.to_tensor(pixels[chosen[start : start + size]], spec)
        for start in range(0, max(1, len(chosen)), size)  # an empty request gives empty arrays
    )
    logits, embeddings = zip(*engine.runtime.run(batches), strict=True)
    return np.concatenate(logits), np.concatenate(embeddings)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answered:
    """Honest answers and the embeddings behind them, (n, d), a row per sample."""

    calibrated: Calibrated
    embeddings: NDArray[np.float32]


def answer(
    engine: Engine,
    pixels: NDArray[np.uint8],
    *,
    rows: NDArray[np.int64] | None = None,
    batch_size: int = 0,
) -> Answered:
    """Calibrated answers to ``rows`` of the pixels, or to all; raises what ``outputs`` raises."""
    logits, embeddings = outputs(engine, pixels, rows=rows, batch_size=batch_size)
    fitted = engine.package.card.calibration
    calibrated = calibration.apply(fitted, logits, embeddings, pixels, rows)
    return Answered(calibrated=calibrated, embeddings=embeddings)


def predict(
    engine: Engine,
    pixels: NDArray[np.uint8],
    sample_ids: Sequence[str] | NDArray[np.str_],
    *,
    model_version: str,
    batch_size: int = 0,
) -> list[Prediction]:
    """One Prediction per row of pixels, (n, size, size, channels) uint8, in their order.

    Raises what ``answer`` and ``decide`` raise.
    """
    if len(pixels) != len(sample_ids):
        raise ConfigError(f"{len(pixels)} rows of pixels for {len(sample_ids)} sample_ids")
    if not len(sample_ids):
        return []
    calibrated = answer(engine, pixels, batch_size=batch_size).calibrated
    return decide(engine.package, calibrated, sample_ids, model_version=model_version)


def decide(
    package: Package,
    calibrated: Calibrated,
    sample_ids: Sequence[str] | NDArray[np.str_],
    *,
    model_version: str,
) -> list[Prediction]:
    """One Prediction per calibrated answer. Raises PackageError where one is not finite.

    Out of scope beats all; then the called class alone in the conformal set is an answer, and
    another, none or several is an abstention.
    """
    card = package.card
    answers = np.column_stack([calibrated.probabilities, calibrated.ood_scores])
    if not np.isfinite(answers).all():
        raise PackageError(
            f"{package.folder / CARD}: the calibration makes answers that are not finite; "
            "these answers are not kept. Do not use the package: fetch it again, or train again"
        )
    preprocess_hash = card.preprocess.sha256
    predictions = []
    for row, sample_id in enumerate(sample_ids):
        conformal_set = tuple(np.array(card.classes)[calibrated.conformal_sets[row]].tolist())
        score = float(calibrated.ood_scores[row])
        predicted = card.classes[int(calibrated.called[row])]
        alpha = card.calibration.alpha
        decided, reason = decision(conformal_set, predicted, calibrated.odd_by(row), alpha)
        predictions.append(
            Prediction(
                sample_id=str(sample_id),
                model_version=model_version,
                preprocess_hash=preprocess_hash,
                probabilities=tuple(calibrated.probabilities[row].tolist()),
                predicted=predicted,
                conformal_set=conformal_set,
                ood_score=score,
                decision=decided,
                reason=reason,
            )
        )
    return predictions


def require_same_preprocess(engine: Engine, frames: Frames) -> None:
    """Raise ConfigError where frames were made by another preprocess than the model learnt from."""
    expected = engine.package.card.preprocess.sha256
    if frames.preprocess_hash != expected:
        raise ConfigError(
            f"frames were made with preprocess {frames.preprocess_hash[:12]}, the package needs "
            f"{expected[:12]}; build the frames again with the package's preprocess"
        )


def decision(
    classes: tuple[str, ...], called: str, odd_by: tuple[str, float], alpha: float
) -> tuple[Answer, str]:
    """The decision and one sentence on why. classes: of the conformal set. odd_by: a look."""
    look, score = odd_by
    if look:
        how_far = f"{score:.1f} times" if score >= _CLEARLY else "just above"
        return "out_of_scope", f"{_ODD[look]}: {how_far} the limit."
    at = f"by sets that miss the truth in {alpha:.0%}"
    if classes == (called,):
        return "answer", f"Only {called} is not ruled out, {at}."
    if len(classes) == 1:
        return "abstain", f"It looks most like {called}, but only {classes[0]} is left, {at}."
    if classes:
        return "abstain", f"{', '.join(classes)} cannot be told apart, {at}."
    return "abstain", f"No class is likely enough, {at}."
