"""Labels that arrive later: a CSV of digest or source name, label, who and when."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from neuro import limits
from neuro.dataset import contents
from neuro.errors import ConfigError
from neuro.ingest import label_csv
from neuro.ingest.pipeline import inspect
from neuro.lake import labels, releases, work_list
from neuro.lake.labels import Annotation
from neuro.lake.lake import Lake
from neuro.lake.releases import Draft, Release
from neuro.lake.staging import Branch
from neuro.problems.problem import Problem
from neuro.sample import Sample

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
COLUMNS = ("sample", "label", "who", "when")


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What an import did. unchanged: rows that say what was already known."""

    release: Release
    seen: int
    added: int
    unchanged: int


def import_file(lake: Lake, problem: Problem, path: Path, now: datetime) -> Imported:
    """Append the labels of a CSV and publish a release that has them.

    Columns: sample (digest or source name), label (a source label of the problem), who, and
    optionally when (ISO 8601, default now). Each label keeps its own person and time; of lines that
    agree on a sample, all people and the latest time. Raises ConfigError naming the line; then
    nothing is written.
    """
    problem.require_answered()
    release = releases.current(lake, problem.dataset)
    if release is None:
        raise ConfigError(f"dataset {problem.dataset} has no release; ingest images first")
    digested = f"labels/{problem.dataset}/".encode() + limits.bytes_of(path, f"label file {path}")
    run_id = hashlib.sha256(digested).hexdigest()[:16]
    annotations = _read(releases.samples(lake, release), problem, path, now)
    left_out = releases.left_out(lake, problem.dataset, run_id).showing(run_id)
    branch = Branch(lake, run_id)
    rows = labels.new_rows(
        lake,
        labels.NewLabels(
            dataset=problem.dataset,
            labels={sample_id: _agreed(lines) for sample_id, lines in annotations.items()},
            run_id=run_id,
            is_reviewed=True,
        ),
        left_out,
    )
    branch.append("labels", rows)
    held = contents.read(lake, problem.dataset, branch, left_out)
    passport = inspect(held, problem)
    branch.publish()
    release = releases.publish(
        lake,
        Draft(
            dataset=problem.dataset,
            passport=passport.as_dict(),
            creator=run_id,
            note=f"labels by {_names(chain.from_iterable(annotations.values()))}",
            is_synthetic=held.is_synthetic,
            now=now,
        ),
    )
    seen, added = len(annotations), rows.num_rows
    return Imported(release=release, seen=seen, added=added, unchanged=seen - added)


def publish_decided(lake: Lake, problem: Problem, now: datetime) -> Release:
    """Publish a release that has the labels which readers have decided since the current one.

    Where there is none it is the current one. Raises ConfigError without a release.
    """
    release = releases.current(lake, problem.dataset)
    if release is None:
        raise ConfigError(f"dataset {problem.dataset} has no release; ingest images first")
    work_list.settle(lake, work_list.readings(lake, problem.name))
    left_out = releases.left_out(lake, problem.dataset)
    held = contents.read(lake, problem.dataset, left_out=left_out)
    digested = "\n".join(f"{one},{label}" for one, label in sorted(held.newest_labels.items()))
    return releases.publish(
        lake,
        Draft(
            dataset=problem.dataset,
            passport=inspect(held, problem).as_dict(),
            creator=f"decided-{hashlib.sha256(digested.encode()).hexdigest()[:16]}",
            note="labels that readers have decided",
            is_synthetic=held.is_synthetic,
            now=now,
        ),
    )


def _agreed(lines: Sequence[Annotation]) -> Annotation:
    return Annotation(
        label=lines[0].label, who=_names(lines), at=max(annotation.at for annotation in lines)
    )


def _names(annotations: Iterable[Annotation]) -> str:
    return ", ".join(sorted({annotation.who for annotation in annotations}))


def _read(
    samples: Iterable[Sample], problem: Problem, path: Path, now: datetime
) -> dict[str, list[Annotation]]:
    """What each line says, by sample. now: for a line without a time."""
    names: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        names[sample.sample_id].append(sample.sample_id)
        names[sample.source_name].append(sample.sample_id)
    annotations: dict[str, list[Annotation]] = defaultdict(list)
    columns, lines = label_csv.lines_of(path, str(path))
    if missing := set(COLUMNS[:3]) - set(columns):
        raise ConfigError(f"{path} has no column {sorted(missing)}; it needs {COLUMNS[:3]}")
    for number, row in lines:
        where = f"{path}, line {number}"
        sample_id = _resolve(row["sample"], names, problem, where)
        label = problem.source_label(row["label"])
        if not label:
            known = ", ".join(sorted(problem.labels))
            raise ConfigError(f"{where}: label {row['label']!r} is unknown; known are {known}")
        if any(earlier.label != label for earlier in annotations[sample_id]):
            raise ConfigError(f"{where}: {row['sample']} has two labels in this file")
        if not row["who"]:
            raise ConfigError(f"{where}: it says not who gave the label; fill in column who")
        at = _time(row["when"], where) if row.get("when") else now
        annotations[sample_id].append(Annotation(label=label, who=row["who"], at=at))
    return annotations


def _resolve(name: str, names: Mapping[str, list[str]], problem: Problem, where: str) -> str:
    spellings = dict.fromkeys((name, *(normalize(form, name) for form in _FORMS)))
    called = [key for spelling in spellings for key in (spelling, problem.name_digest(spelling))]
    found = next((names[key] for key in called if key in names), [])
    if not found:
        raise ConfigError(f"{where}: no sample {name!r}; give its digest or its source name")
    if len(found) > 1:
        raise ConfigError(f"{where}: {len(found)} samples are named {name!r}; give the digest")
    return found[0]


def _time(text: str, where: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{where}: when {text!r} is no ISO 8601 time") from error
    if when.tzinfo is None:
        raise ConfigError(f"{where}: when {text!r} has no time zone, such as +00:00")
    return when
