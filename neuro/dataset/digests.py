"""By which digests a sample is met again: in another lake, another format, another delivery."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from neuro.lake import images, sample_metadata
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.sample import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """By what a sample is met again. picture: file, clean picture, thumbnail. group: its names.

    The clean picture is the same whatever metadata lay around it, the thumbnail whatever format
    kept the pixels. A group is named by its oldest image, and by the patient or lesion id.
    """

    picture: frozenset[str]
    group: frozenset[str]


def of_samples(lake: Lake, release: Release, samples: Sequence[Sample]) -> list[Digests]:
    """The digests of each of these samples of a release, in their order."""
    wanted = [sample.sample_id for sample in samples]
    facts = images.facts(lake, release, wanted)
    keys = sample_metadata.group_keys(lake, release, wanted)
    thumbnails = images.thumbnails(lake, release, wanted)
    found = []
    for sample, small in zip(samples, thumbnails, strict=True):
        picture = {sample.sample_id, facts[sample.sample_id]["stored_sha256"]}
        if small.min() < small.max():  # all flat pictures have one in common
            picture.add(hashlib.sha256(small.tobytes()).hexdigest())
        group = {sample.group_id, keys[sample.sample_id]} - {""}
        found.append(Digests(picture=frozenset(picture), group=frozenset(group)))
    return found
