"""The step that makes a model package of a release."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from logging import getLogger
from pathlib import Path
from typing import Any

from neuro.evaluation.baselines import Baseline
from neuro.evaluation.evaluate import Evaluation
from neuro.models.load_weights import Report
from neuro.models.package import Package
from neuro.training import build_package, checkpoint, distributed, preconditions
from neuro.training import config as recipes
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.distributed import Processes
from neuro.training.trainer import Epoch, Trainer
from tasks import baselines, profile_training
from tasks.baselines import Later
from tasks.load.release_data import Loaded
from tasks.profile_training import Pace
from tasks.record import artifacts, registry, tracking
from tasks.record.registry import ModelVersion
from tasks.record_figures import Shown, run_tags, show, show_learning
from tasks.runtime import machine_facts, settings
from tasks.runtime.machine_facts import Usage
from tasks.runtime.steps import step

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A package, verified, and its registered version; without a registry, None.

    seconds: of all epochs, those before a kill too, without the looks at val.
    pace: beside what the step allows, where that was measured. beside: the baselines on the
    validation split. start: what was read of the weights' file.
    """

    run_id: str
    package: Package
    model: ModelVersion | None
    epochs: int
    seconds: float
    images_per_s: float
    pace: Pace | None
    validation: Evaluation
    beside: Sequence[Baseline]
    start: Report | None

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
            "limit_images_per_s": round(self.pace.limit_images_per_s, 1) if self.pace else None,
            "share_of_limit": round(self.pace.share_of_limit, 3) if self.pace else None,
            "validation": [asdict(metric) for metric in self.validation.metrics],
            "splitting": self.package.card.splitting,
            "baselines": baselines.as_dict(self.beside),
            "leak": self.package.card.leak,
            "weights": asdict(self.start) if self.start else {},
        }


def recipe(
    loaded: Loaded, preset: str, changes: Mapping[str, Any], machine: Machine, *, is_tuning: bool
) -> TrainConfig:
    """The recipe of a preset for this data and machine, and a line that says which."""
    images = len(loaded.frames.labelled("train"))
    chosen = recipes.choose(preset, changes, images=images, kind=machine.kind, tunes=is_tuning)
    _log.info(
        "preset %s for %d images on %s: %s, %d epochs of batches of %d, %s at %.1e",
        *(preset, images, machine, chosen.model, chosen.epochs, chosen.batch_size),
        *(chosen.optimizer, chosen.learning_rate),
    )
    return chosen


def check(loaded: Loaded, config: TrainConfig) -> None:
    """Refuse data that cannot be trained on, before anything is computed."""
    preconditions.check(loaded.frames, loaded.problem, config)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """What a training starts from, and where it runs.

    weights: a file for the backbone. trials: recipes that were compared on val to choose this one.
    preset: which the recipe was made from, "" where it was given whole.
    keeps_state: whether the caller removes the checkpoint, when more than this training has ended.
    """

    weights: Path | None = None
    machine: Machine = field(default_factory=Machine)
    trials: int = 0
    preset: str = ""
    keeps_state: bool = False


