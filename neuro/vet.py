"""Vet untrusted files in child processes with a memory limit and a deadline.

A decoder that crashes, hangs or swallows memory costs one file, named and with a reason code.
Run as ``python -m neuro.vet`` this module is the child: it reads length-prefixed image bytes and
answers with length-prefixed JSON followed by the clean bytes and the thumbnail.
"""

import contextlib
import hashlib
import json
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from neuro.errors import BadImageError, ConfigError
from neuro.image import CleanImage, clean

_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True, kw_only=True, slots=True)
class VetConfig:
    """Limits of one child. memory_bytes bounds its address space; file_bytes the file's size."""

    workers: int = 2
    deadline_s: float = 10.0
    memory_bytes: int = 1_500_000_000
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
    """Vet each file; results come in the order of ``paths``."""
    children: SimpleQueue[_Child] = SimpleQueue()
    made = [_Child(config) for _ in range(min(config.workers, max(1, len(paths))))]
    for child in made:
        children.put(child)

    def check(path: Path) -> CleanImage | Rejected:
        child = children.get()
        try:
            return _check_file(path, child, config)
        finally:
            children.put(child)

    try:
        with ThreadPoolExecutor(len(made)) as pool:
            yield from pool.map(check, paths)
    finally:
        for child in made:
            child.stop()


def _check_file(path: Path, child: "_Child", config: VetConfig) -> CleanImage | Rejected:
    try:
        if path.stat().st_size > config.file_bytes:
            return Rejected(sha256="", code="too_large", message="the file is over the size limit")
        raw = path.read_bytes()
    except OSError as error:
        return Rejected(sha256="", code="unreadable", message=f"{error.strerror}")
    return child.check(raw)


class _Child:
    """One decoder process, started when first needed and replaced after it dies."""

    def __init__(self, config: VetConfig) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    def check(self, raw: bytes) -> CleanImage | Rejected:
        process = self._started()
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._config.deadline_s, kill)
        timer.start()
        try:
            answer = _ask(process, raw)
        except (EOFError, BrokenPipeError):
            self.stop()
            code = "decoder_timeout" if late.is_set() else "decoder_died"
            answer = Rejected(
                sha256=hashlib.sha256(raw).hexdigest(),
                code=code,
                message="the decoder was stopped at its deadline or memory limit",
            )
        finally:
            timer.cancel()
        return answer

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "neuro.vet", str(self._config.memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the parent, which stops its children
            )
        return self._process


def _ask(process: subprocess.Popen[bytes], raw: bytes) -> CleanImage | Rejected:
    assert process.stdin is not None  # noqa: S101 - both are pipes by construction
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(_LENGTH.pack(len(raw)) + raw)
    process.stdin.flush()
    facts = json.loads(_read_block(process.stdout))
    if "code" in facts:
        return Rejected(**facts)
    stored, small = _read_block(process.stdout), _read_block(process.stdout)
    return CleanImage(**facts, stored=stored, thumbnail=small)


def _read_block(stream: IO[bytes]) -> bytes:
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(header)
    block = stream.read(length)
    if len(block) < length:
        raise EOFError
    return block


def _answer(raw: bytes) -> list[bytes]:
    try:
        image = clean(raw)
    except BadImageError as error:
        sha256 = hashlib.sha256(raw).hexdigest()
        return [json.dumps({"sha256": sha256, "code": error.code, "message": str(error)}).encode()]
    facts = asdict(image)
    stored, small = facts.pop("stored"), facts.pop("thumbnail")
    return [json.dumps(facts).encode(), stored, small]


def _serve(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            raw = _read_block(sys.stdin.buffer)
            for block in _answer(raw):
                sys.stdout.buffer.write(_LENGTH.pack(len(block)) + block)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
