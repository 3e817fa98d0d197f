"""What a hospital sends in a year: labelled images once, then a delivery without labels each week.

A new scanner comes in week 6 and stays, weeks 14 to 17 are a season with another mix of classes,
and in weeks 21 to 24 whoever labels errs. From week 27 on nothing happens.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from deployments.demo import deliveries
from deployments.demo.deliveries import Group
from neuro.ingest import delivery, sources
from neuro.problems.problem import Problem
from neuro.synthetic import scanner_shift

WEEKS = 52
SCANNER, SEASON, ERRORS, QUIET = 6, range(14, 18), range(21, 25), 27  # weeks, from 1
STRENGTH = 1.0  # of the new scanner: how far from the old one
FIRST = 0.2  # of the images at least, with labels, before the year begins
MOST = 200  # images a week
ODDS = 6.0  # of the class of the season
WRONG = 0.4  # of the labels, in the weeks of errors


@dataclass(frozen=True, kw_only=True, slots=True)
class Year:
    """first: the folder that the first model learns from. weeks: the groups of each, in order."""

    first: Path
    weeks: Sequence[Sequence[Group]]
    source: Path
    is_synthetic: bool


def plan(source: Path, problem: Problem, folder: Path, rng: Generator) -> Year:
    """Deal the labelled images of a folder to the first delivery and to the weeks, by group."""
    whole = delivery.read(sources.whole_folder(source, ()), problem)
    groups = deliveries.grouped(deliveries.labelled_pictures(whole.items), problem, rng)
    n_images = sum(len(group) for group in groups)
    n_week = min(MOST, int((1 - FIRST) * n_images / WEEKS))
    # The season takes its own from all, so that no other week is left with fewer of a class.
    favoured = _class_of_season(problem)
    season, rest = _season(groups, n_week * len(SEASON), favoured, rng)
    n_first = n_images - n_week * WEEKS
    known, rest = _taken(rest, n_first)
    first = folder / "first"
    deliveries.copy(known, first, keeps_folders=True)
    deliveries.copy_table(source, first, problem, keeps_labels=True)
    delivery.write_note(first, source=whole.source, is_synthetic=whole.is_synthetic)
    weeks, ahead = [], dict.fromkeys(("season", "other"), 0)
    for week in range(1, WEEKS + 1):  # a group that was too many in one week is less in the next
        kind, left = ("season", season) if week in SEASON else ("other", rest)
        chosen, left = _taken(left, n_week - ahead[kind])
        ahead[kind] += sum(len(group) for group in chosen) - n_week
        season, rest = (left, rest) if week in SEASON else (season, left)
        weeks.append(chosen)
    return Year(
        first=first,
        weeks=weeks,
        source=source,
        is_synthetic=whole.is_synthetic,
    )


def _class_of_season(problem: Problem) -> set[str]:
    return {label for label, name in problem.labels.items() if name == problem.classes[0]}


def _season(
    groups: Sequence[Group], n_images: int, favoured: set[str], rng: Generator
) -> tuple[list[Group], list[Group]]:
    """Groups of so many images, of some classes more often, and the others."""
    odds = np.where([group[0].item.label in favoured for group in groups], ODDS, 1.0)
    order = rng.choice(len(groups), len(groups), replace=False, p=odds / odds.sum())
    taken, _ = _taken([groups[index] for index in order], n_images)
    chosen = set(order[: len(taken)].tolist())
    rng.shuffle(taken)  # the first were drawn with the highest odds
    return taken, [group for number, group in enumerate(groups) if number not in chosen]


def _taken(groups: Sequence[Group], n_images: int) -> tuple[list[Group], list[Group]]:
    """The first groups with at least so many images together, and the others."""
    sizes = np.cumsum([len(group) for group in groups])
    n = min(int(np.searchsorted(sizes, n_images)) + 1, len(groups)) if n_images > 0 else 0
    return [*groups[:n]], [*groups[n:]]


def deliver(
    year: Year, week: int, problem: Problem, folder: Path, rng: Generator
) -> Mapping[str, str]:
    """Write the delivery of a week, as its scanner shows it; the true source labels by sample."""
    truth = {}
    scanner = scanner_shift.DEFAULT.scaled(STRENGTH)
    copies = deliveries.copy(year.weeks[week - 1], folder, keeps_folders=False)
    for paths, group in zip(copies, year.weeks[week - 1], strict=True):
        for path, picture in zip(paths, group, strict=True):
            if week >= SCANNER:
                sample = deliveries.see_again(path, scanner, rng)
            else:
                sample = hashlib.sha256(path.read_bytes()).hexdigest()
            truth[sample] = picture.item.label
    deliveries.copy_table(year.source, folder, problem, keeps_labels=False)
    delivery.write_note(folder, source="the year", is_synthetic=year.is_synthetic)
    return truth


def said(
    truth: Mapping[str, str], problem: Problem, week: int, rng: Generator
) -> Mapping[str, str]:
    """What whoever labels says of images; in some weeks often something else."""
    names = list(problem.labels)
    found = {}
    for sample, label in truth.items():
        others = [name for name in names if problem.labels[name] != problem.labels[label]]
        errs = week in ERRORS and rng.random() < WRONG
        found[sample] = str(rng.choice(others)) if errs else label
    return found
