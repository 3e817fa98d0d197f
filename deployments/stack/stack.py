"""The local stack: Prefect, MLflow, a prediction service, the reading room and one worker.

All on loopback. The first two ask for a secret that is made at each start (guard.py) and stands in
the state file, the service for a token of a person, and the reading room for a name and a password.
"""

import contextlib
import json
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from deployments.stack import failed_runs, left_runs, processes, servers
from deployments.stack.processes import HOST
from deployments.stack.servers import Stack
from neuro import signing
from neuro.errors import ConfigError, ServerError
from tasks.runtime import settings

PATIENCE_S = 10.0  # between asking a program to stop and killing it
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class StackConfig:
    """What to start. ``project`` is the folder of prefect.yaml.

    A port of None is the usual one, 4200, 5000, 8000 or 8501, or the next that is free.
    """

    project: Path = field(default_factory=Path.cwd)
    home: Path | None = None  # default: NEURO_HOME, else .neuro in the project's folder
    lake: str | None = None  # default: NEURO_LAKE, else lake in home
    prefect_port: int | None = None
    mlflow_port: int | None = None
    service_port: int | None = None
    room_port: int | None = None

    def __post_init__(self) -> None:
        if not (self.project / "prefect.yaml").is_file():
            raise ConfigError(
                f"project {self.project} holds no prefect.yaml; run this in the project's folder"
            )
        given: dict[int, str] = {}
        for name in ("prefect_port", "mlflow_port", "service_port", "room_port"):
            port = getattr(self, name)
            if port is None:
                continue
            if not 1024 <= port <= 65535:
                raise ConfigError(f"{name} must be within 1024..65535, got {port}")
            if port in given:
                raise ConfigError(f"{name} must differ from {given[port]} {port}")
            given[port] = name


@dataclass(frozen=True, kw_only=True, slots=True)
class Listeners:
    """The socket of each server."""

    prefect: socket.socket
    mlflow: socket.socket
    service: socket.socket
    room: socket.socket


def state_file(project: Path) -> Path:
    """Where the stack of a project is written down."""
    return project.resolve() / settings.STACK_FILE


def read(path: Path) -> Stack | None:
    """The stack that a state file describes, alive or not; None without a usable file."""
    try:
        return Stack(**settings.read_stack_file(path))
    except TypeError:
        return None


def status(stack: Stack) -> dict[str, bool]:
    """Whether each program is alive."""
    alive = processes.marked(stack.mark)
    return {name: pid in alive for name, pid in stack.pids.items()}


def up(config: StackConfig, report: Report) -> Stack:
    """Start all, apply every deployment, and write the state file.

    Raises ServerError if a stack is up already, a port is taken or a program does not start, and
    ConfigError for a signing key that cannot be used; what was started by then is stopped again.
    What a killed stack left behind is cleared first.
    """
    path = state_file(config.project)
    _clear(path, report)
    with (
        processes.listening(config.prefect_port, servers.PREFECT_PORT) as prefect,
        processes.listening(config.mlflow_port, servers.MLFLOW_PORT) as mlflow,
        processes.listening(config.service_port, servers.SERVICE_PORT) as service,
        processes.listening(config.room_port, servers.ROOM_PORT) as room,
    ):
        listeners = Listeners(prefect=prefect, mlflow=mlflow, service=service, room=room)
        for name, wanted, usual, listener in (
            ("Prefect", config.prefect_port, servers.PREFECT_PORT, prefect),
            ("MLflow", config.mlflow_port, servers.MLFLOW_PORT, mlflow),
            ("the service", config.service_port, servers.SERVICE_PORT, service),
            ("the reading room", config.room_port, servers.ROOM_PORT, room),
        ):
            if wanted is None and (port := processes.port_of(listener)) != usual:
                report(f"port {usual} is taken: {name} gets {port}")
        stack = plan(config, *map(processes.port_of, (prefect, mlflow, service, room)))
        keys = Path(stack.home) / "keys"
        signing.ensure(keys)
        signing.own(keys)  # what is trained here must be signed, or nothing of it may serve
        try:
            _write(path, stack)  # before the first start: `down` finds the programs after a kill
            stack = _start(stack, listeners, report)
            _write(path, stack)
        except BaseException:  # Ctrl-C too: nothing started here may stay
            _stop(stack)
            path.unlink(missing_ok=True)
            raise
    return stack


def down(path: Path, report: Report) -> bool:
    """Stop the stack of a state file, and what its worker runs; False when there is none."""
    stack = read(path)
    if stack is None:
        report("no stack is up in this folder")
        return False
    _stop(stack)
    path.unlink(missing_ok=True)
    report("the stack is down")
    return True


@contextlib.contextmanager
def running(config: StackConfig, report: Report) -> Iterator[Stack]:
    """A stack for the length of a block, stopped on Ctrl-C and SIGTERM too (main thread only)."""
    with contextlib.ExitStack() as ending:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        ending.callback(signal.signal, signal.SIGTERM, before)
        stack = up(config, report)
        ending.callback(down, state_file(config.project), report)
        yield stack


