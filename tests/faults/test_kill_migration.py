"""kill -9 before and after each commit of a migration, and two who migrate one lake at once."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neuro.lake import journal, migration
from neuro.lake.lake import Lake
from tests.fixtures import lakes
from tests.neuro.lake.test_migration import GONE, NOW, columns, require_whole

pytestmark = pytest.mark.slow

CHILD = """
import os, signal, sys
import lance
from neuro.lake import journal, migration
from neuro.lake.lake import Lake
uri, last, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
commits = 0

def counted(commit):
    def call(*args, **named):
        global commits
        commits += 1
        if (commits, when) == (last, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        done = commit(*args, **named)
        if (commits, when) == (last, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return call

for name in ("drop_columns", "update_config"):
    setattr(lance.LanceDataset, name, counted(getattr(lance.LanceDataset, name)))
print("ready", flush=True)
sys.stdin.readline()
migration.migrate(Lake(uri))
"""
N_COMMITS = 3  # main, the user's branch, the mark


def start(uri: str, last: int = 0, when: str = "never") -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, uri, str(last), when],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def let_go(*children: subprocess.Popen[str]) -> list[int]:
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.communicate()
    return [child.returncode for child in children]


def require_migrated(uri: str) -> None:
    assert Lake(uri).version == migration.newest()
    assert GONE not in columns(uri) + columns(uri, "user.brain.trial")
    require_whole(uri)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("last", range(1, N_COMMITS + 1))
def test_a_killed_migration_leaves_a_lake_that_reads_and_is_completed(
    tmp_path: Path, last: int, when: str
) -> None:
    uri = lakes.copy_v1(tmp_path)
    assert let_go(start(uri, last, when)) == [-signal.SIGKILL]
    require_whole(uri)
    journal.record(Lake(uri), "test", "the next write", {}, NOW)
    require_migrated(uri)


def test_two_who_migrate_at_once_both_succeed(tmp_path: Path) -> None:
    uri = lakes.copy_v1(tmp_path)
    assert let_go(start(uri), start(uri)) == [0, 0]
    require_migrated(uri)
