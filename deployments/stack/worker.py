"""A worker of this machine for the servers of another: what it trains, it trains and keeps here."""

import contextlib
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from deployments.stack import servers
from neuro import signing
from neuro.erasure import derived_files
from neuro.errors import ConfigError, ServerError
from neuro.lake import erasure
from tasks.load import release_data
from tasks.runtime import settings
from tasks.runtime.settings import Settings

REMEDY = "set PREFECT_API_URL and MLFLOW_TRACKING_URI to what `neuro status` says where they run"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerConfig:
    """Which runs to take. ``device``: cpu hides a GPU from them, cuda insists on one.

    ``name`` is no other worker's of the pool. ``project`` is the folder of flows/, at the servers'
    commit.
    """

    pool: str = servers.GPU_POOL
    lake: str | None = None  # default: NEURO_LAKE
    device: str = "auto"
    name: str = field(default_factory=platform.node)
    project: Path = settings.PROJECT


def run(config: WorkerConfig, report: Callable[[str], None]) -> NoReturn:
    """Become a Prefect worker, of one run at a time, that leaves with SIGTERM.

    Raises ServerError if a server is not reached, StorageError if the lake is not, and ConfigError
    if it is empty or the device is not there. Frames of what was erased go first.
    """
    here = settings.load()
    if config.lake:
        here = replace(here, lake=config.lake)
    from neuro.training.device import Machine  # torch: seconds

    device = Machine(device=config.device)
    lake = release_data.open_lake(here.lake)
    if not lake.has("releases"):
        raise ConfigError(f"lake {here.lake} holds no release; give --lake, or set NEURO_LAKE")
    settings.require_servers(here, REMEDY)
    readable = erasure.readable(lake)
    if n_forgotten := derived_files.remove_frames(here.home, readable, unfinished=False):
        report(f"removed the frames of {n_forgotten} releases that were erased")
    report(f"runs of pool {config.pool} at {here.prefect_api_url} train on {device}")
    report(f"the lake is {here.lake}; frames and packages are kept in {here.home}")
    keys = here.home / "keys"
    signing.ensure(keys)
    report(
        f"what it trains is signed by {signing.own_id(keys)}, to be believed there (docs/gpu.md)"
    )
    (here.home / "prefect").mkdir(parents=True, exist_ok=True)
    os.environ.update(environment(config, here))
    if names := apply_deployments(config):
        report(f"work pool {config.pool} is new to the servers; applied {', '.join(names)}")
    if n_left := close_left(config):
        report(f"closed {n_left} runs that were under way when this worker was stopped")
    command = servers.polling(config.pool, config.name, 1)
    # Ignored when started by a shell's `&`, and told to stop Prefect does no more than interrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # No child of this process: the worker itself is told to stop, by a shell as by a container.
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 - no shell is wanted


def environment(config: WorkerConfig, here: Settings) -> dict[str, str]:
    """The variables of the worker and of the flows it runs."""
    wanted = servers.EAGER | settings.flow_environment_of(here)
    wanted |= {"NEURO_PROJECT": str(config.project), "PREFECT_PLUGINS_ENABLED": "true"}
    if config.device == "cpu":
        wanted["CUDA_VISIBLE_DEVICES"] = ""
    return settings.inherited(wanted)


def apply_deployments(config: WorkerConfig) -> list[str]:
    """Make the work pool and its deployments where the server has none; the names of those.

    `neuro up` makes the pool of its own worker alone: what is sent to a pool that nobody ever
    polled would wait for ever. Raises ServerError if prefect.yaml's deployments are refused.
    """
    from prefect.client.orchestration import get_client  # after the server's address is known
    from prefect.client.schemas import filters
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    names = servers.deployments_of(config.project, [config.pool])
    pool = filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[config.pool]))
    with get_client(sync_client=True) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=config.pool, type="process"))
        known = {each.name for each in client.read_deployments(work_pool_filter=pool)}
    missing = [name for name in names if name not in known]
    if not missing:
        return []
    done = subprocess.run(
        [sys.executable, "-m", *servers.deploying(missing)],
        cwd=config.project,
        env=servers.without_project(settings.inherited({})),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerError(
            f"the deployments {', '.join(missing)} of {config.project / 'prefect.yaml'} were not "
            f"applied:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return missing


def close_left(config: WorkerConfig) -> int:
    """Close the runs that a worker of this name has left open, and return how many.

    Stopped or killed, it says nothing to the server; such a run would hold its deployment's only
    place for ever.
    """
    from prefect.client.orchestration import get_client  # after the server's address is known
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import State, StateType

    is_open = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    state_filter = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=is_open))
    pool = filters.WorkPoolFilterName(any_=[config.pool])
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=filters.FlowRunFilter(state=state_filter),
            work_pool_filter=filters.WorkPoolFilter(name=pool),
        )
        left = [run for run in runs if run.labels.get("prefect.worker.name") == config.name]
        for run in left:
            state = State[None](type=StateType.CRASHED, message="its worker was stopped")
            client.set_flow_run_state(run.id, state, force=True)
    return len(left)
