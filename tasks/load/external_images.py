"""Labelled images of another source, to score a model on: a folder, or another dataset's release.

A folder is vetted and read as a delivery is, into a lake of its own that ends with the run: nothing
of it is kept but the page and the figures.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.dataset import frames
from neuro.duplicates import twins
from neuro.duplicates.pose_invariants import Vectors
from neuro.errors import ConfigError
from neuro.images import sandbox
from neuro.ingest import delivery, pipeline, sources
from neuro.ingest.vet_new import IngestRun
from neuro.lake import images, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.models.trained_on import UNKNOWN
from neuro.problems.problem import Layout, Problem
from neuro.sample import EXTERNAL, NO_SPLIT, Sample
from tasks.load import release_data, unseen
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.runtime import settings, shards

NEAR_UNKNOWN = (
    "; the release it was trained on is not in this lake, so that near copies of its training "
    "images are not found"
)

_log = getLogger(__name__)


@contextmanager
def opened(lake: Lake, problem: Problem, on: str, model: Model) -> Iterator[Loaded]:
    """The images of a source, those that the model may know in no split, the rest in ``EXTERNAL``.

    lake: the one that the model's release is looked for in. problem: as the model was trained. on:
    a folder, or DATASET or DATASET/RELEASE of the lake, of which the test split is left alone.
    Raises ConfigError for a source without a labelled image that is new to the model, and what
    ``delivery.read`` raises.
    """
    if Path(on).is_dir():
        with sources.scratch_folder(settings.load().home / "scratch") as folder:
            came, note = _delivered(problem, Path(on).resolve(), folder)
            # No release of this lake: the model's is, beside which it is shown.
            release = str(model.package.card.pin["release"])
            yield replace(_scored(lake, came, model, came.external, note), named_after=release)
        return
    dataset, _, name = on.partition("/")
    if dataset == problem.dataset:
        raise ConfigError(
            f"{on} is the dataset that {problem.name} is trained on; evaluate it by --release and "
            "--split, or give a folder or the release of another dataset"
        )
    if os.sep in name or not releases.history(lake, dataset):
        raise ConfigError(
            f"--on {on}: no folder, and the lake has no dataset {dataset!r}; give a folder of "
            "labelled images, or DATASET/RELEASE of the lake"
        )
    found = release_data.load(lake, replace(problem, dataset=dataset), name or None)
    is_test = found.frames.splits == "test"
    kept = replace(found.frames, targets=np.where(is_test, -1, found.frames.targets))
    note = f", its test split of {int(is_test.sum()):,} left alone"
    yield _scored(lake, replace(found, frames=kept), model, f"{dataset}/{found.release.name}", note)


def _delivered(problem: Problem, source: Path, scratch: Path) -> tuple[Loaded, str]:
    """A folder as a release of a lake below the scratch folder, and what is to be said of it."""
    has_table = problem.layout.table and (source / problem.layout.table).is_file()
    layout = problem.layout if has_table else Layout(splits=problem.layout.splits)
    groups = replace(problem.groups, required=False)
    question = replace(problem, layout=layout, groups=groups)
    lake = Lake(str(scratch / "lake"))
    staged = pipeline.stage(
        lake,
        IngestRun(
            problem=question,
            delivery=delivery.read(source, question),
            check=lambda paths: sandbox.check_files(paths, sandbox.VetConfig()),
            now=datetime.now(UTC),
        ),
    )
    if pipeline.holds_nothing(staged):
        raise ConfigError(f"{source} has no image that passes vetting: {staged.files.reasons}")
    release = pipeline.publish(staged, pipeline.audit_branch(staged))
    samples = releases.samples(lake, release)
    wanted = [sample.sample_id for sample in samples]
    pixels = frames.build(
        samples,
        release.content_hash,
        question,
        lambda spec: shards.decode(lake, release, wanted, spec),
        scratch / "frames",
    )
    notes = [
        f", {n:,} {what}"
        for n, what in (
            (len(staged.files.quarantined), "files refused"),
            (int((pixels.targets < 0).sum()), "images without a label"),
        )
        if n
    ]
    if not any(file.item.group_key for file in staged.files.accepted):
        notes.append("; no patient ids, so that only twins are a group and intervals may be narrow")
    came = Loaded(
        lake=lake,
        problem=question,
        release=release,
        samples=samples,
        frames=pixels,
        external=f"folder {folder_name(problem, source)}",
    )
    return came, "".join(notes)


def folder_name(problem: Problem, source: Path) -> str:
    """What is told of a folder's name, which may be a patient's."""
    name = source.resolve().name
    return name if problem.layout.names == "keep" else problem.name_digest(name)


def _scored(lake: Lake, came: Loaded, model: Model, source: str, note: str) -> Loaded:
    """The images with what the model may know in no split, and what is to be said of that."""
    known, said = _known(lake, came, model)
    found, labelled = came.frames, came.frames.targets >= 0
    n_known = int((known & labelled).sum())
    kept = labelled & ~known
    if not labelled.any():
        raise ConfigError(
            f"none of the {len(labelled):,} images of {source} has a label; put each into a folder "
            f"that is named as its label: {', '.join(came.problem.labels)}"
        )
    counts = f"{int(labelled.sum()):,} labelled images of {source}"
    if not kept.any():
        raise ConfigError(
            f"{counts}, and {n_known:,} of them are known to the model: none is left to score on; "
            "give labelled images that it was not trained on"
        )
    left_out = f", {n_known:,} left out as twins of what the model knows" if n_known else ""
    splits = np.where(kept, EXTERNAL, NO_SPLIT)
    external = f"{counts}{left_out}{note}{said}"
    _log.info("%s", external)
    return replace(came, frames=replace(found, splits=splits), external=external)


def _known(lake: Lake, came: Loaded, model: Model) -> tuple[NDArray[np.bool_], str]:
    """Which images are, or are twins of, what the model was made of; and what could not be asked.

    By the hashes in its weights, and by the thumbnails of the release it was trained on, which
    are compared with all of it: what it was tuned and calibrated on flatters, too.
    """
    known = unseen.by(came, model.package.trained_on())
    trained, trainings = _release_of(lake, model), model.package.trained_on()
    is_untold = UNKNOWN in trainings or (trained is None and not trainings)
    untold = f"; {unseen.UNTOLD}" if is_untold else ""
    if trained is None:
        return known, NEAR_UNKNOWN + untold
    held = releases.samples(lake, trained)
    first = len(held)
    looks = np.concatenate(
        [_looks(lake, trained, held), _looks(came.lake, came.release, came.samples)]
    )
    pairs = twins.find(looks, first, came.problem.groups.twin_cosine)
    twin = np.unique(pairs[pairs[:, 0] < first, 1]) - first
    known[twin] = True
    return np.isin(came.frames.groups, came.frames.groups[known]), untold


def _release_of(lake: Lake, model: Model) -> Release | None:
    card = model.package.card
    there = releases.known(lake, card.dataset)
    found = next((r for r in there.values() if r.content_hash == card.pin["content_hash"]), None)
    while found is not None and found.superseded_by:  # after an erasure: what remains of it
        found = there.get(found.superseded_by)
    return found


def _looks(lake: Lake, release: Release, samples: Sequence[Sample]) -> Vectors:
    ids = [sample.sample_id for sample in samples]
    small = images.thumbnails(releases.place(lake, release), release, ids)
    return twins.vectors([bytes(row) for row in small])
