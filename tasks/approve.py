"""The step by which a person lets a candidate serve that an automation has trained."""

from dataclasses import dataclass
from datetime import UTC, datetime
from logging import getLogger
from typing import Any

from neuro.errors import ConfigError, UnknownNameError
from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem
from neuro.promotion import approvals, serving
from neuro.promotion.retrain_envelope import ANY, Envelope
from tasks.load import champions, models
from tasks.record import artifacts, journals, registry
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
    if ANY not in envelope.approvers and approval.who not in envelope.approvers:
        raise ConfigError(
            f"{approval.who} is not among those who may approve {problem.name}: "
            f"{', '.join(envelope.approvers)} ({envelope.line('approvers')})"
        )
    waiting = _waiting(lake, problem.name, approval.version)
    given = approvals.of(lake, waiting)
    line = next((one for one in given if one.body["who"] == approval.who), None)
    if line is None:
        line = _written(lake, problem, approval, waiting, len(given) + 1, envelope)
        given = [*given, line]
    elif not line.body["is_promoted"]:
        raise ConfigError(
            f"{approval.who} has approved version {approval.version} already; "
            f"{envelope.approvals} persons must, so another one is asked for "
            f"({envelope.line('approvals')})"
        )
    if line.body["is_promoted"]:
        champions.require_counted(lake, line)
        registry.set_alias(registry.find(problem.name, approval.version), "champion")
        journals.export_head(lake, f"approval of {problem.name} {approval.version}")
        _log.info("version %s of %s serves", approval.version, problem.name)
    left = 0 if line.body["is_promoted"] else envelope.approvals - len(given)
    artifacts.label_run("approve", name=f"approve {problem.name} version {approval.version}")
    return line.body | {"waits_for": "approval" if left else None, "approvals_left": left}


def _written(
    lake: Lake,
    problem: Problem,
    approval: Approval,
    waiting: Entry,
    n_approvals: int,
    envelope: Envelope,
) -> Entry:
    """Verify the candidate, and write the approval down."""
    model = models.by_version(problem, approval.version)
    models.require_an_answer(model)
    entry = {
        "problem": problem.name,
        "version": approval.version,
        "package": model.package.digest,
        "previous": waiting.body["champion"],
        "after": champions.last_change(lake, problem.name),
        "decision": waiting.key,
        "who": approval.who,
        "reason": approval.reason,
        "is_promoted": n_approvals >= envelope.approvals,
        "flow_run_id": artifacts.flow_run_id() or "",
    }
    key = f"{waiting.key}/{approval.who}"
    journal.record(lake, serving.APPROVAL, key, entry, datetime.now(UTC))
    return journal.stored(lake, serving.APPROVAL, key)


def _waiting(lake: Lake, problem: str, version: str) -> Entry:
    """The decision by which a version waits, if it was taken beside what serves now."""
    waiting = approvals.waiting(lake, problem)
    if version not in waiting:
        raise UnknownNameError(
            f"version {version} of {problem} does not wait for an approval; those that do: "
            f"{', '.join(waiting) or 'none'}. `neuro promote --model {version} --problem {problem}`"
            " lets the gate decide"
        )
    found = waiting[version]
    serves = champions.serving_version(lake, problem)
    now = serves.version if serves else ""
    if now not in (found.body["champion"], version):
        raise ConfigError(
            f"version {version} of {problem} was superseded: it was judged beside version "
            f"{found.body['champion'] or 'none'}, and version {now} serves now; "
            f"`neuro promote --problem {problem} --model {version}` judges it again"
        )
    return found
