"""Train a model on a release and register it as challenger."""

from dataclasses import replace
from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from neuro.splits import split_choice
from neuro.training import profiling, tuning
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tasks import baselines, cross_validate, plan_training, profile_training
from tasks import train as steps
from tasks import tune as recipe_search
from tasks.load import release_data, unseen
from tasks.load.start_weights import StartWeights
from tasks.plan_training import Request
from tasks.runtime import runners


@flow(name="train", flow_run_name="train {problem}", task_runner=runners.ConfiguredRunner())
def train(
    problem: str = "brain",
    release: str | None = None,
    preset: str = "default",
    changes: dict[str, Any] | None = None,
    config: TrainConfig | None = None,
    start: StartWeights | None = None,
    machine: Machine | None = None,
    lake: str | None = None,
    split: str = "own",
    folds: int = 0,
    profile: bool = False,
    tune: int | None = None,
) -> dict[str, Any]:
    """Train on a pinned release (default: the current one).

    preset: fast, default or best, with changes by field of TrainConfig, such as {"epochs": 5}; it
    chooses the model and whether it starts from weights, unless one of them is given. config: a
    whole recipe instead. start: weights for the backbone; default: what the preset chooses, and at
    random with a model of one's own. machine: device, devices and precision; default: the best
    here. split: own, given, or such as fold-2-of-5. folds: train on each of so many instead.
    profile: record some steps of the (last) training again. tune: so many recipes around the given
    one are tried on val before the best is trained; of both, the preset chooses one network.
    Returns run_id, model, package, epochs, seconds, images_per_s, what was read of the weights, and
    validation metrics beside the baselines'; of folds their answers pooled, their means, and each.
    """
    machine, changes = machine or Machine(), changes or {}
    named = config.model if config else str(changes.get("model", ""))
    tuning.check(tune, folds, named)
    if profile:
        profiling.check_one_process(machine, named)
    store, question = release_data.open_lake(lake), problems.load(problem)
    request = Request(
        preset=preset,
        changes=changes,
        config=config,
        start=start or StartWeights(),
        is_of_one_network=profile or tune is not None,
    )
    plan = plan_training.make(store, question, release, request, machine)
    setup = steps.Setup(
        weights=plan.weights, machine=plan.machine, preset=plan.preset, why_model=plan.why
    )
    trained = []
    for splitting in split_choice.splittings(split, folds):
        loaded = release_data.load(store, plan.problem, release, splitting)
        loaded = unseen.for_weights(loaded, plan.weights)
        release = loaded.release.name  # of every fold the same
        steps.check(loaded, plan.recipe)
        tuned = recipe_search.choose(loaded, plan.recipe, setup, tune, tuple(changes))
        setup = replace(setup, trials=len(tuned.trials))
        beside = baselines.later(loaded, ("val",))
        trained.append(steps.train(loaded, tuned.config, setup, beside))
    result = cross_validate.pool(loaded, trained, plan.recipe) if folds else trained[0].as_dict()
    if profile:
        folder = profile_training.profile(loaded, tuned.config, plan.machine, trained[-1])
        result["profile"] = str(folder)
    for training in trained:
        training.checkpoint.remove()  # no earlier, so that no fold is trained twice
    return result | tuned.as_dict()
