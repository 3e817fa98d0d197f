"""Whether what a person wrote is within what is allowed; errors name the field and the remedy."""

import errno
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from neuro.errors import ConfigError, FileAccessError, NeuroError

_OTHERS = 0o077  # every right of other accounts
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def within(record: Any, limits: Mapping[str, tuple[float, float]], where: str = "") -> None:
    """Raise ConfigError for a field that is no number from its lowest to its highest value.

    record: a dataclass; what it declares int must be whole. where: the table of a file it was read
    from, such as "augment.".
    """
    kinds = {field.name: field.type for field in fields(record)}
    for name, (low, high) in limits.items():
        value, is_whole = getattr(record, name), kinds[name] is int
        if not isinstance(value, int if is_whole else int | float) or not low <= value <= high:
            whole = "a whole number, " if is_whole else ""
            raise ConfigError(f"{where}{name} must be {whole}{low} to {high}, got {value!r}")


def among(record: Any, choices: Mapping[str, Collection[str]], where: str = "") -> None:
    """Raise ConfigError for a field that is none of its choices."""
    for name, allowed in choices.items():
        if getattr(record, name) not in allowed:
            raise ConfigError(
                f"{where}{name} must be one of {', '.join(allowed)}, got {getattr(record, name)!r}"
            )


def bytes_of(path: Path, what: str, read: Callable[[Path], bytes] = Path.read_bytes) -> bytes:
    """The bytes of a file that a person names. what: what it is and its name, for messages.

    read: how it is opened, where others may replace it meanwhile.

    Raises ConfigError if there is no such file, FileAccessError if it may not or cannot be read.
    """
    try:
        if not path.exists():
            raise ConfigError(f"{what} does not exist; check the path")
        if not path.is_file():
            raise ConfigError(f"{what} is no file; give the file itself")
        return read(path)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise unreadable(error, what) from error


def text_of(
    path: Path,
    what: str,
    remedy: str = "save it as UTF-8",
    read: Callable[[Path], bytes] = Path.read_bytes,
) -> str:
    """The text of a UTF-8 file that a person names, with or without a byte order mark.

    Raises as ``bytes_of``, and ConfigError with the line for any other encoding.
    """
    raw = bytes_of(path, what, read)
    if raw.startswith(_UTF16) or raw[:64].count(0) > len(raw[:64]) // 4:
        raise ConfigError(f"{what} cannot be read: it is UTF-16, not UTF-8; {remedy}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{what} cannot be read: line {line} is not UTF-8 (it may be Latin-1 or "
            f"Windows-1252); {remedy}"
        ) from error
    if "\0" in text:
        raise ConfigError(f"{what} cannot be read: it holds zero bytes, so it is no text; {remedy}")
    return text


def require_private(path: Path, remedy: str) -> None:
    """Raise ConfigError where another account may read a file, or could have put it there."""
    try:
        facts = path.lstat()
    except OSError as error:
        raise unreadable(error, str(path)) from error
    if path.is_symlink() or facts.st_uid != os.geteuid() or facts.st_mode & _OTHERS:
        mode = facts.st_mode & 0o777
        raise ConfigError(f"another account can read or replace {path} (mode {mode:o}): {remedy}")


def unreadable(error: OSError | ValueError, what: str) -> NeuroError:
    """What the system said of a file, with what helps."""
    if not isinstance(error, OSError):  # such as a zero byte in a path
        return ConfigError(f"{what} is no path that can be opened ({error}); check it")
    if isinstance(error, PermissionError):
        return FileAccessError(
            f"{what} may not be read ({error.strerror}); give your user the right to (chmod u+r, "
            "for folders u+rx), or name a copy"
        )
    if error.errno == errno.ELOOP:
        return ConfigError(f"{what} is a link that leads to itself; give the file itself")
    if error.errno == errno.ENAMETOOLONG:
        return ConfigError(f"{what[:80]}... has too long a path; check it")
    return FileAccessError(
        f"{what} cannot be read ({error.strerror}); look at the disk or network drive it lies on, "
        "and try again"
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around the writing of a file or folder that a person names, and of nothing else.

    Raises ConfigError where none can be by that name, FileAccessError where it may not or cannot be
    written.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(error, path) from error


def _unwritable(error: OSError, path: Path) -> NeuroError:
    reason = f"cannot be written ({error.strerror or error})"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return FileAccessError(
            f"{path} {reason}; give your user the right to write in {path.parent} (chmod u+wx), or "
            "name another place"
        )
    if isinstance(error, IsADirectoryError):
        return ConfigError(f"{path} is a folder; name a file in it")
    if isinstance(error, FileNotFoundError):
        return ConfigError(f"{path} {reason}; make the folder {path.parent}, or name another place")
    if isinstance(error, FileExistsError) and path.exists():
        return ConfigError(f"{path} exists; move it away, or name another place")
    if isinstance(error, FileExistsError | NotADirectoryError):
        return ConfigError(f"{path} {reason}: a file stands where a folder has to; name another")
    if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
        return ConfigError(f"{str(path)[:80]} {reason}; name another place")
    return FileAccessError(f"{path} {reason}; look at the disk it lies on, or name another place")


_REFUSALS = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR),
    *(errno.EISDIR, errno.EIO, errno.ESTALE),
}


def refusal(error: OSError) -> FileAccessError | None:
    """What to say where the system refuses a file by its name; None for any other error."""
    if error.errno not in _REFUSALS or not error.filename:
        return None
    return FileAccessError(
        f"{error.filename} cannot be read or written ({error.strerror}); give your user the right "
        "to (chmod u+rwX), look at the disk it lies on, or name another place"
    )
