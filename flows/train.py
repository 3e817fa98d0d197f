"""Train a model on a release and register it as challenger."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from neuro.splits import scheme
from neuro.training import profiling
from neuro.training import tuning as tuner
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tasks import baselines, profile_training
from tasks import cross_validate as pooling
from tasks import train as steps
from tasks import tune as tuning
from tasks.load import release_data, start_weights
from tasks.runtime import runners


@flow(name="train", flow_run_name="train {problem}", task_runner=runners.ConfiguredRunner())
def train(
    problem: str = "brain",
    release: str | None = None,
    preset: str = "default",
    changes: dict[str, Any] | None = None,
    config: TrainConfig | None = None,
    weights: Path | None = None,
    weights_sha256: str = "",
    pretrained: bool = False,
    device: str = "auto",
    devices: int = 1,
    precision: str = "auto",
    lake: str | None = None,
    split: str = "own",
    folds: int = 0,
    profile: bool = False,
    tune: int | None = None,
) -> dict[str, Any]:
    """Train on a pinned release (default: the current one).

    preset: fast, default or best, with changes by field of TrainConfig, such as {"epochs": 5};
    config: a whole recipe instead. split: own, given, or such as fold-2-of-5. weights: a local file
    for the backbone, which must have weights_sha256 where that is given; pretrained: the hub's.
    device, devices, precision: as neuro.training.device.Machine says.
    Returns run_id, model, package,
    epochs, seconds, images_per_s, what was read of the weights, and validation metrics beside the
    baselines'. folds: train on each of so many instead; returns their answers pooled, their means,
    and each. profile: record some steps of the (last) training again, and return the folder. tune:
    so many recipes around that one are tried on val before the best is trained.
    """
    tuner.check(tune, folds)
    machine = Machine(device=device, devices=devices, precision=precision)
    asked = config or TrainConfig().changed(changes or {})
    if profile:
        profiling.alone(machine)
    there, question, trained, states = release_data.open_lake(lake), problems.load(problem), [], []
    start = start_weights.weights(
        asked.model,
        question,
        start_weights.Asked(weights=weights, sha256=weights_sha256, pretrained=pretrained),
    )
    for divided in scheme.several(split, folds):
        loaded = release_data.load(there, question, release, divided)
        release = loaded.release.name
        recipe = config or steps.recipe(
            loaded, preset, changes or {}, machine, is_tuning=start is not None
        )
        steps.check(loaded, recipe)
        plan = tuning.Plan(trials=tune, held=tuple(changes or {}))
        setup = steps.Setup(
            weights=start,
            machine=machine,
            preset="" if config else preset,
            keeps_state=folds > 0 or profile,
        )
        tuned = tuning.choose(loaded, recipe, plan, setup)
        setup = replace(setup, trials=len(tuned.trials))
        beside = baselines.later(loaded, ("val",))
        trained.append(steps.train(loaded, tuned.config, setup, beside))
        states.append(steps.checkpoint_of(loaded, tuned.config, setup))
    result = pooling.pool(loaded, trained, recipe) if folds else trained[0].as_dict()
    if profile:
        last = trained[-1]
        folder = profile_training.profile(
            loaded, tuned.config, machine, last.run_id, last.package.digest
        )
        result["profile"] = str(folder)
    for state in states:
        state.remove()
    return result | tuned.as_dict()
