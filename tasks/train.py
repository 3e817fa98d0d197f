"""The step that makes a model package of a release."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neuro import evaluation, sealing
from neuro.evaluation import Evaluation
from neuro.package import Package
from neuro.training import TrainConfig, Trainer
from tasks import artifacts, registry, settings, tracking
from tasks.data import Loaded
from tasks.registry import ModelVersion
from tasks.steps import step


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A package, verified, and its registered version; without a registry, None."""

    run_id: str
    package: Package
    model: ModelVersion | None
    epochs: int
    seconds: float
    images_per_s: float
    validation: Evaluation

    @property
    def version(self) -> str:
        """The registry's version, or the package's digest."""
        return self.model.version if self.model else self.package.digest

    def as_dict(self) -> dict[str, Any]:
        """What ``neuro train --json`` prints."""
        return {
            "run_id": self.run_id,
            "model": self.version,
            "package": str(self.package.folder),
            "epochs": self.epochs,
            "seconds": round(self.seconds, 2),
            "images_per_s": round(self.images_per_s, 1),
            "validation": [asdict(metric) for metric in self.validation.metrics],
        }


@step(name="train")
def train(loaded: Loaded, config: TrainConfig, weights: Path | None = None) -> Trained:
    """Fit on train, calibrate on calibration, score on validation, seal and register."""
    release, problem = loaded.release, loaded.problem
    tags = {"problem": problem.name, "release": release.name}
    tags |= {"synthetic": "true"} if release.is_synthetic else {}
    name = f"train {config.model} on {release.name}"
    artifacts.label_run(name=name)
    with tracking.run(problem.name, name, tags) as run:
        tracking.log_data(run, release)
        tracking.log_params(run, asdict(config) | {"preprocess": problem.preprocess.sha256})
        trainer, epochs, started = Trainer(loaded.frames, problem, config, weights), [], time.time()
        for epoch in trainer.epochs():
            tracking.log_epoch(run, epoch)
            epochs.append(epoch)
        seconds = time.time() - started
        made, validation = sealing.seal(
            trainer.network,
            loaded.frames,
            sealing.Facts(
                problem=problem,
                pin=release.pin(),
                training=config,
                code_revision=settings.load().revision,
                is_synthetic=release.is_synthetic,
            ),
            registry.packages(),
        )
        tracking.log_metrics(run, "val", validation.metrics)
        show(run, validation, title=f"Validation on {release.name}", synthetic=made.card.synthetic)
        tracking.log_files(run, made.folder, "package")
        model = registry.register(run.run_id, problem.name, made) if run.run_id else None
        if model:
            if not release.branch:  # what a branch trained challenges nobody until it is published
                registry.set_alias(model, "challenger")
            artifacts.link("mlflow-run", run.url, f"MLflow run of model {model.version}")
    return Trained(
        run_id=run.run_id,
        package=made,
        model=model,
        epochs=len(epochs),
        seconds=seconds,
        images_per_s=sum(e.images_per_s * e.seconds for e in epochs)
        / sum(e.seconds for e in epochs),
        validation=validation,
    )


def show(run: tracking.Run, found: Evaluation, *, title: str, synthetic: bool) -> None:
    """Metrics and confusion matrix, in the Prefect run and in MLflow."""
    rows = [
        {"metric": m.name, "value": round(m.value, 4), "low": round(m.low, 4)}
        | {"high": round(m.high, 4), "n": m.n, "groups": m.groups}
        for m in found.metrics
    ]
    said = title + (" (synthetic images)" if synthetic else "")
    artifacts.table(f"metrics-{found.split}", rows, said)
    figure = evaluation.draw_confusion(found, title=title, synthetic=synthetic)
    artifacts.picture(f"confusion-{found.split}", figure, said)
    tracking.log_figure(run, figure, f"confusion_{found.split}.png")
