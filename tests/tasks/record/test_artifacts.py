"""What a run showed and is taken back again."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tasks.record import artifacts

GONE, KEPT = "9f2c" * 16, "77aa" * 16
SECRET = f"{GONE} a picture of somebody" * 100


def events(server: sqlite3.Connection) -> list[tuple[str, str]]:
    return server.execute("SELECT event, payload FROM events ORDER BY rowid").fetchall()


def test_nothing_of_a_picture_is_left_in_the_file_or_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "prefect.db"
    with closing(sqlite3.connect(path)) as server:  # stays connected, as a server does
        server.execute("PRAGMA journal_mode=WAL")
        server.execute("PRAGMA secure_delete=OFF")
        server.execute("CREATE TABLE events (event TEXT, payload TEXT)")
        server.execute("CREATE TABLE artifact (data TEXT)")
        kind = "prefect.artifact-collection.updated"
        rows = [(kind, SECRET), (kind, KEPT), ("prefect.flow-run.Completed", GONE)]
        server.executemany("INSERT INTO events VALUES (?, ?)", rows)
        server.execute("INSERT INTO artifact VALUES (?)", (SECRET,))
        server.commit()
        server.execute("DELETE FROM artifact")
        server.commit()
        wanted = SECRET[:80].encode()
        assert [file for file in tmp_path.iterdir() if wanted in file.read_bytes()] != []
        artifacts._empty_events(path, [GONE])
        assert [file for file in tmp_path.iterdir() if wanted in file.read_bytes()] == []
        assert events(server) == [(kind, "{}"), (kind, KEPT), ("prefect.flow-run.Completed", GONE)]


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    artifacts._empty_events(tmp_path / "prefect.db", [GONE])
    assert list(tmp_path.iterdir()) == []


def test_outside_a_run_nothing_is_asked_of_any_server() -> None:
    assert artifacts.forget("passport-page-", [GONE]) == 0
