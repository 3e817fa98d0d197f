"""The step that judges files that are in no lake: nothing is left of them but the verdict."""

from collections.abc import Container, Iterator
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from logging import getLogger
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.windows import Observed
from neuro.errors import ConfigError
from neuro.features import descriptors
from neuro.images import sandbox
from neuro.images.sandbox import Rejected, VetConfig
from neuro.images.sanitize import CleanImage
from neuro.ingest import file_kinds, sources
from neuro.lake import images
from neuro.prediction import predict, vetted
from neuro.problems.problem import Problem
from neuro.promotion.drift_policy import DriftPolicy
from tasks import drift, replay
from tasks.drift import Compared
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.runtime import settings
from tasks.runtime.steps import step

_PART = 256  # files that are in memory at a time

_log = getLogger(__name__)


@step(name="judge files")
def judge(
    loaded: Loaded, model: Model, source: str, problem: Problem, policy: DriftPolicy
) -> dict[str, Any]:
    """The verdict on the images of a source that is not in the lake, without labels.

    source: a folder, an archive, an image or s3://. An image of no group is a group of its own.
    Raises ConfigError where vetting lets no image in.
    """
    against, here = drift.base(loaded, model), settings.load()
    born = against.loaded.known_at(str(model.package.card.pin["release"]))
    learnt = frozenset(against.loaded.frames.sample_ids[born].tolist())
    with sources.opened(
        source, here.home / "scratch", endpoint=here.s3_endpoint, deadline_s=here.s3_deadline_s
    ) as listing:
        files, others = file_kinds.sort_files(listing.files)
        if not files:
            raise file_kinds.no_images(source, (*listing.skipped, *others))
        config = VetConfig(workers=settings.cores())
        with closing(sandbox.check_files([file.path for file in files], config)) as checked:
            named = zip([file.name for file in files], checked, strict=True)
            window, called, n_learnt = _observed(model, problem, learnt, named)
    n_lost = len(files) - window.n - n_learnt
    notes = {
        "are refused or repeated": n_lost,
        "are of the release the model was trained on": n_learnt,
    }
    found = Compared(
        reference=against.reference,
        window=window,
        reference_name=against.name,
        window_name=source,
        note="; ".join(f"{n} of {len(files)} files {why}" for why, n in notes.items() if n),
        rows=np.full(window.n, -1),
        called=called,
        reference_rows=against.rows,
    )
    return replay.told(found, policy)


def _observed(
    model: Model,
    problem: Problem,
    learnt: Container[str],
    named: Iterator[tuple[str, CleanImage | Rejected]],
) -> tuple[Observed, NDArray[np.int64], int]:
    """What is known of vetted images, by the names of their files, and what each is called.

    Each counts once. What the model was trained on is left out, and what its release held (learnt);
    also returns how many that were.
    """
    card, trainings, seen = model.package.card, model.package.trained_on(), dict[str, bool]()
    parts = []
    while part := list(islice(named, _PART)):
        fresh: dict[str, tuple[CleanImage, str]] = {}
        for name, image in part:
            if isinstance(image, Rejected) or image.sha256 in seen:
                continue
            is_learnt = any(each.holds([[image.sha256]])[0] for each in trainings)
            seen[image.sha256] = is_learnt or image.sha256 in learnt
            if not seen[image.sha256]:
                fresh[image.sha256] = (image, _group(problem, name, image))
        decoded = vetted.decode((image for image, _ in fresh.values()), card.preprocess)
        chosen = [fresh[digest] for digest in decoded.sample_ids]
        if not chosen:
            continue
        said = predict.answer(model.engine, decoded.pixels)
        parts.append(
            (
                np.array([group for _, group in chosen]),
                np.array([images.format_of(asdict(image)) for image, _ in chosen]),
                np.array([descriptors.describe(image.stored) for image, _ in chosen]),
                card.calibration.reference.along(said.embeddings),
                said.calibrated.probabilities,
                said.calibrated.called,
            )
        )
        _log.info("%d images looked at", len(seen))
    n_learnt = sum(seen.values())
    if not parts:
        why = "the model was trained on all" if n_learnt else "vetting lets in none"
        raise ConfigError(
            f"{why} of the images; `neuro predict DIR --out FILE.csv` says what each is"
        )
    groups, formats, figures, along, outputs, called = map(np.concatenate, zip(*parts, strict=True))
    window = Observed(
        groups=groups,
        descriptors=figures,
        features=along,
        probabilities=outputs,
        confidence=outputs[np.arange(len(called)), called],
        correct=np.full(len(called), np.nan),
        formats=formats,
    )
    return window, called, n_learnt


def _group(problem: Problem, name: str, image: CleanImage) -> str:
    """Of the patient or lesion, as far as the file says it; else the image is one of its own."""
    patient = image.group_id_hint if problem.groups.is_patient_id else ""
    return problem.groups.id_of(name) or patient or image.sha256
