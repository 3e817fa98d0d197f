"""Requests on their way to the lake: lines in a folder, on the disk before an answer is given.

Lines are appended to one file; ``take`` gives whole files to whoever moves them to the lake, which
may be away for days. Several processes may write, move and erase at once: each holds the lock for
as long as it does.
"""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import IO
from uuid import uuid4

from neuro import limits
from neuro.errors import StaleError
from neuro.lake import erasure, requests
from neuro.lake.lake import Lake
from neuro.lake.requests import GivenAnswer, Request

FOLDER = "requests"  # in the home of an installation
_OPEN, _LOCK, _MOVING = "open.jsonl", ".writing", ".moving"
_AT_ONCE, _BYTES = 512, 32 << 20  # rows of one commit, and bytes of their lines

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spool:
    """The lines below a folder."""

    folder: Path

    def append(self, lines: Sequence[bytes]) -> None:
        """Write whole lines, which are on the disk when this returns; raises OSError if not."""
        with limits.writing(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._held(_LOCK):
            handle = os.open(
                self.folder / _OPEN,
                os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
            )
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    lines = [b"\n", *lines]  # after a line that a kill has cut off
                try:
                    _write(handle, b"".join(lines))
                except OSError:
                    os.ftruncate(handle, size)  # no part of it counts as an answer that was given
                    raise
                os.fdatasync(handle)
                if not size:
                    _sync_folder(self.folder)
            finally:
                os.close(handle)

    def room(self) -> int:
        """Bytes that are free on its disk."""
        folder = next(each for each in (self.folder, *self.folder.parents) if each.is_dir())
        return shutil.disk_usage(folder).free

    def waiting(self) -> int:
        """Bytes that are not in the lake yet."""
        total = 0
        for path in self._files():
            with suppress(FileNotFoundError):  # it was moved meanwhile
                total += path.stat().st_size
        return total

    def move(self, lake: Lake) -> int:
        """Bring every line to the lake, each once, and remove its file; returns how many were new.

        Raises what the lake raises, and StaleError while another process moves or erases lines;
        then all that is not there stays here.
        """
        moved = 0
        if not any(self._files()):
            return moved
        with self.standing_still(waits=False):
            erasure.require_none(lake)
            self._close()
            for path in self._closed():
                with path.open("rb") as stream:
                    for some in _batches(stream, path):
                        moved += requests.add(lake, some)
                path.unlink()
        return moved

    @contextmanager
    def standing_still(self, *, waits: bool = True) -> Iterator[None]:
        """Meanwhile nobody moves a line of this folder to the lake.

        waits: until another process is done with it; else StaleError.
        """
        with limits.writing(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._held(_MOVING, waits=waits):
            for left in self.folder.glob("*.part"):  # of an erasure that was killed
                left.unlink()
            yield

    def erase(self, sample_ids: Collection[str]) -> int:
        """Remove the lines about these images, ``standing_still``; returns how many there were."""
        self._close()
        return sum(_rewrite(path, sample_ids) for path in self._closed())

    def asked(self, dataset: str, beginning: str) -> set[str]:
        """The digests that begin so and stand here."""
        return {
            request.sha256
            for request in self.requests()
            if request.dataset == dataset and request.sha256.startswith(beginning)
        }

    def answered_by(self, dataset: str, sample_id: str) -> GivenAnswer | None:
        """The last answer about an image, of what stands here."""
        said = (
            requests.given_answer(each)
            for each in self.requests()
            if (each.dataset, each.sha256) == (dataset, sample_id)
            and each.prediction is not None
            and not each.is_shadow
        )
        return max(said, key=lambda answer: answer.at, default=None)

    def images(self, sample_ids: Collection[str]) -> set[bytes]:
        """The pictures of these that are kept here."""
        wanted = [each for each in self.requests() if each.sha256 in sample_ids]
        return {each.image for each in wanted if each.image}

    def requests(self) -> Iterator[Request]:
        """What stands here, in no order that counts."""
        for path in self._files():
            try:
                stream = path.open("rb")
            except FileNotFoundError:  # moved meanwhile
                continue
            with stream:
                for line in stream:
                    request = _parsed(line, path)
                    if request is not None:
                        yield request

    def _close(self) -> None:
        """Give what was written so far a name of its own: the next line begins a new file."""
        with self._held(_LOCK):
            path = self.folder / _OPEN
            if path.exists():
                path.rename(self.folder / f"{uuid4().hex}.jsonl")

    def _closed(self) -> list[Path]:
        return [path for path in self._files() if path.name != _OPEN]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))

    @contextmanager
    def _held(self, name: str, *, waits: bool = True) -> Iterator[None]:
        handle = os.open(
            self.folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise StaleError(
                "another process moves or erases requests; it is tried again"
            ) from error
        finally:
            os.close(handle)


def _write(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rewrite(path: Path, sample_ids: Collection[str]) -> int:
    """A file without the lines about these images, and without those that a kill has cut off."""
    scratch, n_gone = path.with_suffix(".part"), 0
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with path.open("rb") as stream, os.fdopen(handle, "wb") as kept:
        for line in stream:
            request = _parsed(line, path)
            if request is None or request.sha256 in sample_ids:
                n_gone += 1
            else:
                kept.write(line)
        kept.flush()
        os.fsync(kept.fileno())
    scratch.replace(path)
    return n_gone


def _batches(stream: IO[bytes], path: Path) -> Iterator[list[Request]]:
    batch: list[Request] = []
    size = 0
    for line in stream:
        request = _parsed(line, path)
        if request is not None:
            batch.append(request)
            size += len(line)
        if len(batch) == _AT_ONCE or size > _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _parsed(line: bytes, path: Path) -> Request | None:
    """None for a line that a kill has cut off: its answer was never given."""
    if not line.strip():
        return None
    try:
        return requests.parse(line)
    except ValueError as error:
        _log.warning("a line of %s is left out: %s", path.name, error)
        return None
