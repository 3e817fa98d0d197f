"""By which digests a sample is met again: in another lake, another format, another delivery."""

import hashlib
from collections.abc import Sequence

from neuro.lake import images, sample_metadata
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.sample import Sample


def of_samples(lake: Lake, release: Release, samples: Sequence[Sample]) -> list[set[str]]:
    """The digests of each sample: its file, its clean picture, its thumbnail, and its group.

    The clean picture is the same whatever metadata lay around it, the thumbnail whatever format
    kept the pixels. The group is named by its oldest image and by the patient or lesion id.
    """
    wanted = [sample.sample_id for sample in samples]
    facts = images.facts(lake, release, wanted)
    keys = sample_metadata.group_keys(lake, release, wanted)
    thumbnails = images.thumbnails(lake, release, wanted)
    found = []
    for sample, small in zip(samples, thumbnails, strict=True):
        names = {sample.sample_id, sample.group_id, keys[sample.sample_id]}
        names.add(facts[sample.sample_id]["stored_sha256"])
        if small.min() < small.max():  # all flat pictures have one in common
            names.add(hashlib.sha256(small.tobytes()).hexdigest())
        found.append(names - {""})
    return found
