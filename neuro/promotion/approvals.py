"""Candidates that passed the gate and wait for a person, and what persons have said of them."""

from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.promotion.serving import APPROVAL, DECISION


def waiting(lake: Lake, problem: str) -> dict[str, Entry]:
    """The decision by which each version waits, by version; a later decision takes its place."""
    last: dict[str, Entry] = {}
    for entry in journal.entries(lake, DECISION):
        if entry.body["problem"] == problem:
            last[entry.body["challenger"]] = entry
    return {
        version: entry
        for version, entry in last.items()
        if entry.body.get("waits_for") == "approval"
    }


def of(lake: Lake, decision: Entry) -> list[Entry]:
    """The approvals of a decision, one for each person."""
    found = journal.entries(lake, APPROVAL)
    return [entry for entry in found if entry.body["decision"] == decision.key]
