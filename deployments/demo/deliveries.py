"""The demonstration's images: phantoms or a real folder, cut by group into three deliveries."""

import hashlib
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from neuro.duplicates import twins as twin_search
from neuro.errors import ConfigError
from neuro.images import sandbox
from neuro.images.sanitize import CleanImage
from neuro.ingest import delivery, sources
from neuro.ingest.delivery import Item
from neuro.problems.problem import Problem
from neuro.splits import draw_splits
from neuro.splits.draw_splits import Member
from neuro.synthetic import phantom, scanner_shift
from neuro.synthetic.scanner_shift import Scanner

SHARES = (0.60, 0.15, 0.25)  # of the groups, in each delivery
SEEN_TWICE = 0.1  # share of the pictures that show the head of the one before once more


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
    """Draw phantoms into class folders, in about equal numbers, marked synthetic.

    Some heads are seen twice or more: as in any hospital, a group is not always one image.
    """
    if len(problem.classes) != phantom.KINDS:
        raise ConfigError(
            f"phantoms come in {phantom.KINDS} kinds, problem {problem.name} has "
            f"{len(problem.classes)} classes; give a folder of images with --data"
        )
    rng = np.random.default_rng(seed)
    pixels, kind = phantom.draw(0, rng), 0
    for number in range(images):
        if number and rng.random() < SEEN_TWICE:
            pixels = phantom.exposed_again(pixels, rng)
        else:
            kind = number % phantom.KINDS
            pixels = phantom.draw(kind, rng)
        label = next(k for k, name in problem.labels.items() if name == problem.classes[kind])
        path = folder / label / f"phantom_{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    delivery.write_note(folder, source=f"phantoms, seed {seed}", is_synthetic=True)
    return folder


def cut(
    source: Path,
    problem: Problem,
    out: Path,
    *,
    images: int | None,
    seed: int,
    shift: float,
    follow: Sequence[str] = (),
) -> Deliveries:
    """Cut a folder of labelled images into 60, 15 and 25 % of its groups, seeded.

    images: use only so many, one of a group. shift: strength of the new scanner, which changes the
    third delivery image by image. Half of its labels are written down, the other half is held out.
    follow: folders outside the source that links may lead to.
    """
    whole = delivery.read(sources.whole_folder(source, follow), problem)
    pictures = labelled_pictures(whole.items)
    if not pictures:
        raise ConfigError(f"data {source} holds no labelled image; see `neuro problem show`")
    rng = np.random.default_rng(seed)
    groups = grouped(pictures, problem, rng)
    if images is not None:
        groups = [group[:1] for group in groups[:images]]
    edges = np.round(np.cumsum((0.0, *SHARES)) * len(groups)).astype(int).tolist()
    first, second, third = (groups[low:high] for low, high in pairwise(edges))
    folders = [out / name for name in ("first", "second", "third")]
    paths_of = {}  # by delivery, the files of each group
    for folder, part in zip(folders, (first, second, third), strict=True):
        has_labels = part is first
        paths_of[folder] = copy(part, folder, keeps_folders=has_labels)
        copy_table(source, folder, problem, keeps_labels=has_labels)
        delivery.write_note(folder, source=whole.source, is_synthetic=whole.is_synthetic)
    scanner = scanner_shift.DEFAULT.scaled(shift)
    labels = []  # by group, of each shifted image
    for paths, group in zip(paths_of[folders[2]], third, strict=True):
        digests = [see_again(path, scanner, rng) for path in paths]
        labels.append(dict(zip(digests, (one.item.label for one in group), strict=True)))
    half = len(labels) // 2
    _write_labels(out / "labels.csv", labels[:half])
    return Deliveries(
        first=folders[0],
        second=folders[1],
        third=folders[2],
        labels=out / "labels.csv",
        held_out={sample_id: label for group in labels[half:] for sample_id, label in group.items()},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A file of the source, and what was read of it."""

    item: Item
    image: CleanImage


Group = Sequence[Picture]


def labelled_pictures(items: Sequence[Item]) -> list[Picture]:
    """Every readable labelled image once; one with two labels is left out."""
    results = sandbox.check_files([item.path for item in items], sandbox.VetConfig())
    copies: dict[str, list[Picture]] = {}
    for item, image in zip(items, results, strict=True):
        if isinstance(image, CleanImage) and item.label:
            copies.setdefault(image.sha256, []).append(Picture(item=item, image=image))
    return [same[0] for same in copies.values() if len({one.item.label for one in same}) == 1]


def grouped(
    pictures: Sequence[Picture], problem: Problem, rng: np.random.Generator
) -> list[Group]:
    """Images by group, in random order."""
    looks = twin_search.vectors([picture.image.thumbnail for picture in pictures])
    members = [
        Member(
            sample_id=picture.image.sha256,
            label=picture.item.label,
            group_key=picture.item.group_key,
        )
        for picture in pictures
    ]
    twins = twin_search.find(looks, 0, problem.groups.twin_cosine)
    groups: dict[int, list[Picture]] = {}
    for number, picture in zip(draw_splits.clusters(members, twins).tolist(), pictures, strict=True):
        groups.setdefault(number, []).append(picture)
    ordered = list(groups.values())
    return [ordered[index] for index in rng.permutation(len(ordered))]


def copy(groups: Sequence[Group], folder: Path, *, keeps_folders: bool) -> list[list[Path]]:
    """Copy images into a delivery; the new paths by group.

    With keeps_folders they lie where they lay; else all in one folder: a class folder is a label.
    """
    folder.mkdir(parents=True)
    taken: set[Path] = set()
    copies: list[list[Path]] = []
    for group in groups:
        copies.append([])
        for picture in group:
            item = picture.item
            path = folder / (item.source_name if keeps_folders else Path(item.source_name).name)
            while path.with_suffix("") in taken:  # the new scanner makes a PNG of every image
                path = path.with_stem(f"{path.stem}_")
            taken.add(path.with_suffix(""))
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item.path, path)
            copies[-1].append(path)
    return copies


def see_again(path: Path, scanner: Scanner, rng: np.random.Generator) -> str:
    """Replace an image by a PNG of what the new scanner shows; its digest."""
    with Image.open(path) as opened:
        picture = opened if opened.mode in ("L", "RGB") else opened.convert("RGB")
        pixels = np.asarray(picture)
    buffer = io.BytesIO()
    Image.fromarray(scanner_shift.shift(pixels, rng, scanner)).save(buffer, format="PNG")
    path.unlink()
    path.with_suffix(".png").write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def _write_labels(path: Path, groups: Sequence[Mapping[str, str]]) -> None:
    labels = [pair for group in groups for pair in group.items()]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    table = pd.DataFrame(labels, columns=["sample", "label"])
    table.assign(who="demo reader", when=now).to_csv(path, index=False)


def copy_table(source: Path, folder: Path, problem: Problem, *, keeps_labels: bool) -> None:
    """A delivery of a tabled problem needs its table, with or without the labels."""
    layout = problem.layout
    if layout.kind != "table":
        return
    path = source / layout.table
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if not keeps_labels:
        table[layout.label] = ""
    table.to_csv(folder / layout.table, index=False)
