"""The step by which a person lets a candidate serve that an automation has trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import getLogger
from typing import Any

from neuro import people
from neuro.errors import ConfigError, UnknownNameError
from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem
from neuro.promotion import approvals, serving
from neuro.promotion.retrain_envelope import ANY, Envelope
from tasks.load import champions, models
from tasks.record import artifacts, journals, notifications, registry
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """What a person says of a waiting candidate. who: an account."""

    version: str
    reason: str
    who: str


@step(name="approve")
def approve(lake: Lake, problem: Problem, approval: Approval, envelope: Envelope) -> dict[str, Any]:
    """Write a person's approval down; the candidate serves once enough persons have given theirs.

    It is fetched, verified and asked first, and the journal is written before the alias moves: a
    call that is killed in between is completed by the same call. Raises ConfigError without a
    reason, for a person whom the envelope does not name, and for a candidate that was superseded;
    UnknownNameError for a version that does not wait.
    """
    if not approval.reason.strip():
        raise ConfigError('an approval needs a reason: neuro approve VERSION --reason "..."')
    people.require(settings.load().home / settings.PEOPLE, approval.who, "approver")
    if ANY not in envelope.approvers and approval.who not in envelope.approvers:
        raise ConfigError(
            f"{approval.who} is not among those who may approve {problem.name}: "
            f"{', '.join(envelope.approvers)} ({envelope.line('approvers')})"
        )
    after = champions.last_change(lake, problem.name)  # before it is known what serves
    decision = _decision(lake, problem.name, approval.version)
    given = approvals.of(lake, decision)
    known, line = len(given), _by(given, approval.who)
    if line is not None and not line.body["is_promoted"]:
        if known < envelope.approvals:
            raise ConfigError(
                f"{approval.who} has approved version {approval.version} already; "
                f"{envelope.approvals} persons must, so another one is asked for "
                f"({envelope.line('approvals')})"
            )
        line = None  # the envelope asked for more persons then
    is_new = line is None
    if line is None:
        models.require_an_answer(models.by_version(problem, approval.version))
    while line is None:  # the number is taken create-only: of two persons at once one comes second
        persons = {each.body["who"] for each in given} | {approval.who}
        entry = _entry(decision, approval, after, len(persons) >= envelope.approvals)
        key = f"{decision.key}/{len(given) + 1}"
        journal.record(lake, serving.APPROVAL, key, entry, datetime.now(UTC))
        given = approvals.of(lake, decision)
        line = _by(given[known:], approval.who)
    _complete(lake, line)
    left = 0 if line.body["is_promoted"] else envelope.approvals - len(given)
    artifacts.label_run("approve", name=f"approve {problem.name} version {approval.version}")
    notifications.of_approval(line.body, decision.body.get("report", ""), left=left, is_new=is_new)
    return line.body | {"waits_for": "approval" if left else None, "approvals_left": left}


def _by(given: Sequence[Entry], who: str) -> Entry | None:
    """What a person has said last."""
    return next((line for line in reversed(given) if line.body["who"] == who), None)


def _entry(decision: Entry, approval: Approval, after: int, is_promoted: bool) -> dict[str, Any]:
    """What is written of an approval. is_promoted: it is the last that is asked for."""
    return {
        "problem": decision.body["problem"],
        "version": approval.version,
        "package": decision.body["package"],
        "previous": decision.body["champion"],
        "after": after,
        "decision": decision.key,
        "who": approval.who,
        "reason": approval.reason,
        "is_promoted": is_promoted,
        "flow_run_id": artifacts.flow_run_id() or "",
    }


def _complete(lake: Lake, line: Entry) -> None:
    """Move the alias after the approval that lets a candidate serve."""
    if not line.body["is_promoted"]:
        return
    problem, version = line.body["problem"], line.body["version"]
    champions.require_counted(lake, line)
    registry.set_alias(registry.find(problem, version), "champion")
    journals.export_head(lake, f"approval of {problem} {version}")
    _log.info("version %s of %s serves", version, problem)


def _decision(lake: Lake, problem: str, version: str) -> Entry:
    """The decision by which a version waits, or was let serve and serves.

    Raises UnknownNameError for one that never waited, ConfigError for one that does no more.
    """
    asked = approvals.asked(lake, problem)
    if version not in asked:
        listed = ", ".join(approvals.waiting(lake, problem)) or "none"
        raise UnknownNameError(
            f"version {version} of {problem} does not wait for an approval; those that do: "
            f"{listed}. `neuro promote --model {version} --problem {problem}` lets the gate decide"
        )
    found = asked[version]
    serves = champions.serving_version(lake, problem)
    now = serves.version if serves else ""
    if now == version:
        return found
    if any(line.body["is_promoted"] for line in approvals.of(lake, found)):
        raise ConfigError(
            f"version {version} of {problem} was approved already, and version {now} serves since; "
            f"`neuro rollback {version} --problem {problem}` lets it serve again"
        )
    if now != found.body["champion"]:
        raise ConfigError(
            f"version {version} of {problem} was superseded: it was judged beside version "
            f"{found.body['champion'] or 'none'}, and version {now} serves now; "
            f"`neuro promote --model {version} --problem {problem}` judges it again"
        )
    return found
