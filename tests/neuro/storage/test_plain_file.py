import os
from pathlib import Path

import pytest

from neuro.storage import plain_file


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a file in it, and a file outside it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    return Path(os.path.realpath(tmp_path))


def test_a_plain_file_is_read(place: Path) -> None:
    assert plain_file.read_bytes(place / "in" / "a.png") == b"inside"


def test_a_link_put_in_the_place_of_a_file_is_not_followed(place: Path) -> None:
    (place / "in" / "a.png").unlink()
    (place / "in" / "a.png").symlink_to(place / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        plain_file.open_plain(place / "in" / "a.png")


def test_a_link_put_in_the_place_of_a_folder_is_not_followed(place: Path) -> None:
    (place / "in").rename(place / "moved")
    (place / "in").symlink_to(place / "moved")
    with pytest.raises(NotADirectoryError):
        plain_file.open_plain(place / "in" / "a.png")


def test_a_pipe_is_refused_at_once(place: Path) -> None:
    os.mkfifo(place / "in" / "pipe.png")
    with pytest.raises(OSError, match="no plain file"):
        plain_file.open_plain(place / "in" / "pipe.png")


def test_a_device_and_a_folder_are_refused(place: Path) -> None:
    for path in (Path("/dev/zero"), place / "in"):
        with pytest.raises(OSError, match="no plain file"):
            plain_file.open_plain(path)


def test_no_descriptor_is_left_open(place: Path) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    for name in ("in/a.png", "in/gone.png", "in", "gone/a.png"):
        try:
            plain_file.read_bytes(place / name)
        except OSError:
            continue
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_a_file_with_holes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path.resolve() / "delivery.toml"
    path.touch()
    os.truncate(path, plain_file.MOST_BYTES + 1)
    with pytest.raises(OSError, match="over 512 MB"):
        plain_file.read_bytes(path)
