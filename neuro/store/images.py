"""Stored image bytes of a release, each checked against its digest before anybody sees it."""

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

from neuro.errors import DamagedError
from neuro.sample import Sample
from neuro.store.lake import Lake
from neuro.store.releases import Release, place
from neuro.store.scans import batches

_COLUMNS = ["sha256", "stored", "stored_sha256"]


def stored_bytes(
    lake: Lake, release: Release, wanted: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """Yield (sample_id, bytes) of the wanted samples, in the table's order.

    Raises DamagedError naming the sample if its bytes do not match their digest, or if some are
    missing from the release.
    """
    missing = set(wanted)
    for sample_id, raw, is_whole in _scan(lake, release, missing):
        if not is_whole:
            raise DamagedError(
                f"image {sample_id[:12]} of {release.name} is damaged in the lake; "
                "`neuro verify` lists all that are"
            )
        yield sample_id, raw
        missing.discard(sample_id)
    if missing:
        raise DamagedError(f"{len(missing)} images of {release.name} are missing from the lake")


def damaged(lake: Lake, release: Release, samples: Collection[Sample]) -> list[str]:
    """Sample ids whose stored bytes do not match their digest, or are gone; sorted."""
    wanted = {sample.sample_id for sample in samples}
    whole = {sample_id for sample_id, _, ok in _scan(lake, release, wanted) if ok}
    return sorted(wanted - whole)


def facts(lake: Lake, release: Release) -> dict[str, dict[str, Any]]:
    """stored_sha256, media_type, width, height and mode of every stored image, by sample_id."""
    columns = ["sha256", "stored_sha256", "media_type", "width", "height", "mode"]
    table = place(lake, release).at("images", release.tables["images"]).to_table(columns=columns)
    return {row.pop("sha256"): row for row in table.to_pylist()}


def _scan(
    lake: Lake, release: Release, wanted: Collection[str]
) -> Iterator[tuple[str, bytes, bool]]:
    chosen = frozenset(wanted)
    there = place(lake, release)
    for batch in batches(there.at("images", release.tables["images"]), _COLUMNS):
        for sample_id, raw, digest in zip(*(batch[name] for name in _COLUMNS), strict=True):
            if sample_id.as_py() in chosen:
                value = raw.as_py()
                yield sample_id.as_py(), value, hashlib.sha256(value).hexdigest() == digest.as_py()
