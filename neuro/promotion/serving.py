"""Who served when, by the journal: the registry's alias has no history of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.promotion.gates import METRIC

ROLLBACK = "rollback"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A version took the place of another, "" for the first. who: an account, or "the envelope".

    macro_f1: on the test split, by which it was promoted; None of a rollback, or where none stands.
    """

    version: str
    previous: str
    at: datetime
    who: str
    reason: str
    is_rollback: bool
    macro_f1: float | None = None


def changes(lake: Lake, problem: str) -> list[Change]:
    """Every change of a problem's champion, oldest first."""
    entries = journal.entries(lake, "decision", ROLLBACK)
    return [_change(entry) for entry in entries if _is_change(entry, problem)]


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
    # A package that was in no registry has a digest for a version, and never served.
    return entry.kind == ROLLBACK or (body["is_promoted"] and body["challenger"].isdigit())


def _change(entry: Entry) -> Change:
    body, is_rollback = entry.body, entry.kind == ROLLBACK
    return Change(
        version=body["version"] if is_rollback else body["challenger"],
        previous=body["previous"] if is_rollback else body["champion"],
        at=entry.at,
        who=body.get("who", ""),
        reason=body["reason"],
        is_rollback=is_rollback,
        macro_f1=None if is_rollback else _macro_f1(body),
    )


def _macro_f1(decision: Mapping[str, Any]) -> float | None:
    figures = decision.get("old_test", {}).get("challenger", [])
    return next((each["value"] for each in figures if each["name"] == METRIC), None)
