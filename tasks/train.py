"""The step that makes a model package of a release."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from logging import getLogger
from pathlib import Path
from typing import Any

from neuro.evaluation.baselines import Baseline
from neuro.evaluation.evaluate import Evaluation
from neuro.models import package_manifest, weights_store
from neuro.models.load_weights import Report
from neuro.models.package import Package
from neuro.promotion import retrain_envelope
from neuro.sample import Metric
from neuro.training import build_package, checkpoint, ensemble_trainer, preconditions
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.ensemble_trainer import AnyTrainer, EnsembleTrainer, MemberScore
from neuro.training.profiling import Pace
from neuro.training.trainer import Epoch
from tasks import baselines, model_card, profile_training
from tasks.baselines import Later
from tasks.load import start_weights, unseen
from tasks.load.release_data import Loaded
from tasks.record import artifacts, mlflow_model, registry, signing_keys, tracking
from tasks.record.registry import ModelVersion
from tasks.record_figures import Shown, run_tags, show, show_learning
from tasks.runtime import machine_facts, settings
from tasks.runtime.machine_facts import Usage
from tasks.runtime.steps import step

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """What a training starts from, and where it runs.

    weights: a file for the backbone. trials: recipes that were compared on val to choose this one.
    preset: which the recipe was made from, "" where it was given whole. why_model: why it was
    chosen, "" where it was given. max_seconds: epochs may take no longer together.
    """

    weights: Path | None = None
    machine: Machine = field(default_factory=Machine)
    trials: int = 0
    preset: str = ""
    why_model: str = ""
    max_seconds: float = math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A package, verified, and its registered version; without a registry, None.

    pace: beside what the step allows, where that was measured. beside: the baselines on the
    validation split. start: what was read of the weights' file. members: of an ensemble, and what
    each added. checkpoint: of this training, to be removed when all that it is part of has ended.
    """

    run_id: str
    package: Package
    model: ModelVersion | None
    epochs: Sequence[Epoch]
    pace: Pace | None
    validation: Evaluation
    beside: Sequence[Baseline]
    start: Report | None
    members: Sequence[MemberScore]
    checkpoint: Checkpoint

    @property
    def version(self) -> str:
        """The registry's version, or the package's digest."""
        return self.model.version if self.model else self.package.digest

    @property
    def seconds(self) -> float:
        """Of all epochs, those before a kill too, without the looks at val."""
        return sum(epoch.seconds for epoch in self.epochs)

    def baseline(self, name: str) -> Sequence[Metric]:
        """The metrics of a baseline on the validation split."""
        return next(baseline.metrics for baseline in self.beside if baseline.name == name)

    def as_dict(self) -> dict[str, Any]:
        """What ``neuro train --json`` prints."""
        images = sum(epoch.images_per_s * epoch.seconds for epoch in self.epochs)
        return {
            "run_id": self.run_id,
            "model": self.version,
            "package": str(self.package.folder),
            "epochs": len(self.epochs),
            "seconds": round(self.seconds, 2),
            "images_per_s": round(images / self.seconds, 1),
            "limit_images_per_s": round(self.pace.limit_images_per_s, 1) if self.pace else None,
            "share_of_limit": round(self.pace.share_of_limit, 3) if self.pace else None,
            "validation": [asdict(metric) for metric in self.validation.metrics],
            "absent": list(self.validation.absent),
            "splitting": self.package.card.splitting,
            "baselines": baselines.as_dict(self.beside),
            "leak": self.package.card.leak,
            "weights": asdict(self.start) if self.start else {},
        } | ({"members": [asdict(member) for member in self.members]} if self.members else {})


def check(loaded: Loaded, config: TrainConfig) -> None:
    """Refuse data that cannot be trained on, before anything is computed."""
    unseen.require(loaded, "val", "calibration")
    preconditions.check(loaded.frames, loaded.problem, config)
    for warning in preconditions.absent_classes(loaded.frames, loaded.problem):
        _log.warning(warning)


def checkpoint_of(loaded: Loaded, config: TrainConfig, setup: Setup) -> Checkpoint:
    """Of this very training.

    It lies beside the frames of the release, and goes with them when an erasure supersedes it.
    """
    here = settings.load()
    return checkpoint.of_training(
        here.home / "frames",
        loaded.frames,
        loaded.problem,
        config,
        weights=setup.weights,
        machine=str(setup.machine),
        program={"code": here.revision, "lock": here.lock_hash},
    )


