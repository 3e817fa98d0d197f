"""Uploads vetted as deliveries are: in limited children, under names of ours, and kept nowhere."""

import asyncio
import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuro.errors import BadImageError, DamagedError
from neuro.features import descriptors
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.images.sandbox import Child, Rejected, VetConfig
from neuro.images.sanitize import CleanImage


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is made of an upload. shadow: the preprocess of the shadow, None without one."""

    spec: PreprocessSpec
    shadow: PreprocessSpec | None = None
    stored: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Upload:
    """An image that was let in.

    frame: (1, side, side, channels) uint8 of the preprocess of who answers; shadow_frame: of the
    shadow, None where there is none. stored: clean bytes, b"" unless they are wanted.
    """

    sha256: str
    frame: NDArray[np.uint8]
    descriptors: NDArray[np.float32]
    shadow_frame: NDArray[np.uint8] | None = None
    stored: bytes = b""


class Vetting:
    """So many threads, each with a decoder process of its own, in a folder of their own."""

    def __init__(self, folder: Path, workers: int, file_bytes: int) -> None:
        self._folder, self._lock = _own_folder(folder)
        self._config = VetConfig(workers=workers, file_bytes=file_bytes)
        self._numbers = itertools.count()
        self._own = threading.local()
        self._children: list[Child] = []
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="vetting")

    async def vet(self, stream: BinaryIO, wanted: Wanted) -> Upload | Rejected:
        """An upload as frames, or why it is not let in; OSError where nothing can be written."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._vet, stream, wanted)

    def checked(self, raw: bytes) -> CleanImage | Rejected:
        """A file's bytes as a clean picture, or why it is not let in; OSError as ``vet``."""
        return self._threads.submit(self._checked, raw).result()

    def stop(self) -> None:
        """End the children."""
        self._threads.shutdown(wait=True)
        for child in self._children:
            child.stop()
        shutil.rmtree(self._folder)
        os.close(self._lock)

    def _vet(self, stream: BinaryIO, wanted: Wanted) -> Upload | Rejected:
        raw = stream.read()
        image = self._checked(raw)
        digest = hashlib.sha256(raw).hexdigest()
        if isinstance(image, Rejected):
            return replace(image, sha256=digest)
        if image.sha256 != digest:
            self._drop_child()
            raise DamagedError("a decoder gave the image of another file; nothing is answered")
        return _decoded(image, wanted)

    def _checked(self, raw: bytes) -> CleanImage | Rejected:
        """What a child says of these bytes; one that failed in any way is not asked again."""
        path = self._folder / str(next(self._numbers))
        try:
            path.write_bytes(raw)
            (image,) = self._child().check([path])
        except BaseException:
            self._drop_child()
            raise
        finally:
            path.unlink(missing_ok=True)
        return image

    def _child(self) -> Child:
        if not hasattr(self._own, "child"):
            self._own.child = Child(self._config)
            self._children.append(self._own.child)
        child: Child = self._own.child
        return child

    def _drop_child(self) -> None:
        if hasattr(self._own, "child"):
            self._own.child.stop()
            self._children.remove(self._own.child)
            del self._own.child


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


def _decoded(image: CleanImage, wanted: Wanted) -> Upload | Rejected:
    try:
        frame = preprocess.frame(image.stored, wanted.spec)[None]
        shadow_frame = None if wanted.shadow is None else frame
        if wanted.shadow is not None and wanted.shadow != wanted.spec:
            shadow_frame = preprocess.frame(image.stored, wanted.shadow)[None]
    except BadImageError as error:
        return Rejected(sha256=image.sha256, code=error.code, message=str(error))
    return Upload(
        sha256=image.sha256,
        frame=frame,
        descriptors=descriptors.describe(image.stored).astype(np.float32),
        shadow_frame=shadow_frame,
        stored=image.stored if wanted.stored else b"",
    )
