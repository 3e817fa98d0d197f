"""Candidates that passed the gate and wait for a person, and what persons have said of them."""

from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.promotion import serving
from neuro.promotion.serving import APPROVAL, DECISION


def asked(lake: Lake, problem: str) -> dict[str, Entry]:
    """The decision by which each version waits or waited, by version; a later one replaces it."""
    last: dict[str, Entry] = {}
    for entry in journal.entries(lake, DECISION):
        if entry.body["problem"] == problem:
            last[entry.body["challenger"]] = entry
    return {
        version: entry
        for version, entry in last.items()
        if entry.body.get("waits_for") == "approval"
    }


def waiting(lake: Lake, problem: str) -> dict[str, Entry]:
    """Those of them that nobody has let serve, and that were judged beside what serves now."""
    changed = serving.changes(lake, problem)
    serves = changed[-1].version if changed else ""
    promoted = {
        entry.body["decision"]
        for entry in journal.entries(lake, APPROVAL)
        if entry.body["is_promoted"]
    }
    return {
        version: entry
        for version, entry in asked(lake, problem).items()
        if entry.key not in promoted and entry.body["champion"] in ("", serves)
    }


def of(lake: Lake, decision: Entry) -> list[Entry]:
    """The approvals of a decision; of a person two where fewer were asked for later."""
    found = journal.entries(lake, APPROVAL)
    return [entry for entry in found if entry.body["decision"] == decision.key]
