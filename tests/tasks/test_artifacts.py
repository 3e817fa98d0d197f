"""What a run showed and is taken back again."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tasks import artifacts

SECRET = b"a picture of somebody" * 200


def test_nothing_of_a_deleted_row_is_left_in_the_file_or_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "prefect.db"
    with closing(sqlite3.connect(path)) as server:  # stays connected, as a server does
        server.execute("PRAGMA journal_mode=WAL")
        server.execute("PRAGMA secure_delete=OFF")
        server.execute("CREATE TABLE artifact (data BLOB)")
        server.execute("INSERT INTO artifact VALUES (?)", (SECRET,))
        server.commit()
        server.execute("DELETE FROM artifact")
        server.commit()
        held = [file for file in tmp_path.iterdir() if SECRET[:64] in file.read_bytes()]
        assert held != []
        artifacts._compact(path)
        assert [file for file in tmp_path.iterdir() if SECRET[:64] in file.read_bytes()] == []
        assert server.execute("SELECT count(*) FROM artifact").fetchone() == (0,)


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    artifacts._compact(tmp_path / "prefect.db")
    assert list(tmp_path.iterdir()) == []


def test_outside_a_run_nothing_is_asked_of_any_server() -> None:
    assert artifacts.forget("passport-page-", ["a"]) == 0
