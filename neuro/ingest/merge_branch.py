"""Publishing a user's branch: what it added becomes one audited run on main."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neuro.duplicates import near_duplicates
from neuro.errors import ConfigError, StaleError
from neuro.ingest import pipeline
from neuro.ingest.delivery import Delivery
from neuro.ingest.pipeline import Staged
from neuro.ingest.triage import Intake
from neuro.ingest.vet_new import New, Run
from neuro.lake import branches, releases
from neuro.lake.branches import Line
from neuro.lake.lake import Lake, quoted
from neuro.lake.releases import Release
from neuro.lake.schema import SCHEMAS
from neuro.lake.staging import Branch
from neuro.problems.problem import Problem
from neuro.sample import NO_SPLIT, Sample

_NOTHING = Intake(accepted=(), repeated=(), quarantined=(), first_labels={})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Three:
    """One dataset at three points, by sample_id: where the branch began, the branch, and main."""

    base: Mapping[str, Sample]
    branch: Mapping[str, Sample]
    main: Mapping[str, Sample]


def publish(lake: Lake, problem: Problem, name: str, now: datetime) -> Release:
    """Merge a branch into main, make a release of it, and remove the branch.

    Of each label only the branch's newest is taken over, with who gave it and when. Raises
    StaleError if main moved in a way that contradicts the branch, AuditError if the result would
    not be sound; then the branch stays and main is as it was.
    """
    if made := branches.became(lake, problem.dataset, name):  # a crash left the removal to do
        branches.drop(lake, problem.dataset, name)
        return made
    found = branches.find(lake, problem.dataset, name)
    if not found.own:
        raise ConfigError(f"branch {name} holds nothing to publish; ingest to it, or drop it")
    release = _merge(lake, problem, found, now)
    lake.add("quarantine", found.lake.read("quarantine"))
    branches.drop(lake, problem.dataset, name, as_release=release.name)
    return release


def _merge(lake: Lake, problem: Problem, found: Line, now: datetime) -> Release:
    run_id = hashlib.sha256(f"branch/{problem.dataset}/{found.head.name}".encode()).hexdigest()[:16]
    main = releases.find(lake, problem.dataset)
    three = _Three(
        base=_by_id(lake, found.base), branch=_by_id(lake, found.head), main=_by_id(lake, main)
    )
    labels = _changed_labels(three, found.name)
    rows = _new_samples(lake, found, three)
    _check_twins(lake, found, problem)
    branch = Branch(lake, run_id)
    _stage(branch, found, rows, labels)
    held = {row["sha256"] for row in _rows(lake, "samples", problem.dataset, ["sha256"])}
    brought = three.branch.keys() - three.base.keys() - three.main.keys()
    staged = Staged(
        branch=branch,
        run=_run(problem, found, now),
        intake=_NOTHING,
        new=_written(branch),
        findings=(),
        is_synthetic=found.head.is_synthetic or main.is_synthetic,
        back=frozenset(brought & held),
    )
    return pipeline.publish(staged, pipeline.audit_branch(staged))


def _run(problem: Problem, found: Line, now: datetime) -> Run:
    """A run without files of its own: what it brings was vetted when it came to the branch."""
    nothing = Delivery(items=(), source="branch", is_synthetic=found.head.is_synthetic)
    return Run(
        problem=problem, delivery=nothing, check=lambda _: (), now=now, note=f"branch {found.name}"
    )


def _written(branch: Branch) -> dict[str, New]:
    """The images that the run has written, to be read back like any other run's."""
    rows = branch.rows("images", ["sha256", "stored_sha256", "thumbnail"]).to_pylist()
    return {
        row["sha256"]: New(
            stored_sha256=row["stored_sha256"], thumbnail=row["thumbnail"], is_written=True
        )
        for row in rows
    }


def _by_id(lake: Lake, release: Release) -> dict[str, Sample]:
    return {sample.sample_id: sample for sample in releases.remains(lake, release)}


def _changed_labels(three: _Three, name: str) -> dict[str, str]:
    """Labels to take over. Raises StaleError where main has changed one of them otherwise."""
    found, contradicted = {}, []
    for sample_id, sample in three.branch.items():
        if sample_id in three.base and sample_id not in three.main:
            continue  # main has restored it away, and it stays so
        before = three.base[sample_id].label if sample_id in three.base else ""
        on_main = three.main[sample_id].label if sample_id in three.main else before
        if sample.label in (before, on_main):
            continue
        if on_main != before:
            contradicted.append(sample_id)
        found[sample_id] = sample.label
    if contradicted:
        raise StaleError(
            f"main has meanwhile given {len(contradicted)} samples another label than branch "
            f"{name}, {contradicted[0][:12]} first; drop the branch, or label them there as on main"
        )
    return found


