"""The demonstration's images: phantoms or a real folder, cut by group into three deliveries."""

import csv
import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from neuro.ingest import delivery
from neuro.synthetic import phantom, scanner_shift
from neuro.splits import assign
from neuro.duplicates import near_duplicates
from neuro.images import sandbox
from neuro.ingest.delivery import Item
from neuro.errors import ConfigError
from neuro.images.sanitize import CleanImage
from neuro.problems.problem import Problem
from neuro.synthetic.scanner_shift import Scanner
from neuro.splits.assign import Member

SHARES = (0.60, 0.15, 0.25)
Known = tuple[Item, CleanImage]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliveries:
    """Three folders, and what is known of the third.

    second, third: without labels; the third as a new scanner would show it. labels: a CSV for half
    of the third's groups. held_out: sample_id -> source label of the other half.
    """

    first: Path
    second: Path
    third: Path
    labels: Path
    held_out: Mapping[str, str]


def draw(folder: Path, problem: Problem, *, images: int, seed: int) -> Path:
    """Draw phantoms into class folders, in equal numbers, marked synthetic."""
    if len(problem.classes) != phantom.KINDS:
        raise ConfigError(
            f"phantoms come in {phantom.KINDS} kinds, problem {problem.name} has "
            f"{len(problem.classes)} classes; give a folder of images with --data"
        )
    rng = np.random.default_rng(seed)
    for number in range(images):
        kind = number % phantom.KINDS
        path = folder / _source_label(problem, kind) / f"phantom_{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(phantom.draw(kind, rng)).save(path)
    delivery.write_note(folder, source=f"phantoms, seed {seed}", is_synthetic=True)
    return folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """How to cut. images: use only so many, one of a group. shift: strength of the new scanner."""

    images: int | None
    seed: int
    shift: float


def cut(source: Path, problem: Problem, out: Path, how: Cut) -> Deliveries:
    """Cut a folder of labelled images into 60, 15 and 25 % of its groups, seeded.

    The third delivery is shifted, image by image.
    """
    found = delivery.read(source, problem)
    known = _known(found.items)
    if not known:
        raise ConfigError(f"data {source} holds no labelled image; see `neuro problem show`")
    rng = np.random.default_rng(how.seed)
    parts = _parts(_groups(known, problem, rng), how.images)
    folders = [out / name for name in ("first", "second", "third")]
    for part, folder in zip(parts, folders, strict=True):
        folder.mkdir(parents=True)
        is_first = folder is folders[0]
        copies = [copy for group in part for copy in group]
        for (item, _), name in zip(copies, _names(copies, keep=is_first), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item.path, folder / name)
        _copy_table(source, folder, problem, keep_labels=is_first)
        delivery.write_note(folder, source=found.source, is_synthetic=found.is_synthetic)
    new = scanner_shift.DEFAULT.scaled(how.shift)
    labels = [_shift(folders[2], group, new, rng) for group in _renamed(parts[2])]
    half = len(labels) // 2
    _write_labels(out / "labels.csv", labels[:half])
    held_out = {sample_id: label for group in labels[half:] for sample_id, label in group.items()}
    first, second, third = folders
    return Deliveries(
        first=first, second=second, third=third, labels=out / "labels.csv", held_out=held_out
    )


def _source_label(problem: Problem, kind: int) -> str:
    return next(s for s, name in problem.labels.items() if name == problem.classes[kind])


def _known(items: Sequence[Item]) -> list[Known]:
    """Every readable labelled image once; one with two labels is left out."""
    results = sandbox.check_files([item.path for item in items], sandbox.VetConfig())
    copies: dict[str, list[Known]] = {}
    for item, result in zip(items, results, strict=True):
        if isinstance(result, CleanImage) and item.label:
            copies.setdefault(result.sha256, []).append((item, result))
    return [same[0] for same in copies.values() if len({item.label for item, _ in same}) == 1]


def _groups(
    known: Sequence[Known], problem: Problem, rng: np.random.Generator
) -> list[list[Known]]:
    """Images by group, in random order."""
    rows = near_duplicates.vectors([image.thumbnail for _, image in known])
    members = [
        Member(sample_id=image.sha256, label=item.label, group_key=item.group_key)
        for item, image in known
    ]
    numbers = assign.clusters(members, near_duplicates.find(rows, 0, problem.groups.twin_cosine))
    groups: dict[int, list[Known]] = {}
    for number, copy in zip(numbers.tolist(), known, strict=True):
        groups.setdefault(number, []).append(copy)
    ordered = list(groups.values())
    return [ordered[index] for index in rng.permutation(len(ordered))]


def _parts(groups: list[list[Known]], images: int | None) -> list[list[list[Known]]]:
    if images is not None:
        groups = [group[:1] for group in groups[:images]]
    edges = np.round(np.cumsum((0.0, *SHARES)) * len(groups)).astype(int)
    return [groups[low:high] for low, high in pairwise(edges.tolist())]


def _names(copies: Sequence[Known], *, keep: bool) -> Iterator[str]:
    """Names inside a delivery: as they were, or flat (a class folder would be a label)."""
    taken: set[str] = set()
    for item, _ in copies:
        name = item.source_name if keep else item.path.name
        while name in taken:
            name = f"{Path(name).stem}_{Path(name).suffix}"
        taken.add(name)
        yield name


def _renamed(groups: list[list[Known]]) -> Iterator[list[tuple[str, str]]]:
    """(flat name, label) of each image, group by group, as ``cut`` has named the files."""
    names = _names([copy for group in groups for copy in group], keep=False)
    for group in groups:
        yield [(next(names), item.label) for item, _ in group]


def _shift(
    folder: Path, group: Sequence[tuple[str, str]], new: Scanner, rng: np.random.Generator
) -> dict[str, str]:
    """Replace a group's images by what the new scanner shows; digest -> label."""
    said = {}
    for name, label in group:
        path = folder / name
        with Image.open(path) as opened:
            picture = opened if opened.mode in ("L", "RGB") else opened.convert("RGB")
            pixels = np.asarray(picture)
        buffer = io.BytesIO()
        Image.fromarray(scanner_shift.shift(pixels, rng, new)).save(buffer, format="PNG")
        path.unlink()
        path.with_suffix(".png").write_bytes(buffer.getvalue())
        said[hashlib.sha256(buffer.getvalue()).hexdigest()] = label
    return said


def _write_labels(path: Path, groups: Sequence[Mapping[str, str]]) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sample", "label", "who", "when"])
        for group in groups:
            writer.writerows((digest, label, "demo reader", now) for digest, label in group.items())


def _copy_table(source: Path, folder: Path, problem: Problem, *, keep_labels: bool) -> None:
    """A delivery of a tabled problem needs its table, with or without the labels."""
    layout = problem.layout
    if layout.kind != "table":
        return
    with (source / layout.table).open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        names, rows = list(reader.fieldnames or ()), list(reader)
    with (folder / layout.table).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(row if keep_labels else row | {layout.label: ""} for row in rows)
