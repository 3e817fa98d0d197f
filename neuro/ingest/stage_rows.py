"""Write what a delivery brings: samples and labels to its branch, the rest to quarantine."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial

import pyarrow as pa

from neuro.ingest.triage import CONFLICT, QuarantinedFile, SortedFiles
from neuro.ingest.vet_new import IngestRun
from neuro.lake import labels, quarantine
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.labels import Annotation
from neuro.lake.quarantine import Waiting
from neuro.lake.staging import Branch
from neuro.lake.table_schemas import SCHEMAS
from neuro.splits.draw_splits import Assigned
from neuro.storage import plain_file


def write_samples(
    branch: Branch, run: IngestRun, files: SortedFiles, placed: Mapping[str, Assigned]
) -> None:
    """Append one sample for each accepted file that has no place in the table yet."""
    rows = [
        {
            "dataset": run.problem.dataset,
            "run_id": branch.run_id,
            "sha256": file.sha256,
            "group_id": placed[file.sha256].group_id,
            "split": placed[file.sha256].split,
            "group_key": file.item.group_key,
            "given_split": file.item.given_split,
            "source_name": run.problem.kept_name(file.item.source_name),
            "metadata": file.item.metadata,
            "source": run.delivery.source,
            "is_synthetic": run.delivery.is_synthetic,
        }
        for file in files.accepted
        if file.sha256 in placed
    ]
    branch.append("samples", pa.Table.from_pylist(rows, SCHEMAS["samples"]))


def write_labels(
    branch: Branch,
    run: IngestRun,
    files: SortedFiles,
    decided: Mapping[str, str],
    left_out: LeftOut,
) -> None:
    """Append the labels of new images, of images that had none, and those that a person decided."""
    of_new = {file.sha256: file.item.label for file in files.accepted if file.item.label}
    delivered = {**of_new, **files.first_labels, **decided}
    rows = labels.new_rows(
        branch.lake,
        labels.NewLabels(
            dataset=run.problem.dataset,
            labels={
                sample_id: Annotation(label=label, who=run.who, at=run.now)
                for sample_id, label in delivered.items()
            },
            run_id=branch.run_id,
            is_reviewed=run.who != "source",
        ),
        left_out,
    )
    branch.append("labels", rows)


def quarantine_files(branch: Branch, run: IngestRun, files: Sequence[QuarantinedFile]) -> None:
    """Keep the files that are not accepted, with their bytes; not the bytes of too large ones."""
    rows = ((_waiting(branch, run, file), partial(_raw_bytes, file)) for file in files)
    quarantine.add(branch.lake, rows)


def _waiting(branch: Branch, run: IngestRun, file: QuarantinedFile) -> Waiting:
    item, rejected = file.item, file.rejected
    return Waiting(
        dataset=run.problem.dataset,
        sha256=file.sha256,
        reason=rejected.code,
        label=item.label,
        message=rejected.message,
        stage="intake" if rejected.code == CONFLICT else "vet",
        other=file.other,
        source_name=run.problem.kept_name(item.source_name),
        given_split=item.given_split,
        group_key=item.group_key,
        metadata=item.metadata,
        source=run.delivery.source,
        run_id=branch.run_id,
        is_synthetic=run.delivery.is_synthetic,
        at=run.now,
    )


def _raw_bytes(file: QuarantinedFile) -> bytes:
    """The bytes, if they still are those that were hashed; none of a file that is not kept."""
    if not file.rejected.sha256:
        return b""
    try:
        raw = plain_file.read_bytes(file.item.path)
    except OSError:
        return b""
    return raw if hashlib.sha256(raw).hexdigest() == file.sha256 else b""
