"""A disk that is full or may not be written: one error that names it, wherever it came up."""

import errno
from collections.abc import Callable
from typing import TypeVar

from neuro.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)

T = TypeVar("T")


def is_full(error: Exception) -> bool:
    """Whether the system said that no space is left; Lance hands its number on as text alone."""
    number = error.errno if isinstance(error, OSError) else None
    return number in _FULL or any(f"os error {n}" in str(error) for n in _FULL)


def is_denied(error: Exception) -> bool:
    """Whether the system said that this user may not read or write there."""
    number = error.errno if isinstance(error, OSError) else None
    return number in _DENIED or any(f"os error {n})" in str(error) for n in _DENIED)


def denied(place: str, error: Exception) -> StorageError:
    """What to say of a lake or folder that the system keeps this user from."""
    reason = str(error).partition(", /")[0][:200]  # without where in Lance's source it came up
    return StorageError(
        f"{place} may not be read or written by your user ({reason}): give it the right "
        "to (chmod -R u+rwX), look whether the disk is mounted for reading only, or name another "
        "place"
    )


def guard(folder: str, what: str, call: Callable[[], T]) -> T:
    """Do a piece of work on a lake in a folder.

    Raises StorageError if its disk is full, or may not be read or written.
    """
    try:
        return call()
    except (OSError, RuntimeError, ValueError) as error:
        if is_denied(error):
            raise denied(f"the lake {folder} ({what})", error) from error
        if not is_full(error):
            raise
        raise StorageError(
            f"no space is left on the disk of {folder} ({what}): make room and run the same "
            "command again; every release can be read as before"
        ) from error
