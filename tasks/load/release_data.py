"""Reading a release: the lake, its samples, and their pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuro.dataset import frames
from neuro.dataset.frames import Frames
from neuro.duplicates import twins
from neuro.lake import branches, images, releases, sample_metadata
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.sample import Sample
from neuro.splits import split_choice
from neuro.splits.split_choice import OWN, Splitting
from neuro.storage import store as stores
from neuro.storage.store import Store
from tasks.record import artifacts
from tasks.runtime import settings, shards
from tasks.runtime.steps import step


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A release with its samples, in the row order of its frames.

    left_out: what its frames show in no split though its lake has it in one, and why. emptied: the
    splits of which nothing labelled is left by that. external: of another source, what it is and
    what of it is known to the model; "" for a release that models are trained on. named_after: the
    release that its pages are named after, "" for its own.
    """

    lake: Lake
    problem: Problem
    release: Release
    samples: Sequence[Sample]
    frames: Frames
    left_out: str = ""
    emptied: tuple[str, ...] = ()
    external: str = ""
    named_after: str = ""

    @property
    def leak(self) -> str:
        """What must be said beside every figure from these splits, "" for nothing."""
        shared = split_choice.shared(self.samples, self.frames.groups.tolist())
        leak = split_choice.leak(self.frames.splitting, self.release.passport, shared)
        return "; ".join(filter(None, (leak, self.left_out)))

    def entered(self) -> NDArray[np.str_]:
        """The release each sample came with, (n,) str."""
        return np.array([sample.entered for sample in self.samples], dtype=np.str_)

    def rows_of(self, sample_ids: Sequence[str]) -> NDArray[np.int64]:
        """The row of each sample in the frames, (n,) int64; -1 where the release holds none."""
        row_of = {known: row for row, known in enumerate(self.frames.sample_ids.tolist())}
        return np.array([row_of.get(each, -1) for each in sample_ids], dtype=np.int64)

    def known_at(self, release: str) -> NDArray[np.bool_]:
        """Which samples a release had already, (n,) bool."""
        names = self._history()
        later = names[names.index(release) + 1 :] if release in names else []
        return ~np.isin(self.entered(), later)

    def releases_until(self, release: str) -> list[str]:
        """Names of the releases up to this one, oldest first."""
        names = self._history()
        return names[: names.index(release) + 1] if release in names else []

    def _history(self) -> list[str]:
        there = releases.place(self.lake, self.release)
        return [entry.name for entry in releases.history(there, self.problem.dataset)]


def open_lake(uri: str | None) -> Lake:
    """The given lake, or the one of this installation."""
    here = settings.load()
    return Lake(uri or here.lake, here.s3_endpoint, here.s3_deadline_s, is_alone=here.is_alone)


def open_branch(uri: str | None, problem: Problem, name: str | None) -> Lake:
    """The lake as a user's branch of the problem's dataset sees it; without a name, as main does.

    Raises UnknownNameError.
    """
    lake = open_lake(uri)
    return branches.find(lake, problem.dataset, name).lake if name else lake


def open_store(where: str) -> Store:
    """A folder or an s3://bucket/prefix to export to."""
    here = settings.load()
    return stores.open(where, here.s3_endpoint, here.s3_deadline_s)


@step(name="load release")
def load(lake: Lake, problem: Problem, name: str | None = None, divided: Splitting = OWN) -> Loaded:
    """Read a release (default: the current one), verify its hash and every image, open frames.

    divided: the splitting that the frames say.
    """
    release = releases.find(lake, problem.dataset, name)
    artifacts.label_run(problem.name, release.name, "synthetic" if release.is_synthetic else "")
    samples = releases.samples(lake, release)
    wanted = [sample.sample_id for sample in samples]
    groups = _groups(lake, problem, release, samples, divided)
    splits = split_choice.divide(samples, groups.tolist(), divided)
    pixels = frames.build(
        samples,
        release.content_hash,
        problem,
        lambda spec: shards.decode(lake, release, wanted, spec),
        settings.load().home / "frames",
    )
    return Loaded(
        lake=lake,
        problem=problem,
        release=release,
        samples=samples,
        frames=replace(pixels, splitting=divided, splits=splits, groups=groups),
    )


def decoded_for(loaded: Loaded, problem: Problem) -> Loaded:
    """The same release and splitting with this problem's decoder; itself where it has that."""
    if loaded.problem.preprocess == problem.preprocess:
        return loaded
    decoded = load(loaded.lake, problem, loaded.release.name, loaded.frames.splitting)
    frames = replace(decoded.frames, splits=loaded.frames.splits)
    return replace(decoded, frames=frames, left_out=loaded.left_out, emptied=loaded.emptied)


def _groups(
    lake: Lake, problem: Problem, release: Release, samples: Sequence[Sample], divided: Splitting
) -> NDArray[np.str_]:
    """The group of each sample, (n,) str.

    A permanent split needs no more than the group_id. Where a split is drawn anew, groups that a
    later delivery has joined are one.
    """
    groups = np.array([sample.group_id for sample in samples], dtype=np.str_)
    rows = np.flatnonzero(split_choice.redrawn(samples, divided))
    anew = [samples[row] for row in rows.tolist()]
    if len({sample.entered for sample in anew}) > 1:
        ids = [sample.sample_id for sample in anew]
        keys = sample_metadata.group_keys(lake, release, ids)
        looks = twins.vectors([bytes(row) for row in images.thumbnails(lake, release, ids)])
        pairs = twins.find(looks, 0, problem.groups.twin_cosine)
        groups[rows] = split_choice.joined(anew, [keys[sample_id] for sample_id in ids], pairs)
    return groups
