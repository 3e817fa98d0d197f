"""MLflow runs that an earlier stack left RUNNING: closed where their flow run has ended.

By MLflow's REST API, and with the tag that says which flow run made a run: what other programs
record in the same server is not touched.
"""

import time
from collections.abc import Iterator
from typing import Any

import httpx

from deployments.stack import servers
from deployments.stack.servers import Stack
from neuro.errors import ServerError
from tasks.runtime import settings

_PAGE = 100


def close(stack: Stack, api: httpx.Client) -> int:
    """End them as KILLED; returns how many. api: a client of the Prefect server."""
    n_closed = 0
    with httpx.Client(
        base_url=f"{stack.mlflow_tracking_uri}/api/2.0/mlflow",
        auth=httpx.BasicAuth(settings.USER, stack.secret),
        trust_env=False,
        timeout=90.0,
    ) as mlflow:
        made_by = dict(_running(mlflow))
        is_open = servers.open_flow_runs(api, sorted(set(made_by.values())))
        for run_id, flow_run_id in made_by.items():
            if flow_run_id not in is_open and _is_left(mlflow, run_id, flow_run_id):
                ended = {"status": "KILLED", "end_time": int(time.time() * 1000)}
                _send(mlflow, "POST", "/runs/update", {"run_id": run_id, **ended})
                n_closed += 1
    return n_closed


def _running(mlflow: httpx.Client) -> Iterator[tuple[str, str]]:
    """Each run of ours that counts as running, and the flow run that made it."""
    for experiments in _pages(mlflow, "/experiments/search", {}, "experiments"):
        which = {
            "experiment_ids": [each["experiment_id"] for each in experiments],
            "filter": "attributes.status = 'RUNNING'",
        }
        for runs in _pages(mlflow, "/runs/search", which, "runs"):
            for run in runs:
                tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", ())}
                if settings.FLOW_RUN_TAG in tags:
                    yield run["info"]["run_id"], tags[settings.FLOW_RUN_TAG]


def _is_left(mlflow: httpx.Client, run_id: str, flow_run_id: str) -> bool:
    """Whether a run is still that flow run's, and running: it may have ended or gone on since."""
    run = _send(mlflow, "GET", f"/runs/get?run_id={run_id}")["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", ())}
    is_running = run["info"]["status"] == "RUNNING"
    return bool(is_running and tags.get(settings.FLOW_RUN_TAG) == flow_run_id)


def _pages(
    mlflow: httpx.Client, path: str, which: dict[str, Any], key: str
) -> Iterator[list[dict[str, Any]]]:
    token = ""
    while True:
        page = {"page_token": token} if token else {}
        answer = _send(mlflow, "POST", path, {**which, "max_results": _PAGE, **page})
        if found := answer.get(key):
            yield found
        token = answer.get("next_page_token", "")
        if not token:
            return


def _send(
    mlflow: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    try:
        answer = mlflow.request(method, path, json=body).raise_for_status()
    except httpx.HTTPError as error:
        raise ServerError(
            f"the MLflow server did not do {method} {path} ({error}); run `neuro up` again, and if "
            "it stays so, read logs/mlflow.log in the stack's home"
        ) from error
    found: dict[str, Any] = answer.json()
    return found
