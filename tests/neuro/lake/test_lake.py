import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from neuro.errors import ConfigError
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.lake.table_schemas import SCHEMAS


def test_a_lake_of_another_version_is_named_and_not_written_to(tmp_path: Path) -> None:
    older = SCHEMAS["releases"].remove(SCHEMAS["releases"].get_field_index("left_out"))
    lance.write_dataset(older.empty_table(), str(tmp_path / "releases.lance"))
    with pytest.raises(ConfigError, match="lacks left_out: another version"):
        releases.current(Lake(str(tmp_path)), "brain")


@pytest.mark.parametrize("name", ["file", "file/lake", "file/a/lake"])
def test_a_lake_where_a_file_stands_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"/file is a file; give a folder"):
        Lake(str(tmp_path / name))


def test_a_lake_that_travels_is_the_same_view_and_knows_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = pickle.loads(pickle.dumps(Lake("near").on("line")))  # noqa: S301
    assert (there.uri, there.branch) == (str(tmp_path / "near"), "line")


def test_a_lake_in_a_bucket_travels_as_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    lake = Lake("s3://bucket/lake", "http://127.0.0.1:1", 7.0)
    sent = pickle.dumps(lake)
    assert b"hush" not in sent
    assert pickle.loads(sent).place == lake.place  # noqa: S301


def test_of_many_who_make_a_table_at_once_each_keeps_its_rows(tmp_path: Path) -> None:
    """One of them makes it; a second making would empty what the first has written by then."""
    for number in range(20):
        lakes = [Lake(str(tmp_path / str(number))) for _ in range(5)]

        def add(row: int, lakes: list[Lake] = lakes) -> int:
            line = {"key": f"look/{row}", "kind": "look", "body": "{}", "at": datetime.now(UTC)}
            rows = pa.Table.from_pylist([line], SCHEMAS["journal"])
            return lakes[row].add("journal", rows)

        with ThreadPoolExecutor(5) as pool:
            assert list(pool.map(add, range(5))) == [1] * 5
        made = lance.dataset(f"{lakes[0].uri}/journal.lance")
        assert made.count_rows() == 5
        assert made.has_stable_row_ids
