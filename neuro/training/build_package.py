"""From a trained network to a package: calibrate, score on validation, write and verify."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.errors import TrainingError
from neuro.evaluation import evaluate
from neuro.evaluation.evaluate import Evaluation
from neuro.images import preprocess
from neuro.models import package
from neuro.models.backbone import Network
from neuro.models.package import Card, Package
from neuro.problems.problem import Problem
from neuro.training.config import TrainConfig
from neuro.uncertainty import calibration

_BATCH = 64  # small: no gradient, but several poses in float32


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a package says of its origin. pin: release, tables and content hash.

    leak: what must be said beside its figures, "" for nothing. trials: recipes compared on val.
    weights_sha256: of the file that it started from, "" for a random start.
    """

    problem: Problem
    pin: Mapping[str, Any]
    training: TrainConfig
    code_revision: str
    is_synthetic: bool
    leak: str = ""
    trials: int = 0
    weights_sha256: str = ""


def seal(
    network: Network, frames: Frames, facts: Facts, packages: Path
) -> tuple[Package, Evaluation]:
    """Write the package of a network below ``packages``, in a folder named by its digest.

    Temperature, conformal quantile and scope come from the calibration split, metrics from
    validation; neither the training nor the test split is scored. Raises TrainingError if one of
    the two has no labelled sample.
    """
    problem, spec = facts.problem, facts.problem.preprocess
    for split in ("val", "calibration"):
        if not len(frames.labelled(split)):
            raise TrainingError(
                f"split {split} has no labelled sample; ingest more groups before training"
            )
    rows = frames.labelled("calibration")
    logits, embeddings = _outputs(network, frames, rows, spec)
    fitted = calibration.fit(
        logits,
        embeddings,
        frames.targets[rows],
        train_embeddings=_outputs(network, frames, frames.labelled("train"), spec)[1],
    )
    rows = frames.labelled("val")
    validation = evaluate.assess(
        calibration.apply(fitted, *_outputs(network, frames, rows, spec)).probabilities,
        frames,
        rows,
        evaluate.Subject(split="val", model_version="", classes=problem.classes),
    )
    card = Card(
        problem=problem.name,
        dataset=problem.dataset,
        architecture=facts.training.model,
        classes=problem.classes,
        preprocess=spec,
        calibration=fitted,
        pin=facts.pin,
        code_revision=facts.code_revision,
        training=asdict(facts.training),
        metrics=validation.metrics,
        synthetic=facts.is_synthetic,
        intended_use=problem.intended_use,
        averages_mirror=network.averages_mirror,
        averages_flip=network.averages_flip,
        splitting=str(frames.splitting),
        leak=facts.leak,
        trials=facts.trials,
        weights_sha256=facts.weights_sha256,
    )
    return _save(network, card, packages), validation


def _save(network: Network, card: Card, packages: Path) -> Package:
    packages.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages, prefix=".new-") as scratch:
        made = package.save(Path(scratch) / "package", network, card)
        folder = packages / package.digest(made)[:16]
        if not folder.exists():
            made.rename(folder)
    return package.open_verified(folder)


def _outputs(
    network: Network, frames: Frames, rows: NDArray[np.int64], spec: preprocess.PreprocessSpec
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (m, k) and embeddings (m, d) of the given rows, float32."""
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            pixels = preprocess.to_tensor(frames.pixels[rows[start : start + _BATCH]], spec)
            logits, embedding = network(torch.from_numpy(pixels).to(device))
            parts.append((logits.float().cpu().numpy(), embedding.float().cpu().numpy()))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
