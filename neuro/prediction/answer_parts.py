"""Answers to files in parts, beside the file that they become: a run that was killed goes on.

They lie in the folder ``NAME.part``. What was answered there is not asked again, unless the file
has changed since, or was refused for what may have passed.
"""

import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuro import limits
from neuro.errors import ConfigError, DamagedError
from neuro.images.sandbox import Rejected
from neuro.prediction import out_file
from neuro.prediction.vetted import Answered
from neuro.sample import REFUSED

_FACTS, _MARK = "of.json", "mark"
_PASSING = ("unreadable: ", "decoder_timeout: ", "decoder_died: ")  # reasons that may have passed


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """room: their folder. classes: of the model, in their order."""

    room: Path
    classes: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """Of the file that they become: a row for each file that is asked for."""
        texts = ("file", "sha256", "predicted", "decision", "reason")
        return pa.schema(
            [
                *(pa.field(name, pa.string()) for name in texts),
                pa.field("conformal_set", pa.list_(pa.string())),
                pa.field("ood_score", pa.float64()),
                pa.field("model_version", pa.string()),
                *(pa.field(f"p_{name}", pa.float64()) for name in self.classes),
            ]
        )

    def done(self) -> dict[str, str]:
        """By name of file, the mark under which it was answered."""
        found: dict[str, str] = {}
        for _, rows in self._tables():
            names, marks, reasons = (rows[name].to_pylist() for name in ("file", _MARK, "reason"))
            for name, mark, reason in zip(names, marks, reasons, strict=True):
                found[name] = "" if reason.startswith(_PASSING) else mark
        return {name: mark for name, mark in found.items() if mark}

    def add(
        self,
        names: Sequence[str],
        marks: Sequence[str],
        answers: Sequence[Answered],
        model_version: str,
    ) -> None:
        """Keep the answers to some files. marks: what tells a file from a later one of its name."""
        rows = [
            {"file": name, _MARK: mark, "model_version": model_version, **self._row(answer)}
            for name, mark, answer in zip(names, marks, answers, strict=True)
        ]
        schema = self.schema.append(pa.field(_MARK, pa.string()))
        number = max((int(part.stem) for part in self.room.glob("*.parquet")), default=0) + 1
        whole = self.room / f"{number:08d}.parquet"
        scratch = whole.with_suffix(".scratch")
        with limits.writing(whole):
            pq.write_table(pa.Table.from_pylist(rows, schema), scratch)
            out_file.sync(scratch)
            scratch.rename(whole)

    def become(self, path: Path, marks: Mapping[str, str]) -> dict[str, int]:
        """Write the file, and remove the parts; how many files had each decision.

        marks: by name, of every file that is asked for. Raises DamagedError where an answer to one
        is gone; the parts stay.
        """
        decisions = Counter[str]()
        with out_file.writing(path, self.schema) as add:
            for wanted in self.answers(marks):
                add(wanted)
                decisions.update(wanted["decision"].to_pylist())
            if decisions.total() != len(marks):
                raise DamagedError(
                    f"{len(marks) - decisions.total():,} answers are gone from {self.room}; give "
                    "the same command again, which asks for them anew"
                )
        shutil.rmtree(self.room)
        return dict(decisions)

    def answers(self, marks: Mapping[str, str]) -> Iterator[pa.Table]:
        """The last answer to each file as it is now, part by part, of ``schema``."""
        last = self._last(marks)
        for part, rows in self._tables():
            places = [last.get(name) == (part, row) for row, name in _numbered(rows)]
            yield rows.filter(pa.array(places, pa.bool_())).drop_columns([_MARK])

    def _last(self, marks: Mapping[str, str]) -> dict[str, tuple[str, int]]:
        """Part and row of the last answer to each file as it is now."""
        found: dict[str, tuple[str, int]] = {}
        for part, rows in self._tables():
            answered_at = rows[_MARK].to_pylist()
            for row, name in _numbered(rows):
                if marks.get(name) == answered_at[row]:
                    found[name] = (part, row)
        return found

    def _row(self, answer: Answered) -> dict[str, Any]:
        if isinstance(answer, Rejected):
            reason = f"{answer.code}: {answer.message}"
            return {"sha256": answer.sha256, "decision": REFUSED, "reason": reason}
        return {
            "sha256": answer.sample_id,
            "predicted": answer.predicted,
            "decision": answer.decision,
            "reason": answer.reason,
            "conformal_set": list(answer.conformal_set),
            "ood_score": answer.ood_score,
            **{
                f"p_{name}": probability
                for name, probability in zip(self.classes, answer.probabilities, strict=True)
            },
        }

    def _tables(self) -> Iterator[tuple[str, pa.Table]]:
        """Name and rows of each part; one that a power cut has damaged is answered again."""
        for part in sorted(self.room.glob("*.parquet")):
            try:
                rows = pq.read_table(part)
            except (pa.ArrowException, OSError):
                part.unlink()
            else:
                yield part.name, rows


def is_begun(path: Path) -> bool:
    """Whether an earlier run has left parts of a file."""
    return _room(path).is_dir()


def _room(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _numbered(rows: pa.Table) -> Iterator[tuple[int, str]]:
    return enumerate(rows["file"].to_pylist())


@contextmanager
def opened(path: Path, classes: tuple[str, ...], about: Mapping[str, str]) -> Iterator[Parts]:
    """The parts of a file, for one run at a time.

    about: the model and source of the answers. Raises ConfigError where the parts are of others, or
    of another account, and where another run writes them.
    """
    out_file.require(path)
    room = _room(path)
    with limits.writing(room):
        room.mkdir(mode=0o700, exist_ok=True)
    with _held(room):
        known = _known(room)
        if known is None:
            _begin(room, about)
        elif known != about:
            names = sorted(known.keys() | about.keys())
            differs = [name for name in names if known.get(name) != about.get(name)]
            raise ConfigError(
                f"{room} holds answers of a run with another {' and '.join(differs)}; give another "
                "--out, or remove it"
            )
        yield Parts(room=room, classes=classes)


def _known(room: Path) -> dict[str, Any] | None:
    """What the parts are of; None where that cannot be told."""
    try:
        known = json.loads((room / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def _begin(room: Path, about: Mapping[str, str]) -> None:
    """Parts of which nobody knows what they are of go."""
    with limits.writing(room):
        for part in room.glob("*.parquet"):
            part.unlink()
        scratch = room / "of.scratch"
        scratch.write_text(json.dumps(about, sort_keys=True), encoding="utf-8")
        out_file.sync(scratch)
        scratch.rename(room / _FACTS)


@contextmanager
def _held(room: Path) -> Iterator[None]:
    """A lock on a folder of one's own, which ends with the process."""
    with limits.writing(room):
        handle = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_uid != os.geteuid():
            raise ConfigError(f"{room} belongs to another account; give another --out")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another run writes {room}; wait for it, or give another --out"
            ) from error
        if not os.fstat(handle).st_nlink:
            raise ConfigError(f"another run has just removed {room}; give the same command again")
        yield
    finally:
        os.close(handle)
