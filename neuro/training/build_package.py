"""From a trained network to a package: calibrate, score on validation, write and verify."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.evaluation import evaluate
from neuro.evaluation.evaluate import Evaluation
from neuro.images import preprocess
from neuro.models import package, package_manifest
from neuro.models.backbone import Network
from neuro.models.package import Card, Package
from neuro.models.trained_on import TrainedOn
from neuro.problems.problem import Problem
from neuro.training.config import TrainConfig
from neuro.uncertainty import calibration, cases, picture_scope, upright
from neuro.uncertainty.calibration import Calibrated
from neuro.uncertainty.cases import CaseCalibration, ImageAnswers
from neuro.uncertainty.upright import Upright

_BATCH = 64  # small: no gradient, but several poses in float32
REFERENCE = 2000  # training images that say what is in scope: a mean and some directions
_TURNED_DEG = 45.0  # views that turn as far have no upright


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What a package's card says of where it comes from, beside problem and recipe."""

    pin: Mapping[str, Any]
    code_revision: str
    synthetic: bool
    lock_hash: str = ""
    leak: str = ""
    trials: int = 0
    weights_sha256: str = ""
    weights_licence: str = ""
    weights_source: str = ""


def build(
    network: Network,
    frames: Frames,
    problem: Problem,
    config: TrainConfig,
    origin: Origin,
    packages: Path,
    trainings: Sequence[TrainedOn] = (),
) -> tuple[Package, Evaluation]:
    """Write the package of a network below ``packages``, in a folder named by its digest.

    Temperature, offsets, conformal quantiles and scope come from the calibration split, metrics
    from validation; neither the training nor the test split is scored. trainings: what this one and
    its start saw. Returns the validation too.
    """
    spec = problem.preprocess
    rows = {split: frames.labelled(split) for split in ("train", "calibration", "val")}
    logits, embeddings = _outputs(network, frames, rows["calibration"], spec)
    reference = _some(rows["train"], config.seed)
    _, train_embeddings = _outputs(network, frames, reference, spec)
    fitted = calibration.fit(
        logits,
        embeddings,
        frames.targets[rows["calibration"]],
        train_embeddings=train_embeddings,
    )
    fitted = replace(
        fitted,
        pictures=picture_scope.fit(frames.pixels, reference, rows["calibration"]),
        upright=_upright(frames, problem, reference, rows["calibration"]),
    )
    said = calibration.apply(fitted, logits, embeddings, frames.pixels, rows["calibration"])
    val_logits, val_embeddings = _outputs(network, frames, rows["val"], spec)
    calibrated = calibration.apply(fitted, val_logits, val_embeddings, frames.pixels, rows["val"])
    members = network.member_logits(torch.from_numpy(val_embeddings)).cpu().double()
    validation = evaluate.of_answers(
        evaluate.Answers(
            split="val",
            model_version="",
            classes=problem.classes,
            sample_ids=frames.sample_ids[rows["val"]],
            groups=frames.groups[rows["val"]],
            targets=frames.targets[rows["val"]],
            called=calibrated.called,
            probabilities=calibrated.probabilities,
            members=calibration.balanced_of(fitted, members.numpy()) if len(members) else None,
            balanced=calibrated.balanced,
        )
    )
    card = Card(
        problem=problem.name,
        dataset=problem.dataset,
        architecture=config.model,
        classes=problem.classes,
        preprocess=spec,
        calibration=fitted,
        cases=_cases(said, frames, problem, rows["calibration"]),
        training=asdict(config),
        metrics=validation.metrics,
        intended_use=problem.intended_use,
        averages_mirror=network.averages_mirror,
        averages_flip=network.averages_flip,
        splitting=str(frames.splitting),
        **asdict(origin),
    )
    return _save(network, card, packages, trainings), validation


def _cases(
    said: Calibrated, frames: Frames, problem: Problem, rows: NDArray[np.int64]
) -> CaseCalibration:
    """How images of one group become one answer, by what is said of these rows."""
    answers = ImageAnswers(
        classes=problem.classes,
        probabilities=said.probabilities,
        balanced=said.balanced,
        is_in_scope=said.ood_scores <= 1,
        groups=frames.groups[rows],
    )
    return cases.fit(problem.cases, answers, frames.targets[rows])


def _upright(
    frames: Frames, problem: Problem, rows: NDArray[np.int64], held_out: NDArray[np.int64]
) -> Upright:
    """What tells a turned picture; nothing where the problem's own views turn, as of skin."""
    return upright.fit(frames.pixels, rows, held_out) if has_upright(problem) else Upright()


def has_upright(problem: Problem) -> bool:
    """Whether the problem's own views turn no further than a little."""
    views = problem.augment
    return not views.flip and views.rotate_deg < _TURNED_DEG


def _save(network: Network, card: Card, packages: Path, trainings: Sequence[TrainedOn]) -> Package:
    packages.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages, prefix=".new-") as scratch:
        written = package.save(Path(scratch) / "package", network, card, trainings)
        folder = packages / package_manifest.digest(written)[:16]
        if not folder.exists():
            written.rename(folder)
    return package.open_verified(folder)


def _some(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """REFERENCE of the rows at most, drawn by seed, ascending."""
    if len(rows) <= REFERENCE:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, REFERENCE, replace=False))


def _outputs(
    network: Network,
    frames: Frames,
    rows: NDArray[np.int64],
    spec: preprocess.PreprocessSpec,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (m, k) and embeddings (m, d) of the given rows, float32."""
    device = next(network.parameters()).device
    logits, embeddings = [], []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            pixels = preprocess.to_tensor(frames.pixels[rows[start : start + _BATCH]], spec)
            outputs = network(torch.from_numpy(pixels).to(device))
            logits.append(outputs[0].float().cpu().numpy())
            embeddings.append(outputs[1].float().cpu().numpy())
    return np.concatenate(logits), np.concatenate(embeddings)
