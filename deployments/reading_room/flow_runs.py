"""Flows that a page starts and watches: by their deployments, so that Prefect records them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from neuro.errors import ServerError
from tasks.runtime import settings

_PATIENCE_S = 180.0


def run(name: str, parameters: Mapping[str, Any]) -> None:
    """Start the deployment of a flow and wait for its end. Raises ServerError where it fails.

    The worker is another process: what the flow wrote is read from the journal.
    """
    from prefect.deployments import run_deployment  # takes seconds to import
    from prefect.exceptions import PrefectException

    settings.require_servers(settings.load(), "start it with `neuro up`")
    try:
        flow_run = run_deployment(
            f"{name}/{name}", parameters=dict(parameters), timeout=_PATIENCE_S, poll_interval=1
        )
    except (PrefectException, OSError) as error:
        raise ServerError(f"Prefect did not start {name}: {error}") from error
    state: Any = getattr(flow_run, "state", None)
    if state is None or not state.is_final():
        raise ServerError(f"{name} is not done after {_PATIENCE_S:.0f} s; Prefect's page shows it")
    if not state.is_completed():
        raise ServerError(f"{name} failed: {state.message}")


def running() -> list[tuple[str, str]] | None:
    """Name and start of the flow runs under way; None where Prefect does not answer."""
    import httpx

    here = settings.load()
    if not here.prefect_api_url:
        return None
    user, _, secret = here.credentials.partition(":")
    asked = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "limit": 20}
    try:
        with httpx.Client(trust_env=False, timeout=3.0) as api:
            caller = {"Prefect-Csrf-Client": "neuro-reading-room"}
            if secret:
                api.auth = httpx.BasicAuth(user, secret)
            url = here.prefect_api_url
            token = api.get(f"{url}/csrf-token?client=neuro-reading-room")
            if token.is_success:
                caller["Prefect-Csrf-Token"] = token.json()["token"]
            answer = api.post(f"{url}/flow_runs/filter", json=asked, headers=caller)
            answer.raise_for_status()
            return [(run["name"], _minute(run["start_time"])) for run in answer.json()]
    except (httpx.HTTPError, ValueError, KeyError):
        return None


def _minute(text: str | None) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}" if text else ""
