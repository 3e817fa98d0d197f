"""A disk that is full: one error that names it, wherever the system's own came up."""

import errno
from collections.abc import Callable
from typing import TypeVar

from neuro.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


def is_full(error: Exception) -> bool:
    """Whether the system said that no space is left; Lance hands its number on as text alone."""
    number = error.errno if isinstance(error, OSError) else None
    return number in _FULL or any(f"os error {n}" in str(error) for n in _FULL)


def guard(folder: str, what: str, call: Callable[[], T]) -> T:
    """Do a piece of work on a lake in a folder. Raises StorageError if its disk is full."""
    try:
        return call()
    except (OSError, RuntimeError, ValueError) as error:
        if not is_full(error):
            raise
        raise StorageError(
            f"no space is left on the disk of {folder} ({what}): make room and run the same "
            "command again; every release can be read as before"
        ) from error
