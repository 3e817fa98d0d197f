"""The programs of the local stack: how each is called, and when it is ready."""

import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import yaml

from deployments.stack import guard, processes
from deployments.stack.guarded_servers import MLFLOW_CREDENTIALS, MLFLOW_PORT_VARIABLE
from deployments.stack.processes import HOST, MARK, Program
from neuro import limits
from neuro.errors import ConfigError, ServerError
from tasks.runtime import settings

POOL, TRAINING_QUEUE, GPU_POOL = "local", "training", "gpu"
PREFECT_PORT, MLFLOW_PORT, SERVICE_PORT, ROOM_PORT = 4200, 5000, 8000, 8501  # unless taken
WORKER_LIMIT = 4  # flow runs at once
EAGER = {"PREFECT_WORKER_QUERY_SECONDS": "2"}  # how often a worker looks for runs
START_S = 180.0  # a first start on a busy machine migrates two databases


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """A stack as its state file describes it.

    ``mark`` tells its programs from others that have got their numbers since; ``pids`` by program,
    empty until all of them answer. ``secret`` is the password of user neuro at both servers.
    """

    project: str
    home: str
    lake: str
    prefect_api_url: str
    mlflow_tracking_uri: str
    mark: str
    pids: dict[str, int]
    s3_endpoint: str | None = None
    service_url: str = ""  # in the file of a version that had none
    room_url: str = ""  # likewise
    secret: str = ""  # in the file of a version that had none

    @property
    def prefect_ui_url(self) -> str:
        """Where a person looks at the runs."""
        return self.prefect_api_url.removesuffix("/api")

    @property
    def token_file(self) -> Path:
        """Where the token lies by which this account asks the service."""
        return Path(self.home) / settings.SERVICE_TOKEN

    @property
    def credentials(self) -> str:
        """What Prefect's page asks for; MLflow's asks for the two parts."""
        return f"{settings.USER}:{self.secret}"

    def sign_in(self) -> dict[str, str]:
        """What a person types where a page asks."""
        return {
            "prefect_asks_for": self.credentials,
            "mlflow_asks_for": f"user {settings.USER}, password {self.secret}",
            "service_asks_for": f"Authorization: Bearer, and the token in {self.token_file}",
            "reading_room_asks_for": f"user {settings.user()}, password {self.secret}",
        }


def environment(stack: Stack) -> dict[str, str]:
    """The variables a flow's process needs."""
    return settings.flow_environment(
        prefect_api_url=stack.prefect_api_url,
        mlflow_tracking_uri=stack.mlflow_tracking_uri,
        home=stack.home,
        lake=stack.lake,
        credentials=stack.credentials,
        mlflow_credentials=stack.credentials,
        s3_endpoint=stack.s3_endpoint,
    ) | {"NEURO_PROJECT": stack.project, "PREFECT_PLUGINS_ENABLED": "true"}


def start_prefect(stack: Stack, listener: socket.socket) -> Program:
    """The API and its page, with a SQLite file in PREFECT_HOME."""
    port = str(httpx.URL(stack.prefect_api_url).port)
    command = ["deployments.stack.guarded_servers", port]
    # Without these the page would call port 4200.
    here = {"PREFECT_SERVER_API_HOST": HOST, "PREFECT_SERVER_API_PORT": port}
    here |= {
        "PREFECT_SERVER_API_AUTH_STRING": stack.credentials,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(guard.origins(int(port))),
    }
    # The default of 10 s ends in "database is locked" when training holds every core.
    here |= {"PREFECT_SERVER_DATABASE_TIMEOUT": "60", "PREFECT_PLUGINS_ENABLED": "false"}
    return _start(stack, "Prefect server", command, here, listener)


