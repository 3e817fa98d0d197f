"""Drift events: the quick way from a verdict to a retraining; ``reconcile`` is the sure one."""

from datetime import UTC, datetime
from logging import getLogger

from prefect.events import emit_event

from neuro.lake.lake import Lake
from neuro.promotion import claims, verdict_log
from tasks.record import artifacts, flow_runs

DRIFT_FOUND = "neuro.drift.found"

_log = getLogger(__name__)


def emit_unclaimed(lake: Lake, problem: str) -> list[str]:
    """Send the event of the verdict that asks for a retraining, if nobody works on that or has.

    An event sent while the server is down is lost, and a retraining may be killed, so the stored
    verdict is what counts; sending one twice is harmless, as a retraining claims its cause first.
    Returns the causes.
    """
    if artifacts.flow_run_id() is None:
        return []
    now = datetime.now(UTC)
    references = {
        each.cause: each.body["problem_reference"]
        for each in verdict_log.wanting(lake, problem, now)
    }
    waiting = claims.open_causes(lake, problem, list(references), now=now, look_up=flow_runs.state)
    for cause in waiting:
        emit_drift(problem, references[cause], cause)
    return waiting


def emit_drift(problem: str, reference: str, cause: str) -> None:
    """Say that a problem's images have changed; ``cause`` names the stored verdict."""
    sent = emit_event(
        event=DRIFT_FOUND,
        resource={"prefect.resource.id": f"neuro.drift.{problem}"},
        payload={"problem": reference, "cause": cause},
    )
    _log.info("event %s for %s: %s", DRIFT_FOUND, cause, "sent" if sent else "not sent")
