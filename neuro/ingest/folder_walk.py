"""The files below a folder, and the links that are followed: into it, or where a person said so."""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neuro.errors import ConfigError, NeuroError

HIDDEN = "hidden"
OUTSIDE = "link out of the source"
BROKEN = "link to nothing"
CIRCLE = "link to itself"
NO_FILE = "pipe or device"
LINKS = (OUTSIDE, BROKEN, CIRCLE)
# What systems leave beside a person's files; the names that begin with a dot are theirs, too.
_OF_THE_SYSTEM = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir")
_MAX_BEHIND_LINKS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """What lies in a source and is not read. reason: a few words, the same for each of its kind.

    target: the folder that a link leads to, "" if it leads to none.
    """

    name: str
    reason: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to look into. name: with a slash after it, "" for the source itself.

    hops: the folders that held the links which led here.
    """

    path: str
    name: str = ""
    hops: tuple[str, ...] = ()


@dataclass(slots=True)
class Walk:
    """A look through a folder. root, follow: resolved. files: names and resolved paths."""

    root: str
    follow: Sequence[str] = ()
    files: list[tuple[str, Path]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    _n_behind_links: int = 0

    def run(self) -> "Walk":
        """Look everywhere. Raises NeuroError for a folder that cannot be listed."""
        waiting = [_Folder(self.root)]
        while waiting:
            folder = waiting.pop()
            for entry in self._entries(folder):
                name = folder.name + entry.name
                if is_hidden(entry.name):
                    self.skipped.append(Skipped(name=name, reason=HIDDEN))
                elif entry.is_symlink():
                    waiting.extend(self._behind_link(entry.path, name, folder))
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(_Folder(entry.path, f"{name}/", folder.hops))
                elif entry.is_file(follow_symlinks=False):
                    self.files.append((name, Path(entry.path)))
                else:
                    self.skipped.append(Skipped(name=name, reason=NO_FILE))
        return self

    def _entries(self, folder: _Folder) -> Iterator["os.DirEntry[str]"]:
        try:
            with os.scandir(folder.path) as entries:
                found = list(entries)
        except FileNotFoundError:  # removed meanwhile, as a file may be
            return
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise ConfigError(
                    f"folder {folder.path[:80]}... lies too deep; move it up, or out of the source"
                ) from error
            raise NeuroError(
                f"folder {folder.path} cannot be read: {error.strerror}; give yourself the right "
                "to read it (chmod u+rX), or move it out of the source"
            ) from error
        if folder.hops:
            self._n_behind_links += len(found) + 1
            if self._n_behind_links > _MAX_BEHIND_LINKS:
                raise ConfigError(
                    f"links in {self.root} lead to more than {_MAX_BEHIND_LINKS:,} files; take out "
                    "those that lead to the same folders again and again"
                )
        yield from found

    def _behind_link(self, path: str, name: str, folder: _Folder) -> list[_Folder]:
        """The folder behind a link, to be looked into; a file is noted, or why there is none."""
        try:
            target = os.path.realpath(path, strict=True)
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            unread = OUTSIDE if isinstance(error, PermissionError) else CIRCLE
            self.skipped.append(Skipped(name=name, reason=BROKEN if is_missing else unread))
            return []
        is_folder = os.path.isdir(target)  # noqa: PTH112 - a text, as scandir gives it
        if not any(is_below(target, place) for place in (self.root, *self.follow)):
            place = target if is_folder else ""
            self.skipped.append(Skipped(name=name, reason=OUTSIDE, target=place))
        elif is_folder and any(is_below(hop, target) for hop in (folder.path, *folder.hops)):
            self.skipped.append(Skipped(name=name, reason=CIRCLE))
        elif is_folder:
            return [_Folder(target, f"{name}/", (*folder.hops, folder.path))]
        elif os.path.isfile(target):  # noqa: PTH113
            self.files.append((name, Path(target)))
        else:
            self.skipped.append(Skipped(name=name, reason=NO_FILE))
        return []


def is_hidden(part: str) -> bool:
    """Whether a part of a name is hidden, or is what a system leaves behind."""
    return part.startswith(".") or part in _OF_THE_SYSTEM


def is_below(path: str, folder: str) -> bool:
    """Whether a resolved path is the folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
