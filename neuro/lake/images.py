"""Stored image bytes of a release, each checked against its digest before anybody sees it."""

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

from neuro.errors import DamagedError
from neuro.lake import scans
from neuro.lake.lake import Lake, quoted
from neuro.lake.releases import Release, place
from neuro.sample import Sample

FEW = 4096  # up to so many images are asked for by name; for more the whole table is read

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


def in_order(lake: Lake, release: Release, wanted: Collection[str]) -> list[str]:
    """The wanted samples in the table's order, in which they are read fastest.

    Raises DamagedError if some are missing from the release.
    """
    asked, found = frozenset(wanted), []
    for batch in scans.narrow(_table(lake, release), ["sha256"]):
        found += [sample_id for sample_id in batch["sha256"].to_pylist() if sample_id in asked]
    if lacking := len(asked) - len(found):
        raise DamagedError(f"{lacking} images of {release.name} are missing from the lake")
    return found


def damaged(lake: Lake, release: Release, samples: Collection[Sample]) -> list[str]:
    """Sample ids whose stored bytes do not match their digest, or are gone; sorted."""
    wanted = {sample.sample_id for sample in samples}
    whole = {sample_id for sample_id, _, ok in _scan(lake, release, wanted) if ok}
    return sorted(wanted - whole)


def facts(lake: Lake, release: Release) -> dict[str, dict[str, Any]]:
    """stored_sha256, media_type, width, height and mode of every stored image, by sample_id."""
    columns = ["sha256", "stored_sha256", "media_type", "width", "height", "mode"]
    table = _table(lake, release).to_table(columns=columns)
    return {row.pop("sha256"): row for row in table.to_pylist()}


def _table(lake: Lake, release: Release) -> Any:
    return place(lake, release).at("images", release.tables["images"])


def _scan(
    lake: Lake, release: Release, wanted: Collection[str]
) -> Iterator[tuple[str, bytes, bool]]:
    chosen, table = frozenset(wanted), _table(lake, release)
    if len(chosen) <= FEW:
        where = f"sha256 IN ({', '.join(map(quoted, sorted(chosen)))})" if chosen else "false"
        scan = scans.chosen(table, _COLUMNS, where)
    else:
        scan = scans.batches(table, _COLUMNS)
    for batch in scan:
        for sample_id, raw, digest in zip(*(batch[name] for name in _COLUMNS), strict=True):
            if sample_id.as_py() in chosen:
                value = raw.as_py()
                yield sample_id.as_py(), value, hashlib.sha256(value).hexdigest() == digest.as_py()
