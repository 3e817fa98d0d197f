"""Which samples a network was trained on already, in whichever lake that was.

The splits of a lake keep apart what is trained on from what is scored, and know nothing of a model
or of weights that come from elsewhere. The hashes that travel with these do.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuro.dataset import digests
from neuro.dataset.frames import Frames
from neuro.duplicates import twins
from neuro.lake import images, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.models import trained_on
from neuro.models.trained_on import TrainedOn
from neuro.sample import NO_SPLIT, SPLITS, Sample

TRAIN = "train"


def salt(frames: Frames) -> bytes:
    """The salt of a training on these frames."""
    return trained_on.salt(frames.content_hash, str(frames.splitting))


def training(lake: Lake, release: Release, samples: Sequence[Sample], frames: Frames) -> TrainedOn:
    """What a training on the frames of these samples sees: its labelled images and their groups."""
    chosen = [samples[row] for row in frames.labelled(TRAIN).tolist()]
    return trained_on.of_training(digests.of_samples(lake, release, chosen), salt(frames))


def rows(
    lake: Lake,
    release: Release,
    samples: Sequence[Sample],
    frames: Frames,
    trainings: Sequence[TrainedOn],
    twin_cosine: float,
) -> NDArray[np.bool_]:
    """Which samples some training saw, or a twin or a member of the group of, (n,) bool.

    What was trained on this lake's own splits is compared image by image, and not counted where it
    is in training here, too: its twins are, by the splits. What was trained on these very frames is
    not counted at all: a fold holds no leak, and that of the given split is said beside each
    figure.
    """
    seen = np.zeros(len(frames.sample_ids), dtype=bool)
    view = releases.view_of(lake, release)
    own = {
        trained_on.salt(each.content_hash, "own")
        for each in releases.history(view, release.dataset)
    }
    others = [one for one in trainings if one.salt in own or one.salt != salt(frames)]
    if not others:
        return seen
    found = digests.of_samples(lake, release, samples)
    elsewhere = np.zeros_like(seen)
    for one in others:
        if one.salt in own:
            seen |= one.holds(found) & (frames.splits != TRAIN)
        else:
            elsewhere |= one.holds(found)
    if elsewhere.any():
        elsewhere |= _twins_of(lake, release, frames, elsewhere, twin_cosine)
        elsewhere = np.isin(frames.groups, frames.groups[elsewhere])
    return seen | elsewhere


def left_out(frames: Frames, seen: NDArray[np.bool_]) -> tuple[NDArray[np.str_], str]:
    """The splits, (n,) str, with what was seen in none of them unless it trains; and a note of it.

    The note names how many of the labelled images of each split are left out, "" for none.
    """
    dropped = seen & (frames.splits != TRAIN)
    counts = []
    for split in SPLITS:
        labelled = frames.labelled(split)
        if n := int(dropped[labelled].sum()):
            counts.append(f"{n:,} of {len(labelled):,} {split} images")
    note = ""
    if counts:
        note = f"left out, trained on as they are, as a twin or by their group: {', '.join(counts)}"
    return np.where(dropped, NO_SPLIT, frames.splits), note


def _twins_of(
    lake: Lake, release: Release, frames: Frames, chosen: NDArray[np.bool_], cosine: float
) -> NDArray[np.bool_]:
    """Which of the other samples are a twin of a chosen one, (n,) bool."""
    order = np.concatenate([np.flatnonzero(chosen), np.flatnonzero(~chosen)])
    thumbnails = images.thumbnails(lake, release, frames.sample_ids[order].tolist())
    looks = twins.vectors([bytes(row) for row in thumbnails])
    n_chosen = int(chosen.sum())
    pairs = twins.find(looks, n_chosen, cosine)
    found = np.zeros_like(chosen)
    found[order[pairs[pairs[:, 0] < n_chosen, 1]]] = True
    return found
