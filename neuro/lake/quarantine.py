"""Files that were not let in, and what people decided about them.

A row holds the bytes as they came, until a person decides. The decision is a create-only row of the
journal, written first; then the row and its bytes go. A row that stands beside its decision is left
by a crash: the same command again removes it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta

import lance
import pyarrow as pa

from neuro.errors import ConfigError, StaleError, UnknownNameError
from neuro.lake import journal
from neuro.lake.lake import Lake, quoted
from neuro.lake.table_schemas import SCHEMAS

TABLE = KIND = "quarantine"
_FILES = f"{TABLE}.lance/data"
_BATCH_BYTES = 64_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """One file that waits, under one label it arrived with.

    sha256: digest of its bytes, or of its name where they could not be read. other: the sample
    with the same pixels, "" for none. The rest is what a sample needs to enter later.
    """

    dataset: str
    sha256: str
    reason: str
    label: str
    message: str
    stage: str
    other: str
    source_name: str
    given_split: str
    group_key: str
    metadata: str
    source: str
    run_id: str
    is_synthetic: bool
    at: datetime

    @property
    def key(self) -> str:
        """What a decision is keyed by; another label later is another row, and waits again."""
        return f"{self.dataset}/{self.sha256}/{self.reason}/{self.label}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a person decided. action: "release" or "discard"; label: what it was released as."""

    action: str
    who: str
    label: str
    why: str


_COLUMNS = [field.name for field in fields(Waiting)]


def add(lake: Lake, rows: Iterable[tuple[Waiting, Callable[[], bytes]]]) -> None:
    """Keep files with their bytes, a bounded number of bytes at a time.

    What stands there already is not added again, and what was decided does not come back.
    """
    decided = {entry.key for entry in journal.entries(lake, KIND)}
    batch: dict[str, dict[str, object]] = {}
    n_bytes = 0
    for row, read in rows:
        if f"{KIND}/{row.key}" in decided or row.key in batch:
            continue
        raw = read()
        batch[row.key] = {**asdict(row), "raw": raw}
        n_bytes += len(raw)
        if n_bytes > _BATCH_BYTES:
            _write(lake, batch.values())
            batch, n_bytes = {}, 0
    _write(lake, batch.values())


def waiting(lake: Lake, dataset: str, reason: str | None = None) -> list[Waiting]:
    """What waits in a dataset, oldest first; also what a crash left beside its decision."""
    where = f"dataset = {quoted(dataset)}"
    if reason is not None:
        where += f" AND reason = {quoted(reason)}"
    rows = lake.read(TABLE, columns=_COLUMNS, where=where).to_pylist()
    return [Waiting(**row) for row in sorted(rows, key=lambda row: (row["at"], row["sha256"]))]


def find(lake: Lake, dataset: str, digest: str) -> list[Waiting]:
    """The rows of one file, by its digest or the beginning of it.

    Raises UnknownNameError if nothing waits under it, ConfigError if several files begin with it.
    """
    rows = [row for row in waiting(lake, dataset) if row.sha256.startswith(digest)]
    if not digest or not rows:
        raise UnknownNameError(
            f"nothing of {dataset} waits under {digest!r}; `neuro quarantine list` shows what does"
        )
    if len({row.sha256 for row in rows}) > 1:
        raise ConfigError(f"several files begin with {digest!r}; give more of the digest")
    return rows


def raw(lake: Lake, row: Waiting) -> bytes:
    """The bytes as they came; never decoded here. Empty where they were not kept."""
    found = lake.read(TABLE, columns=["raw"], where=_where([row]))["raw"]
    return bytes(found[0].as_py()) if len(found) else b""


def decisions(lake: Lake, dataset: str) -> list[journal.Entry]:
    """Every decision of a dataset, oldest first."""
    return [e for e in journal.entries(lake, KIND) if e.body["dataset"] == dataset]


def record(lake: Lake, rows: Sequence[Waiting], decision: Decision, now: datetime) -> None:
    """Write the decision on each row, once. Raises StaleError if somebody decided otherwise."""
    for row in rows:
        body = asdict(decision) | {"dataset": row.dataset, "sha256": row.sha256}
        body |= {"reason": row.reason, "arrived_as": row.label, "stage": row.stage}
        body |= {"arrived_at": row.at.isoformat()}
        if journal.record(lake, KIND, row.key, body, now):
            continue
        entry = journal.get(lake, KIND, row.key)
        if entry is not None and any(entry.body[k] != body[k] for k in ("action", "label")):
            raise StaleError(
                f"{row.sha256[:12]} was decided meanwhile: {entry.body['action']} by "
                f"{entry.body['who']}; `neuro quarantine list --decided` shows it"
            )


def n_arrived(lake: Lake, dataset: str, since: datetime, until: datetime) -> int:
    """Files that came to wait after ``since`` and up to ``until``, decided by now or not."""
    where = f"dataset = {quoted(dataset)}"
    rows = lake.read(TABLE, columns=["sha256", "at"], where=where).to_pylist()
    came = {row["sha256"] for row in rows if since < row["at"] <= until}
    for each in decisions(lake, dataset):
        at = each.body.get("arrived_at")  # older lines do not say it
        if at and since < datetime.fromisoformat(at) <= until:
            came.add(each.body["sha256"])
    return len(came)


def require_removal(lake: Lake) -> None:
    """Before anything is decided: raise StorageError where this user may not remove bytes."""
    lake.store.delete(f"{_FILES}/none")


def remove_decided(lake: Lake, dataset: str) -> int:
    """Take every decided row out and its bytes off the disk; returns how many rows that were.

    Deleting alone would only hide them: the files are rewritten and the old versions dropped.
    """
    decided = {entry.key for entry in decisions(lake, dataset)}
    rows = [row for row in waiting(lake, dataset) if f"{KIND}/{row.key}" in decided]
    if decided and lake.has(TABLE):
        lake.insist("remove from quarantine", lambda: _remove(lake, rows))
    return len(rows)


def _remove(lake: Lake, rows: Sequence[Waiting]) -> None:
    if rows:
        lake.open(TABLE).delete(_where(rows))
    lake.open(TABLE).optimize.compact_files(
        materialize_deletions=True, materialize_deletions_threshold=0.0
    )
    newest = lake.open(TABLE)
    newest.cleanup_old_versions(older_than=timedelta(0))
    # Lance keeps the version that a user's branch began with, though the branch dropped every row
    # of it, and says nothing where a store refuses (docs/traps.md): what is left goes here.
    older = [v["version"] for v in newest.versions() if v["version"] < newest.version]
    left = {name for version in older for name in _files(lake.at(TABLE, version))}
    lake.store.delete_all(f"{_FILES}/{name}" for name in left - _files(newest))


def _files(version: lance.LanceDataset) -> set[str]:
    return {file.path for part in version.get_fragments() for file in part.data_files()}


def _write(lake: Lake, rows: Iterable[dict[str, object]]) -> None:
    lake.add(TABLE, pa.Table.from_pylist(list(rows), SCHEMAS[TABLE]))


def _where(rows: Sequence[Waiting]) -> str:
    key = ("dataset", "sha256", "reason", "label")
    return " OR ".join(
        "(" + " AND ".join(f"{name} = {quoted(getattr(row, name))}" for name in key) + ")"
        for row in rows
    )
