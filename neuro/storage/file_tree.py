"""The files of a lake by name, in a folder or a bucket: what Lance cannot be left to remove.

Lance takes folders above a branch along, keeps old versions that a branch began with, and says
nothing where a store refuses (docs/traps.md).
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from neuro.storage.objects import Objects


class Tree:
    """What lies below a lake's address; names are relative to it. held: None for a folder."""

    def __init__(self, uri: str, held: Objects | None) -> None:
        self._root, self._held = Path(uri), held

    def below(self, folder: str) -> list[str]:
        """Every file below a folder; none where there is no such folder."""
        if self._held is not None:
            return [entry.key for entry in self._held.list(folder)]
        found = (path for path in (self._root / folder).rglob("*") if not path.is_dir())
        return [path.relative_to(self._root).as_posix() for path in found]

    def folders(self, folder: str) -> list[str]:
        """Names of the folders in a folder."""
        if self._held is None:
            return [path.name for path in (self._root / folder).glob("*")]
        start = f"{folder}/"
        return sorted({key[len(start) :].partition("/")[0] for key in self.below(folder)})

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; harmless where there are none. Raises StorageError if it is refused.

        One DELETE for each object, where Lance sends a POST: the right to delete below a prefix
        is enough for it (docs/traps.md), and each is repeated until it is answered.
        """
        if self._held is not None:
            self._held.delete_all(names)
            return
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder with all that lies in it; harmless where there is none."""
        if self._held is not None:
            self.remove(self.below(folder))
        else:
            shutil.rmtree(self._root / folder, ignore_errors=True)

    def require_removal(self, folder: str) -> None:
        """Raise StorageError where this user may not remove files of a folder."""
        self.remove([f"{folder}/none"])
