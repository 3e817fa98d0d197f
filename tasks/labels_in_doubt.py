"""The labels that folds doubt, where people see them: a page, a list, a table in both servers.

No sample is named in Prefect or in MLflow, because an erasure could not take it back there: the
whole list lies beside its page below the home folder.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neuro.evaluation import labels_in_doubt
from neuro.evaluation.evaluate import SHOWN_OF_FOLDS, Evaluation
from neuro.evaluation.labels_in_doubt import LabelsInDoubt, SideBySide
from neuro.reports import labels_in_doubt_page, passport_text, render
from neuro.reports.page_paths import ReleasePage
from tasks import passport
from tasks.load.release_data import Loaded
from tasks.record import artifacts, tracking
from tasks.runtime import settings
from tasks.runtime.steps import step

TOLD = 5  # labels that a result names; the list has all


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubts:
    """What the folds doubt, what it makes of the figures, and where its page is."""

    found: LabelsInDoubt
    figures: Sequence[SideBySide]
    page: Path
    suspects: frozenset[str]

    def as_dict(self) -> dict[str, Any]:
        """What ``neuro train --folds`` prints."""
        by_name = {
            row.name: {
                "all": asdict(row.all_labels) if row.all_labels else None,
                "without": asdict(row.without) if row.without else None,
            }
            for row in self.figures
        }
        return {
            "n": len(self.found.labels),
            "of": self.found.n,
            "page": str(self.page),
            "list": str(self.page.with_suffix(".json")),
            "agreement": dict(zip(self.found.judges, self.found.agreement, strict=True)),
            **by_name,
            "first": self.found.rows(self.suspects)[:TOLD],
        }


@step(name="doubt labels")
def find(loaded: Loaded, pooled: Evaluation, run: tracking.Run, folds: int, model: str) -> Doubts:
    """Find the labels in doubt, write list and page, and draw the passport's page again."""
    release = loaded.release
    answers = labels_in_doubt.judged(loaded.lake, release, pooled)
    found = LabelsInDoubt(
        problem=loaded.problem.name,
        release=release.name,
        content_hash=release.content_hash,
        folds=folds,
        model=model,
        run_id=run.run_id,
        n=len(pooled.targets),
        judges=answers.judges,
        agreement=answers.agreement,
        labels=labels_in_doubt.find(answers),
    )
    figures = labels_in_doubt.side_by_side(pooled, found.labels, SHOWN_OF_FOLDS)
    place = ReleasePage(release=release.name, problem=found.problem, is_of_doubt=True)
    path = place.path(settings.load().home)
    render.write(path.with_suffix(".json"), labels_in_doubt.to_json(found))
    render.write(path, labels_in_doubt_page.draw(loaded.lake, release, found, figures))
    passport.draw(loaded.lake, release)
    return Doubts(
        found=found,
        figures=figures,
        page=path,
        suspects=passport_text.suspect_ids(release.passport),
    )


def show(run: tracking.Run, doubts: Doubts, title: str) -> None:
    """Figures with and without the labels in doubt, in the Prefect run and in MLflow."""
    said = f"{title}: {len(doubts.found.labels)} of {doubts.found.n} labels in doubt"
    rows = [
        {
            "figure": row.name,
            "all labels": str(row.all_labels or "none"),
            "without labels in doubt": str(row.without or "none"),
        }
        for row in doubts.figures
    ]
    warning = "left out because the model contradicts them, so the last column flatters it"
    artifacts.table("labels-in-doubt", rows, f"{said}; {warning}")
    artifacts.table("labels-in-doubt-by-class", doubts.found.counts(), said)
    artifacts.link("labels-in-doubt-page", doubts.page.resolve().as_uri(), said)
    without = [row.without for row in doubts.figures if row.without]
    tracking.log_metrics(run, "folds_without_doubts", without)
    tracking.log_values(run, {"labels_in_doubt": len(doubts.found.labels)}, step=0)
    tracking.log_table(run, "labels_in_doubt_figures", rows)
    tracking.log_table(run, "labels_in_doubt_by_class", doubts.found.counts())