def _new_samples(lake: Lake, found: Line, three: _Three) -> list[dict[str, Any]]:
    """Sample rows that main's table lacks. Raises StaleError where it has another place for one."""
    dataset = found.base.dataset
    held = {row["sha256"]: row for row in _rows(lake, "samples", dataset)}
    fresh: list[dict[str, Any]] = []
    for row in _rows(found.lake, "samples", dataset):
        if row["sha256"] not in three.branch:
            continue
        there = held.get(row["sha256"])
        if there is None:
            fresh.append(row)
        elif (there["group_id"], there["split"]) != (row["group_id"], row["split"]):
            raise StaleError(
                f"sample {row['sha256'][:12]} came to main meanwhile, in {there['split']} and not "
                f"in {row['split']}; drop branch {found.name}, make it again and ingest again"
            )
    return fresh


def _check_twins(lake: Lake, found: Line, problem: Problem) -> None:
    """Raise StaleError if a picture new on main and one new on the branch would bridge splits."""
    columns = ["sha256", "group_key", "split"]
    on_main = {r["sha256"]: r for r in _rows(lake, "samples", problem.dataset, columns)}
    on_branch = {r["sha256"]: r for r in _rows(found.lake, "samples", problem.dataset, columns)}
    only_main = [on_main[k] for k in sorted(on_main.keys() - on_branch.keys())]
    only_branch = [on_branch[k] for k in sorted(on_branch.keys() - on_main.keys())]
    small = [*_thumbnails(lake, only_main), *_thumbnails(found.lake, only_branch)]
    pairs = near_duplicates.find(
        near_duplicates.vectors(small), len(only_main), problem.groups.twin_cosine
    )
    both = [*only_main, *only_branch]
    joined = [(both[a], both[b]) for a, b in pairs.tolist() if a < len(only_main)]
    keyed = {row["group_key"]: row for row in only_main if row["group_key"]}
    joined += [(keyed[r["group_key"]], r) for r in only_branch if r["group_key"] in keyed]
    for one, other in joined:
        if len({one["split"], other["split"]} - {NO_SPLIT}) > 1:
            raise StaleError(
                f"{other['sha256'][:12]} of branch {found.name} stands in {other['split']}, and "
                f"{one['sha256'][:12]} of its group came to main meanwhile in {one['split']}; drop "
                "the branch, make it again and ingest again"
            )


def _thumbnails(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    images = lake.read("images", columns=["sha256", "thumbnail"])
    small = dict(zip(images["sha256"].to_pylist(), images["thumbnail"].to_pylist(), strict=True))
    return [small[str(row["sha256"])] for row in rows]


def _stage(
    branch: Branch,
    found: Line,
    samples: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
) -> None:
    """Write what the branch has and main has not, as rows of one run."""
    lake, dataset = branch.lake, found.base.dataset
    if samples:
        stored = lake.read("images", columns=["sha256"])["sha256"]
        runs = ", ".join(sorted({quoted(row["run_id"]) for row in samples}))
        images = found.lake.read("images", where=f"run_id IN ({runs})")
        lacking = pc.invert(pc.is_in(images["sha256"], stored.combine_chunks()))
        branch.append("images", _as_run(images.filter(lacking), branch.run_id))
    rows = pa.Table.from_pylist(list(samples), SCHEMAS["samples"])
    branch.append("samples", _as_run(rows, branch.run_id))
    given = sorted(_rows(found.lake, "labels", dataset), key=lambda row: int(row["sequence"]))
    newest = {r["sha256"]: r for r in given if labels.get(r["sha256"]) == r["label"]}
    there = _rows(lake, "labels", dataset, ["sha256", "sequence", "run_id"])
    done = {row["sha256"] for row in there if row["run_id"] == branch.run_id}
    taken = Counter(row["sha256"] for row in there)  # sequences of a sample have no gaps
    said = [{**r, "sequence": taken[k]} for k, r in newest.items() if k not in done]
    rows = pa.Table.from_pylist(said, SCHEMAS["labels"])
    branch.append("labels", _as_run(rows, branch.run_id))


def _as_run(rows: pa.Table, run_id: str) -> pa.Table:
    place = rows.schema.get_field_index("run_id")
    return rows.set_column(
        place, rows.schema.field(place), pa.array([run_id] * len(rows), pa.string())
    )


def _rows(
    lake: Lake, table: str, dataset: str, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    found = lake.read(table, columns=columns, where=f"dataset = {quoted(dataset)}")
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows
