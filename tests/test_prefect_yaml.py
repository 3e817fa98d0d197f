"""Every deployment of prefect.yaml loads, and its parameters fit its flow."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint

from deployments.prefect_hook import full_name
from deployments.stack import servers

PROJECT = Path(__file__).parents[1]
DEPLOYMENTS = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
FLOWS = sorted(path.stem for path in (PROJECT / "flows").glob("[a-z]*.py"))


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_a_deployment_loads_and_its_parameters_build(deployment: dict[str, Any]) -> None:
    found = load_flow_from_entrypoint(_absolute(deployment["entrypoint"]))
    assert isinstance(found, Flow)
    sent = dict(deployment["parameters"])
    for schedule in deployment.get("schedules", []):
        sent |= schedule.get("parameters", {})
    for trigger in deployment.get("triggers", []):
        sent |= dict.fromkeys(trigger["parameters"], "text")
    assert found.validate_parameters(sent).items() >= sent.items()


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_a_deployment_is_named_like_its_flow(deployment: dict[str, Any]) -> None:
    """So that `prefect deployment run retrain` can mean retrain/retrain."""
    found = load_flow_from_entrypoint(_absolute(deployment["entrypoint"]))
    name = deployment["name"]
    assert full_name(["prefect", "deployment", "run", name])[3] == f"{found.name}/{name}"


def test_every_flow_has_a_deployment() -> None:
    here = [d["name"] for d in DEPLOYMENTS if d["work_pool"]["name"] == servers.POOL]
    assert sorted(here) == FLOWS


def test_what_trains_waits_in_the_queue_of_one() -> None:
    queues = {d["name"]: d["work_pool"].get("work_queue_name") for d in DEPLOYMENTS}
    assert {name for name, queue in queues.items() if queue == "training"} == {"train", "retrain"}


def test_every_deployment_but_evaluate_runs_once_at_a_time() -> None:
    assert [d["name"] for d in DEPLOYMENTS if "concurrency_limit" not in d] == ["evaluate"]


def test_what_trains_also_waits_for_a_gpu_and_nothing_starts_it_there_by_itself() -> None:
    """One event would else train twice."""
    there = [d for d in DEPLOYMENTS if d["work_pool"]["name"] == servers.GPU_POOL]
    assert [d["name"] for d in there] == ["train-gpu", "retrain-gpu"]
    assert not any("schedules" in d or "triggers" in d for d in there)


@pytest.mark.parametrize(
    ("name", "crons"),
    [
        ("ingest", {"0 * * * *": {}}),
        (
            "monitor",
            {
                "0 4 * * *": {"starts": "predict"},
                "0 6 * * 1": {"starts": "drift"},
                "0 2 1 * *": {"starts": "retrain"},
            },
        ),
        ("reconcile", {"*/15 * * * *": {}}),
    ],
)
def test_the_schedules_are_the_promised_ones(name: str, crons: dict[str, dict[str, str]]) -> None:
    found = next(d for d in DEPLOYMENTS if d["name"] == name)
    assert {each["cron"]: each.get("parameters", {}) for each in found["schedules"]} == crons


def test_the_trigger_sends_what_the_event_carries() -> None:
    from tasks.record import events

    retrain = next(d for d in DEPLOYMENTS if d["name"] == "retrain")
    (trigger,) = retrain["triggers"]
    assert trigger["expect"] == [events.DRIFT_FOUND]
    # A key that the payload lacks makes no run, without a word.
    source = inspect.getsource(events.emit_drift)
    assert all(f'"{name}"' in source for name in trigger["parameters"])


def _absolute(entrypoint: str) -> str:
    return str(PROJECT / entrypoint)
