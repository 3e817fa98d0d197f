"""The step of an exploration: read a release, and write its page."""

from pathlib import Path

from neuro.reports import exploration, exploration_data, render
from neuro.reports.page_paths import ReleasePage
from tasks.load.release_data import Loaded
from tasks.runtime import settings
from tasks.runtime.steps import step


@step(name="explore")
def draw(loaded: Loaded, out: Path | None = None) -> Path:
    """Write the page of a release, by default below the home folder; returns its path."""
    explored = exploration_data.read(
        loaded.lake, loaded.release, loaded.problem, loaded.samples, loaded.frames
    )
    page = ReleasePage(release=loaded.release.name, problem=loaded.problem.name)
    return render.write(out or page.path(settings.load().home), exploration.build(explored))
