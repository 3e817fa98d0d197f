"""What a killed training run is continued from: its whole state after an epoch, in one file."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

VERSION = "checkpoint-2"  # raise it when a state means something else


def key_of(**facts: object) -> str:
    """SHA-256 of everything that decides the weights: two runs with one key may be continued."""
    told = json.dumps({"version": VERSION, "torch": torch.__version__, **facts}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Where the state of one training run is kept. key: what ``key_of`` said of it."""

    path: Path
    key: str

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace what was kept; a kill at any moment leaves the older state or this one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        with scratch.open("wb") as stream:
            torch.save({"key": self.key, "state": dict(state)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(self.path)

    def load(self) -> dict[str, Any] | None:
        """What was kept; None where there is nothing, or nothing of this run that is whole."""
        try:
            held = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError):
            return None
        if not isinstance(held, dict) or held.get("key") != self.key:
            return None
        state: dict[str, Any] = held["state"]
        return state

    def note(self, text: str) -> None:
        """Keep a word beside the state, such as the name under which a tracker knows the run."""
        self._noted.parent.mkdir(parents=True, exist_ok=True)
        self._noted.write_text(text, encoding="utf-8")

    def noted(self) -> str:
        """What was noted, "" for nothing."""
        return self._noted.read_text(encoding="utf-8") if self._noted.is_file() else ""

    @property
    def _noted(self) -> Path:
        return self.path.with_name(f"{self.path.name}.note")

    def remove(self) -> None:
        """Forget the run: it has ended."""
        for path in (self.path, self._noted, *self.path.parent.glob(f"{self.path.name}.*.part")):
            path.unlink(missing_ok=True)
        if self.path.parent.is_dir() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()
