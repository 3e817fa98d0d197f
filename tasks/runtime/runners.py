"""Where the shards of a run are worked on: threads here, or a cluster, by configuration alone."""

import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any

from prefect import Flow
from prefect.context import FlowRunContext, TaskRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task

from neuro.errors import ConfigError, ServerError
from tasks.runtime import settings

# What a worker on another machine is sent of the code; what it imports must be installed there.
PACKAGES = ("neuro", "monitoring", "tasks", "flows", "deployments")
RAY_AHEAD = 1024  # shards; their results wait in Ray's object store, which spills to disk
CONNECT_S = 5.0  # Ray itself asks for half a minute before it gives up
RAY_STORE = 1 << 30  # bytes of that store on this machine, unless it is a cluster's


class ConfiguredRunner(TaskRunner[PrefectFuture[Any]]):
    """The runner that NEURO_RUNNER names, chosen and started with the first shard of a run.

    So a run whose work is all done starts no cluster, and neither does a worker, which Prefect
    gives a runner of its own.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cluster = ExitStack()
        self._runner: TaskRunner[Any] | None = None

    def __reduce__(self) -> tuple[type["ConfiguredRunner"], tuple[()]]:
        """Nothing that was started travels."""
        return ConfiguredRunner, ()

    def duplicate(self) -> "ConfiguredRunner":
        """A new one, not started."""
        return ConfiguredRunner()

    def submit(
        self,
        task: Task[Any, Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[Any]] | None = None,
    ) -> PrefectFuture[Any]:
        """Hand one task to the runner.

        Raises ConfigError if its packages are not installed, ServerError if it is not reached.
        """
        if self._runner is None:
            here = settings.load()
            try:
                self._runner = self._cluster.enter_context(chosen(here))
            except OSError as error:  # ConnectionError and TimeoutError among them
                raise ServerError(
                    f"no cluster is reached at NEURO_RUNNER={here.runner} ({error}); check that it "
                    "is up, and its token (RAY_AUTH_MODE, RAY_AUTH_TOKEN), or use threads"
                ) from error
        future: PrefectFuture[Any] = self._runner.submit(task, parameters, wait_for, dependencies)
        return future

    def __exit__(self, *raised: Any) -> None:
        """Stop what was started."""
        self._runner = None
        self._cluster.close()
        super().__exit__(*raised)


def chosen(here: settings.Settings) -> TaskRunner[Any]:
    """The runner of these settings, not started yet.

    Raises ConfigError if its packages are not installed, OSError if nothing listens there.
    """
    kind, _, address = here.runner.partition("://")
    if kind == "threads":
        return ThreadPoolTaskRunner(max_workers=settings.cores())
    if address:
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    return _ray(address) if kind == "ray" else _dask(address)


def ahead(nbytes: int = 0) -> int:
    """How many shards of a run may be under way, or done and not taken yet.

    nbytes: what travels with each; a cluster is sent no more of it than one machine's store takes.
    """
    if settings.load().runner == "threads":
        return 2 * settings.cores()
    return max(2, min(RAY_AHEAD, RAY_STORE // max(nbytes, 1)))


def is_done(future: PrefectFuture[Any] | Future[Any]) -> bool:
    """Whether a shard has ended, well or not; asks no server."""
    within = getattr(future, "wrapped_future", future)
    if hasattr(within, "done"):
        return bool(within.done())
    import ray

    return bool(ray.wait([within], timeout=0)[0])


@contextmanager
def light(run: FlowRunContext) -> Iterator[None]:
    """The run without its weight, while a shard is submitted.

    Prefect sends the flow, the task it is in and the arguments of both along with each task: here
    the pixels of a release, and a flow that makes each worker import torch, MLflow and Evidently.
    """
    name = run.flow.name if run.flow is not None else "shards"
    flow = Flow(_nothing, name=name, version="", task_runner=ConfiguredRunner())
    with ExitStack() as contexts:
        contexts.enter_context(run.model_copy(update={"flow": flow, "parameters": {}}))
        within = TaskRunContext.get()
        if within is not None:
            bare = Task(_nothing, name=within.task.name, persist_result=False)
            contexts.enter_context(within.model_copy(update={"task": bare, "parameters": {}}))
        yield


def _nothing() -> None:
    """Stands for a function that is not called where its run is only named."""


def _ray(address: str) -> TaskRunner[Any]:
    if not address:
        settings.keep_ray_here()
    try:
        from prefect_ray import RayTaskRunner
    except ImportError as error:
        raise ConfigError(_lacking("ray", "`pip install neuro[cluster]`")) from error
    if not address:
        local = {"num_cpus": settings.cores(), "include_dashboard": False}
        local |= {"object_store_memory": RAY_STORE}
        here: TaskRunner[Any] = RayTaskRunner(init_kwargs=local)
        return here
    sent = [str(settings.PROJECT / name) for name in PACKAGES]
    there = {"py_modules": sent, "env_vars": settings.worker_environment()}
    runner: TaskRunner[Any] = RayTaskRunner(f"ray://{address}", init_kwargs={"runtime_env": there})
    return runner


def _dask(address: str) -> TaskRunner[Any]:
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise ConfigError(_lacking("dask", "`pip install prefect-dask`")) from error
    runner: TaskRunner[Any] = DaskTaskRunner(address=f"tcp://{address}" if address else None)
    return runner


def _lacking(kind: str, remedy: str) -> str:
    return f"NEURO_RUNNER={kind} needs packages that are not installed: {remedy}, or use threads"
