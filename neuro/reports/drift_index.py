"""The drift reports of a problem on one page: what was found of each window, and its report."""

from collections.abc import Sequence
from pathlib import Path

from neuro.promotion.verdict_log import Judged
from neuro.reports import render, verdict_history


def draw(path: Path, problem: str, judged: Sequence[Judged], *, synthetic: bool) -> Path:
    """Write the page beside the reports it leads to, and return its path. judged: oldest first.

    A report is of the last verdict that names it; others, and those whose report is not beside the
    page, stand without a link. Reasons that persons gave stay in the journal: they may name whom an
    erasure has taken out.
    """
    rows, linked = list[tuple[Judged, str]](), set[str]()
    for each in reversed(judged):
        link = _link(path, each)
        rows.append((each, "" if link in linked else link))
        linked.add(link)
    of_model = [each for each in judged if each.model == judged[-1].model]
    found = render.render(
        "drift_index.html",
        problem=problem,
        rows=rows,
        strip=verdict_history.strip(judged),
        lines=verdict_history.lines(of_model),
        is_synthetic=synthetic,
    )
    return render.write(path, found)


def _link(path: Path, judged: Judged) -> str:
    """The report's address as seen from the page, "" for none."""
    report = judged.report
    return report.name if report.parent == path.parent and report.is_file() else ""
