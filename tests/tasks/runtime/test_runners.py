import pickle
import socket
import sys

import pytest

from neuro.errors import ConfigError, ServerError
from tasks.runtime import runners
from tasks.runtime.runners import ConfiguredRunner
from tasks.runtime.steps import step


@step(name="answer")
def answer(number: int) -> int:
    return number


def test_a_runner_starts_nothing_before_its_first_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURO_RUNNER", "ray://127.0.0.1:1")
    with ConfiguredRunner().duplicate() as runner:
        assert isinstance(pickle.loads(pickle.dumps(runner)), ConfiguredRunner)  # noqa: S301


@pytest.mark.parametrize(
    ("kind", "package", "remedy"),
    [
        ("ray", "prefect_ray", r"`pip install neuro\[cluster\]`"),
        ("dask", "prefect_dask", r"`pip install prefect-dask`"),
    ],
)
def test_packages_that_are_missing_are_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, kind: str, package: str, remedy: str
) -> None:
    monkeypatch.setenv("NEURO_RUNNER", kind)
    monkeypatch.setitem(sys.modules, package, None)
    with ConfiguredRunner() as runner, pytest.raises(ConfigError, match=f"={kind} .*{remedy}"):
        runner.submit(answer.task, {"number": 1})


def test_a_cluster_where_nobody_listens_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    monkeypatch.setenv("NEURO_RUNNER", f"ray://127.0.0.1:{port}")
    with (
        ConfiguredRunner() as runner,
        pytest.raises(ServerError, match=f"NEURO_RUNNER=ray://127.0.0.1:{port} .*refused"),
    ):
        runner.submit(answer.task, {"number": 1})


def test_of_threads_twice_as_many_shards_are_under_way_as_there_are_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runners.settings, "cores", lambda: 3)
    assert runners.ahead() == 6


@pytest.mark.parametrize(("nbytes", "many"), [(0, 1024), (1 << 24, 64), (1 << 34, 2)])
def test_of_a_cluster_no_more_travels_than_its_store_takes(
    monkeypatch: pytest.MonkeyPatch, nbytes: int, many: int
) -> None:
    monkeypatch.setenv("NEURO_RUNNER", "ray")
    assert runners.ahead(nbytes) == many