def start_mlflow(stack: Stack, listener: socket.socket) -> Program:
    """Tracking, registry and artifacts, the last served by it and never read from disk."""
    port, store = str(httpx.URL(stack.mlflow_tracking_uri).port), Path(stack.home) / "mlflow"
    command = ["mlflow", "server", "--host", HOST, "--port", port, "--workers", "1"]
    command += ["--uvicorn-opts", "--fd 0"]
    command += ["--backend-store-uri", f"sqlite:///{store / 'mlflow.db'}"]
    command += ["--serve-artifacts", "--artifacts-destination", str(store / "artifacts")]
    command += ["--allowed-hosts", ",".join(guard.hosts(int(port))), "--app-name", "neuro"]
    command += ["--cors-allowed-origins", ",".join(guard.origins(int(port)))]
    # Jobs are for scoring language models, and take half of the server's memory.
    here = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    here |= {MLFLOW_PORT_VARIABLE: port, MLFLOW_CREDENTIALS: stack.credentials}
    return _start(stack, "MLflow server", command, here, listener)


def start_service(stack: Stack, listener: socket.socket) -> Program:
    """Answers images; in the project's folder, where problem files may lie."""
    return _start(
        stack, "service", ["deployments.service.serve"], {}, listener, cwd=Path(stack.project)
    )


def start_room(stack: Stack, listener: socket.socket) -> Program:
    """The pages for people; likewise."""
    here = {"NEURO_SERVICE_URL": stack.service_url}
    command = ["deployments.reading_room.serve"]
    return _start(stack, "reading room", command, here, listener, cwd=Path(stack.project))


def start_worker(stack: Stack) -> Program:
    """Takes new runs every two seconds."""
    return _start(stack, "worker", polling(POOL, POOL, WORKER_LIMIT), EAGER)


def start_deploy(stack: Stack, names: Sequence[str]) -> Program:
    """Apply these deployments of the project's prefect.yaml, then end."""
    return processes.start(
        "deploy",
        [sys.executable, "-m", *deploying(names)],
        environment=without_project(_program_environment(stack, {})),
        cwd=Path(stack.project),
        log=Path(stack.home) / "logs" / "deploy.log",
    )


def _start(
    stack: Stack,
    name: str,
    command: list[str],
    more: Mapping[str, str],
    listener: socket.socket | None = None,
    cwd: Path | None = None,
) -> Program:
    """cwd: default, the home: a server leaves its stray files there."""
    home = Path(stack.home)
    return processes.start(
        name,
        [sys.executable, "-m", *command],
        environment=_program_environment(stack, more),
        cwd=cwd or home,
        log=home / "logs" / f"{name.split()[0].lower()}.log",
        listener=listener,
    )


def _program_environment(stack: Stack, more: Mapping[str, str]) -> dict[str, str]:
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    return settings.inherited({**environment(stack), **quiet, **more, MARK: stack.mark})


def deployments_of(project: Path, pools: Collection[str]) -> list[str]:
    """The names of a project's deployments whose runs wait in one of these work pools.

    Raises ConfigError where the project has no prefect.yaml.
    """
    path = project / "prefect.yaml"
    if not path.is_file():
        raise ConfigError(f"project {project} holds no prefect.yaml; it lies beside flows/")
    text = limits.text_of(path, str(path))
    try:
        each_of = yaml.safe_load(text)["deployments"]
        return [each["name"] for each in each_of if each["work_pool"]["name"] in pools]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} lists no deployments with a name and a work pool ({error}); mend it, or take "
            "that of the program"
        ) from error


def deploying(names: Sequence[str]) -> list[str]:
    """The command that applies these deployments."""
    named = [part for name in names for part in ("--name", name)]
    return ["prefect", "--no-prompt", "deploy", *named]


