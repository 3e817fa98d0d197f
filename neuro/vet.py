"""Vet untrusted files in child processes with limits on memory and time.

A decoder that crashes, hangs or swallows memory costs one file, named and with a reason code.
Run as ``python -m neuro.vet`` this module is the child: it reads length-prefixed paths and answers
each with JSON, the clean bytes and the thumbnail. The kernel, not a thread of ours, ends a child
that is late: its timer's signal is left to its default action.
"""

import contextlib
import hashlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, NoReturn

from threadpoolctl import threadpool_limits

from neuro.errors import BadImageError, ConfigError
from neuro.image import CleanImage, clean

_LENGTHS = struct.Struct(">QQQ")
_BATCH = 8  # files asked for at once, for fewer switches; their names fit into a pipe
_WALL = 4  # a busy machine must not turn a good file into a bad one
_LATE = (-signal.SIGPROF, -signal.SIGALRM)
_FACTS = (
    *("sha256", "stored_sha256", "media_type", "width", "height", "mode", "perceptual_hash"),
    *("facts", "group_id_hint"),
)


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


def check_files(paths: Sequence[Path], config: VetConfig) -> Iterator[CleanImage | Rejected]:
    """Vet each file; results come in the order of ``paths``, few ahead of what is taken."""
    children: SimpleQueue[Child] = SimpleQueue()
    made = [Child(config) for _ in range(min(config.workers, max(1, len(paths))))]
    for child in made:
        children.put(child)

    def check(batch: Sequence[Path]) -> list[CleanImage | Rejected]:
        child = children.get()
        try:
            return child.check(batch)
        finally:
            children.put(child)

    size = min(_BATCH, -(-len(paths) // len(made)) or 1)
    batches = (paths[start : start + size] for start in range(0, len(paths), size))
    running: deque[Future[list[CleanImage | Rejected]]] = deque()
    try:
        with ThreadPoolExecutor(len(made)) as pool:
            for batch in batches:
                running.append(pool.submit(check, batch))
                if len(running) > 2 * len(made):
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
    finally:
        for child in made:
            child.stop()


class Child:
    """One decoder process, started when first needed, replaced after it dies, stopped at last."""

    def __init__(self, config: VetConfig) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    def check(self, paths: Sequence[Path]) -> list[CleanImage | Rejected]:
        """Vet a batch; a file that ends the child is named, and the rest goes to the next one."""
        results: list[CleanImage | Rejected] = []
        while len(results) < len(paths):
            process = self._started()
            with contextlib.suppress(EOFError, BrokenPipeError):
                _ask(process, paths[len(results) :])
                while len(results) < len(paths):
                    results.append(_read_answer(process.stdout))
                break
            results.append(_lost(paths[len(results)], process.wait()))
            self.stop()
        return results

    def stop(self) -> None:
        """End the process; the next check starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            limits = (self._config.memory_bytes, self._config.file_bytes, self._config.deadline_s)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "neuro.vet", *map(str, limits)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the parent, which stops its children
            )
        return self._process


def _lost(path: Path, status: int) -> Rejected:
    """What is said of the file a child ended on."""
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        sha256 = ""
    code = "decoder_timeout" if status in _LATE else "decoder_died"
    message = "the decoder was stopped at its deadline or memory limit"
    return Rejected(sha256=sha256, code=code, message=message)


def _ask(process: subprocess.Popen[bytes], paths: Sequence[Path]) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe by construction
    names = [bytes(path) for path in paths]
    process.stdin.write(b"".join(_LENGTHS.pack(len(name), 0, 0) + name for name in names))
    process.stdin.flush()


def _read_answer(stream: IO[bytes] | None) -> CleanImage | Rejected:
    facts, stored, small = _read(stream)
    known = json.loads(facts)
    if "code" in known:
        return Rejected(**known)
    return CleanImage(**known, stored=stored, thumbnail=small)


def _read(stream: IO[bytes] | None) -> tuple[bytes, bytes, bytes]:
    """Three blocks behind their lengths."""
    assert stream is not None  # noqa: S101 - a pipe by construction
    first, second, third = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    blocks = _exactly(stream, first + second + third)
    return blocks[:first], blocks[first : first + second], blocks[first + second :]


def _exactly(stream: IO[bytes], length: int) -> bytes:
    block = stream.read(length)
    if len(block) < length:
        raise EOFError
    return block


def _answer(path: Path, file_bytes: int) -> tuple[bytes, bytes, bytes]:
    raw = None
    try:
        with path.open("rb", buffering=0) as stream:
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


def _serve(memory_bytes: int, file_bytes: int, deadline_s: float) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    for forbidden in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(forbidden, (0, 0))
    # Products of small matrices gain nothing from threads, which spin while they wait.
    with contextlib.suppress(EOFError, BrokenPipeError), threadpool_limits(1, user_api="blas"):
        while True:
            name, _, _ = _read(sys.stdin.buffer)
            signal.setitimer(signal.ITIMER_PROF, deadline_s)
            signal.setitimer(signal.ITIMER_REAL, _WALL * deadline_s)
            blocks = _answer(Path(name.decode(errors="surrogateescape")), file_bytes)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.stdout.buffer.write(b"".join([_LENGTHS.pack(*map(len, blocks)), *blocks]))
            sys.stdout.buffer.flush()
    sys.exit()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