def _clear(path: Path, report: Report) -> None:
    stack = read(path)
    if stack is None:
        return
    is_starting = not stack.pids and processes.marked(stack.mark)
    if is_starting or (stack.pids and all(status(stack).values())):
        raise ServerError(
            f"a stack is up already in this folder, Prefect at {stack.prefect_ui_url}; "
            "use it, or stop it with `neuro down`"
        )
    report("clearing what an earlier stack left behind")
    down(path, report)


def plan(
    config: StackConfig, prefect_port: int, mlflow_port: int, service_port: int, room_port: int
) -> Stack:
    """The stack that would be started, without programs."""
    project = config.project.resolve()
    here = settings.load(project)
    if config.home:  # the demonstration's own, whatever the environment says
        here = replace(here, home=config.home.resolve(), lake=str(config.home.resolve() / "lake"))
    return Stack(
        project=str(project),
        home=str(here.home),
        lake=config.lake or here.lake,
        s3_endpoint=here.s3_endpoint,
        prefect_api_url=f"http://{HOST}:{prefect_port}/api",
        mlflow_tracking_uri=f"http://{HOST}:{mlflow_port}",
        service_url=f"http://{HOST}:{service_port}",
        room_url=f"http://{HOST}:{room_port}",
        mark=secrets.token_hex(8),
        secret=secrets.token_urlsafe(24),
        pids={},
    )


def _start(stack: Stack, listeners: Listeners, report: Report) -> Stack:
    """The stack with its process numbers, once all of it answers on these sockets."""
    home = Path(stack.home)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("prefect", "mlflow", "logs", "inbox"):
        (home / name).mkdir(exist_ok=True, mode=0o700)
    if home.stat().st_mode & settings.PRIVATE:
        report(f"other accounts may look into {home}; `chmod -R go= {home}` ends that")
    report(f"starting the servers; their logs are in {home / 'logs'}")
    prefect = servers.start_prefect(stack, listeners.prefect)
    mlflow = servers.start_mlflow(stack, listeners.mlflow)
    service = servers.start_service(stack, listeners.service)
    room = servers.start_room(stack, listeners.room)
    for listener in (listeners.prefect, listeners.mlflow, listeners.service, listeners.room):
        listener.close()  # theirs alone: where one ends, its callers are refused
    servers.wait_until(lambda: settings.reachable(stack.prefect_api_url), prefect)
    with servers.client(stack) as api:
        n_cut_off, n_missed = servers.prepare(api)
        if n_cut_off or n_missed:
            n_closed = n_cut_off + n_missed
            report(f"closed {n_closed} runs that an earlier stack left open or missed")
        failed_runs.watch(api)
        failed_runs.tell_of_cut_off(n_cut_off, home)
        report("applying the deployments and starting the worker")
        worker = servers.start_worker(stack)
        if names := servers.deployments_of(Path(stack.project), servers.pools(api)):
            deploy = servers.start_deploy(stack, names)
            servers.wait_until_applied(deploy, (prefect, mlflow, worker, service, room))
        servers.wait_until(lambda: servers.workers(api), worker)
        servers.wait_until(lambda: settings.reachable(stack.mlflow_tracking_uri), mlflow)
        if n_closed := left_runs.close(stack, api):
            report(f"closed {n_closed} runs in MLflow whose flow run has ended")
        servers.wait_until(lambda: settings.reachable(stack.service_url, "healthz"), service)
        servers.wait_until(lambda: settings.reachable(stack.room_url, "healthz"), room)
    report(f"Prefect is at {stack.prefect_ui_url}, MLflow at {stack.mlflow_tracking_uri}")
    report("their pages ask for what `neuro status` says here")
    report(f"images are answered at {stack.service_url}; people read at {stack.room_url}")
    programs = {"prefect": prefect, "mlflow": mlflow, "worker": worker, "service": service}
    programs["reading room"] = room
    return replace(stack, pids={name: each.process.pid for name, each in programs.items()})


def _write(path: Path, stack: Stack) -> None:
    """Whole or not at all, and readable by this user alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(asdict(stack), file, indent=1)
    Path(file.name).replace(path)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C is often pressed twice; the second would leave half of the programs running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@_undisturbed()
def _stop(stack: Stack) -> None:
    """The worker first, then what it ran, then the servers: a run may still report its end."""
    last = {pid for name, pid in stack.pids.items() if name != "worker"}
    if "worker" in stack.pids:
        processes.stop(stack.mark, {stack.pids["worker"]}, patience_s=PATIENCE_S)
        processes.stop(stack.mark, processes.marked(stack.mark) - last, patience_s=PATIENCE_S)
    processes.stop(stack.mark, processes.marked(stack.mark), patience_s=PATIENCE_S)
