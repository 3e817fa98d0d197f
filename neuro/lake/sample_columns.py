"""What joins the images of a release into groups: how they look, and whose they are."""

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neuro.lake.lake import Lake, quoted
from neuro.lake.releases import Release, place
from neuro.lake.scans import narrow


def thumbnails(lake: Lake, release: Release, wanted: Collection[str]) -> dict[str, bytes]:
    """The (32, 32) uint8 thumbnails of some images as bytes, by sample_id."""
    table = place(lake, release).at("images", release.tables["images"])
    return _by_sample(narrow(table, ["sha256", "thumbnail"]), wanted)


def group_keys(lake: Lake, release: Release, wanted: Collection[str]) -> dict[str, str]:
    """The digest of the patient or lesion id of some images, "" for none, by sample_id."""
    table = place(lake, release).at("samples", release.tables["samples"])
    where = f"dataset = {quoted(release.dataset)}"
    return _by_sample(narrow(table, ["sha256", "group_key"], where), wanted)


def known(lake: Lake, release: Release, wanted: Collection[str]) -> tuple[pa.Table, pa.Table]:
    """What is known of images beside their pixels: their rows of ``samples`` and ``images``."""
    there, ids = place(lake, release), pa.array(sorted(wanted))
    where = f"dataset = {quoted(release.dataset)}"
    samples = there.at("samples", release.tables["samples"]).to_table(
        columns=["sha256", "source", "metadata"], filter=where
    )
    images = there.at("images", release.tables["images"]).to_table(
        columns=["sha256", "mode", "width", "height"]
    )
    chosen = samples.filter(pc.is_in(samples["sha256"], ids)).sort_by("sha256")
    return chosen, images.filter(pc.is_in(images["sha256"], ids))


def _by_sample(batches: pa.RecordBatchReader, wanted: Collection[str]) -> dict[str, Any]:
    chosen = frozenset(wanted)
    return {
        name: value
        for batch in batches
        for name, value in zip(batch[0].to_pylist(), batch[1].to_pylist(), strict=True)
        if name in chosen
    }
