import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deployments.stack import processes, servers, stack
from deployments.stack.servers import Stack
from deployments.stack.stack import StackConfig
from neuro.errors import ConfigError, ServerError
from tasks.runtime import settings

FLOW = """
import logging, time
from prefect import flow
from tasks.runtime.steps import step

@step()
def greet(name: str) -> None:
    logging.getLogger("neuro.greeting").info("the library greets %s", name)

@flow(name="hello")
def hello(name: str = "you", seconds: float = 0) -> None:
    greet(name)
    time.sleep(seconds)
"""
PREFECT_YAML = """
name: tiny
pull:
  - prefect.deployments.steps.set_working_directory:
      directory: "{{ $NEURO_PROJECT }}"
deployments:
  - name: hello
    entrypoint: hello.py:hello
    work_pool: {name: local}
  - name: hello-gpu
    entrypoint: hello.py:hello
    work_pool: {name: gpu}
"""
PREFECT_PLUGINS = "[tool.prefect.plugins]\nenabled = true\n"
APPLYING = """
from pathlib import Path
from deployments.stack import worker
print(*worker.apply_deployments(worker.WorkerConfig(project=Path.cwd())))
"""
RUNNING = """
import sys, time
from pathlib import Path
from deployments.stack import stack
with stack.running(stack.StackConfig(project=Path.cwd()), print) as up:
    print("standing", up.mark, flush=True)
    time.sleep(600)
"""


def silent(message: str) -> None:
    """Nobody reads the progress of a test."""


def make_project(folder: Path) -> Path:
    (folder / "hello.py").write_text(FLOW)
    (folder / "prefect.yaml").write_text(PREFECT_YAML)
    (folder / "pyproject.toml").write_text(PREFECT_PLUGINS)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def standing(project: Path) -> Iterator[Stack]:
    yield stack.up(StackConfig(project=project), silent)
    stack.down(stack.state_file(project), silent)


def ask(up: Stack, path: str, body: dict[str, Any]) -> Any:
    with servers.client(up) as api:
        return api.post(path, json=body).raise_for_status().json()


