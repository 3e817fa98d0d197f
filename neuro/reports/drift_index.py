"""The drift reports of a problem on one page: what was found of each window, and its report."""

from collections.abc import Sequence
from pathlib import Path

from neuro.promotion.verdict_log import Judged
from neuro.reports import render, verdict_history


def draw(path: Path, problem: str, judged: Sequence[Judged], *, synthetic: bool) -> Path:
    """Write the page beside the reports it leads to, and return its path. judged: oldest first.

    A verdict whose report is not beside it stands there without a link.
    """
    of_model = [each for each in judged if each.model == judged[-1].model]
    found = render.render(
        "drift_index.html",
        problem=problem,
        rows=[(each, _link(path, each)) for each in reversed(judged)],
        strip=verdict_history.strip(judged),
        lines=verdict_history.lines(of_model),
        is_synthetic=synthetic,
    )
    return render.write(path, found)


def _link(path: Path, judged: Judged) -> str:
    """The report's address as seen from the page, "" for none."""
    report = judged.report
    return report.name if report.parent == path.parent and report.is_file() else ""
