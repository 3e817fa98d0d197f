"""Uploads vetted as deliveries are: in limited children, under names of ours, and kept nowhere."""

import asyncio
import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuro.errors import BadImageError
from neuro.features import descriptors
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.images.sandbox import Child, Rejected, VetConfig
from neuro.images.sanitize import CleanImage


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Upload:
    """An image that was let in. frame: (1, side, side, channels) uint8, of the preprocess."""

    sha256: str
    stored: bytes
    frame: NDArray[np.uint8]


class Vetting:
    """So many threads, each with a decoder process of its own, in a folder of their own."""

    def __init__(self, folder: Path, workers: int, file_bytes: int) -> None:
        self._folder, self._lock = _own_folder(folder)
        self._config = VetConfig(workers=workers, file_bytes=file_bytes)
        self._numbers = itertools.count()
        self._own = threading.local()
        self._children: list[Child] = []
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="vetting")

    async def vet(self, stream: BinaryIO, spec: PreprocessSpec) -> Upload | Rejected:
        """An upload as a frame, or why it is not let in."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._vet, stream, spec)

    async def describe(self, upload: Upload) -> NDArray[np.float32]:
        """What drift is measured by, (11,)."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _described, upload.stored)

    def stop(self) -> None:
        """End the children."""
        self._threads.shutdown(wait=True)
        for child in self._children:
            child.stop()
        shutil.rmtree(self._folder)
        os.close(self._lock)

    def _vet(self, stream: BinaryIO, spec: PreprocessSpec) -> Upload | Rejected:
        path = self._folder / str(next(self._numbers))
        try:
            path.write_bytes(stream.read())
            (image,) = self._child().check([path])
        finally:
            path.unlink(missing_ok=True)
        if isinstance(image, Rejected):
            return image
        return _decoded(image, spec)

    def _child(self) -> Child:
        if not hasattr(self._own, "child"):
            self._own.child = Child(self._config)
            self._children.append(self._own.child)
        child: Child = self._own.child
        return child


def _own_folder(parent: Path) -> tuple[Path, int]:
    """A new folder, and a lock on it; those of processes that have gone are removed."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in parent.iterdir():
        with contextlib.suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            finally:
                os.close(handle)
    folder = Path(tempfile.mkdtemp(dir=parent))
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return folder, handle


def _decoded(image: CleanImage, spec: PreprocessSpec) -> Upload | Rejected:
    try:
        frame = preprocess.frame(image.stored, spec)[None]
    except BadImageError as error:
        return Rejected(sha256=image.sha256, code=error.code, message=str(error))
    return Upload(sha256=image.sha256, stored=image.stored, frame=frame)


def _described(stored: bytes) -> NDArray[np.float32]:
    return descriptors.describe(stored).astype(np.float32)
