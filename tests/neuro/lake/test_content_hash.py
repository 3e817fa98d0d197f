import gc
import hashlib
import random
import tracemalloc

import pyarrow as pa
import pytest

from neuro.lake import content_hash, digest_partitions
from neuro.lake.content_hash import Content
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake
from neuro.lake.table_schemas import SCHEMAS
from neuro.sample import Sample


def digest(rows: pa.Table) -> str:
    found = content_hash.Digest()
    found.update(rows)
    return found.hexdigest()


def plain(rows: pa.Table) -> str:
    """The content hash as DESIGN defines it, row by row."""
    lines = sorted(
        "{sample_id},{label},{group_id},{split}\n".format(**row).encode()
        for row in rows.to_pylist()
    )
    return hashlib.sha256(b"".join(lines)).hexdigest()


def table(ids: list[str], rng: random.Random) -> pa.Table:
    names = ["train", "test", "", "Übergang", "a,b"]
    columns = {name: [rng.choice(names) for _ in ids] for name in ("label", "group_id", "split")}
    return pa.table({"sample_id": ids, **columns})


def test_a_digest_is_of_the_sorted_lines_whatever_the_order_of_the_rows() -> None:
    rng = random.Random(0)
    ids = sorted(f"{rng.getrandbits(256):064x}" for _ in range(300))
    in_order = table(ids, rng)
    mixed = in_order.take(rng.sample(range(300), 300))
    assert digest(in_order) == plain(in_order) == digest(mixed)


@pytest.mark.parametrize("ids", [["a", "a!", "ab"], ["x", "x", "x", "y"], [], ["é", "z"]])
def test_a_digest_sorts_lines_and_not_ids(ids: list[str]) -> None:
    for seed in range(5):
        rows = table(ids, random.Random(seed))
        assert digest(rows) == plain(rows)


def test_a_digest_is_of_the_sorted_lines_whatever_order_and_chunks_they_come_in() -> None:
    rows = table([f"{n:04d}" for n in range(100)], random.Random(0))
    back = rows.take(list(reversed(range(100))))
    swapped = pa.concat_tables([rows.slice(50), rows.slice(0, 50)])  # each chunk is in order
    assert {digest(part) for part in (rows, back, swapped)} == {plain(rows)}


def test_a_digest_of_parts_is_that_of_the_whole() -> None:
    rows = table([f"{n:04d}" for n in range(100)], random.Random(0))
    found = content_hash.Digest()
    for start, stop in ((0, 1), (1, 1), (1, 60), (60, 100)):
        found.update(rows.take(pa.array(range(start, stop), pa.int64())[::-1]))
    assert (found.hexdigest(), found.n) == (plain(rows), 100)


def lake_of(lake: Lake, n: int, rng: random.Random) -> Content:
    """Samples of three runs with none to three labels each; the last run is left out, but a few."""
    ids = [hashlib.sha256(str(k).encode()).hexdigest() for k in range(n)]
    held = [
        {"dataset": "brain", "sha256": s, "group_id": rng.choice(ids), "source_name": s[:5]}
        | {
            "split": rng.choice(["train", "val"]),
            "given_split": "",
            "run_id": f"r{rng.randrange(3)}",
        }
        for s in ids
    ]
    said = [
        {"dataset": "brain", "sha256": s, "sequence": k, "label": rng.choice("xyz")}
        | {"run_id": f"r{rng.randrange(3)}"}
        for s in ids
        for k in range(rng.randrange(4))
    ]
    for table_name, rows in (("samples", held), ("labels", said)):
        lake.add(table_name, pa.Table.from_pylist(rows, SCHEMAS[table_name]))
    hidden = LeftOut(
        runs=frozenset({"r2"}),
        kept_samples=frozenset(ids[::7]),
        kept_labels=frozenset((s, 0) for s in ids[::5]),
    )
    return Content(
        lake=lake,
        dataset="brain",
        tables={name: lake.open(name).version for name in ("labels", "samples")},
        left_out=hidden,
        entered={"r0": "first", "r1": "second", ids[0]: "third"},
    )


def test_content_in_partitions_is_that_of_the_tables(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lake_of(lake, 600, random.Random(0))
    hidden = held.left_out
    labels: dict[str, tuple[int, str]] = {}
    for row in lake.read("labels").to_pylist():
        key = (row["sha256"], row["sequence"])
        if row["run_id"] != "r2" or key in hidden.kept_labels:
            labels[key[0]] = max(labels.get(key[0], (-1, "")), (key[1], row["label"]))
    expected = [
        Sample(
            sample_id=row["sha256"],
            group_id=row["group_id"],
            split=row["split"],
            given_split="",
            label=labels.get(row["sha256"], (-1, ""))[1],
            source_name=row["source_name"],
            entered=held.entered.get(row["sha256"], held.entered.get(row["run_id"], "")),
        )
        for row in sorted(lake.read("samples").to_pylist(), key=lambda row: row["sha256"])
        if row["run_id"] != "r2" or row["sha256"] in hidden.kept_samples
    ]
    for n in (0, 1, 5, 256):
        assert content_hash.samples(held.parts(content_hash.FIELDS, n)) == expected
    whole = held.hashed().hexdigest()
    monkeypatch.setattr(digest_partitions, "ROWS", 50)
    assert held.hashed().hexdigest() == whole == plain(next(held.parts(n=1)))


def test_no_more_than_a_partition_is_held_at_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lake_of(lake, 2000, random.Random(0))
    monkeypatch.setattr(digest_partitions, "ROWS", 100)
    sizes = [part.num_rows for part in held.parts()]
    assert len(sizes) > 20
    assert max(sizes) < 100


def test_a_label_of_many_samples_is_held_once() -> None:
    n, label = 300, "x" * 10_000
    columns = {name: [""] * n for name in content_hash.FIELDS}
    rows = pa.table(columns | {"sample_id": [f"{k:064x}" for k in range(n)], "label": [label] * n})
    tracemalloc.start()
    found = content_hash.samples([rows])
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {sample.label for sample in found} == {label}
    assert size < n * len(label) / 10


def test_making_samples_leaves_the_collector_as_it_was(lake: Lake) -> None:
    held = lake_of(lake, 10, random.Random(0))
    content_hash.samples(held.parts(content_hash.FIELDS))
    assert gc.isenabled()
    gc.disable()
    try:
        content_hash.samples(held.parts(content_hash.FIELDS))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_highest_sequence_of_an_image_is_its_newest_label() -> None:
    rows = pa.table(
        {
            "sha256": ["a", "b", "a", "a"],
            "sequence": [1, 0, 2, 0],
            "label": ["middle", "only", "last", "first"],
            "run_id": ["r"] * 4,
        }
    )
    found = content_hash.newest(rows)
    assert dict(zip(found["sha256"].to_pylist(), found["label"].to_pylist(), strict=True)) == {
        "a": "last",
        "b": "only",
    }
