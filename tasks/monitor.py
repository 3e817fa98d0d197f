"""Steps of the schedules: which problems are watched, and a run of a flow for each."""

from collections.abc import Mapping
from logging import getLogger
from typing import Any

from neuro.errors import NeuroError
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.problems import problem as problems
from neuro.promotion import serving, verdict_log
from tasks.record import artifacts, flow_runs
from tasks.runtime.steps import step

_log = getLogger(__name__)


def with_champion(lake: Lake) -> dict[str, str]:
    """The problems that a version serves, and how a flow finds each: by name or file."""
    lines = journal.entries(lake, serving.DECISION, verdict_log.VERDICT)
    references: dict[str, str] = {}
    for line in lines:
        name = str(line.body["problem"])
        references[name] = line.body.get("problem_reference") or references.get(name, name)
    return {name: references[name] for name in sorted(references) if serving.changes(lake, name)}


@step(name="start a run for each problem")
def start(flow: str, watched: Mapping[str, str], lake: str | None) -> dict[str, Any]:
    """Start a flow for each problem; one that cannot be started keeps no other from it.

    lake: as it was given.
    """
    more = {"lake": lake} | ({"cause": "monthly"} if flow == "retrain" else {})
    started, skipped = [], {}
    for name, reference in watched.items():
        try:
            problems.load(reference)
        except NeuroError as error:
            _log.warning("%s is not watched: %s", name, error)
            skipped[name] = str(error)
            continue
        key = f"{artifacts.flow_run_id()}/{flow}/{name}"
        if flow_runs.start(flow, {"problem": reference, **more}, key):
            started.append(name)
    artifacts.label_run(flow, *started)
    return {"started": started, "skipped": skipped}
