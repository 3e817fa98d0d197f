"""Publishing a user's branch: what it added becomes one audited run on main."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neuro.dataset import contents
from neuro.dataset.contents import DatasetContents
from neuro.duplicates import twins
from neuro.errors import ConfigError, StaleError
from neuro.ingest import pipeline
from neuro.ingest.delivery import Delivery
from neuro.ingest.pipeline import Staged
from neuro.ingest.triage import SortedFiles
from neuro.ingest.vet_new import IngestRun, NewImage
from neuro.lake import branches, releases
from neuro.lake.branches import UserBranch
from neuro.lake.labels import UNREVIEWED
from neuro.lake.lake import Lake, quoted
from neuro.lake.releases import Release
from neuro.lake.staging import Branch
from neuro.lake.table_schemas import SCHEMAS
from neuro.problems.problem import Problem
from neuro.sample import NO_SPLIT, Sample
from neuro.splits.draw_splits import Member

Row = dict[str, Any]

_NO_FILES = SortedFiles(accepted=(), repeated=(), quarantined=(), first_labels={})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Samples:
    """A dataset's samples by sample_id: where the branch began, on the branch, and on main."""

    base: Mapping[str, Sample]
    branch: Mapping[str, Sample]
    main: Mapping[str, Sample]


def publish(lake: Lake, problem: Problem, name: str, now: datetime) -> Release:
    """Merge a branch into main, make a release of it, and remove the branch.

    Of each label only the branch's newest is taken over, with who gave it and when. Raises
    StaleError if main moved in a way that contradicts the branch, AuditError if the result would
    not be sound; then the branch stays and main is as it was.
    """
    published = branches.published_as(lake, problem.dataset, name)
    if published is not None:  # a crash left the removal to do
        branches.drop(lake, problem.dataset, name)
        return published
    line = branches.find(lake, problem.dataset, name)
    if not line.own:
        raise ConfigError(f"branch {name} holds nothing to publish; ingest to it, or drop it")
    release = _merge(lake, problem, line, now)
    lake.add("quarantine", line.lake.read("quarantine"))
    branches.drop(lake, problem.dataset, name, as_release=release.name)
    return release


def _merge(lake: Lake, problem: Problem, line: UserBranch, now: datetime) -> Release:
    """Stage what the user's branch adds to main as one run, audit it, and publish a release."""
    # It has no files of its own: its images were vetted when they came to the branch.
    run = IngestRun(
        problem=problem,
        delivery=Delivery(items=(), source="branch", is_synthetic=line.head.is_synthetic),
        check=lambda _: (),
        now=now,
        note=f"branch {line.name}",
    )
    key = f"branch/{problem.dataset}/{line.head.name}"
    run_id = hashlib.sha256(key.encode()).hexdigest()[:16]
    main = releases.find(lake, problem.dataset)
    samples = _Samples(
        base=_by_id(lake, line.base), branch=_by_id(lake, line.head), main=_by_id(lake, main)
    )
    labels = _changed_labels(samples, line.name)
    new_rows = _new_sample_rows(lake, line, samples)
    _check_twins(lake, line, problem)
    branch = Branch(lake, run_id)
    _stage_images(branch, line, new_rows)
    branch.append("samples", _as_run(pa.Table.from_pylist(new_rows, SCHEMAS["samples"]), run_id))
    branch.append("labels", _as_run(_new_label_rows(lake, line, labels, run_id), run_id))
    in_table = {row["sha256"] for row in _rows(lake, "samples", problem.dataset, ["sha256"])}
    added = samples.branch.keys() - samples.base.keys() - samples.main.keys()
    staged = Staged(
        branch=branch,
        run=run,
        files=_NO_FILES,
        new_images=_written(branch),
        findings=(),
        is_synthetic=line.head.is_synthetic or main.is_synthetic,
        returned=frozenset(added & in_table),
    )
    return pipeline.publish(staged, pipeline.audit_branch(staged))


def _written(branch: Branch) -> dict[str, NewImage]:
    """The images that the run has written, to be read back like any other run's."""
    rows = branch.rows("images", ["sha256", "stored_sha256", "thumbnail"]).to_pylist()
    return {
        row["sha256"]: NewImage(
            stored_sha256=row["stored_sha256"], thumbnail=row["thumbnail"], is_written=True
        )
        for row in rows
    }


def _by_id(lake: Lake, release: Release) -> dict[str, Sample]:
    return {sample.sample_id: sample for sample in releases.remains(lake, release)}


def _changed_labels(samples: _Samples, name: str) -> dict[str, str]:
    """Labels to take over. Raises StaleError where main has changed one of them otherwise."""
    changed: dict[str, str] = {}
    contradicted: list[str] = []
    for sample_id, sample in samples.branch.items():
        if sample_id in samples.base and sample_id not in samples.main:
            continue  # main has restored it away, and it stays so
        label_before = samples.base[sample_id].label if sample_id in samples.base else ""
        on_main = samples.main.get(sample_id)
        label_on_main = on_main.label if on_main is not None else label_before
        if sample.label in (label_before, label_on_main):
            continue
        changed[sample_id] = sample.label
        if label_on_main != label_before:
            contradicted.append(sample_id)
    if contradicted:
        raise StaleError(
            f"main has meanwhile given {len(contradicted)} samples another label than branch "
            f"{name}, {contradicted[0][:12]} first; drop the branch, or label them there as on main"
        )
    return changed


