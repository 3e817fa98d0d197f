"""The images of one run, read back from the store before a release refers to them."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from neuro.errors import AuditError
from neuro.lake import images
from neuro.lake.lake import Lake, among, quoted
from neuro.lake.staging import Branch

_FACTS = ["sha256", "stored_sha256", "width", "height", "thumbnail"]
_STORED = ["sha256", "stored"]


def facts(lake: Lake, digests: Collection[str]) -> dict[str, dict[str, Any]]:
    """Digest and thumbnail of those images that the lake holds, for whichever dataset."""
    batches = images.read(lake, lake.open("images"), _FACTS, digests)
    return {row["sha256"]: row for batch in batches for row in batch.to_pylist()}


def stored(branch: Branch, digests: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (sample_id, clean bytes) of images on main or on the branch."""
    batches = images.read(branch.lake, branch.tip("images"), _STORED, digests)
    return images.pairs(batches, "stored")


def withhold(branch: Branch, digests: Collection[str]) -> None:
    """Take images that do not enter off the branch again."""
    of_run = f"run_id = {quoted(branch.run_id)}"
    for some in images.chunks(digests):
        branch.tip("images").delete(f"{of_run} AND {among('sha256', some)}")


def check_branch(branch: Branch, expected: Mapping[str, str]) -> None:
    """Compare every image the run has written with what was vetted.

    expected: sample_id -> digest of the clean bytes as vetted. Raises AuditError.
    """
    missing = dict(expected)
    rows = branch.lake.stream(branch.tip("images"), branch.run_id, [*_STORED, "run_id"])
    for name, value in images.pairs(rows, "stored"):
        if name not in missing:  # of the same run, cut short after main had taken it
            continue
        if hashlib.sha256(value).hexdigest() != missing.pop(name):
            raise AuditError(f"image {name[:12]} was not stored as it was vetted")
    if missing:
        raise AuditError(f"{len(missing)} vetted images are missing from the branch")


def check_sample(lake: Lake, expected: Mapping[str, str]) -> None:
    """Compare images of main with what was vetted, before a release refers to them.

    expected: as for ``check_branch``. Raises AuditError naming what is damaged or missing.
    """
    missing = dict(expected)
    batches = images.read(lake, lake.open("images"), _STORED, expected)
    for name, value in images.pairs(batches, "stored"):
        if hashlib.sha256(value).hexdigest() == expected[name]:
            missing.pop(name, None)
    if missing:
        names = ", ".join(sorted(name[:12] for name in missing)[:5])
        raise AuditError(
            f"verification sample: {len(missing)} of {len(expected)} images are not in the lake as "
            f"they were vetted ({names}); no release was made. Check the disk or the store, and "
            "run `neuro verify`"
        )
