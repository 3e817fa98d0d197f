"""A person's decision on quarantined files: let them in, or let them go."""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
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
from neuro.ingest.vet_new import Check, Run
from neuro.lake import quarantine, releases, tombstones
from neuro.lake.lake import Lake
from neuro.lake.quarantine import Decision, Waiting
from neuro.lake.releases import Release
from neuro.problems.problem import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruling:
    """Who lets which files in, and as what. label: "" for the one they arrived with."""

    digests: tuple[str, ...]
    who: str
    label: str = ""

    def __post_init__(self) -> None:
        if not self.who.strip():
            raise ConfigError("who is empty; say who decides, with --who NAME")


def release(
    lake: Lake, problem: Problem, ruling: Ruling, check: Check, now: datetime
) -> tuple[Release, tuple[str, ...]]:
    """Bring quarantined files in through branch, audit and release; returns it and the digests.

    A conflict is settled by the label, which then holds for every sample with the same pixels.
    Raises ConfigError, and decides nothing, if a file still fails vetting, its bytes were not kept,
    or a conflict comes without a label.
    """
    if ruling.label and ruling.label not in problem.labels:
        known = ", ".join(sorted(problem.labels))
        raise ConfigError(f"label {ruling.label!r} is unknown to {problem.name}; known are {known}")
    quarantine.require_removal(lake)
    files = {
        rows[0].sha256: rows
        for rows in (quarantine.find(lake, problem.dataset, d) for d in ruling.digests)
    }
    chosen = {sha256: ruling.label or _only_label(rows) for sha256, rows in files.items()}
    rows = [row for rows in files.values() for row in rows]
    with tempfile.TemporaryDirectory(prefix="neuro-quarantine-") as folder:
        items = [_item(lake, rows[0], chosen[s], Path(folder)) for s, rows in files.items()]
        run = Run(
            problem=problem,
            delivery=Delivery(
                items=tuple(items),
                source=rows[0].source,
                is_synthetic=any(row.is_synthetic for row in rows),
            ),
            check=_already(items, _vetted(items, check)),
            now=now,
            who=ruling.who if ruling.label else "source",
            note=f"released from quarantine by {ruling.who}",
            rulings={s: chosen[s] for s, rows in files.items() if _is_conflict(rows)},
            cause=hashlib.sha256("\n".join(sorted(row.key for row in rows)).encode()).hexdigest(),
        )
        made = _publish(lake, run, rows, ruling)
    return made, tuple(sorted(files))


def discard(
    lake: Lake, dataset: str, digests: Sequence[str], decision: Decision, now: datetime
) -> tuple[str, ...]:
    """Take files out of quarantine, bytes and all, and keep the decision; returns their digests."""
    quarantine.require_removal(lake)
    done = {entry.body["sha256"] for entry in quarantine.decisions(lake, dataset)}
    waiting = {row.sha256 for row in quarantine.waiting(lake, dataset)}
    gone = {digest for digest in digests if digest in done - waiting}
    rows = [row for d in digests if d not in gone for row in quarantine.find(lake, dataset, d)]
    quarantine.record(lake, rows, decision, now)
    quarantine.remove_decided(lake, dataset)
    return tuple(sorted({row.sha256 for row in rows} | gone))


def facts(lake: Lake, dataset: str, digest: str) -> dict[str, Any]:
    """What is known of one file that waits: each label it arrived with, and whom it contradicts."""
    rows = quarantine.find(lake, dataset, digest)
    shown = ("reason", "label", "message", "stage", "other", "source_name", "run_id", "at")
    others = {rows[0].sha256, *(row.other for row in rows if row.other)}
    left_out = releases.left_out(lake, dataset)
    there = contents.read(lake, dataset, left_out=left_out)
    held = {m.sample_id: m for m in there.members}
    return {
        "dataset": dataset,
        "sha256": rows[0].sha256,
        "bytes": len(quarantine.raw(lake, rows[0])),
        "arrived": [{name: getattr(row, name) for name in shown} for row in rows],
        "held": [
            {"sha256": s, "label": held[s].label, "split": held[s].split}
            for s in sorted(others & set(held))
        ],
        "also_waiting": [
            {"sha256": row.sha256, "label": row.label, "source_name": row.source_name}
            for row in quarantine.waiting(lake, dataset)
            if row.sha256 in others and row.sha256 != rows[0].sha256
        ],
    }


def _publish(lake: Lake, run: Run, rows: Sequence[Waiting], ruling: Ruling) -> Release:
    staged = pipeline.stage(lake, run)
    if waits := staged.intake.quarantined:
        staged.branch.drop()
        raise ConfigError(f"{waits[0].sha256[:12]} cannot enter: {waits[0].rejected.message}")
    passport = pipeline.audit_branch(staged)
    # The decision is the claim: of two people who decide at once, one is told so, here.
    decision = Decision(action="release", who=ruling.who, label=ruling.label, why="")
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


def _vetted(items: Sequence[Item], check: Check) -> list[CleanImage]:
    """Vet again: a rule may have changed since, a person's word alone does not let a file in."""
    passed: list[CleanImage] = []
    for item, result in zip(items, check([item.path for item in items]), strict=True):
        if isinstance(result, Rejected):
            raise ConfigError(
                f"{item.path.name[:12]} still fails vetting ({result.code}: {result.message}); "
                "discard it, or bring a repaired file with `neuro ingest`"
            )
        passed.append(result)
    return passed


def _already(items: Sequence[Item], images: Sequence[CleanImage]) -> Check:
    results = {item.path: image for item, image in zip(items, images, strict=True)}

    def check(paths: Sequence[Path]) -> Iterable[CleanImage]:
        found: Iterator[CleanImage] = (results[path] for path in paths)
        return found

    return check
