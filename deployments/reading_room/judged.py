"""Verdicts on drift in a person's name: the list of them, and what the person says of one."""

from datetime import UTC, datetime

from deployments.reading_room import words
from deployments.reading_room.backend import Backend
from neuro.errors import UnknownNameError
from neuro.promotion import verdict_log
from neuro.promotion.verdict_log import ACKNOWLEDGE, OVERRULE, SNOOZE, Judged


def all_of(backend: Backend, problem: str) -> list[Judged]:
    """Every verdict on a problem, oldest first."""
    return verdict_log.all_of(backend.here.lake, problem)


def sayable(backend: Backend) -> list[str]:
    """What the person may say: an approver more than a reader."""
    return [ACKNOWLEDGE, *([SNOOZE, OVERRULE] if backend.person.may("approver") else [])]


def respond(
    backend: Backend, cause: str, said: str, reason: str, outcome: str, days: float | None
) -> str:
    """Write down what the person says of a verdict; what is told then.

    Raises DeniedError for who may not, UnknownNameError for a cause that is none.
    """
    backend.require("reader" if said == ACKNOWLEDGE else "approver")
    lake, now = backend.here.lake, datetime.now(UTC)
    problem = cause.partition("/")[0]
    found = next((each for each in verdict_log.all_of(lake, problem) if each.cause == cause), None)
    if found is None:
        raise UnknownNameError(f"there is no verdict {cause}; load the page again")
    response = verdict_log.response(
        said, who=backend.person.name, reason=reason, now=now, days=days, outcome=outcome
    )
    verdict_log.respond(lake, found, response)
    return words.DRIFT_WRITTEN
