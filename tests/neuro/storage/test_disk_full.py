from pathlib import Path

import pytest

from neuro.errors import StorageError
from neuro.storage import disk_full


def write_to(place: str) -> None:
    Path(place).write_bytes(b"x")


def fail_like_lance() -> None:
    raise OSError("LanceError(IO): No space left on device (os error 28), src/writer.rs:254:9")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_named_with_the_remedy() -> None:
    with pytest.raises(StorageError, match=r"disk of here \(add\): make room and run the same"):
        disk_full.guard("here", "add", lambda: write_to("/dev/full"))


def test_a_full_disk_is_known_by_what_lance_says_of_it() -> None:
    with pytest.raises(StorageError, match="no space is left on the disk of here"):
        disk_full.guard("here", "add", fail_like_lance)


@pytest.mark.parametrize("number", [13, 30])
def test_a_lake_that_may_only_be_read_is_named_with_the_remedy(number: int) -> None:
    def fail() -> None:
        raise OSError(f"LanceError(IO): Read-only file system (os error {number}), src/a.rs:25:9")

    with pytest.raises(
        StorageError, match=r"the lake here \(add\) may not be .*chmod -R"
    ) as caught:
        disk_full.guard("here", "add", fail)
    assert caught.value.exit_code == 1


def test_any_other_failure_stays_what_it_was(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk_full.guard("here", "add", lambda: write_to(f"{tmp_path}/gone/x"))
