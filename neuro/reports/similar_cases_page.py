"""One page of the cases nearest to a picture, with what is known of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuro.features.similar_cases import Case
from neuro.reports import html
from neuro.reports.html import Html, Part
from neuro.sample import Sample

Pictures = Mapping[str, bytes]
HOW = {
    "thumb": "Compared are thumbnails of 32 pixels in the best of the eight flips and rotations: a "
    "cosine near 1 is the same picture, mirrored or turned.",
    "descriptors": "Compared are brightness, contrast, noise and the like, each in deviations from "
    "its mean in the training split: how the picture was taken, not what it shows.",
    "pixels_pca": "Compared are the pixels along the principal components of the training split.",
}
EMBEDDED = "Compared is what a network sees: the numbers before its last layer."


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What was searched for, and where. sample: None for a file that is not in the release."""

    sha256: str
    sample: Sample | None
    release: str
    features: str
    is_synthetic: bool


def write(
    path: Path,
    asked: Asked,
    cases: Sequence[Case],
    pictures: Pictures,
    class_of: Callable[[str], str],
) -> Path:
    """Write the page, whole or not at all, and return its path. pictures: small, by sample_id."""
    return html.write(path, build(asked, cases, pictures, class_of))


def build(
    asked: Asked, cases: Sequence[Case], pictures: Pictures, class_of: Callable[[str], str]
) -> Html:
    """The whole document."""
    what = f"sample {asked.sha256[:12]}" if asked.sample else f"a file ({asked.sha256[:12]})"
    subtitle = f"{len(cases)} nearest to {what} in {asked.release}, by {asked.features}"
    mine = _about(asked.sample, class_of) if asked.sample else ["not in the release"]
    query = html.strip([_figure(asked.sha256, pictures, mine)])
    near = [
        _figure(
            case.sample.sample_id,
            pictures,
            [f"cosine {case.cosine:.3f}", *_about(case.sample, class_of)],
        )
        for case in cases
    ]
    parts = (
        Part(anchor="asked", title="Asked for", body=query),
        Part(
            anchor="cases",
            title="Nearest cases",
            body=html.strip(near),
            explanation=HOW.get(asked.features, EMBEDDED)
            + " A near case is no diagnosis, and labels may be wrong.",
        ),
        Part(anchor="table", title="The same as a table", body=_table(cases, class_of)),
    )
    return html.page("Similar cases", subtitle, parts, is_synthetic=asked.is_synthetic)


def _about(sample: Sample, class_of: Callable[[str], str]) -> list[str]:
    return [_label(sample, class_of), f"split {sample.split}", f"group {sample.group_id[:12]}"]


def _label(sample: Sample, class_of: Callable[[str], str]) -> str:
    answer = class_of(sample.label)
    if not sample.label:
        return "no label"
    return sample.label if answer in ("", sample.label) else f"{sample.label} ({answer})"


def _figure(sample_id: str, pictures: Pictures, lines: Sequence[str]) -> Html:
    caption = html.joined(html.element("div", line) for line in lines)
    if sample_id not in pictures:
        return html.figure(html.element("p", "damaged in the lake"), caption)
    inner = html.picture(pictures[sample_id], " ".join(lines), sample_id=sample_id)
    return html.figure(inner, caption)


def _table(cases: Sequence[Case], class_of: Callable[[str], str]) -> Html:
    lines = [
        (
            html.element("code", case.sample.sample_id[:12]),
            f"{case.cosine:.4f}",
            _label(case.sample, class_of),
            case.sample.split,
            html.element("code", case.sample.group_id[:12]),
            case.sample.source_name,
        )
        for case in cases
    ]
    return html.table(("Sample", "Cosine", "Label", "Split", "Group", "Source name"), lines)
