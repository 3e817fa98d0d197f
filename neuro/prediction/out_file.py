"""The file that a person asks answers into, whole or not at all; a run that was killed goes on.

Until it is whole, the answers lie in parts in a folder beside it, ``NAME.part``, which is removed
then. What was answered there is not asked again, unless the file has changed since.
"""

import csv
import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuro import limits
from neuro.errors import ConfigError
from neuro.images.sandbox import Rejected
from neuro.prediction.vetted import REFUSED, Answered

ENDINGS = (".parquet", ".csv")
_FACTS, _MARK = "of.json", "mark"
_COMPUTED = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes what begins so for a formula


def require(path: Path) -> None:
    """Raise ConfigError for a path that no answers can be written to."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"--out {path} must end in {' or '.join(ENDINGS)}")
    if os.path.lexists(path):
        raise ConfigError(f"--out {path} exists; move it away, or name another file")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {path}: there is no folder {path.parent}; make it first")


def write(path: Path, table: pa.Table) -> None:
    """Write a table whole or not at all."""
    require(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.scratch")
    with limits.writing(path):
        with _writing(path, scratch, table.schema) as add:
            add(table)
        scratch.rename(path)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutFile:
    """Parts that become one file. classes: of the model, in their order."""

    path: Path
    room: Path
    classes: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """Of a part: a row for each file."""
        texts = ("file", "sha256", "predicted", "decision", "reason")
        fields = [pa.field(name, pa.string()) for name in texts]
        fields += [
            pa.field("conformal_set", pa.list_(pa.string())),
            pa.field("ood_score", pa.float64()),
            pa.field("model_version", pa.string()),
            *(pa.field(f"p_{name}", pa.float64()) for name in self.classes),
            pa.field(_MARK, pa.string()),
        ]
        return pa.schema(fields)

    def done(self) -> dict[str, str]:
        """By name of file, the mark under which it was answered."""
        found: dict[str, str] = {}
        for part in self._parts():
            rows = pq.read_table(part, columns=["file", _MARK])
            found |= zip(rows["file"].to_pylist(), rows[_MARK].to_pylist(), strict=True)
        return found

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
        number = len(list(self.room.glob("*.parquet")))
        scratch = self.room / f"{number:06d}.scratch"
        with limits.writing(scratch):
            pq.write_table(pa.Table.from_pylist(rows, self.schema), scratch)
            scratch.rename(scratch.with_suffix(".parquet"))

    def finish(self, marks: Mapping[str, str]) -> dict[str, int]:
        """Write the file, and remove the parts; how many files had each decision.

        marks: by name, of every file that is asked for.
        """
        whole, decisions = self.room / "whole", Counter[str]()
        with limits.writing(self.path):
            with _writing(self.path, whole, self._columns) as add:
                for rows in self._rows(marks):
                    add(rows)
                    decisions.update(rows["decision"].to_pylist())
            require(self.path)  # another may have come there meanwhile
            whole.rename(self.path)
        shutil.rmtree(self.room)
        return dict(decisions)

    @property
    def _columns(self) -> pa.Schema:
        """Of the file."""
        return self.schema.remove(self.schema.get_field_index(_MARK))

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

    def _parts(self) -> Iterator[Path]:
        """Those that can be read; one that a power cut has damaged is answered again."""
        for part in sorted(self.room.glob("*.parquet")):
            try:
                pq.read_metadata(part)
            except (pa.ArrowInvalid, OSError):
                part.unlink()
            else:
                yield part

    def _rows(self, marks: Mapping[str, str]) -> Iterator[pa.Table]:
        """Of each part the rows that are asked for, and of what was answered twice one."""
        written: set[str] = set()
        for part in self._parts():
            rows = pq.read_table(part)
            names = rows["file"].to_pylist()
            wanted = [
                marks.get(name) == mark and name not in written
                for name, mark in zip(names, rows[_MARK].to_pylist(), strict=True)
            ]
            written.update(name for name, is_wanted in zip(names, wanted, strict=True) if is_wanted)
            yield rows.filter(pa.array(wanted, pa.bool_())).drop_columns([_MARK])


@contextmanager
def _writing(path: Path, scratch: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """What takes tables of this schema, and writes them into ``scratch`` in the form of a path."""
    if path.suffix.lower() == ".parquet":
        with pq.ParquetWriter(scratch, schema) as writer:
            yield writer.write_table
        return
    with scratch.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(schema.names)
        yield lambda table: lines.writerows(
            [_cell(value) for value in row.values()] for row in table.to_pylist()
        )


def _cell(value: Any) -> Any:
    """A value of a CSV that a spreadsheet shows and does not compute."""
    if isinstance(value, list):
        return " | ".join(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_COMPUTED) else value


@contextmanager
def opened(path: Path, classes: tuple[str, ...], about: Mapping[str, str]) -> Iterator[OutFile]:
    """The parts of a file, for one run at a time.

    about: the model and source of the answers. Raises ConfigError where the parts are of others, or
    of another account, and where another run writes them.
    """
    require(path)
    room = path.with_name(f"{path.name}.part")
    with limits.writing(room):
        room.mkdir(mode=0o700, exist_ok=True)
    with _held(room):
        facts = room / _FACTS
        try:
            known = json.loads(facts.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = None
        if known is None:
            facts.write_text(json.dumps(about, sort_keys=True), encoding="utf-8")
        elif known != about:
            differs = sorted(name for name in about if known.get(name) != about[name])
            raise ConfigError(
                f"{room} holds answers of a run with another {' and '.join(differs)}; give another "
                "--out, or remove it"
            )
        yield OutFile(path=path, room=room, classes=classes)


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
        yield
    finally:
        os.close(handle)
