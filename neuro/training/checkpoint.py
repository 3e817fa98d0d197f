"""What a killed training run is continued from: its whole state after an epoch, in one file."""

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch

from neuro.dataset.frames import Frames
from neuro.problems.problem import Problem
from neuro.training.config import TrainConfig

VERSION = "checkpoint-3"  # raise it when a state means something else


def key_of(**facts: object) -> str:
    """SHA-256 of everything that decides the weights: two runs with one key may be continued."""
    text = json.dumps({"version": VERSION, "torch": torch.__version__, **facts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of ``path`` when it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{os.getpid()}.part")
    with scratch.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Where the state of one training run is kept. key: what ``key_of`` said of it."""

    path: Path
    key: str

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace what was kept; a kill at any moment leaves the older state or this one."""
        with replacing(self.path) as stream:
            torch.save({"key": self.key, "state": dict(state)}, stream)

    def load(self) -> dict[str, Any] | None:
        """What was kept; None where there is nothing, or nothing of this run that is whole."""
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError):
            return None
        if not isinstance(content, dict) or content.get("key") != self.key:
            return None
        state: dict[str, Any] = content["state"]
        return state

    def note(self, text: str) -> None:
        """Keep a word beside the state, such as the name under which a tracker knows the run."""
        self._note.parent.mkdir(parents=True, exist_ok=True)
        self._note.write_text(text, encoding="utf-8")

    def noted(self) -> str:
        """What was noted, "" for nothing."""
        return self._note.read_text(encoding="utf-8") if self._note.is_file() else ""

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.note")

    def part(self, number: int) -> "Checkpoint":
        """That of one of several trainings that make up this one."""
        path = self.path.with_name(f"{self.path.name}.{number}")
        return Checkpoint(path=path, key=f"{self.key}/{number}")

    @property
    def last(self) -> Path:
        """The file of the newest state: of the last part, where there are parts."""
        parts = [p for p in self.path.parent.glob(f"{self.path.name}.*") if p.suffix[1:].isdigit()]
        return max(parts, key=lambda part: int(part.suffix[1:]), default=self.path)

    def remove(self) -> None:
        """Forget the run, its parts too: it has ended."""
        for path in (self.path, *self.path.parent.glob(f"{self.path.name}.*")):
            path.unlink(missing_ok=True)
        if self.path.parent.is_dir() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()


def of_training(
    folder: Path,
    frames: Frames,
    problem: Problem,
    config: TrainConfig,
    *,
    weights: Path | None,
    machine: str,
    program: Mapping[str, str],
) -> Checkpoint:
    """The checkpoint, below a folder, of this very training and no other.

    weights: the file it starts from. machine: device and precision. program: revision of the code
    and of what it was installed with.
    """
    key = key_of(
        content=frames.content_hash,
        splitting=str(frames.splitting),
        splits=hashlib.sha256("\n".join(frames.splits.tolist()).encode()).hexdigest(),
        problem=asdict(problem),
        config=asdict(config),
        weights=hashlib.sha256(weights.read_bytes()).hexdigest() if weights else "",
        machine=f"{platform.machine()} {machine}",
        program=dict(program),
    )
    path = folder / f"{frames.content_hash[:16]}-{key[:16]}" / "training.pt"
    return Checkpoint(path=path, key=key)
