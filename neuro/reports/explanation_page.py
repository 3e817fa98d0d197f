"""One page of answers with maps of where the model looked."""

from collections.abc import Mapping, Sequence
from typing import Any

from neuro.models.package import Card
from neuro.reports import render
from neuro.reports.answers import Shown, nearest_said
from neuro.reports.evaluation_page import Mapped


def build(
    answers: Sequence[Mapping[str, Any]],
    card: Card,
    shown: Shown,
    mapped: Mapped,
    *,
    of: str,
    release: str,
    looks: str,
    is_synthetic: bool,
) -> str:
    """The whole document. of: what is explained, in words. looks: at the test set, "" for none."""
    return render.render(
        "explanation.html",
        answers=answers,
        card=card,
        shown=shown,
        nearest_said=nearest_said(shown),
        mapped=mapped,
        of=of,
        release=release,
        looks=looks,
        is_synthetic=is_synthetic or card.synthetic,
    )
