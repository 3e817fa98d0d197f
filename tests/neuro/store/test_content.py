import hashlib
import random

import pyarrow as pa
import pytest

from neuro.store import content


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
    assert content.digest(in_order) == plain(in_order) == content.digest(mixed)


@pytest.mark.parametrize("ids", [["a", "a!", "ab"], ["x", "x", "x", "y"], [], ["é", "z"]])
def test_a_digest_sorts_lines_and_not_ids(ids: list[str]) -> None:
    for seed in range(5):
        rows = table(ids, random.Random(seed))
        assert content.digest(rows) == plain(rows)


def test_a_digest_of_more_rows_than_one_piece_has_is_of_all_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(content, "_ROWS", 7)
    rows = table([f"{n:04d}" for n in range(100)], random.Random(0))
    back = rows.take(list(reversed(range(100))))
    swapped = rows.take([*range(50, 100), *range(50)])  # each piece is in order, the whole is not
    assert {content.digest(part) for part in (rows, back, swapped)} == {plain(rows)}


def test_the_highest_sequence_of_an_image_is_its_newest_label() -> None:
    rows = pa.table(
        {
            "sha256": ["a", "b", "a", "a"],
            "sequence": [1, 0, 2, 0],
            "label": ["middle", "only", "last", "first"],
            "run_id": ["r"] * 4,
        }
    )
    found = content.newest(rows)
    assert dict(zip(found["sha256"].to_pylist(), found["label"].to_pylist(), strict=True)) == {
        "a": "last",
        "b": "only",
    }
