"""Pages that an erasure took away, drawn again from what is left: of a window, of a release."""

from collections.abc import Mapping
from dataclasses import replace
from logging import getLogger
from pathlib import Path

from neuro.erasure.erase import ErasureResult
from neuro.errors import NeuroError
from neuro.lake import erasure, releases
from neuro.lake.lake import Lake
from neuro.problems import problem as problems
from neuro.reports import page_paths
from neuro.reports.page_paths import ReleasePage
from tasks import audit, drift, explore, featurize, passport
from tasks.load import envelopes, models, release_data
from tasks.record import registry
from tasks.runtime import settings

_log = getLogger(__name__)


def pages(lake: Lake, done: ErasureResult) -> ErasureResult:
    """Draw each page again. No verdict is recorded and no event sent: nothing new has happened.

    In ``removed``, ``redrawn`` lists the pages, and ``redraw`` the commands of those that could not
    be drawn, such as those whose model is gone or whose window is empty now.
    """
    home = settings.load().home
    drawn, left = set[str](), set[str]()
    for path in done.removed["pages"]:
        page = page_paths.named(home.resolve(), Path(path))
        if page is None:
            continue
        # Networks in doubt had learnt from the erased image, an evaluation is a counted look, and
        # a site's images are not kept.
        if page.is_of_doubt or page.evaluated or page.accepted:
            left.add(page.command)
            continue
        try:
            drawn |= {str(again) for again in _draw_heir(lake, page)}
        except (NeuroError, OSError) as error:
            _log.warning("the page %s is not drawn again: %s", path, error)
            left.add(page.command)
    for verdict in done.removed["redraw"]:
        try:
            drawn.add(str(_draw_drift(lake, verdict)))
        except (NeuroError, OSError) as error:
            _log.warning("the page of `%s` is not drawn again: %s", verdict["command"], error)
            left.add(verdict["command"])
    for reference in dict.fromkeys(verdict["problem"] for verdict in done.removed["redraw"]):
        try:
            drift.index(lake, problems.load(reference))  # also where a report could not be drawn
        except (NeuroError, OSError) as error:
            _log.warning("the list of drift reports of %s is not drawn again: %s", reference, error)
    pages = {"redrawn": sorted(drawn), "redraw": sorted(left)}
    return replace(done, removed={**done.removed, **pages})


def _draw_heir(lake: Lake, page: ReleasePage) -> list[Path]:
    """The same page of the release that superseded this one, where one did."""
    known = {
        name: release
        for dataset in erasure.datasets(lake)
        for name, release in releases.known(lake, dataset).items()
    }
    gone = known.get(page.release)
    heir = known.get(gone.superseded_by) if gone else None
    if heir is None:
        return []
    if page.problem:
        return [explore.draw(release_data.load(lake, problems.load(page.problem), heir.name))]
    return [passport.draw(lake, heir)]


def _draw_drift(lake: Lake, page: Mapping[str, str]) -> Path:
    question = problems.load(page["problem"])
    model = models.load(question, _named(page["model"]))
    loaded = release_data.load(lake, model.problem_as_trained(question))
    featurize.describe(loaded)
    policy = envelopes.of_problem(question).drift
    compared = drift.observe(loaded, model, page["window"], 0.0, policy, is_counted=False)
    verdict = drift.judge(compared, policy, drift.harmless(loaded, model, compared))
    verdict = audit.weigh(loaded, model, compared, verdict, policy)
    verdict = drift.confirm(loaded, model, compared, verdict, policy)
    return drift.report(loaded, model, compared, verdict)


def _named(version: str) -> str:
    """A registered version's number, or the folder of the package with this digest."""
    return version if version.isdigit() else str(registry.packages() / version[:16])
