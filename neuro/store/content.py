"""The samples of one state of the tables, each with its newest label."""

from collections.abc import Mapping

from neuro.sample import Sample
from neuro.store.lake import Lake, quoted
from neuro.store.visible import LeftOut


def samples(
    lake: Lake,
    dataset: str,
    tables: Mapping[str, int],
    left_out: LeftOut,
    entered: Mapping[str, str],
) -> list[Sample]:
    """What the tables hold at these versions, less what is left out, sorted by sample_id.

    entered: the release that a run's samples came with, by run, and by sample where it differs.
    """
    where = f"dataset = {quoted(dataset)}"
    labels = (
        lake.at("labels", tables["labels"])
        .to_table(columns=["sha256", "sequence", "label", "run_id"], filter=where)
        .sort_by("sequence")
        .to_pylist()
    )
    newest = {row["sha256"]: row["label"] for row in labels if left_out.has_label(row)}
    columns = ["sha256", "group_id", "split", "given_split", "source_name", "run_id"]
    rows = (
        lake.at("samples", tables["samples"])
        .to_table(columns=columns, filter=where)
        .sort_by("sha256")
        .to_pylist()
    )
    return [
        Sample(
            sample_id=row["sha256"],
            group_id=row["group_id"],
            split=row["split"],
            given_split=row["given_split"],
            label=newest.get(row["sha256"], ""),
            source_name=row["source_name"],
            entered=entered.get(row["sha256"]) or entered.get(row["run_id"], ""),
        )
        for row in rows
        if left_out.has_sample(row)
    ]
