"""Write, audit, publish: how a delivery becomes part of a release."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from neuro import audit, split
from neuro.delivery import Delivery, Item
from neuro.errors import AuditError, NeuroError
from neuro.image import CleanImage
from neuro.intake import CONFLICT, Intake, sort_out
from neuro.problem import Problem
from neuro.sample import Finding
from neuro.split import Member
from neuro.store import labels, releases
from neuro.store.branches import Branch
from neuro.store.lake import Lake, quoted
from neuro.store.releases import Draft, Release
from neuro.store.tables import SCHEMAS
from neuro.vet import Rejected

Vetted = tuple[Item, CleanImage | Rejected]


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A delivery on its branch, invisible until it is published."""

    branch: Branch
    problem: Problem
    intake: Intake
    findings: tuple[Finding, ...]
    is_synthetic: bool
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a dataset has already: its samples in sample_id order, labels and thumbnails."""

    members: Sequence[Member]
    given_splits: Sequence[str]
    thumbnails: Sequence[bytes]
    is_synthetic: bool

    @property
    def newest_labels(self) -> dict[str, str]:
        """Newest label of each sample."""
        return {member.sample_id: member.label for member in self.members}


def stage(
    lake: Lake, problem: Problem, delivery: Delivery, vetted: Sequence[Vetted], now: datetime
) -> Staged:
    """Sort a vetted delivery, give newcomers their group and split, and write the branch."""
    held = read_held(lake, problem.dataset)
    intake = sort_out(vetted, held.newest_labels)
    newcomers = [
        Member(sample_id=image.sha256, label=item.label, group_key=item.group_key)
        for item, image in intake.accepted
    ]
    twins = audit.twin_pairs(
        audit.vectors(held.thumbnails),
        audit.vectors([image.thumbnail for _, image in intake.accepted]),
        problem.groups.twin_cosine,
    )
    placed = split.assign(held.members, newcomers, twins, split.SplitConfig())
    branch = Branch(lake, _run_id(problem, vetted))
    stamp = {"dataset": problem.dataset, "run_id": branch.run_id}
    stored = set(lake.read("images", columns=["sha256"])["sha256"].to_pylist())
    branch.append("images", _image_rows(intake, stored, branch.run_id, now))
    branch.append(
        "samples",
        pa.Table.from_pylist(
            [
                {
                    **stamp,
                    "sha256": image.sha256,
                    "group_id": place.group_id,
                    "split": place.split,
                    "group_key": item.group_key,
                    "given_split": item.given_split,
                    "source_name": item.source_name,
                    "metadata": item.metadata,
                    "source": delivery.source,
                    "is_synthetic": delivery.is_synthetic,
                }
                for (item, image), place in zip(intake.accepted, placed, strict=True)
            ],
            SCHEMAS["samples"],
        ),
    )
    said = {image.sha256: item.label for item, image in intake.accepted if item.label}
    branch.append(
        "labels",
        labels.new_rows(
            lake,
            labels.Said(
                dataset=problem.dataset,
                labels=said | dict(intake.first_labels),
                who="source",
                run_id=branch.run_id,
                at=now,
            ),
        ),
    )
    _quarantine(lake, problem.dataset, intake, branch.run_id, now)
    return Staged(
        branch=branch,
        problem=problem,
        intake=intake,
        findings=tuple(
            Finding(
                sample_id=image.sha256,
                code="bridges_splits",
                message="its twins lie in two splits, so it belongs to none",
            )
            for (_, image), place in zip(intake.accepted, placed, strict=True)
            if place.bridges
        ),
        is_synthetic=delivery.is_synthetic or held.is_synthetic,
        now=now,
    )


def audit_branch(staged: Staged) -> audit.Passport:
    """Read the branch back, check it, and write the passport of the release to be.

    Raises AuditError, after removing the branch, if a stored byte differs from its digest, a
    group stands in two splits, or a label is unknown.
    """
    branch, problem = staged.branch, staged.problem
    try:
        _check_images(branch)
        held = read_held(branch.lake, problem.dataset, branch)
        split.check_no_overlap([m.group_id for m in held.members], [m.split for m in held.members])
        unknown = {m.label for m in held.members} - {"", *problem.labels}
        if unknown:
            raise AuditError(
                f"labels unknown to problem {problem.name}: {sorted(unknown)[:5]}; map them under "
                "[labels], or ingest with the problem they belong to"
            )
    except NeuroError:  # a store that fails says nothing of the branch; the next run replaces it
        branch.drop()
        raise
    return inspect(held, problem)


def inspect(held: Held, problem: Problem) -> audit.Passport:
    """The passport of everything a dataset holds."""
    return audit.inspect(
        audit.Inspected(
            members=held.members,
            given_splits=held.given_splits,
            vectors=audit.vectors(held.thumbnails),
        ),
        cosine=problem.groups.twin_cosine,
        is_synthetic=held.is_synthetic,
    )


def publish(staged: Staged, passport: audit.Passport) -> Release:
    """Merge the branch into main and make the result the current release."""
    staged.branch.publish()
    return releases.publish(
        staged.branch.lake,
        Draft(
            dataset=staged.problem.dataset,
            passport=passport.as_dict(),
            creator=staged.branch.run_id,
            note="ingest",
            is_synthetic=staged.is_synthetic,
            now=staged.now,
        ),
    )


def receipt(staged: Staged, release: Release) -> dict[str, Any]:
    """What an ingest did; seen = accepted + repeated + quarantined."""
    intake = staged.intake
    return {
        "run_id": staged.branch.run_id,
        "release": release.name,
        "content_hash": release.content_hash,
        "seen": intake.seen,
        "accepted": len(intake.accepted),
        "repeated": intake.repeated,
        "quarantined": len(intake.quarantined),
        "conflicts": intake.reasons.get(CONFLICT, 0),
        "reasons": intake.reasons,
        "findings": len(staged.findings),
    }


def read_held(lake: Lake, dataset: str, branch: Branch | None = None) -> Held:
    """What a dataset holds on main, and on a branch that is not published yet."""
    where = f"dataset = {quoted(dataset)}"

    def read(table: str, columns: list[str], where: str | None) -> pa.Table:
        if branch is not None:
            return branch.everything(table, columns, where)
        return lake.read(table, columns=columns, where=where)

    said = read("labels", ["sha256", "sequence", "label"], where).sort_by("sequence")
    newest = dict(zip(said["sha256"].to_pylist(), said["label"].to_pylist(), strict=True))
    columns = ["sha256", "group_id", "group_key", "split", "given_split", "is_synthetic"]
    rows = read("samples", columns, where).sort_by("sha256").to_pylist()
    images = read("images", ["sha256", "thumbnail"], None)
    small = dict(zip(images["sha256"].to_pylist(), images["thumbnail"].to_pylist(), strict=True))
    return Held(
        members=[
            Member(
                sample_id=row["sha256"],
                label=newest.get(row["sha256"], ""),
                group_key=row["group_key"],
                group_id=row["group_id"],
                split=row["split"],
            )
            for row in rows
        ],
        given_splits=[row["given_split"] for row in rows],
        thumbnails=[small[row["sha256"]] for row in rows],
        is_synthetic=any(row["is_synthetic"] for row in rows),
    )


def _run_id(problem: Problem, vetted: Sequence[Vetted]) -> str:
    """Digest of what arrived: the same delivery is the same run, however often it is started."""
    lines = sorted(f"{result.sha256},{item.label},{item.source_name}" for item, result in vetted)
    return hashlib.sha256("\n".join([problem.dataset, *lines]).encode()).hexdigest()[:16]


def _image_rows(intake: Intake, held: set[str], run_id: str, now: datetime) -> pa.Table:
    columns: tuple[str, ...] = ("sha256", "stored", "stored_sha256", "media_type", "width")
    columns += ("height", "mode", "perceptual_hash", "thumbnail")
    return pa.Table.from_pylist(
        [
            {name: getattr(image, name) for name in columns}
            | {"ingested_at": now, "run_id": run_id}
            for _, image in intake.accepted
            if image.sha256 not in held
        ],
        SCHEMAS["images"],
    )


def _quarantine(lake: Lake, dataset: str, intake: Intake, run_id: str, now: datetime) -> None:
    rows = {
        (rejected.sha256 or item.source_name, rejected.code): {
            "sha256": rejected.sha256 or item.source_name,
            "reason": rejected.code,
            "message": rejected.message,
            "stage": "intake" if rejected.code == CONFLICT else "vet",
            "dataset": dataset,
            "source_name": item.source_name,
            "label": item.label,
            "run_id": run_id,
            "at": now,
            "raw": item.path.read_bytes() if rejected.sha256 else b"",
        }
        for item, rejected in intake.quarantined
    }
    lake.add("quarantine", pa.Table.from_pylist(list(rows.values()), SCHEMAS["quarantine"]))


def _check_images(branch: Branch) -> None:
    """Read every new image back from the store and compare it with its digest."""
    rows = branch.rows("images", ["sha256", "stored", "stored_sha256"])
    for sha256, raw, digest in zip(*(rows[name] for name in rows.column_names), strict=True):
        if hashlib.sha256(raw.as_py()).hexdigest() != digest.as_py():
            raise AuditError(f"image {sha256.as_py()[:12]} was not stored as it was vetted")
