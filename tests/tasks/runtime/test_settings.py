import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from neuro.errors import ConfigError, ServerError
from tasks.runtime import settings

ROOMS = ("neuro", "monitoring", "tasks", "flows", "deployments")
STACK = {
    "home": "/somewhere/home",
    "lake": "s3://bucket/lake",
    "prefect_api_url": "http://127.0.0.1:4999/api",
    "mlflow_tracking_uri": "http://127.0.0.1:4998",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_stack(project: Path, text: str) -> None:
    (project / settings.STACK_FILE).parent.mkdir()
    (project / settings.STACK_FILE).write_text(text)


def stack_of(folder: Path, changed: Mapping[str, str] = MappingProxyType({})) -> str:
    return json.dumps({**STACK, "project": str(folder.resolve()), **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"project": "/somebody/else"},
        {"prefect_api_url": "http://evil.example/api"},
        {"mlflow_tracking_uri": "http://10.0.0.1:5000"},
    ],
)
def test_a_state_file_that_came_with_a_delivery_is_not_believed(
    project: Path, changed: dict[str, str]
) -> None:
    write_stack(project, stack_of(project, changed))
    loaded = settings.load()
    assert (loaded.home, loaded.prefect_api_url) == (project / ".neuro", None)


def test_a_stack_whose_folder_is_a_link_to_another_disk_is_known(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (project / ".neuro").symlink_to(tmp_path_factory.mktemp("disk"))
    (project / settings.STACK_FILE).write_text(stack_of(project))
    assert settings.load().lake == STACK["lake"]


def test_the_secret_of_the_stack_is_not_told_to_another_mlflow_server(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(project, stack_of(project, {"secret": "s"}))
    assert settings.load().mlflow_credentials == "neuro:s"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    assert settings.load().mlflow_credentials == ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5999")
    assert settings.load().mlflow_credentials == "neuro:s"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "own")
    assert settings.load().mlflow_credentials == ""


def test_without_environment_and_stack_everything_is_under_the_current_folder(
    project: Path,
) -> None:
    loaded = settings.load()
    assert (loaded.home, loaded.lake) == (project / ".neuro", str(project / ".neuro/lake"))
    assert loaded.inbox == str(project / ".neuro/inbox")
    assert loaded.prefect_api_url is None
    assert loaded.mlflow_tracking_uri is None


def test_the_running_stack_beats_the_defaults(project: Path) -> None:
    write_stack(project, stack_of(project))
    loaded = settings.load()
    assert str(loaded.home) == STACK["home"]
    assert loaded.lake == STACK["lake"]
    assert loaded.prefect_api_url == STACK["prefect_api_url"]
    assert loaded.mlflow_tracking_uri == STACK["mlflow_tracking_uri"]


def test_the_environment_beats_the_running_stack(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(project, stack_of(project))
    monkeypatch.setenv("NEURO_LAKE", "s3://other/lake")
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere:4200/api")
    loaded = settings.load()
    assert (loaded.lake, loaded.prefect_api_url) == ("s3://other/lake", "http://elsewhere:4200/api")


def test_a_home_that_is_not_the_stack_s_has_its_own_lake(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(project, stack_of(project))
    monkeypatch.setenv("NEURO_HOME", "demo/state")
    loaded = settings.load()
    assert (loaded.home, loaded.lake) == (
        project / "demo/state",
        str(project / "demo/state/lake"),
    )


DOCUMENTED = {
    "NEURO_HOME": ("/elsewhere", "home", Path("/elsewhere")),
    "NEURO_LAKE": ("s3://a/b", "lake", "s3://a/b"),
    "NEURO_INBOX": ("/in", "inbox", "/in"),
    "NEURO_INBOX_SETTLE_S": ("7", "inbox_settle_s", 7.0),
    "NEURO_LANDING": ("/kept", "landing", "/kept"),
    "NEURO_RUNNER": ("ray", "runner", "ray"),
    "NEURO_SHARD": ("9", "shard", 9),
    "NEURO_S3_ENDPOINT": ("http://a:1", "s3_endpoint", "http://a:1"),
    "NEURO_S3_DEADLINE_S": ("8", "s3_deadline_s", 8.0),
    "NEURO_S3_ALONE": ("1", "is_alone", True),
    "NEURO_SERVICE_URL": ("http://a:5", "service_url", "http://a:5"),
    "NEURO_ROOM_PUBLIC_URL": ("https://A.example:443/", "room_public_url", "https://a.example"),
    "HF_ENDPOINT": ("http://a:4", "hub_endpoint", "http://a:4"),
    "PREFECT_API_URL": ("http://a:2/api", "prefect_api_url", "http://a:2/api"),
    "MLFLOW_TRACKING_URI": ("http://a:3", "mlflow_tracking_uri", "http://a:3"),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_each_documented_variable_is_obeyed(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_stack(project, stack_of(project))
    text, field, value = DOCUMENTED[name]
    monkeypatch.setenv(name, text)
    assert getattr(settings.load(), field) == value


def test_the_page_of_settings_names_each_of_them_and_no_other() -> None:
    page = (settings.PROJECT / "docs" / "settings.md").read_text("utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert set(named) == {*DOCUMENTED, "PREFECT_API_AUTH_STRING", "NEURO_REVISION"}


def test_nothing_else_in_the_code_reads_a_variable_of_ours() -> None:
    """Then a verb that obeyed one and not another could not be."""
    code = [path for room in ROOMS for path in (settings.PROJECT / room).rglob("*.py")]
    reading = re.compile(r"environ(?:\.get\(|\[)\"NEURO_|getenv\(\"NEURO_")
    readers = {
        path.relative_to(settings.PROJECT).as_posix()
        for path in code
        if reading.search(path.read_text("utf-8"))
    }
    assert readers == {"tasks/runtime/settings.py"}


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_broken_state_file_counts_as_no_stack(project: Path, text: str) -> None:
    write_stack(project, text)
    assert settings.load().prefect_api_url is None


def test_a_server_that_is_not_there_is_named_with_the_remedy(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")  # nothing may listen on 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(
        ServerError, match=r"Prefect server at http://127.0.0.1:1/api .*`neuro up`.*--local"
    ):
        settings.require_servers(settings.load())


def test_no_known_server_is_said_with_the_remedy(project: Path) -> None:
    with pytest.raises(ServerError, match=r"no Prefect server is known.*`neuro up`"):
        settings.require_servers(settings.load())


@pytest.mark.parametrize("text", ["-1", "soon", "inf", "nan"])
def test_a_settling_time_that_is_none_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("NEURO_INBOX_SETTLE_S", text)
    with pytest.raises(ConfigError, match=r"NEURO_INBOX_SETTLE_S must be a number of seconds"):
        settings.load()


def test_shards_go_to_threads_unless_another_runner_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (settings.load().runner, settings.load().shard) == ("threads", 512)
    monkeypatch.setenv("NEURO_RUNNER", "ray://head:10001")
    monkeypatch.setenv("NEURO_SHARD", "64")
    assert (settings.load().runner, settings.load().shard) == ("ray://head:10001", 64)


@pytest.mark.parametrize("text", ["Ray", "ray://head", "ray://head:", "threads://here:1", "spark"])
def test_a_runner_nobody_knows_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("NEURO_RUNNER", text)
    with pytest.raises(ConfigError, match=r"NEURO_RUNNER must be threads, ray, ray://HOST:PORT"):
        settings.load()


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_size_of_shards_that_is_none_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("NEURO_SHARD", text)
    with pytest.raises(ConfigError, match=r"NEURO_SHARD must be a whole number, 1 or more"):
        settings.load()


def test_an_image_without_git_knows_its_commit(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PROJECT", project)
    monkeypatch.setenv("NEURO_REVISION", "9f2c41d")
    assert settings.code_revision.__wrapped__() == "9f2c41d"


@pytest.mark.parametrize(
    "text",
    [
        *("reading.example", "ftp://a.example", "https://a.example/room", "https://a b", "//a"),
        *("http://a.example", "https://a.example:0443", "https://..", "https://bücher.example"),
    ],
)
def test_a_public_address_is_one_of_a_browser(
    project: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("NEURO_ROOM_PUBLIC_URL", text)
    with pytest.raises(ConfigError, match=r"NEURO_ROOM_PUBLIC_URL must be like https://reading"):
        settings.load()
