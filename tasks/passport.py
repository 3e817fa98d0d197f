"""A release's passport where people see it: a page below the home folder, and a run's artifacts."""

from logging import getLogger
from pathlib import Path
from typing import Any

from neuro.errors import NeuroError
from neuro.images import preview
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.reports import html, passport_markdown, passport_page
from neuro.reports.passport_page import Subject
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step

NOTE = "passport-page-"  # how the keys of artifacts begin that hold pictures

_log = getLogger(__name__)


def page_path(release: str) -> Path:
    """Where the page of a release lies. An erasure removes what is named after a release."""
    return settings.load().home / "reports" / "passport" / f"{release}.html"


@step(name="draw passport")
def draw(lake: Lake, release: Release, out: Path | None = None) -> Path:
    """Write the page of a release, by default below the home folder; returns its path.

    Raises ErasedError if some of its images were erased.
    """
    return _write(release, _pictures(lake, release), out)


def show(lake: Lake, problem: Problem, release: Release) -> Path | None:
    """Tag the run, show the passport in it, and write its page.

    Returns its path; None where the pictures cannot be had: the release is there all the same.
    """
    synthetic = "synthetic" if release.is_synthetic else ""
    artifacts.label_run(problem.name, release.name, synthetic, name=f"ingest {release.name}")
    title = f"Passport of {release.name}" + (" (synthetic images)" if synthetic else "")
    artifacts.table(f"passport-{problem.name}", rows(release), title)
    try:
        pictures = _pictures(lake, release)
        note = passport_markdown.build(_subject(release), release.passport, pictures)
        artifacts.markdown(f"{NOTE}{problem.name}", note, title)
        return _write(release, pictures, None)
    except (NeuroError, OSError) as error:
        _log.warning("the page of %s is not drawn: %s", release.name, error)
        return None


def rows(release: Release) -> list[dict[str, Any]]:
    """The passport's counts and accuracies, one a row."""
    sealed = release.passport
    flat: dict[str, Any] = {"images": sealed["images"], "groups": sealed["groups"]}
    flat |= {f"label {name or '(none)'}": n for name, n in sealed["labels"].items()}
    flat |= {f"split {name}": n for name, n in sealed["splits"].items()}
    flat |= {f"twins: {k}": n for k, n in sealed["twins"].items() if isinstance(n, int)}
    flat |= {f"look-up accuracy, {name}": v for name, v in sealed["lookup"].items()}
    named = [each for each in sealed.get("confounds") or () if each["is_named"]]
    flat |= {f"class told by {each['name']}, mean recall": each["balanced"] for each in named}
    flat |= {"labels in doubt": len(sealed["label_suspects"])} if "label_suspects" in sealed else {}
    return [{"what": name, "figure": value} for name, value in flat.items()]


def _pictures(lake: Lake, release: Release) -> dict[str, bytes]:
    found = images.undamaged(lake, release, passport_page.wanted(release.passport))
    return {sample_id: preview.small(stored) for sample_id, stored in found}


def _write(release: Release, pictures: dict[str, bytes], out: Path | None) -> Path:
    page = passport_page.build(_subject(release), release.passport, pictures)
    return html.write(out or page_path(release.name), page)


def _subject(release: Release) -> Subject:
    return Subject(
        release=release.name,
        dataset=release.dataset,
        made=f"{release.created_at:%-d %B %Y}",
        content_hash=release.content_hash,
    )
