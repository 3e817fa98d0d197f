"""Write what a delivery brings: samples and labels to its branch, the rest to quarantine."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from neuro.ingest.triage import CONFLICT, Intake, Waits
from neuro.ingest.vet_new import Run
from neuro.lake import labels, quarantine
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.quarantine import Waiting
from neuro.lake.schema import SCHEMAS
from neuro.lake.staging import Branch
from neuro.splits.assign import Assigned


def write_samples(
    branch: Branch, run: Run, sorted_in: Intake, placed: Mapping[str, Assigned]
) -> None:
    """Append one sample for each accepted file that has no place in the table yet."""
    rows = [
        {
            "dataset": run.problem.dataset,
            "run_id": branch.run_id,
            "sha256": sha256,
            "group_id": placed[sha256].group_id,
            "split": placed[sha256].split,
            "group_key": item.group_key,
            "given_split": item.given_split,
            "source_name": run.problem.kept_name(item.source_name),
            "metadata": item.metadata,
            "source": run.delivery.source,
            "is_synthetic": run.delivery.is_synthetic,
        }
        for item, sha256 in sorted_in.accepted
        if sha256 in placed
    ]
    branch.append("samples", pa.Table.from_pylist(rows, SCHEMAS["samples"]))


def write_labels(
    branch: Branch, run: Run, sorted_in: Intake, ruled: Mapping[str, str], left_out: LeftOut
) -> None:
    """Append what the delivery says of new and unlabelled images, and what a person ruled."""
    said = {sha256: item.label for item, sha256 in sorted_in.accepted if item.label}
    rows = labels.new_rows(
        branch.lake,
        labels.Said(
            dataset=run.problem.dataset,
            labels={**said, **sorted_in.first_labels, **ruled},
            who=run.who,
            run_id=branch.run_id,
            at=run.now,
            is_reviewed=run.who != "source",
        ),
        left_out,
    )
    branch.append("labels", rows)


def quarantine_files(branch: Branch, run: Run, waiting: Sequence[Waits]) -> None:
    """Keep what does not enter, with its bytes; those over the size limit are not kept."""
    rows = ((_waiting(branch, run, one), _reader(one)) for one in waiting)
    quarantine.add(branch.lake, rows)


def _reader(one: Waits) -> Callable[[], bytes]:
    return partial(_raw_bytes, one.item.path, one.sha256) if one.rejected.sha256 else bytes


def _waiting(branch: Branch, run: Run, one: Waits) -> Waiting:
    item, rejected = one.item, one.rejected
    return Waiting(
        dataset=run.problem.dataset,
        sha256=one.sha256,
        reason=rejected.code,
        label=item.label,
        message=rejected.message,
        stage="intake" if rejected.code == CONFLICT else "vet",
        other=one.other,
        source_name=run.problem.kept_name(item.source_name),
        given_split=item.given_split,
        group_key=item.group_key,
        metadata=item.metadata,
        source=run.delivery.source,
        run_id=branch.run_id,
        is_synthetic=run.delivery.is_synthetic,
        at=run.now,
    )


def _raw_bytes(path: Path, sha256: str) -> bytes:
    """A file's bytes if they still are those that were hashed, else none."""
    try:
        raw = path.read_bytes()
    except OSError:
        return b""
    return raw if hashlib.sha256(raw).hexdigest() == sha256 else b""
