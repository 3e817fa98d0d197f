"""Steps that start what should have been started: the stored verdict counts, not its event."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from logging import getLogger
from typing import Any

from neuro.errors import NeuroError
from neuro.lake.lake import Lake
from neuro.problems import problem as problems
from neuro.promotion import claims, verdict_log
from tasks import retrain
from tasks.load import envelopes, models
from tasks.record import artifacts, flow_runs, heartbeats
from tasks.runtime.steps import step

AFTER_A_FAILURE = timedelta(hours=1)  # what failed once may fail again, until somebody looks
_log = getLogger(__name__)


@step(name="end dead runs")
def end_dead() -> list[str]:
    """End the runs whose process is gone, so that what they worked on is open again."""
    return heartbeats.end_dead()


@step(name="start open causes")
def start_open(lake: Lake, watched: Mapping[str, str], given: str | None) -> dict[str, Any]:
    """Start a retraining for each open cause that may start now and that no run is waiting for.

    given: the lake as it was given, for the runs that are started.
    """
    started: list[str] = []
    waiting: dict[str, str] = {}
    for name, reference in watched.items():
        queued = flow_runs.unfinished("retrain", "cause")
        for cause in open_causes(lake, name):
            try:
                why = why_not_now(lake, reference, cause)
            except NeuroError as error:
                why = str(error)
            if cause in queued:
                why = "a run for it waits already"
            if why:
                waiting[cause] = why
                _log.info("cause %s waits: %s", cause, why)
                continue
            key = f"{artifacts.flow_run_id()}/{cause}"
            if flow_runs.start(
                "retrain", {"problem": reference, "cause": cause, "lake": given}, key
            ):
                started.append(cause)
                _log.info("cause %s: a retraining is started", cause)
            break  # one at a time: the next waits for the cool-down
    artifacts.label_run(*(["started"] if started else []))
    return {"started": started, "waiting": waiting}


def open_causes(lake: Lake, problem: str) -> list[str]:
    """What asks for a retraining of a problem and led to no decision, with nobody at work on it."""
    now = datetime.now(UTC)
    asking = [each.cause for each in verdict_log.wanting(lake, problem, now)]
    begun = claims.begun_by_itself(lake, problem, now)
    causes = list(dict.fromkeys([*asking, *begun]))
    return claims.open_causes(lake, problem, causes, now=now, look_up=flow_runs.state)


def why_not_now(lake: Lake, reference: str, cause: str) -> str | None:
    """Why a retraining for an open cause does not start now; None where it may."""
    question = problems.load(reference)
    failed_at = claims.last_failure(lake, question.name, cause)
    if failed_at and datetime.now(UTC) - failed_at < AFTER_A_FAILURE:
        return f"it failed at {failed_at:%H:%M}, and is tried again an hour later"
    recipe = retrain.recipe(lake, question, models.champion(lake, question), None)
    return retrain.refusal(lake, question, recipe, envelopes.of_problem(question), cause)
