"""The rows of the table: which images a window is drawn from, and what was done to them.

Each condition is computed once for the whole pool and kept in a folder; windows index its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.drifts import shifts, unseen
from bench.drifts.shifts import Shift
from bench.drifts.unseen import Answers, Unseen
from monitoring.windows import Observed

Kind = Literal["quiet", "harmful", "harmless"]
Tell = Callable[[str], None]
ENOUGH = 0.04  # accuracy that a harmful shift costs
PART = 0.2  # of the images, in a partial shift and of corrupt labels
SOUGHT = 500  # images of the pool that choose the strength of a shift
DROP = 0.10  # of accuracy, made by images that are answered wrongly
FEW_GROUPS, FEW_WINDOWS = 25, 10


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """What windows of one row are drawn from, all of it labelled.

    lost: accuracy lost on the pool, 0..1. weights: how likely each image is drawn, (n,). clustered:
    whole groups are dealt until there are enough images. share: of its images that are as in
    ``before``, the pool without a shift; the others are as in ``pool``.
    """

    name: str
    kind: Kind
    pool: Observed
    before: Observed
    lost: float
    weights: NDArray[np.float64]
    is_clustered: bool = False
    share: float = 0.0

    def draw(self, n: int, rng: Generator) -> Observed:
        """One window of n images, none twice."""
        if self.is_clustered:
            rows = _whole_groups(self.pool.groups, n, rng)
        else:
            chances = self.weights / self.weights.sum()
            rows = rng.choice(len(chances), min(n, int((chances > 0).sum())), False, chances)
        if not self.share:
            return self.pool.take(rows)
        n_old = round(self.share * len(rows))
        return joined(self.before.take(rows[:n_old]), self.pool.take(rows[n_old:]))

    def draw_groups(self, n: int, rng: Generator) -> Observed:
        """One window of one image each of n groups."""
        order = rng.choice(self.pool.n, self.pool.n, False, self.weights / self.weights.sum())
        _, first = np.unique(self.pool.groups[order], return_index=True)
        return self.pool.take(order[np.sort(first)[:n]])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scenes:
    """All rows of a data set. without_labels: judged by what needs none. with_audits: by 40 a week.

    few: a model at half its accuracy, in windows of few groups. note: what is known of groups.
    """

    reference: Observed
    without_labels: tuple[Scene, ...]
    with_audits: tuple[Scene, ...]
    few: Scene
    note: str

    def of_kind(self, kind: Kind) -> list[Scene]:
        """Those without labels that are quiet, harmful or harmless."""
        return [scene for scene in self.without_labels if scene.kind == kind]


def joined(*parts: Observed) -> Observed:
    """The samples of all parts."""
    return Observed(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Observed)}
    )


def build(name: str, given: Unseen, cache: Path, seed: int, tell: Tell) -> Scenes:
    """Every scene of a data set, with the strength of each shift that costs enough."""
    conditions = _Conditions(given=given, cache=cache, tell=tell)
    pool = conditions.observed(None, 0)
    same = np.ones(pool.n)
    quiet = [
        Scene(
            name=f"no shift, {how}",
            kind="quiet",
            pool=pool,
            before=pool,
            lost=0.0,
            weights=same,
            is_clustered=how == "clustered",
        )
        for how in ("random", "clustered")
    ]
    harmful = [_changed(conditions, shift, pool, "harmful") for shift in shifts.HARMFUL]
    harmless = [_changed(conditions, shift, pool, "harmless") for shift in shifts.HARMLESS]
    mixed = [
        Scene(
            name=f"{mix.name} {mix.strength:g}",
            kind="harmful",
            pool=pool,
            before=pool,
            lost=mix.lost,
            weights=mix.weights,
        )
        for mix in (
            shifts.new_mix(pool.correct, given.targets, ENOUGH),
            shifts.missing_class(pool.correct, given.targets),
        )
    ]
    groups = len(np.unique(pool.groups))
    return Scenes(
        reference=given.reference,
        without_labels=(*quiet, *harmful, *mixed, *harmless),
        with_audits=(*quiet, *_audited(conditions, pool, given, seed)),
        few=_worse("half of the accuracy", pool, given.reference, 0.5 * pool.correct.mean()),
        note=f"{name}: reference {given.reference.n} images of {given.reference.n_groups} groups, "
        f"pool {pool.n} of {groups}; accuracy {given.reference.correct.mean():.3f} and "
        f"{pool.correct.mean():.3f};\n{GROUPS[name]}",
    )


GROUPS = {
    "brain": "no patient is known: groups are twins only",
    "chest": "groups are patients",
    "skin": "groups are lesions",
}


def _changed(conditions: "_Conditions", shift: Shift, pool: Observed, kind: Kind) -> Scene:
    """The mildest strength that costs enough on a part of the pool, or else the strongest."""
    for strength in shift.strengths:
        if len(shift.strengths) == 1:
            break
        if pool.correct[:SOUGHT].mean() - conditions.accuracy(shift, strength) >= ENOUGH:
            break
    seen = conditions.observed(shift, strength)
    lost = float(pool.correct.mean() - seen.correct.mean())
    name = f"{shift.name} {strength:g}"
    return Scene(name=name, kind=kind, pool=seen, before=pool, lost=lost, weights=np.ones(pool.n))


def _audited(
    conditions: "_Conditions", pool: Observed, given: Unseen, seed: int
) -> tuple[Scene, ...]:
    """What labels must show: a drop, a partial shift, and labels that are wrong."""
    strongest = shifts.BLUR.strengths[-1]
    blurred = conditions.observed(shifts.BLUR, strongest)
    partial = PART * float(pool.correct.mean() - blurred.correct.mean())
    rng = np.random.default_rng(seed)
    k = pool.probabilities.shape[1]
    is_corrupt = rng.random(pool.n) < PART
    wrong = (given.targets + rng.integers(1, k, pool.n)) % k
    called = np.where(pool.correct > 0, given.targets, -1)
    corrupt = np.where(is_corrupt, called == wrong, pool.correct > 0).astype(np.float64)
    parts = {f.name: getattr(pool, f.name) for f in fields(Observed)}
    mislabelled = Observed(**(parts | {"correct": corrupt}))
    return (
        _worse("10 points lost", pool, given.reference, given.reference.correct.mean() - DROP),
        Scene(
            name=f"{PART:.0%} of images blurred, {strongest:g} px",
            kind="harmful",
            pool=blurred,
            before=pool,
            lost=partial,
            weights=np.ones(pool.n),
            share=1 - PART,
        ),
        Scene(
            name=f"{PART:.0%} of labels corrupt",
            kind="harmful",
            pool=mislabelled,
            before=pool,
            lost=float(pool.correct.mean() - corrupt.mean()),
            weights=np.ones(pool.n),
        ),
    )


def _worse(name: str, pool: Observed, reference: Observed, accuracy: float) -> Scene:
    """Images that are answered wrongly are drawn more often, until so few are right."""
    odds_now = (1 - pool.correct.mean()) / pool.correct.mean()
    odds = (1 - accuracy) / accuracy / odds_now
    return Scene(
        name=name,
        kind="harmful",
        pool=pool,
        before=pool,
        lost=float(reference.correct.mean() - accuracy),
        weights=np.where(pool.correct > 0, 1.0, odds),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Conditions:
    """What the model says of the pool under a shift, each computed once and kept."""

    given: Unseen
    cache: Path
    tell: Tell

    def accuracy(self, shift: Shift, strength: float) -> float:
        """Of the first images of the pool, 0..1."""
        file = self._file(shift, strength, "called")
        if not file.exists():
            changed = shifts.changed(shift, strength, self.given.stored[:SOUGHT])
            self._keep(file, called=unseen.called(self.given.engine, changed))
        return float((np.load(file)["called"] == self.given.targets[:SOUGHT]).mean())

    def observed(self, shift: Shift | None, strength: float) -> Observed:
        """Everything of the whole pool, with its labels."""
        given = self.given
        found = self.answers(shift, strength)
        return found.observed(given.engine, given.groups, given.targets)

    def answers(self, shift: Shift | None, strength: float) -> Answers:
        """Everything that is known of the whole pool without labels."""
        file = self._file(shift, strength, "answers")
        if not file.exists():
            stored = self.given.stored
            changed = shifts.changed(shift, strength, stored) if shift else stored
            found = unseen.answers(self.given.engine, changed)
            self._keep(file, **{f.name: getattr(found, f.name) for f in fields(Answers)})
        return Answers(**np.load(file))

    def _file(self, shift: Shift | None, strength: float, what: str) -> Path:
        name = f"{shift.name} {strength:g}" if shift else "no shift"
        return self.cache / f"{name.replace('/', 'per')} {what}.npz"

    def _keep(self, file: Path, **arrays: NDArray[np.generic]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".part.npz")
        np.savez(half, **arrays)  # type: ignore[arg-type]
        half.rename(file)
        self.tell(f"{file.parent.name}: {file.stem}")


def _whole_groups(groups: NDArray[np.str_], n: int, rng: Generator) -> NDArray[np.int64]:
    """Rows of whole groups, dealt until there are n; the last gives what is wanted of it."""
    _, codes = np.unique(groups, return_inverse=True)
    place = rng.permutation(codes.max() + 1)[codes]
    return np.argsort(place, kind="stable")[:n].astype(np.int64)
