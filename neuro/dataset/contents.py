"""What a dataset holds already, as an ingest and a passport need it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from neuro.dataset import metadata
from neuro.lake import content_hash
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake, quoted
from neuro.lake.staging import Branch
from neuro.splits.assign import Member


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
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
) -> Held:
    """What a dataset's tables hold, with a run's branch or without, less what is left out."""
    where, hidden = f"dataset = {quoted(dataset)}", left_out or LeftOut()

    def read(table: str, columns: list[str], where: str | None) -> pa.Table:
        if branch is not None:
            return branch.everything(table, columns, where)
        return lake.read(table, columns=columns, where=where)

    said = read("labels", ["sha256", "sequence", "label", "run_id"], where)
    shown = content_hash.newest(hidden.shown_labels(said))
    newest = dict(zip(shown["sha256"].to_pylist(), shown["label"].to_pylist(), strict=True))
    columns = ["sha256", "group_id", "group_key", "split", "given_split", "is_synthetic", "run_id"]
    read_all = read("samples", [*columns, "source", "metadata"], where)
    entered = hidden.shown_samples(read_all).sort_by("sha256")
    rows = entered.select(columns).to_pylist()
    images = read("images", ["sha256", "thumbnail", "mode", "width", "height"], None)
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
        samples=entered,
        images=images.drop_columns("thumbnail"),
    )