@step(name="train")
def train(
    loaded: Loaded, config: TrainConfig, setup: Setup | None = None, beside: Later | None = None
) -> Trained:
    """Fit on train, calibrate on calibration, score on validation, package and register.

    setup: default, at random on the best device here. beside: baselines by split, asked for when
    the network is trained. The test split is not read. The checkpoint stays.
    """
    setup = setup or Setup()
    state = checkpoint_of(loaded, config, setup)
    splitting = loaded.frames.splitting
    data = loaded.release.name if splitting.is_own else f"{loaded.release.name} ({splitting})"
    name = f"train {config.model} on {data}"
    artifacts.label_run("" if splitting.is_own else str(splitting), name=name)
    with tracking.run(loaded.problem.name, name, run_tags(loaded), again=state.noted()) as run:
        if run.run_id:
            signing_keys.require()
        trainer = ensemble_trainer.trainer(
            loaded.frames, loaded.problem, config, setup.weights, setup.machine
        )
        _record_start(run, loaded, config, setup, state)
        start = trainer.start if isinstance(trainer, EnsembleTrainer) else trainer.network.start
        _record_weights(run, start)
        epochs = _record_epochs(run, trainer, state, setup.max_seconds)
        members = trainer.joined if isinstance(trainer, EnsembleTrainer) else []
        _record_members(run, members)
        baselines_on_val = beside().get("val", ()) if beside else ()
        package, validation = _build_package(loaded, config, setup, trainer)
        shown = Shown(
            title=f"Validation on {data}",
            is_synthetic=package.card.synthetic,
            note=package.card.note("val"),
            missing=validation.missing,
            beside=baselines_on_val,
        )
        tracking.log_metrics(run, "val", validation.metrics)
        show(run, validation, shown)
        show_learning(run, epochs, replace(shown, title=name))
        seconds = sum(epoch.seconds for epoch in epochs)
        page = model_card.write_trained(loaded, package, seconds, setup.machine)
        for path in (page, page.with_suffix(".json")):
            tracking.log_files(run, path, "card")
        pace = profile_training.measure(run, loaded, config, setup.machine, epochs)
        if run.run_id:  # what a registry hands over must be signed
            package_manifest.sign(package.folder, signing_keys.folder())
        mlflow_model.log(run, package)
        tracking.log_checkpoint(run, state.last)
        model = _register(run, loaded, package)
    return Trained(
        run_id=run.run_id,
        package=package,
        model=model,
        epochs=epochs,
        pace=pace,
        validation=validation,
        beside=baselines_on_val,
        start=trainer.network.start,
        members=members,
        checkpoint=state,
    )


def _record_start(
    run: tracking.Run, loaded: Loaded, config: TrainConfig, setup: Setup, state: Checkpoint
) -> None:
    """Data, recipe and machine of a new MLflow run; one that goes on has them."""
    if not run.run_id or run.run_id == state.noted():
        return
    tracking.log_data(run, loaded.release)
    where = {
        "preprocess": loaded.problem.preprocess.sha256,
        "machine": str(setup.machine),
        "preset": setup.preset or "none",
        "why_model": setup.why_model or "given",
    }
    tracking.log_params(run, asdict(config) | where | machine_facts.facts())
    state.note(run.run_id)


def _record_weights(run: tracking.Run, start: Report | None) -> None:
    """Which layers of a file were taken, which were not, and why."""
    if start is None:
        return
    tracking.log_params(run, {"weights_sha256": start.sha256})
    _log.info("%d layers of %s", start.loaded, start.sha256[:12])
    for kind, layers in (("adapted", start.adapted), ("skipped", start.skipped)):
        for name, reason in layers.items():
            _log.info("%s is %s: %s", name, kind, reason)


def _record_members(run: tracking.Run, members: Sequence[MemberScore]) -> None:
    """What each member of an ensemble added on val."""
    for number, member in enumerate(members, 1):
        values = {"member_macro_f1": member.alone, "ensemble_macro_f1": member.together}
        tracking.log_values(run, values, step=number)
    if members:
        artifacts.table("members", [asdict(m) for m in members], "Macro-F1 on val of the members")


def _record_epochs(
    run: tracking.Run, trainer: AnyTrainer, state: Checkpoint, max_seconds: float
) -> list[Epoch]:
    """Train to the end; each epoch is recorded as it goes, unless it was before a kill."""
    epochs: list[Epoch] = []
    usage, n_recorded = Usage(), tracking.epochs_of(run)
    with closing(trainer.epochs(state)) as training:  # closed, so that its processes end
        for epoch in training:
            if epoch.number > n_recorded:
                tracking.log_epoch(run, epoch, usage.sample())
            epochs.append(epoch)
            seconds = sum(each.seconds for each in epochs)
            progress = f"{epoch.number} of {epoch.epochs}"
            if epoch.number < epoch.epochs:  # else there is nothing left to stop
                retrain_envelope.require_time(seconds, max_seconds, epochs=progress)
    return epochs


def _build_package(
    loaded: Loaded, config: TrainConfig, setup: Setup, trainer: AnyTrainer
) -> tuple[Package, Evaluation]:
    here, start = settings.load(), trainer.network.start
    weights = weights_store.described(start_weights.folder(), start.sha256) if start else None
    origin = build_package.Origin(
        pin=loaded.release.pin(),
        code_revision=here.revision,
        lock_hash=here.lock_hash,
        synthetic=loaded.release.is_synthetic,
        leak=loaded.leak,
        weights_sha256=start.sha256 if start else "",
        weights_licence=weights.licence if weights else "",
        weights_source=weights.source if weights else "",
        trials=setup.trials,
    )
    return build_package.build(
        trainer.network,
        loaded.frames,
        loaded.problem,
        config,
        origin,
        registry.packages(),
        unseen.trainings(loaded, setup.weights),
    )


def _register(run: tracking.Run, loaded: Loaded, package: Package) -> ModelVersion | None:
    """Register the package where runs are recorded, and let it challenge the champion if it may."""
    if not run.run_id:
        return None
    model = registry.register(run.run_id, loaded.problem.name, package)
    # What a branch trained challenges nobody until it is published; nor does what was trained on
    # other splits than those the gate reads.
    if not loaded.release.branch and loaded.frames.splitting.is_own:
        registry.set_alias(model, "challenger")
    artifacts.link("mlflow-run", run.url, f"MLflow run of model {model.version}")
    return model
