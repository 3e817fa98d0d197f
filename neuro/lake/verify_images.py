"""Read images of one run back from the store, a bounded number of rows at a time."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import lance
import pyarrow as pa

from neuro.errors import AuditError
from neuro.lake.lake import Lake, quoted
from neuro.lake.staging import Branch

_ROWS = 64  # of images that lie scattered; under a filter, Lance bounds the rows alone
_KEYS = 2_000  # digests in one filter
_FACTS = ["sha256", "stored_sha256", "width", "height", "thumbnail"]


def facts(lake: Lake, digests: Collection[str]) -> dict[str, dict[str, Any]]:
    """Digest and thumbnail of those images that the lake holds, for whichever dataset."""
    found: dict[str, dict[str, Any]] = {}
    for some in _chunks(digests):
        rows = lake.read("images", columns=_FACTS, where=_any_of(some)).to_pylist()
        found |= {row["sha256"]: row for row in rows}
    return found


def stored(branch: Branch, digests: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (sample_id, clean bytes) of images on main or on the branch."""
    for some in _chunks(digests):
        for batch in _scan(_tip(branch), ["sha256", "stored"], _any_of(some)):
            for sha256, value in zip(batch["sha256"], batch["stored"], strict=True):
                yield sha256.as_py(), value.as_py()


def withhold(branch: Branch, digests: Collection[str]) -> None:
    """Take images that do not enter off the branch again."""
    for some in _chunks(digests):
        _tip(branch).delete(f"{_of_run(branch)} AND {_any_of(some)}")


def check_branch(branch: Branch, expected: Mapping[str, str]) -> None:
    """Compare every image the run has written with what was vetted.

    expected: sample_id -> digest of the clean bytes as vetted. Raises AuditError.
    """
    missing = dict(expected)
    columns = ["sha256", "stored", "run_id"]
    for batch in branch.lake.stream(_tip(branch), branch.run_id, columns):
        for sha256, value in zip(batch["sha256"], batch["stored"], strict=True):
            name = sha256.as_py()
            if name not in missing:  # of the same run, cut short after main had taken it
                continue
            if hashlib.sha256(value.as_py()).hexdigest() != missing.pop(name):
                raise AuditError(f"image {name[:12]} was not stored as it was vetted")
    if missing:
        raise AuditError(f"{len(missing)} vetted images are missing from the branch")


def check_sample(lake: Lake, expected: Mapping[str, str]) -> None:
    """Compare images of main with what was vetted, before a release refers to them.

    expected: as for ``check_branch``. Raises AuditError naming what is damaged or missing.
    """
    missing = dict(expected)
    for some in _chunks(expected):
        for batch in _scan(lake.open("images"), ["sha256", "stored"], _any_of(some)):
            for sha256, value in zip(batch["sha256"], batch["stored"], strict=True):
                if hashlib.sha256(value.as_py()).hexdigest() == missing[sha256.as_py()]:
                    del missing[sha256.as_py()]
    if missing:
        names = ", ".join(sorted(name[:12] for name in missing)[:5])
        raise AuditError(
            f"verification sample: {len(missing)} of {len(expected)} images are not in the lake as "
            f"they were vetted ({names}); no release was made. Check the disk or the store, and "
            "run `neuro verify`"
        )


def _tip(branch: Branch) -> lance.LanceDataset:
    return branch.lake.open("images").checkout_version((branch.name, None))


def _of_run(branch: Branch) -> str:
    return f"run_id = {quoted(branch.run_id)}"


def _scan(dataset: lance.LanceDataset, columns: list[str], where: str) -> Iterator[pa.RecordBatch]:
    scanner = dataset.scanner(
        columns=columns, filter=where, batch_size=_ROWS, batch_readahead=1, fragment_readahead=1
    )
    yield from scanner.to_batches()


def _chunks(digests: Collection[str]) -> Iterator[Sequence[str]]:
    left = iter(sorted(digests))
    while some := list(islice(left, _KEYS)):
        yield some


def _any_of(digests: Sequence[str]) -> str:
    return f"sha256 IN ({', '.join(quoted(digest) for digest in digests)})"
