"""What people are told unasked: a verdict, a promotion, an approval that waits, a failed run.

Each message is short and plain. It holds figures and names of problems, releases, versions and
files of ours; never an image, the name of a group or a sample, nor what a person typed as a reason:
those may be of a patient, and a message cannot be called back.
"""

from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any, Literal

from neuro.errors import NeuroError
from neuro.reports import render
from tasks.record import notification_addresses
from tasks.record.notification_addresses import Address, Delivery, Message, Urgency
from tasks.runtime import settings

Kind = Literal["verdict", "failed run", "promotion", "approval", "test"]

_log = getLogger(__name__)
_URGENCY: Mapping[Kind, Urgency] = {
    "verdict": "warning",
    "failed run": "failure",
    "promotion": "success",
    "approval": "info",
    "test": "info",
}
_WHAT_TO_DO = {
    "retrain": "nothing: a retraining starts by itself while the stack is up. "
    "`neuro journal list claim` shows it",
    "look": "look at the images; the report shows what moved",
    "label": "have images of the window labelled: `neuro worklist fill --problem {problem}`, or "
    "`neuro labels import FILE --problem {problem}`",
    "inconclusive": "wait for more images, or take a longer window: "
    "`neuro drift --days 30 --problem {problem}`",
}


def list_file(home: Path | None = None) -> Path:
    """Where the list of addresses lies, default in the home of this process."""
    return (home or settings.load().home) / settings.NOTIFY


def addresses(home: Path | None = None) -> list[Address]:
    """The addresses of a home. Raises ConfigError for a list that cannot be used."""
    return notification_addresses.read(list_file(home))


def tell(kind: Kind, title: str, body: str, *, home: Path | None = None) -> list[Delivery]:
    """Send a message to every address; what fails is a warning, and stops nothing.

    home: where the list lies, default that of this process.
    """
    try:
        deliveries = _send(kind, title, body, home)
    except NeuroError as error:
        _log.warning("nobody was notified (%s): %s", title, error)
        return []
    for each in deliveries:
        if not each.is_delivered:
            _log.warning("%s was not notified (%s): %s", each.address, title, each.why)
    return deliveries


def try_out() -> list[Delivery]:
    """Send a test to every address. Raises ConfigError for a list that cannot be used."""
    return _send("test", "a test", "This message was asked for with `neuro notify --test`.", None)


def of_verdict(verdict: Mapping[str, Any], *, is_new: bool) -> None:
    """A verdict of drift as the journal has it. is_new: this call has written it there."""
    outcome, problem = str(verdict["verdict"]), str(verdict["problem"])
    if not is_new or outcome == "steady":
        return
    advice = _WHAT_TO_DO.get(outcome, "read the report").format(problem=problem)
    facts = {
        "problem": problem,
        "window": verdict["window"],
        "model": verdict["model"],
        "verdict": outcome,
        "reason": verdict["reason"],
        "what to do": advice,
        "report": verdict["report"],
    }
    tell("verdict", f"drift of {problem}, verdict {outcome}", _lines(facts))


def of_decision(decision: Mapping[str, Any], *, is_new: bool) -> None:
    """A decision of the gate: whether another version serves, or waits for a person."""
    problem, version = str(decision["problem"]), str(decision["challenger"])
    if not is_new:
        return
    if decision["is_promoted"]:
        _promoted(problem, version, decision["champion"], decision["reason"], decision["report"])
    elif decision["waits_for"]:
        _waits(problem, version, decision["reason"], decision["report"])


def of_approval(approval: Mapping[str, Any], report: str, *, left: int, is_new: bool) -> None:
    """An approval. left: persons who are still asked for; report: of the gate's decision."""
    problem, version = str(approval["problem"]), str(approval["version"])
    if not is_new:
        return
    if approval["is_promoted"]:
        reason = f"approved by {approval['who']}"
        _promoted(problem, version, approval["previous"], reason, report)
    else:
        person = "person is" if left == 1 else "persons are"
        reason = f"approved by {approval['who']}; {left} more {person} asked for"
        _waits(problem, version, reason, report)


def of_rollback(rollback: Mapping[str, Any], *, is_new: bool) -> None:
    """A rollback, which changes who serves as a promotion does."""
    if is_new:
        problem, version = str(rollback["problem"]), str(rollback["version"])
        reason = f"rolled back by {rollback['who']}; `neuro journal list rollback` says why"
        _promoted(problem, version, rollback["previous"], reason, "")


def _send(kind: Kind, title: str, body: str, home: Path | None) -> list[Delivery]:
    text = f"{body}\n\n{render.RESEARCH_USE}"
    message = Message(title=f"neuro: {title}", body=text, urgency=_URGENCY[kind])
    return notification_addresses.send(addresses(home), message)


def _promoted(problem: str, version: str, previous: str, reason: str, report: str) -> None:
    facts = {
        "problem": problem,
        "model": version,
        "served before": previous or "none",
        "reason": reason,
        "what to do": f"nothing, or `neuro rollback --problem {problem}` with a reason",
        "report": report,
    }
    tell("promotion", f"version {version} of {problem} serves", _lines(facts))


def _waits(problem: str, version: str, reason: str, report: str) -> None:
    ask = f'neuro approve {version} --problem {problem} --reason "..."'
    facts = {
        "problem": problem,
        "model": version,
        "reason": reason,
        "what to do": f"read the report, then `{ask}`",
        "report": report,
    }
    tell("approval", f"version {version} of {problem} waits for an approval", _lines(facts))


def _lines(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts.items() if value not in ("", None))
