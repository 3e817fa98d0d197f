"""Retrain for a cause: claimed once, inside the envelope, promoted only through the gate."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from neuro.training.config import TrainConfig
from tasks import baselines, promote
from tasks import retrain as steps
from tasks import train as training
from tasks.load import envelopes, models, release_data, unseen
from tasks.runtime import runners


@flow(name="retrain", flow_run_name="retrain {problem}", task_runner=runners.ConfiguredRunner())
def retrain(
    problem: str = "brain",
    cause: str | None = None,
    config: TrainConfig | None = None,
    lake: str | None = None,
) -> dict[str, Any]:
    """Train a challenger on the current release and let the gate decide.

    cause: what asked for it: a stored verdict, "monthly", or nothing (then this run itself). A
    cause is worked on until there is a decision, however often it is sent. Returns decision, gates
    and both models.
    """
    store, question = release_data.open_lake(lake), problems.load(problem)
    cause = steps.full_cause(question, cause)
    envelope, champion = envelopes.of_problem(question), models.champion(store, question)
    recipe = steps.recipe(store, question, champion, config)
    reason = steps.refusal(store, question, recipe, envelope, cause)
    if reason:
        return steps.refused(cause, reason)
    if not steps.claim(store, question, cause):
        return steps.refused(cause, "already claimed or decided")
    try:
        plan = steps.plan(store, question, champion, config)
        limit = steps.seconds_allowed(question, envelope, cause)
        setup = steps.setup(champion, plan, limit)
        loaded = unseen.for_weights(release_data.load(store, plan.problem), setup.weights)
        loaded = promote.without_seen(loaded, None, champion)
        training.check(loaded, plan.recipe)
        beside = baselines.later(loaded, ("val", "test"))
        trained = training.train(loaded, plan.recipe, setup, beside)
        trained.checkpoint.remove()
        challenger = models.load(question, trained.version)
        scores = promote.evaluate(loaded, challenger, champion, beside())
        return promote.promote(loaded, *scores, envelope, cause)
    except BaseException as error:
        steps.release_claim(store, cause, error)
        raise
