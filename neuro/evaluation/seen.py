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
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.models import trained_on
from neuro.models.trained_on import TrainedOn
from neuro.sample import NO_SPLIT, SPLITS, Sample

TRAIN = "train"


def training(lake: Lake, release: Release, samples: Sequence[Sample], frames: Frames) -> TrainedOn:
    """What a training on the frames of these samples sees: its labelled images and their groups."""
    chosen = [samples[row] for row in frames.labelled(TRAIN).tolist()]
    found = digests.of_samples(lake, release, chosen)
    return trained_on.of_training([one.picture | one.group for one in found], _salt(frames))


def rows(
    lake: Lake,
    release: Release,
    samples: Sequence[Sample],
    frames: Frames,
    trainings: Sequence[TrainedOn],
    twin_cosine: float,
) -> NDArray[np.bool_]:
    """Which samples some training saw, or a twin or a member of the group of, (n,) bool.

    A training on these very frames is left aside where they are of the given split: it has seen
    twins of what is tested, which is said beside each figure. Between training and the rest no
    twins are looked for, since a lake's own splits and folds have none.
    """
    is_known = frames.splitting.kind == "given"
    asked = [one for one in trainings if not (is_known and one.salt == _salt(frames))]
    of_picture = np.zeros(len(frames.sample_ids), dtype=bool)
    if not any(one.hashes for one in asked):
        return of_picture
    found, of_group = digests.of_samples(lake, release, samples), of_picture.copy()
    for one in asked:
        of_picture |= one.holds([each.picture for each in found])
        of_group |= one.holds([each.group for each in found])
    of_picture |= _twins_of(lake, release, frames, of_picture, twin_cosine)
    return np.isin(frames.groups, frames.groups[of_picture | of_group])


def left_out(frames: Frames, seen: NDArray[np.bool_]) -> str:
    """How many labelled images of each split are not scored, as they were seen; "" for none."""
    counts = []
    for split in SPLITS:
        labelled = frames.labelled(split)
        if split != TRAIN and (n := int(seen[labelled].sum())):
            counts.append(f"{n:,} of {len(labelled):,} {split} images")
    told = "left out, trained on as they are, as a twin or by their group"
    return f"{told}: {', '.join(counts)}" if counts else ""


def splits_without(frames: Frames, seen: NDArray[np.bool_]) -> NDArray[np.str_]:
    """The splits, (n,) str, with what was seen in none of them, unless it trains."""
    return np.where(seen & (frames.splits != TRAIN), NO_SPLIT, frames.splits)


def _salt(frames: Frames) -> bytes:
    """Of a training on these frames, and of no other."""
    trained = frames.sample_ids[frames.labelled(TRAIN)].tolist()
    return trained_on.salt([frames.content_hash, str(frames.splitting), *trained])


def _twins_of(
    lake: Lake, release: Release, frames: Frames, seen: NDArray[np.bool_], cosine: float
) -> NDArray[np.bool_]:
    """Which samples that do not train are a twin of a seen one that does not either, (n,) bool."""
    found = np.zeros_like(seen)
    others = np.flatnonzero(~seen & (frames.splits != TRAIN))
    chosen = np.flatnonzero(seen & (frames.splits != TRAIN))
    if len(chosen) and len(others):
        order = np.concatenate([others, chosen])
        thumbnails = images.thumbnails(lake, release, frames.sample_ids[order].tolist())
        looks = twins.vectors([bytes(row) for row in thumbnails])
        pairs = twins.find(looks, len(others), cosine)
        of_another = pairs[pairs[:, 0] < len(others), 0]
        found[order[of_another]] = True
    return found