def without_project(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without NEURO_PROJECT, which ``deploy`` would fill in: each worker has its own."""
    return {name: value for name, value in environment.items() if name != "NEURO_PROJECT"}


def polling(pool: str, name: str, limit: int) -> list[str]:
    """The command of a worker that runs at most ``limit`` flow runs at once."""
    command = ["prefect", "worker", "start", "--pool", pool, "--type", "process"]
    return [*command, "--name", name, "--limit", str(limit)]


def wait_until(is_ready: Callable[[], object], program: Program) -> None:
    """Return when a program is ready. Raises ServerError if it ends or is late."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        program.check()
        if is_ready():
            return
        time.sleep(0.1)
    raise ServerError(
        f"the {program.name} is not ready after {START_S:.0f} s; the end of {program.log}:\n"
        f"{processes.last_lines(program.log)}"
    )


def wait_until_applied(deploy: Program, others: Iterable[Program]) -> None:
    """Return when the deployments are applied. Raises ServerError if not, or if another ends."""
    end = time.monotonic() + START_S
    while deploy.process.poll() is None and time.monotonic() < end:
        for program in others:
            program.check()
        time.sleep(0.1)
    if deploy.process.poll() != 0:
        raise ServerError(
            f"the deployments of prefect.yaml were not applied; the end of {deploy.log}:\n"
            f"{processes.last_lines(deploy.log)}"
        )


@contextmanager
def client(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the Prefect API, with the secret and a token against forged requests."""
    caller = str(uuid4())
    with httpx.Client(
        base_url=stack.prefect_api_url,
        auth=httpx.BasicAuth(settings.USER, stack.secret),
        headers={"Prefect-Csrf-Client": caller},
        trust_env=False,
        timeout=90.0,
    ) as api:
        token = send(api, "GET", f"/csrf-token?client={caller}")
        api.headers["Prefect-Csrf-Token"] = token["token"]
        yield api


def workers(api: httpx.Client) -> list[dict[str, Any]]:
    """Those that have reported themselves to the stack's own pool."""
    polled: list[dict[str, Any]] = send(api, "POST", f"/work_pools/{POOL}/workers/filter", {})
    return polled


def pools(api: httpx.Client) -> list[str]:
    """The work pools that the server knows; that of the GPU once a worker of it was started."""
    return [pool["name"] for pool in send(api, "POST", "/work_pools/filter", {})]


def prepare(api: httpx.Client) -> tuple[int, int]:
    """Make the pool and the training queue, and close the runs that an earlier stack left open.

    A run that was cut off would stay Running, and hold its deployment's only place, for ever; one
    that came due while nothing was up would start now, together with all the others. Returns how
    many were closed of either kind.
    """
    send(api, "POST", "/work_pools/", {"name": POOL, "type": "process"})
    queue = {"name": TRAINING_QUEUE, "concurrency_limit": 1}
    send(api, "POST", f"/work_pools/{POOL}/queues", queue)
    for worker in workers(api):
        send(api, "DELETE", f"/work_pools/{POOL}/workers/{worker['name']}")
    is_open = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    now = datetime.now(UTC).isoformat()
    is_due = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": now}}
    n_cut_off = _close(api, is_open, "CRASHED", "the stack was stopped while this ran")
    return n_cut_off, _close(api, is_due, "CANCELLED", "it came due while the stack was down")


def open_flow_runs(api: httpx.Client, ids: Sequence[str]) -> set[str]:
    """Those of these flow runs that the server knows and that have not ended."""
    is_open = {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]}}
    found: set[str] = set()
    for start in range(0, len(ids), 100):
        which = {"id": {"any_": list(ids[start : start + 100])}, "state": is_open}
        runs = send(api, "POST", "/flow_runs/filter", {"flow_runs": which, "limit": 100})
        found |= {run["id"] for run in runs}
    return found


def _close(api: httpx.Client, which: dict[str, Any], state: str, message: str) -> int:
    n = 0
    while runs := send(api, "POST", "/flow_runs/filter", {"flow_runs": which, "limit": 100}):
        for run in runs:
            body = {"state": {"type": state, "message": message}, "force": True}
            send(api, "POST", f"/flow_runs/{run['id']}/set_state", body)
        n += len(runs)
    return n


def send(api: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The answer's JSON; None for what exists already. Raises ServerError on a refusal."""
    end = time.monotonic() + START_S
    try:
        while True:
            answer = api.request(method, path, json=body)
            # 503: the services of a server that just started hold the lock of its SQLite file.
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > end:
                break
            time.sleep(0.5)
        if answer.status_code == httpx.codes.CONFLICT:
            return None
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ServerError(
            f"the Prefect server did not do {method} {path} ({error}); run `neuro up` again, "
            "and if it stays so, read logs/prefect.log in the stack's home"
        ) from error
    return answer.json() if answer.content else None
