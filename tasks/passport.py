"""A release's passport where people see it: a page below the home folder, and a run's artifacts."""

from logging import getLogger
from pathlib import Path

from neuro.errors import NeuroError
from neuro.evaluation import labels_in_doubt
from neuro.evaluation.labels_in_doubt import Known
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.reports import page_paths, passport_markdown, passport_page, passport_text, render
from neuro.reports.page_paths import ReleasePage
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)


@step(name="draw passport")
def draw(lake: Lake, release: Release, out: Path | None = None) -> Path:
    """Write the page of a release, by default below the home folder; returns its path.

    Raises ErasedError if some of its images were erased.
    """
    page = passport_page.draw(lake, release, doubted(release))
    return render.write(out or _path(release), page)


def doubted(release: Release) -> Known:
    """The labels that folds trained on this very content doubt, beside the passport's suspects."""
    paths = page_paths.doubt_lists(settings.load().home, release.name)
    return labels_in_doubt.known(paths, release.content_hash)


def show(lake: Lake, problem: Problem, release: Release) -> Path | None:
    """Tag the run, show what the passport says in it, and write its page.

    Returns its path; None where the pictures cannot be had: the release is there all the same.
    """
    synthetic = "synthetic" if release.is_synthetic else ""
    artifacts.label_run(problem.name, release.name, synthetic, name=f"ingest {release.name}")
    title = f"Passport of {release.name}" + (" (synthetic images)" if synthetic else "")
    figures = passport_text.figures(release.passport)
    rows = [{"what": name, "figure": value} for name, value in figures.items()]
    artifacts.table(f"passport-{problem.name}", rows, title)
    summary = passport_markdown.build(release.name, release.passport)
    artifacts.markdown(f"passport-summary-{problem.name}", summary, title)
    try:
        page = passport_page.draw(lake, release, doubted(release))
        path = render.write(_path(release), page)
    except (NeuroError, OSError) as error:
        _log.warning("the page of %s is not drawn: %s", release.name, error)
        return None
    artifacts.link(f"passport-page-{problem.name}", path.resolve().as_uri(), title)
    return path


def _path(release: Release) -> Path:
    return ReleasePage(release=release.name).path(settings.load().home)