def wait_for(value: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (found := value()) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def prefect(up: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Typed in the project's folder by somebody who exported nothing."""
    environment = settings.inherited({})
    for name in ("PREFECT_PLUGINS_ENABLED", "PREFECT_HOME"):
        environment.pop(name)
    command = [str(Path(sys.executable).with_name("prefect")), *arguments]
    return subprocess.run(
        command, cwd=up.project, env=environment, capture_output=True, text=True, timeout=300
    )


def start_long_run(up: Stack) -> None:
    prefect(up, "deployment", "run", "hello", "-p", "seconds=600")
    is_running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
    assert wait_for(lambda: ask(up, "/flow_runs/filter", is_running))


@pytest.mark.server
def test_a_bare_deployment_name_starts_a_run_and_our_logs_are_on_its_page(standing: Stack) -> None:
    done = prefect(standing, "deployment", "run", "hello", "-p", "name=Ada", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = wait_for(
        lambda: [
            log for log in ask(standing, "/logs/filter", {}) if "greets Ada" in log["message"]
        ],
        seconds=20,
    )
    assert [line["name"] for line in lines] == ["neuro.greeting"]


@pytest.mark.server
def test_where_no_gpu_worker_was_asked_for_there_is_no_gpu_pool_and_a_run_says_so(
    standing: Stack,
) -> None:
    """A run that nobody would ever take is not accepted."""
    assert [pool["name"] for pool in ask(standing, "/work_pools/filter", {})] == ["local"]
    done = prefect(standing, "deployment", "run", "hello-gpu")
    assert done.returncode == 1
    assert "neuro worker --pool gpu" in done.stderr


@pytest.mark.server
def test_the_first_gpu_worker_makes_its_pool_and_deployments_and_the_second_nothing(
    standing: Stack, project: Path
) -> None:
    environment = settings.inherited(servers.environment(standing))
    applied = [
        subprocess.run(
            [sys.executable, "-c", APPLYING],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        for _ in range(2)
    ]
    assert [each.returncode for each in applied] == [0, 0], applied[0].stderr + applied[1].stderr
    assert [each.stdout.split() for each in applied] == [["hello-gpu"], []]
    with servers.client(standing) as api:
        found = api.get("/deployments/name/hello/hello-gpu")
    assert found.raise_for_status().json()["work_pool_name"] == "gpu"


def asked_by_a_page(up: Stack, origin: str, host: str) -> int:
    """What a page's form gets that would make a deployment whose first step is a shell command.

    The browser sends such a form without asking the server, under the page's origin.
    """
    command = {"prefect.deployments.steps.run_shell_script": {"script": "touch owned"}}
    deployment = {"name": "evil", "flow_id": str(uuid4()), "pull_steps": [command]}
    headers = {"Content-Type": "text/plain", "Origin": origin, "Host": host}
    url, text = f"{up.prefect_api_url}/deployments/", json.dumps(deployment)
    return httpx.post(url, content=text, headers=headers, trust_env=False).status_code


@pytest.mark.server
def test_a_web_page_cannot_make_a_deployment(standing: Stack) -> None:
    own = httpx.URL(standing.prefect_api_url).netloc.decode()
    assert asked_by_a_page(standing, "https://evil.example", own) == 403
    assert asked_by_a_page(standing, "http://evil.example", "evil.example") == 403  # DNS rebinding
    assert asked_by_a_page(standing, f"http://{own}", own) == 403  # no token against forgery
    assert "evil" not in {each["name"] for each in ask(standing, "/deployments/filter", {})}


@pytest.mark.server
@pytest.mark.parametrize("where", ["prefect_api_url", "mlflow_tracking_uri"])
def test_another_account_of_the_machine_learns_nothing(standing: Stack, where: str) -> None:
    path = {"prefect_api_url": "/flows/count", "mlflow_tracking_uri": "/api/2.0/mlflow/runs/search"}
    caller = {"Prefect-Csrf-Client": "another"}
    with httpx.Client(base_url=getattr(standing, where), trust_env=False) as other:
        assert other.post(path[where], json={}, headers=caller).status_code in (401, 403)
        assert other.get("/version").status_code == 401
        assert other.get("/health").status_code == 200
        wrong = other.get("/version", auth=("neuro", standing.secret[:-1]))
        assert wrong.status_code == 401


@pytest.mark.server
def test_a_web_page_reads_nothing_of_mlflow_even_where_a_person_has_signed_in(
    standing: Stack,
) -> None:
    """A browser sends the password along by itself."""
    with httpx.Client(
        base_url=standing.mlflow_tracking_uri, auth=("neuro", standing.secret), trust_env=False
    ) as browser:
        assert browser.get("/version").status_code == 200
        assert browser.get("/version", headers={"Host": "evil.example"}).status_code == 403
        assert browser.get("/version", headers={"Origin": "http://evil.example"}).status_code == 403


@pytest.mark.server
def test_the_service_stands_beside_them_and_asks_who_is_there(standing: Stack) -> None:
    url = f"{standing.service_url}/v1/models"
    assert httpx.get(url, trust_env=False).status_code == 401
    token = standing.token_file.read_text().strip()
    answer = httpx.get(url, headers={"authorization": f"Bearer {token}"}, trust_env=False)
    assert (answer.status_code, answer.json()["models"]) == (200, [])


@pytest.mark.server
def test_the_reading_room_stands_beside_them_and_its_starter_signs_in(standing: Stack) -> None:
    with httpx.Client(base_url=standing.room_url, trust_env=False) as browser:
        asked = browser.get("/work", headers={"accept": "text/html"})
        assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?to=%2Fwork")
        form = {"name": settings.user(), "password": standing.secret, "to": "/work"}
        signed_in = browser.post("/sign-in", data=form)
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/work")
        assert browser.get("/work", headers={"accept": "text/html"}).status_code == 200


@pytest.mark.server
def test_mlflow_serves_artifacts_itself(standing: Stack) -> None:
    answer = httpx.get(
        f"{standing.mlflow_tracking_uri}/api/2.0/mlflow/experiments/get?experiment_id=0",
        auth=("neuro", standing.secret),
        trust_env=False,
    )
    assert answer.json()["experiment"]["artifact_location"].startswith("mlflow-artifacts:")


@pytest.mark.server
def test_the_state_file_is_for_its_owner_alone(standing: Stack, project: Path) -> None:
    path = stack.state_file(project)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stack.read(path) == standing


@pytest.mark.server
def test_databases_and_logs_are_for_their_owner_alone(standing: Stack) -> None:
    home = Path(standing.home)
    assert {path.name for path in home.rglob("*.db")} == {"prefect.db", "mlflow.db"}
    assert [path for path in home.rglob("*") if path.lstat().st_mode & 0o077] == []


@pytest.mark.server
def test_a_second_stack_in_the_same_folder_is_refused(standing: Stack, project: Path) -> None:
    with pytest.raises(ServerError, match=r"up already.*neuro down"):
        stack.up(StackConfig(project=project), silent)
    assert all(stack.status(standing).values())


@pytest.mark.server
def test_down_ends_the_runs_too_and_frees_the_ports(standing: Stack, project: Path) -> None:
    start_long_run(standing)
    stack.down(stack.state_file(project), silent)
    assert processes.marked(standing.mark) == set()
    assert not stack.state_file(project).exists()
    urls = (standing.prefect_api_url, standing.mlflow_tracking_uri, standing.service_url)
    for url in (*urls, standing.room_url):
        with socket.socket() as caller:
            assert caller.connect_ex((processes.HOST, httpx.URL(url).port or 0)) != 0


def ask_mlflow(up: Stack, path: str, body: dict[str, Any]) -> Any:
    url = f"{up.mlflow_tracking_uri}/api/2.0/mlflow{path}"
    signed_in = ("neuro", up.secret)
    return httpx.post(url, json=body, auth=signed_in, trust_env=False).raise_for_status().json()


def record_run(up: Stack, name: str, tags: dict[str, str]) -> None:
    """An MLflow run that counts as running."""
    named = [{"key": key, "value": value} for key, value in tags.items()]
    body = {"experiment_id": "0", "run_name": name, "tags": named, "start_time": 1}
    ask_mlflow(up, "/runs/create", body)


def tomorrows_run(up: Stack) -> str:
    """A flow run that waits, as one does between two tries."""
    (deployment,) = ask(up, "/deployments/filter", {})
    at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}
    made = ask(up, f"/deployments/{deployment['id']}/create_flow_run", {"state": state})
    return str(made["id"])


@pytest.mark.server
@pytest.mark.slow
def test_up_clears_a_killed_stack_and_closes_its_run(tmp_path: Path) -> None:
    config = StackConfig(project=make_project(tmp_path))
    first = stack.up(config, silent)
    start_long_run(first)
    (run,) = ask(first, "/flow_runs/filter", {})
    record_run(first, "killed", {"prefect.flow_run_id": run["id"]})
    record_run(first, "of a server before", {"prefect.flow_run_id": str(uuid4())})
    record_run(first, "of another program", {})
    record_run(first, "to go on", {"prefect.flow_run_id": tomorrows_run(first)})
    for name in ("prefect", "worker"):
        os.kill(first.pids[name], signal.SIGKILL)
    assert wait_for(lambda: not any(map(stack.status(first).get, ("prefect", "worker"))))
    said: list[str] = []
    second = stack.up(config, said.append)
    try:
        assert processes.marked(first.mark) == set()
        states = sorted(run["state_type"] for run in ask(second, "/flow_runs/filter", {}))
        assert states == ["CRASHED", "SCHEDULED"]
        recorded = ask_mlflow(second, "/runs/search", {"experiment_ids": ["0"]})["runs"]
        assert {run["info"]["run_name"]: run["info"]["status"] for run in recorded} == {
            "killed": "KILLED",
            "of a server before": "KILLED",
            "of another program": "RUNNING",
            "to go on": "RUNNING",
        }
        assert "closed 2 runs in MLflow whose flow run has ended" in said
    finally:
        stack.down(stack.state_file(tmp_path), silent)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_block_stops_everything(tmp_path: Path, sign: signal.Signals) -> None:
    command = [sys.executable, "-c", RUNNING]
    with subprocess.Popen(
        command, cwd=make_project(tmp_path), stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        mark = next(line for line in program.stdout if line.startswith("standing")).split()[1]
        program.send_signal(sign)
        program.wait(60)
    assert processes.marked(mark) == set()
    assert not stack.state_file(tmp_path).exists()


@pytest.mark.server
@pytest.mark.slow
def test_a_flow_that_does_not_load_is_shown_and_nothing_stays_up(tmp_path: Path) -> None:
    (make_project(tmp_path) / "hello.py").write_text("raise RuntimeError('broken flow')")
    marks = []

    def remember(message: str) -> None:
        found = stack.read(stack.state_file(tmp_path))
        marks.extend([found.mark] if found else [])

    with pytest.raises(ServerError, match=r"(?s)were not applied.*Could not find object 'hello'"):
        stack.up(StackConfig(project=tmp_path), remember)
    assert marks
    assert processes.marked(marks[0]) == set()
    assert not stack.state_file(tmp_path).exists()


def test_up_obeys_the_home_and_the_lake_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the servers come up again on what a demonstration has left elsewhere."""
    config = StackConfig(project=make_project(tmp_path))
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "demo" / "state"))
    planned = stack.plan(config, 4200, 5000, 8000, 8501)
    assert (planned.home, planned.lake) == (
        str(tmp_path / "demo" / "state"),
        str(tmp_path / "demo" / "state" / "lake"),
    )
    monkeypatch.setenv("NEURO_LAKE", "s3://images/lake")
    assert stack.plan(config, 4200, 5000, 8000, 8501).lake == "s3://images/lake"


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with socket.create_server((processes.HOST, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} "):
            stack.up(StackConfig(project=project, mlflow_port=port), silent)
    assert not (tmp_path / ".neuro").exists()


def test_a_folder_without_prefect_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no prefect.yaml; run this in the project"):
        StackConfig(project=tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("prefect_port", 0), ("mlflow_port", 70000), ("service_port", 80)]
)
def test_a_wrong_number_names_its_field(tmp_path: Path, field: str, value: int) -> None:
    values: dict[str, Any] = {"project": make_project(tmp_path), field: value}
    with pytest.raises(ConfigError, match=field):
        StackConfig(**values)


def test_two_servers_do_not_share_a_port(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="service_port must differ from mlflow_port 7000"):
        StackConfig(project=make_project(tmp_path), mlflow_port=7000, service_port=7000)


def test_down_without_a_stack_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    assert stack.down(stack.state_file(tmp_path), said.append) is False
    assert said == ["no stack is up in this folder"]


def test_a_dead_stack_is_all_dead(tmp_path: Path) -> None:
    path = stack.state_file(tmp_path)
    path.parent.mkdir()
    address = "http://127.0.0.1:4999"
    record = {"project": str(tmp_path.resolve()), "home": "x", "lake": "x"}
    servers_of = {"prefect_api_url": f"{address}/api", "mlflow_tracking_uri": address}
    # The number is this living process: without the mark it is not the stack's.
    dead = {"mark": "gone", "pids": {"worker": os.getpid()}}
    path.write_text(json.dumps(record | servers_of | dead))
    found = stack.read(path)
    assert isinstance(found, Stack)
    assert stack.status(found) == {"worker": False}
