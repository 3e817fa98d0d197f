import json
from pathlib import Path

import pytest

from neuro.errors import ConfigError, ServerError
from tasks.runtime import settings

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


def test_without_environment_and_stack_everything_is_under_the_current_folder(
    project: Path,
) -> None:
    loaded = settings.load()
    assert (loaded.home, loaded.lake) == (project / ".neuro", str(project / ".neuro/lake"))
    assert loaded.inbox == str(project / ".neuro/inbox")
    assert loaded.prefect_api_url is None
    assert loaded.mlflow_tracking_uri is None


def test_the_running_stack_beats_the_defaults(project: Path) -> None:
    write_stack(project, json.dumps(STACK))
    loaded = settings.load()
    assert str(loaded.home) == STACK["home"]
    assert loaded.lake == STACK["lake"]
    assert loaded.prefect_api_url == STACK["prefect_api_url"]
    assert loaded.mlflow_tracking_uri == STACK["mlflow_tracking_uri"]


def test_the_environment_beats_the_running_stack(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(project, json.dumps(STACK))
    monkeypatch.setenv("NEURO_LAKE", "s3://other/lake")
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere:4200/api")
    loaded = settings.load()
    assert (loaded.lake, loaded.prefect_api_url) == ("s3://other/lake", "http://elsewhere:4200/api")


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
