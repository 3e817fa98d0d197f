"""One page of the cases nearest to a picture, with what is known of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from neuro.features.similar_cases import Case
from neuro.reports import render
from neuro.sample import Sample

HOW_COMPARED = {
    "thumb": "Compared are thumbnails of 32 pixels in the best of the eight flips and rotations: a "
    "cosine near 1 is the same picture, mirrored or turned.",
    "descriptors": "Compared are brightness, contrast, noise and the like, each in deviations from "
    "its mean in the training split: how the picture was taken, not what it shows.",
    "pixels_pca": "Compared are the pixels along the principal components of the training split.",
}
EMBEDDED = "Compared is what a network sees: the numbers before its last layer."


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What was searched for, and where. sample: None for a file that is not in the release."""

    sha256: str
    sample: Sample | None
    release: str
    features: str
    is_synthetic: bool


def build(
    query: Query,
    cases: Sequence[Case],
    pictures: Mapping[str, bytes],
    class_of: Callable[[str], str],
) -> str:
    """The whole document. pictures: small, by sample_id; a case without one is damaged."""
    samples = [case.sample for case in cases]
    if query.sample is not None:
        samples.append(query.sample)
    return render.render(
        "similar_cases.html",
        query=query,
        cases=cases,
        pictures=pictures,
        labels={sample.sample_id: _label(sample, class_of) for sample in samples},
        how_compared=HOW_COMPARED.get(query.features, EMBEDDED),
        is_synthetic=query.is_synthetic,
    )


def _label(sample: Sample, class_of: Callable[[str], str]) -> str:
    if not sample.label:
        return "no label"
    name = class_of(sample.label)
    return sample.label if name in ("", sample.label) else f"{sample.label} ({name})"