def _new_sample_rows(lake: Lake, line: UserBranch, samples: _Samples) -> list[Row]:
    """Sample rows that main's table lacks. Raises StaleError where it has another place for one."""
    dataset = line.base.dataset
    on_main = {row["sha256"]: row for row in _rows(lake, "samples", dataset)}
    new_rows: list[Row] = []
    for row in _rows(line.lake, "samples", dataset):
        sha256 = row["sha256"]
        if sha256 not in samples.branch:
            continue
        if sha256 not in on_main:
            new_rows.append(row)
            continue
        known = on_main[sha256]
        if (known["group_id"], known["split"]) != (row["group_id"], row["split"]):
            raise StaleError(
                f"sample {sha256[:12]} came to main meanwhile, in {known['split']} and not "
                f"in {row['split']}; drop branch {line.name}, make it again and ingest again"
            )
    return new_rows


def _check_twins(lake: Lake, line: UserBranch, problem: Problem) -> None:
    """Raise StaleError if samples new on main and new on the branch make a group of two splits.

    They were placed without knowing of one another. Two are of one group if they are twins, or have
    one patient or lesion.
    """
    on_main = contents.read(lake, problem.dataset)
    on_branch = contents.read(line.lake, problem.dataset)
    only_main = _not_in(on_branch, on_main)
    only_branch = _not_in(on_main, on_branch)
    thumbnails = [thumbnail for _, thumbnail in [*only_main, *only_branch]]
    n_main = len(only_main)
    twin_pairs = twins.find(twins.vectors(thumbnails), n_main, problem.groups.twin_cosine)
    related = [
        (only_main[first][0], only_branch[second - n_main][0])
        for first, second in twin_pairs.tolist()
        if first < n_main  # the others are twins within the branch
    ]
    of_group = {member.group_key: member for member, _ in only_main if member.group_key}
    related += [
        (of_group[member.group_key], member)
        for member, _ in only_branch
        if member.group_key in of_group
    ]
    for of_main, of_branch in related:
        if len({of_main.split, of_branch.split} - {NO_SPLIT}) > 1:
            raise StaleError(
                f"{of_branch.sample_id[:12]} of branch {line.name} stands in {of_branch.split}, "
                f"and {of_main.sample_id[:12]} of its group came to main meanwhile in "
                f"{of_main.split}; drop the branch, make it again and ingest again"
            )


def _not_in(other: DatasetContents, here: DatasetContents) -> list[tuple[Member, bytes]]:
    """The samples that are here alone, with their thumbnails."""
    known = {member.sample_id for member in other.members}
    return [
        (member, thumbnail)
        for member, thumbnail in zip(here.members, here.thumbnails, strict=True)
        if member.sample_id not in known
    ]


def _stage_images(branch: Branch, line: UserBranch, new_samples: Sequence[Row]) -> None:
    """Write the images of new samples that main's table lacks."""
    if not new_samples:
        return
    runs = ", ".join(sorted({quoted(row["run_id"]) for row in new_samples}))
    images = line.lake.read("images", where=f"run_id IN ({runs})")
    on_main = branch.lake.read("images", columns=["sha256"])["sha256"].combine_chunks()
    missing = images.filter(pc.invert(pc.is_in(images["sha256"], on_main)))
    branch.append("images", _as_run(missing, branch.run_id))


def _new_label_rows(
    lake: Lake, line: UserBranch, labels: Mapping[str, str], run_id: str
) -> pa.Table:
    """The newest row of each changed label, numbered after those that main has of the sample.

    Samples that this run has labelled already, before it was cut short, are left out.
    """
    dataset = line.base.dataset
    newest: dict[str, Row] = {}
    for row in sorted(_rows(line.lake, "labels", dataset), key=lambda row: int(row["sequence"])):
        if row["run_id"] != UNREVIEWED and labels.get(row["sha256"]) == row["label"]:
            newest[row["sha256"]] = row
    on_main = _rows(lake, "labels", dataset, ["sha256", "sequence", "run_id"])
    written = {row["sha256"] for row in on_main if row["run_id"] == run_id}
    next_sequence = Counter(row["sha256"] for row in on_main)  # sequences of a sample have no gaps
    rows = [
        {**row, "sequence": next_sequence[sha256]}
        for sha256, row in newest.items()
        if sha256 not in written
    ]
    return pa.Table.from_pylist(rows, SCHEMAS["labels"])


def _as_run(rows: pa.Table, run_id: str) -> pa.Table:
    place = rows.schema.get_field_index("run_id")
    return rows.set_column(
        place, rows.schema.field(place), pa.array([run_id] * len(rows), pa.string())
    )


def _rows(lake: Lake, table: str, dataset: str, columns: list[str] | None = None) -> list[Row]:
    found = lake.read(table, columns=columns, where=f"dataset = {quoted(dataset)}")
    rows: list[Row] = found.to_pylist()
    return rows
