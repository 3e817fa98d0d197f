"""The step that tries a model on a site's own images, by limits that the site set before."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from typing import Any

from neuro.errors import ConfigError
from neuro.evaluation import evaluate as evaluation
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem
from neuro.promotion import acceptance, site_limits
from neuro.promotion.acceptance import KIND, Site
from neuro.promotion.site_limits import SiteLimits
from neuro.reports import acceptance_page, render
from neuro.reports.acceptance_page import Told
from neuro.reports.page_paths import ReleasePage
from neuro.sample import EXTERNAL
from tasks.load import external_images
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptanceRequest:
    """What a site asks: its name, its limits, and who asks."""

    site: str
    limits: SiteLimits
    who: str


def request(
    problem: Problem, source: str, limits: str | None, site: str, who: str
) -> AcceptanceRequest:
    """Check what was asked before a model is loaded. source: the folder of the site's images.

    limits: their file, else the one that the home folder keeps for the problem, else the default.
    site: "" for the folder's name.
    """
    if not source or not Path(source).is_dir():
        raise ConfigError(
            f"{source!r} is no folder; give the folder of the site's labelled images: "
            "neuro accept DIR"
        )
    return AcceptanceRequest(
        site=site.strip() or external_images.folder_name(problem, Path(source)),
        limits=_limits(problem, limits),
        who=who,
    )


@step(name="accept")
def accept(
    lake: Lake, loaded: Loaded, model: Model, requested: AcceptanceRequest
) -> dict[str, Any]:
    """Judge the model by the limits on a site's images, and write journal and page.

    loaded: the images, as ``external_images`` opens them. lake: that of the journal, which has the
    limits before the model answers.
    """
    limits, version = requested.limits, model.version
    site = Site(
        problem=loaded.problem.name, name=requested.site, images=loaded.release.content_hash
    )
    body = _body(site, model, requested)
    others = acceptance.earlier(lake, site, limits)
    set_at = _set(lake, site, body)
    answers = evaluation.evaluate(model.engine, loaded.frames, EXTERNAL, model_version=version)
    judged, now = acceptance.judge(answers, limits), datetime.now(UTC)
    told = Told(
        site=site,
        images=loaded.external,
        limits=limits,
        set_at=set_at,
        others=others,
        who=requested.who,
        at=now,
        package=model.package.digest,
        is_synthetic=loaded.release.is_synthetic,
    )
    place = ReleasePage(
        release=loaded.named_after,
        problem=site.problem,
        accepted=f"{version[:16]}-{limits.sha256[:12]}-{site.images[:12]}",
    )
    page = place.path(settings.load().home)
    result = body | {
        "passed": all(each.passed for each in judged),
        "limits": [each.as_dict() for each in judged],
        "page": str(page),
        "n": len(answers.targets),
        "groups": len(set(answers.groups.tolist())),
        "said": loaded.external,
        "set_at": set_at.isoformat(timespec="seconds"),
        "judged_at": now.isoformat(timespec="seconds"),
        "changed": [
            asdict(each) | {"at": each.at.isoformat(timespec="seconds")} for each in others
        ],
    }
    _record(lake, site, result, now)
    render.write(page, acceptance_page.build(answers, judged, told))
    _show(result, page)
    return result


def _limits(problem: Problem, file: str | None) -> SiteLimits:
    if file:
        return site_limits.load(Path(file), problem.classes, f"the file {Path(file).name}")
    kept = settings.load().home / "acceptance" / f"{problem.name}.toml"
    if kept.exists():
        return site_limits.load(kept, problem.classes, f"acceptance/{kept.name} of the home folder")
    return site_limits.default(problem)


def _body(site: Site, model: Model, requested: AcceptanceRequest) -> dict[str, Any]:
    """What the journal has of limits before the model answers."""
    limits = requested.limits
    return {
        "problem": site.problem,
        "site": site.name,
        "images": site.images,
        "model": model.version,
        "package": model.package.digest,
        "who": requested.who,
        "passed": None,
        "asked": acceptance.by_figure(limits.limits),
        "limits_from": limits.origin,
        "limits_sha256": limits.sha256,
        "limits_text": limits.text,
        "flow_run_id": artifacts.flow_run_id() or "",
    }


def _set(lake: Lake, site: Site, body: Mapping[str, Any]) -> datetime:
    """Write down that these are a site's limits, unless they are already; returns since when."""
    key = f"{site.problem}/{site.name}/set/{body['limits_sha256']}"
    now = datetime.now(UTC)
    journal.record(lake, KIND, key, body, now)
    kept = journal.get(lake, KIND, key)
    return kept.at if kept else now


def _record(lake: Lake, site: Site, result: Mapping[str, Any], now: datetime) -> None:
    number = len(journal.entries(lake, KIND))
    while not journal.record(lake, KIND, f"{site.problem}/{site.name}/{number}", result, now):
        number += 1


def _show(result: Mapping[str, Any], page: Path) -> None:
    verdict = "meets" if result["passed"] else "does not meet"
    title = f"Model {result['model'][:12]} {verdict} the limits of {result['site']}"
    _log.info("%s", title)
    artifacts.label_run("passed" if result["passed"] else "not passed", name=title)
    rows = [artifacts.rounded(row) for row in result["limits"]]
    artifacts.table("acceptance", rows, title)
    artifacts.link("acceptance-page", page.resolve().as_uri(), title)
