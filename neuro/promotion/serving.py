"""Who serves, and who served when, by the journal: the registry's alias only mirrors it.

An alias has no history, and whoever reaches the registry moves it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.promotion.gates import METRIC

DECISION, APPROVAL, ROLLBACK = "decision", "approval", "rollback"  # kinds that change who serves


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A version took the place of another, "" for the first. who: an account, or "the envelope".

    number: of the line in the journal. package: digest of the version's package, "" in lines of
    before that do not say it; trained_on: its release, likewise. macro_f1: on the test split, by
    which it was promoted; None of a rollback, or where none stands.
    """

    number: int
    version: str
    package: str
    trained_on: str
    previous: str
    at: datetime
    who: str
    reason: str
    is_rollback: bool
    macro_f1: float | None = None


def changes(lake: Lake, problem: str) -> list[Change]:
    """Every change of a problem's champion, oldest first.

    A line names the change that it follows (``after``); one that follows another than the last was
    decided beside a version that serves no more, and does not count.
    """
    entries = journal.entries(lake, DECISION, APPROVAL, ROLLBACK)
    decisions = {entry.key: entry.body for entry in entries if entry.kind == DECISION}
    found: list[Change] = []
    for entry in entries:
        last = found[-1].number if found else 0
        if _is_change(entry, problem) and entry.body.get("after", last) == last:
            found.append(_change(entry, decisions))
    return found


def serving_at(changed: Sequence[Change], when: datetime) -> str:
    """The version that served at a time, "" for none."""
    return next((each.version for each in reversed(changed) if each.at <= when), "")


def before(changed: Sequence[Change], version: str) -> str:
    """The version that served when this one was first promoted, "" for none.

    Not the one that served last: after a rollback that is the one that was left.
    """
    promotions = (each for each in changed if not each.is_rollback and each.version == version)
    first = next(promotions, None)
    return first.previous if first else ""


def best_but(changed: Sequence[Change], champion: str) -> str:
    """The version that was promoted with a higher macro-F1 than any other and than the champion.

    "" where the champion has the highest, or no figures stand.
    """
    figures = {each.version: each.macro_f1 for each in changed if each.macro_f1 is not None}
    best = max(figures, key=lambda version: figures[version] or 0.0, default="")
    return best if best and figures[best] != figures.get(champion) else ""


def _is_change(entry: Entry, problem: str) -> bool:
    body = entry.body
    if body["problem"] != problem:
        return False
    if entry.kind == ROLLBACK:
        return True
    # A package that was in no registry has a digest for a version, and never served.
    return body["is_promoted"] and (entry.kind == APPROVAL or body["challenger"].isdigit())


def _change(entry: Entry, decisions: Mapping[str, Mapping[str, Any]]) -> Change:
    """The change that a line made. decisions: all of them, by key: an approval names its own."""
    body, is_decision = entry.body, entry.kind == DECISION
    decided = body if is_decision else decisions.get(body.get("decision", ""), {})
    return Change(
        number=entry.number,
        version=body["challenger"] if is_decision else body["version"],
        package=body.get("package", ""),
        trained_on=decided.get("trained_on", ""),
        previous=body["champion"] if is_decision else body["previous"],
        at=entry.at,
        who=body.get("who", ""),
        reason=body["reason"],
        is_rollback=entry.kind == ROLLBACK,
        macro_f1=_macro_f1(decided),
    )


def _macro_f1(decision: Mapping[str, Any]) -> float | None:
    figures = decision.get("old_test", {}).get("challenger", [])
    return next((each["value"] for each in figures if each["name"] == METRIC), None)
