"""A person's decision on quarantined files: let them in, or let them go."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from neuro.dataset import contents
from neuro.errors import ConfigError, StaleError
from neuro.images.sandbox import Rejected
from neuro.images.sanitize import CleanImage
from neuro.ingest import pipeline
from neuro.ingest.delivery import Delivery, Item
from neuro.ingest.triage import CONFLICT
from neuro.ingest.vet_new import Check, IngestRun
from neuro.lake import quarantine, releases, tombstones
from neuro.lake.lake import Lake
from neuro.lake.quarantine import Decision, Waiting
from neuro.lake.releases import Release
from neuro.problems.problem import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """A person's word that files are accepted. label: "" for the one they were delivered with."""

    digests: tuple[str, ...]
    who: str
    label: str = ""

    def __post_init__(self) -> None:
        if not self.who.strip():
            raise ConfigError("who is empty; say who decides, with --who NAME")


def release(
    lake: Lake, problem: Problem, admission: Admission, check: Check, now: datetime
) -> tuple[Release, tuple[str, ...]]:
    """Bring quarantined files in through branch, audit and release; returns it and the digests.

    A conflict is settled by the label, which then holds for every sample with the same pixels.
    Raises ConfigError, and decides nothing, if a file still fails vetting, its bytes were not kept,
    or a conflict comes without a label.
    """
    if admission.label and admission.label not in problem.labels:
        known = ", ".join(sorted(problem.labels))
        raise ConfigError(
            f"label {admission.label!r} is unknown to {problem.name}; known are {known}"
        )
    quarantine.require_removal(lake)
    rows_by_file: dict[str, Sequence[Waiting]] = {}
    for digest in admission.digests:
        rows = quarantine.find(lake, problem.dataset, digest)
        rows_by_file[rows[0].sha256] = rows
    labels = {s: admission.label or _only_label(rows) for s, rows in rows_by_file.items()}
    conflicts = {s: labels[s] for s, rows in rows_by_file.items() if _is_conflict(rows)}
    all_rows = [row for rows in rows_by_file.values() for row in rows]
    decision_key = "\n".join(sorted(row.key for row in all_rows))
    with tempfile.TemporaryDirectory(prefix="neuro-quarantine-") as folder:
        place = Path(os.path.realpath(folder))
        items = [_item(lake, rows[0], labels[s], place) for s, rows in rows_by_file.items()]
        vetted = _vetted(items, check)
        run = IngestRun(
            problem=problem,
            delivery=Delivery(
                items=tuple(items),
                source=all_rows[0].source,
                is_synthetic=any(row.is_synthetic for row in all_rows),
            ),
            check=lambda paths: [vetted[path] for path in paths],
            now=now,
            who=admission.who if admission.label else "source",
            note=f"released from quarantine by {admission.who}",
            decided_labels=conflicts,
            cause=hashlib.sha256(decision_key.encode()).hexdigest(),
        )
        made = _publish(lake, run, all_rows, admission)
    return made, tuple(sorted(rows_by_file))


def discard(
    lake: Lake, dataset: str, digests: Sequence[str], decision: Decision, now: datetime
) -> tuple[str, ...]:
    """Take files out of quarantine, bytes and all, and keep the decision; returns their digests."""
    quarantine.require_removal(lake)
    decided = {entry.body["sha256"] for entry in quarantine.decisions(lake, dataset)}
    waiting = {row.sha256 for row in quarantine.waiting(lake, dataset)}
    removed_before = {digest for digest in digests if digest in decided and digest not in waiting}
    rows: list[Waiting] = []
    for digest in digests:
        if digest not in removed_before:
            rows += quarantine.find(lake, dataset, digest)
    quarantine.record(lake, rows, decision, now)
    quarantine.remove_decided(lake, dataset)
    return tuple(sorted({row.sha256 for row in rows} | removed_before))


def facts(lake: Lake, dataset: str, digest: str) -> dict[str, Any]:
    """What is known of one file that waits: each label it arrived with, and whom it contradicts."""
    rows = quarantine.find(lake, dataset, digest)
    shown = ("reason", "label", "message", "stage", "other", "source_name", "run_id", "at")
    others = {rows[0].sha256, *(row.other for row in rows if row.other)}
    released = contents.read(lake, dataset, left_out=releases.left_out(lake, dataset))
    members = {member.sample_id: member for member in released.members}
    return {
        "dataset": dataset,
        "sha256": rows[0].sha256,
        "bytes": len(quarantine.raw(lake, rows[0])),
        "arrived": [{name: getattr(row, name) for name in shown} for row in rows],
        "held": [
            {"sha256": s, "label": members[s].label, "split": members[s].split}
            for s in sorted(others & set(members))
        ],
        "also_waiting": [
            {"sha256": row.sha256, "label": row.label, "source_name": row.source_name}
            for row in quarantine.waiting(lake, dataset)
            if row.sha256 in others and row.sha256 != rows[0].sha256
        ],
    }


def _publish(lake: Lake, run: IngestRun, rows: Sequence[Waiting], admission: Admission) -> Release:
    staged = pipeline.stage(lake, run)
    if staged.files.quarantined:
        staged.branch.drop()
        file = staged.files.quarantined[0]
        raise ConfigError(f"{file.sha256[:12]} cannot enter: {file.rejected.message}")
    passport = pipeline.audit_branch(staged)
    # The decision is the claim: of two people who decide at once, one is told so, here.
    decision = Decision(action="release", who=admission.who, label=admission.label, why="")
    try:
        quarantine.record(lake, rows, decision, run.now)
    except StaleError:
        staged.branch.drop()
        raise
    made = pipeline.publish(staged, passport)
    quarantine.remove_decided(lake, run.problem.dataset)
    return made


def _is_conflict(rows: Sequence[Waiting]) -> bool:
    return any(row.reason == CONFLICT for row in rows)


def _only_label(rows: Sequence[Waiting]) -> str:
    if _is_conflict(rows) or len({row.label for row in rows}) > 1:
        raise ConfigError(
            f"{rows[0].sha256[:12]} waits because its labels differ; choose one with --label "
            f"(`neuro quarantine show {rows[0].sha256[:12]}` shows both)"
        )
    return rows[0].label


def _item(lake: Lake, row: Waiting, label: str, folder: Path) -> Item:
    if row.reason == tombstones.REASON:
        raise ConfigError(
            f"{row.sha256[:12]} was erased, and its bytes are not kept; to let it in again: "
            f"`neuro erase --lift {row.sha256[:12]} --reason WHY`, then `neuro ingest` of the file"
        )
    raw = quarantine.raw(lake, row)
    if hashlib.sha256(raw).hexdigest() != row.sha256:
        raise ConfigError(
            f"the bytes of {row.sha256[:12]} were not kept ({row.reason}); bring the file again "
            "with `neuro ingest`"
        )
    path = folder / row.sha256
    path.write_bytes(raw)
    return Item(
        path=path,
        source_name=row.source_name,
        label=label,
        given_split=row.given_split,
        group_key=row.group_key,
        metadata=row.metadata,
    )


def _vetted(items: Sequence[Item], check: Check) -> dict[Path, CleanImage]:
    """Vet again: a rule may have changed since, a person's word alone does not let a file in."""
    passed: dict[Path, CleanImage] = {}
    for item, result in zip(items, check([item.path for item in items]), strict=True):
        if isinstance(result, Rejected):
            raise ConfigError(
                f"{item.path.name[:12]} still fails vetting ({result.code}: {result.message}); "
                "discard it, or bring a repaired file with `neuro ingest`"
            )
        passed[item.path] = result
    return passed