@step(name="train")
def train(
    loaded: Loaded, config: TrainConfig, setup: Setup | None = None, beside: Later | None = None
) -> Trained:
    """Fit on train, calibrate on calibration, score on validation, seal and register.

    setup: default, at random on the best device here. beside: baselines by split, asked for when
    the network is trained. The test split is not read.
    """
    release, problem, divided = loaded.release, loaded.problem, loaded.frames.splitting
    setup = setup or Setup()
    machine = setup.machine
    tags = run_tags(loaded) | ({"synthetic": "true"} if release.is_synthetic else {})
    where = release.name if divided.is_own else f"{release.name} ({divided})"
    name = f"train {config.model} on {where}"
    artifacts.label_run("" if divided.is_own else str(divided), name=name)
    kept = checkpoint_of(loaded, config, setup)
    with tracking.run(problem.name, name, tags, again=kept.noted()) as run:
        trainer = distributed.trainer(loaded.frames, problem, config, setup.weights, machine)
        if run.run_id and run.run_id != kept.noted():
            tracking.log_data(run, release)
            about = {"preprocess": problem.preprocess.sha256, "machine": str(machine)}
            about |= {"preset": setup.preset or "none"}
            tracking.log_params(run, asdict(config) | about | machine_facts.facts())
            kept.note(run.run_id)
        _say_start(run, trainer.start)
        epochs = _follow(run, trainer, kept)
        known = beside().get("val", ()) if beside else ()
        made, validation = _seal(loaded, config, trainer, setup.trials)
        tracking.log_metrics(run, "val", validation.metrics)
        shown = Shown(
            title=f"Validation on {where}",
            is_synthetic=made.card.synthetic,
            note=made.card.note("val"),
            beside=known,
        )
        show(run, validation, shown)
        show_learning(run, epochs, replace(shown, title=name))
        pace = profile_training.measure(run, loaded, config, machine, epochs)
        tracking.log_files(run, made.folder, "package")
        tracking.log_checkpoint(run, kept.path)
        model = registry.register(run.run_id, problem.name, made) if run.run_id else None
        if not setup.keeps_state:
            kept.remove()
        if model:
            # What a branch trained challenges nobody until it is published; nor does what was
            # trained on other splits than those the gate reads.
            if not release.branch and divided.is_own:
                registry.set_alias(model, "challenger")
            artifacts.link("mlflow-run", run.url, f"MLflow run of model {model.version}")
    seconds = sum(epoch.seconds for epoch in epochs)
    return Trained(
        run_id=run.run_id,
        package=made,
        model=model,
        epochs=len(epochs),
        seconds=seconds,
        images_per_s=sum(e.images_per_s * e.seconds for e in epochs) / seconds,
        pace=pace,
        validation=validation,
        beside=known,
        start=trainer.start,
    )


def _follow(run: tracking.Run, trainer: Trainer | Processes, kept: Checkpoint) -> list[Epoch]:
    """Train to the end, and tell of each epoch as it goes, unless that was told before a kill."""
    epochs, usage, told = [], Usage(), tracking.epochs_of(run)
    for epoch in trainer.epochs(kept):
        if epoch.number > told:
            tracking.log_epoch(run, epoch, usage.sample())
        epochs.append(epoch)
    return epochs


def _seal(
    loaded: Loaded, config: TrainConfig, trainer: Trainer | Processes, trials: int
) -> tuple[Package, Evaluation]:
    facts = build_package.Facts(
        problem=loaded.problem,
        pin=loaded.release.pin(),
        training=config,
        code_revision=settings.load().revision,
        is_synthetic=loaded.release.is_synthetic,
        leak=loaded.leak,
        weights_sha256=trainer.start.sha256 if trainer.start else "",
        trials=trials,
    )
    return build_package.seal(trainer.network, loaded.frames, facts, registry.packages())


def _say_start(run: tracking.Run, start: Report | None) -> None:
    """Which layers of a file were taken, which were not, and why."""
    if start is None:
        return
    tracking.log_params(run, {"weights_sha256": start.sha256})
    _log.info("%d layers of %s", start.loaded, start.sha256[:12])
    for what, layers in (("adapted", start.adapted), ("skipped", start.skipped)):
        for name, why in layers.items():
            _log.info("%s is %s: %s", name, what, why)


def checkpoint_of(loaded: Loaded, config: TrainConfig, setup: Setup) -> Checkpoint:
    """Of this very run: the same data, problem, recipe, weights, code and machine.

    It lies beside the frames of the release, and goes with them when an erasure supersedes it.
    """
    here, frames, weights = settings.load(), loaded.frames, setup.weights
    key = checkpoint.key_of(
        content=frames.content_hash,
        splitting=str(frames.splitting),
        problem=asdict(loaded.problem),
        config=asdict(config),
        weights=hashlib.sha256(weights.read_bytes()).hexdigest() if weights else "",
        code=here.revision,
        lock=here.lock_hash,
        machine=f"{platform.machine()} {setup.machine}",
    )
    folder = here.home / "frames" / f"{frames.content_hash[:16]}-{key[:16]}"
    return Checkpoint(path=folder / "training.pt", key=key)
