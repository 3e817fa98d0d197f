"""Open a file that others may replace at any moment: a plain file at its own place, or an error."""

import errno
import os
import stat
from io import FileIO
from pathlib import Path

# O_PATH needs no right to list a folder; systems without it open the folder itself.
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
# O_NONBLOCK: opening a pipe would wait for a writer, and opening a device for its line.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
MOST_BYTES = 512 << 20  # of a table or a note; a file with holes costs nobody that much


def open_plain(path: Path) -> FileIO:
    """Open for reading, unbuffered, without following a link in any part of the path.

    So a link that was put there after the path was checked leads nowhere. path: as ``os.path.
    realpath`` gives it. Raises OSError, at once also where a pipe or a device lies there.
    """
    return FileIO(descriptor(os.fsencode(path)))


def read_bytes(path: Path) -> bytes:
    """The whole of a small file, opened as by ``open_plain``. Raises OSError for a larger one."""
    with open_plain(path) as stream:
        if os.fstat(stream.fileno()).st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"over {MOST_BYTES >> 20} MB", str(path))
        return stream.read(MOST_BYTES)


def descriptor(path: bytes) -> int:
    """The same, as a descriptor that the caller closes."""
    if not path.startswith(b"/"):
        path = os.path.abspath(path)  # noqa: PTH100 - of bytes
    handle = os.open(path, _FILE)
    if not _lies_at(handle, path):
        os.close(handle)
        handle = _by_each_folder(path)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "no plain file", os.fsdecode(path))
    return handle


def _lies_at(handle: int, path: bytes) -> bool:
    """Whether what was opened lies there without any link, as far as Linux tells."""
    try:
        return os.readlink(b"/proc/self/fd/%d" % handle) == path  # noqa: PTH115 - of bytes
    except OSError:  # another system, or no /proc
        return False


def _by_each_folder(path: bytes) -> int:
    """Open one folder after the other, none of which may be a link: the sure and slow way."""
    *folders, name = os.path.abspath(path).split(b"/")[1:]  # noqa: PTH100 - of bytes
    here = os.open("/", _FOLDER)
    try:
        for folder in folders:
            below = os.open(folder, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        return os.open(name, _FILE, dir_fd=here)
    finally:
        os.close(here)
