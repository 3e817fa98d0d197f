"""The labels that the folds of a run doubt, as a page for the reader who settles them."""

from collections.abc import Mapping, Sequence

from neuro.evaluation.labels_in_doubt import LabelsInDoubt, SideBySide
from neuro.images import preview
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.reports import passport_text, render

MAX_PICTURES = 200


def draw(lake: Lake, release: Release, found: LabelsInDoubt, figures: Sequence[SideBySide]) -> str:
    """The page, with the pictures that the lake has."""
    wanted = [label.sample_id for label in found.labels[:MAX_PICTURES]]
    undamaged = images.undamaged(lake, release, wanted)
    pictures = {sample_id: preview.small(stored) for sample_id, stored in undamaged}
    return build(release, found, figures, pictures)


def build(
    release: Release,
    found: LabelsInDoubt,
    figures: Sequence[SideBySide],
    pictures: Mapping[str, bytes],
) -> str:
    """The page. pictures: small, by sample_id; what is lacking is damaged in the lake."""
    suspects = passport_text.suspect_ids(release.passport)
    return render.render(
        "labels_in_doubt.html",
        found=found,
        shown=found.labels[:MAX_PICTURES],
        n_suspects=sum(label.sample_id in suspects for label in found.labels),
        figures=[
            (row.name, str(row.all_labels or "none"), str(row.without or "none")) for row in figures
        ],
        counts=[tuple(row.values()) for row in found.counts()],
        suspects=suspects,
        pictures=pictures,
        is_synthetic=release.is_synthetic,
    )
