"""What a dataset holds already, as an ingest and a passport need it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from neuro.dataset import metadata
from neuro.lake import content_hash
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake, quoted
from neuro.lake.staging import Branch
from neuro.splits.draw_splits import Member

_SAMPLE_COLUMNS = ["sha256", "group_id", "group_key", "split", "given_split", "is_synthetic"]
_SAMPLE_COLUMNS += ["run_id", "source", "metadata"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetContents:
    """What a dataset has already: its samples in sample_id order, labels and thumbnails."""

    members: Sequence[Member]
    given_splits: Sequence[str]
    thumbnails: Sequence[bytes]
    is_synthetic: bool
    samples: pa.Table
    images: pa.Table

    @property
    def traits(self) -> metadata.Traits:
        """What is known of each sample beside its picture, in the order of the members."""
        return metadata.read(self.samples, self.images)

    @property
    def newest_labels(self) -> dict[str, str]:
        """Newest label of each sample."""
        return {member.sample_id: member.label for member in self.members}


def read(
    lake: Lake, dataset: str, branch: Branch | None = None, left_out: LeftOut | None = None
) -> DatasetContents:
    """What a dataset's tables hold, with a run's branch or without, less what is left out."""
    where, hidden = f"dataset = {quoted(dataset)}", left_out or LeftOut()
    tables = branch or lake
    labels = tables.read("labels", columns=["sha256", "sequence", "label", "run_id"], where=where)
    newest_labels = _by_sample(content_hash.newest(hidden.shown_labels(labels)), "label")
    every_sample = tables.read("samples", columns=_SAMPLE_COLUMNS, where=where)
    samples = hidden.shown_samples(every_sample).sort_by("sha256")
    images = tables.read("images", columns=["sha256", "thumbnail", "mode", "width", "height"])
    thumbnails = _by_sample(images, "thumbnail")
    rows = samples.drop_columns(["source", "metadata"]).to_pylist()
    return DatasetContents(
        members=[
            Member(
                sample_id=row["sha256"],
                label=newest_labels.get(row["sha256"], ""),
                group_key=row["group_key"],
                group_id=row["group_id"],
                split=row["split"],
            )
            for row in rows
        ],
        given_splits=[row["given_split"] for row in rows],
        thumbnails=[thumbnails[row["sha256"]] for row in rows],
        is_synthetic=any(row["is_synthetic"] for row in rows),
        samples=samples,
        images=images.drop_columns("thumbnail"),
    )


def _by_sample(rows: pa.Table, column: str) -> dict[str, Any]:
    return dict(zip(rows["sha256"].to_pylist(), rows[column].to_pylist(), strict=True))
