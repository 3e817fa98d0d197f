"""What the table ``samples`` says of a release: where its images come from, and whose they are."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neuro.lake import images, scans
from neuro.lake.lake import Lake, quoted
from neuro.lake.releases import Release, place


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """What came with a sample: the source, and its metadata, the values as delivered."""

    source: str
    metadata: Mapping[str, Any]


def described(lake: Lake, release: Release) -> dict[str, Described]:
    """What the source says of each sample, by sample_id."""
    return {
        row["sha256"]: Described(
            source=row["source"] or "", metadata=json.loads(row["metadata"] or "{}")
        )
        for batch in _read(lake, release, ["sha256", "source", "metadata"])
        for row in batch.to_pylist()
    }


def group_keys(lake: Lake, release: Release, wanted: Collection[str]) -> dict[str, str]:
    """The digest of the patient or lesion id of some images, "" for none, by sample_id."""
    chosen = frozenset(wanted)
    return {
        row["sha256"]: row["group_key"]
        for batch in _read(lake, release, ["sha256", "group_key"])
        for row in batch.to_pylist()
        if row["sha256"] in chosen
    }


def known(lake: Lake, release: Release, wanted: Collection[str]) -> tuple[pa.Table, pa.Table]:
    """What is known of images beside their pixels: their rows of ``samples`` and ``images``."""
    samples = pa.Table.from_batches(_read(lake, release, ["sha256", "source", "metadata"]))
    chosen = samples.filter(pc.is_in(samples["sha256"], pa.array(sorted(wanted), pa.string())))
    facts = images.facts(lake, release, wanted)
    rows = [{"sha256": sample_id, **facts[sample_id]} for sample_id in facts]
    return chosen.sort_by("sha256"), pa.Table.from_pylist(rows)


def _read(lake: Lake, release: Release, columns: list[str]) -> Iterator[pa.RecordBatch]:
    version = place(lake, release).at("samples", release.tables["samples"])
    where = f"dataset = {quoted(release.dataset)}"
    return lake.scan("read samples", partial(scans.batches, version, columns, where))
