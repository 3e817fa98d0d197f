"""Vet untrusted files in child processes with limits on memory and time.

A decoder that crashes, hangs or takes too much memory costs one file, named and with a reason code.
Run as ``python -m neuro.images.sandbox`` this module is the child: it reads batches of paths and
writes for each file a result: JSON, the clean bytes and the thumbnail. The kernel, not a thread of
ours, ends a child that is late: the signal of its timer is left to its default action.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import io
import json
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, NoReturn

from threadpoolctl import threadpool_limits

from neuro.errors import BadImageError, ConfigError
from neuro.images.sanitize import CleanImage, clean
from neuro.storage import plain_file

_LENGTH, _LENGTHS = struct.Struct(">Q"), struct.Struct(">QQQ")
_BATCH, _AHEAD = 32, 2  # files of a batch, and batches that a child is sent ahead
_NAMES_BYTES = 30_000  # of the paths of one batch: those of _AHEAD batches fit into a pipe
_PIPE_BYTES = 1 << 18  # of the pipe that results come through
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_WALL_FACTOR = 4  # a busy machine must not turn a good file into a bad one
_LATE = (-signal.SIGPROF, -signal.SIGALRM)
_FACTS = [field.name for field in fields(CleanImage) if field.name not in ("stored", "thumbnail")]


@dataclass(frozen=True, kw_only=True, slots=True)
class VetConfig:
    """Limits of one child.

    deadline_s: processor time for one file; by the wall clock it may take four times as long.
    memory_bytes: bounds the address space. file_bytes: bounds the file's size.
    """

    workers: int = 2
    deadline_s: float = 4.5
    memory_bytes: int = 1_000_000_000
    file_bytes: int = 200_000_000

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"workers must be at least 1, got {self.workers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A file that is not let in. sha256 is of its bytes, "" where they cannot be read."""

    sha256: str
    code: str
    message: str


def check_files(
    paths: Sequence[Path], config: VetConfig
) -> Generator[CleanImage | Rejected, None, None]:
    """Vet each file; results come in the order of ``paths``, few ahead of what is taken."""
    batches = list(_batches(paths, min(_BATCH, -(-len(paths) // config.workers))))
    children = [Child(config) for _ in range(min(config.workers, len(batches)))]
    working: deque[Child] = deque()  # once for each batch, in the order of the batches
    try:
        for number, batch in enumerate(batches):
            if len(working) == _AHEAD * len(children):
                yield from working.popleft().receive()
            child = children[number % len(children)]
            child.send(batch)
            working.append(child)
        while working:
            yield from working.popleft().receive()
    finally:
        for child in children:
            child.stop()


def _batches(paths: Sequence[Path], size: int) -> Iterator[list[Path]]:
    """The files in batches that are bounded in number and in the length of their paths."""
    batch: list[Path] = []
    length = 0
    for path in paths:
        if len(batch) == size or length + len(bytes(path)) > _NAMES_BYTES:
            yield batch
            batch, length = [], 0
        batch.append(path)
        length += len(bytes(path)) + 1
    if batch:
        yield batch


class Child:
    """One decoder process, started when first needed, replaced after it dies, stopped at last.

    Batches may be sent ahead; the results of each come back as a whole, so that two processes on
    one core do not take turns at each file. How many files the child has begun stands in memory
    that both processes see: if it dies, this number names the file that ended it.
    """

    def __init__(self, config: VetConfig) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._pending: deque[Sequence[Path]] = deque()  # batches sent and not received yet
        self._n_begun = mmap.mmap(-1, _LENGTH.size)
        self._n_received = 0

    def check(self, paths: Sequence[Path]) -> list[CleanImage | Rejected]:
        """Vet a batch; a file that ends the child is rejected, and the next child goes on."""
        self.send(paths)
        return self.receive()

    def send(self, paths: Sequence[Path]) -> None:
        """Give it a batch to work on."""
        self._write(paths)
        self._pending.append(paths)  # not before: where no process can be started, nothing waits

    def receive(self) -> list[CleanImage | Rejected]:
        """The results of the oldest batch that was sent."""
        process = self._process
        results = self._read(self._pending.popleft())
        if self._process is not process:  # another child has to be sent the later batches again
            for batch in self._pending:
                self._write(batch)
        return results

    def stop(self) -> None:
        """End the process; the next check starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._n_begun.close()
            self._process = None

    def _read(self, paths: Sequence[Path]) -> list[CleanImage | Rejected]:
        """Results of a batch that was written; whoever ends the child is rejected for it."""
        process, results = self._process, list[CleanImage | Rejected]()
        assert process is not None  # noqa: S101 - it was sent the paths
        with contextlib.suppress(EOFError):
            while len(results) < len(paths):
                results.append(_read_result(process.stdout))
                self._n_received += 1
            return results
        status = process.wait()
        # Results of files that it had vetted before may be lost with it: they are vetted again.
        n_begun = int.from_bytes(self._n_begun[:], "big") - self._n_received
        culprit = len(results) + max(n_begun, 1) - 1
        self.stop()
        results += self._again(paths[len(results) : culprit])
        results.append(_rejected(paths[culprit], status))
        return results + self._again(paths[culprit + 1 :])

    def _again(self, paths: Sequence[Path]) -> list[CleanImage | Rejected]:
        if not paths:
            return []
        self._write(paths)
        return self._read(paths)

    def _write(self, paths: Sequence[Path]) -> None:
        process = self._process or self._start()
        names = b"\0".join(map(bytes, paths))
        assert process.stdin is not None  # noqa: S101 - a pipe by construction
        with contextlib.suppress(BrokenPipeError):  # that it died is seen where results are read
            process.stdin.write(_LENGTH.pack(len(names)) + names)
            process.stdin.flush()

    def _start(self) -> subprocess.Popen[bytes]:
        limits = (self._config.memory_bytes, self._config.file_bytes, self._config.deadline_s)
        shared = os.memfd_create("begun")
        os.ftruncate(shared, _LENGTH.size)
        self._n_begun, self._n_received = mmap.mmap(shared, _LENGTH.size), 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "neuro.images.sandbox", *map(str, (shared, *limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=_PIPE_BYTES,
            pass_fds=[shared],
            start_new_session=True,  # Ctrl-C reaches the parent, which stops its children
        )
        os.close(shared)
        with contextlib.suppress(OSError):  # narrower where the system has no more to give
            fcntl.fcntl(self._process.stdout or -1, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return self._process


def _rejected(path: Path, status: int) -> Rejected:
    """The result of a file that ended its child. status: how the child ended."""
    try:
        with plain_file.open_plain(path) as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        sha256 = ""
    code = "decoder_timeout" if status in _LATE else "decoder_died"
    message = "the decoder was stopped at its deadline or memory limit"
    return Rejected(sha256=sha256, code=code, message=message)


def _read_result(stream: IO[bytes] | None) -> CleanImage | Rejected:
    assert stream is not None  # noqa: S101 - a pipe by construction
    lengths = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    facts, stored, small = (_exactly(stream, length) for length in lengths)
    known = json.loads(facts)
    if "code" in known:
        return Rejected(**known)
    return CleanImage(**known, stored=stored, thumbnail=small)


def _exactly(stream: IO[bytes], length: int) -> bytes:
    block = stream.read(length)
    if len(block) < length:
        raise EOFError
    return block


def _vet(name: bytes, file_bytes: int) -> tuple[bytes, bytes, bytes]:
    raw = None
    try:
        with os.fdopen(plain_file.descriptor(name), "rb", buffering=0) as stream:
            if os.fstat(stream.fileno()).st_size > file_bytes:
                raise BadImageError("too_large", "the file is over the size limit")
            raw = stream.read()
        image = clean(raw)
    except BadImageError as error:
        code, message = error.code, str(error)
    except MemoryError:
        code, message = "decoder_died", "the decoder was stopped at its memory limit"
    except OSError as error:
        code, message = "unreadable", f"{error.strerror}"
    else:
        facts = {name: getattr(image, name) for name in _FACTS}
        return json.dumps(facts).encode(), image.stored, image.thumbnail
    sha256 = "" if raw is None else hashlib.sha256(raw).hexdigest()
    facts = {"sha256": sha256, "code": code, "message": message}
    return json.dumps(facts).encode(), b"", b""


def _serve(shared: int, memory_bytes: int, file_bytes: int, deadline_s: float) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    for forbidden in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(forbidden, (0, 0))
    _keep_freed_memory()
    n_begun = 0
    # Products of small matrices gain nothing from threads, which spin while they wait.
    with (
        contextlib.suppress(EOFError, BrokenPipeError),
        threadpool_limits(1, user_api="blas"),
        mmap.mmap(shared, _LENGTH.size) as progress,
    ):
        while True:
            (length,) = _LENGTH.unpack(_exactly(sys.stdin.buffer, _LENGTH.size))
            for name in _exactly(sys.stdin.buffer, length).split(b"\0"):
                n_begun += 1
                progress[:] = _LENGTH.pack(n_begun)
                signal.setitimer(signal.ITIMER_PROF, deadline_s)
                signal.setitimer(signal.ITIMER_REAL, _WALL_FACTOR * deadline_s)
                blocks = _vet(name, file_bytes)
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
                sys.stdout.buffer.write(b"".join([_LENGTHS.pack(*map(len, blocks)), *blocks]))
            sys.stdout.buffer.flush()
    sys.exit()


def _keep_freed_memory() -> None:
    """Each large picture would be given back to the system, and its pages zeroed for the next."""
    with contextlib.suppress(
        OSError, AttributeError
    ):  # of glibc (mallopt(3)); others do as they do
        for limit, size in ((_TRIM_THRESHOLD, 1 << 29), (_MMAP_THRESHOLD, 1 << 25)):
            ctypes.CDLL(None).mallopt(limit, size)


if __name__ == "__main__":
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w"), _PIPE_BYTES))
    _serve(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
