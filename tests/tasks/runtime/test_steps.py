import time
from collections.abc import Iterator
from threading import Barrier

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import TaskRunContext
from prefect.testing.utilities import prefect_test_harness

from tasks.runtime import settings
from tasks.runtime.steps import step


@step(retries=1)
def power(base: int, exponent: int, *, offset: int = 0) -> int:
    """Base to the exponent."""
    return int(base**exponent) + offset


@step(name="where am I")
def is_recorded() -> bool:
    return TaskRunContext.get() is not None


@step()
def refuse() -> None:
    raise LookupError("no such row")


@step()
def meet(shard: int, others: Barrier) -> int:
    others.wait(timeout=30)
    return shard


class Watched(list[int]):
    """Notes whether anybody looks at what it holds."""

    seen = 0

    def __iter__(self) -> Iterator[int]:
        Watched.seen += 1
        return super().__iter__()


@step()
def count(rows: Watched) -> int:
    return len(rows)


@flow(name="counts")
def counts() -> int:
    return count(Watched(range(3)))


@flow(name="powers")
def powers() -> tuple[bool, list[int]]:
    return is_recorded(), list(power.stream([3, 1, 2], 2, offset=10))


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=180):
        yield


def test_a_step_outside_a_flow_is_a_plain_call() -> None:
    assert power(2, 5) == 32
    assert is_recorded() is False


def test_a_stream_keeps_the_order_of_the_shards_and_repeats_the_other_arguments() -> None:
    assert list(power.stream(iter([3, 1, 2]), 2, offset=10)) == [19, 11, 14]


def test_shards_outside_a_flow_are_worked_on_by_every_core_at_once() -> None:
    shards = list(range(settings.cores()))
    assert list(meet.stream(shards, Barrier(len(shards)))) == shards


def test_an_error_of_a_shard_passes_unchanged() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        list(power.stream([2, "two", 2], 2))  # type: ignore[list-item]


def test_a_stream_of_no_shards_is_nothing() -> None:
    assert list(power.stream([], 2)) == []


def test_a_step_keeps_the_name_and_words_of_its_function() -> None:
    assert (power.__name__, power.__doc__) == ("power", "Base to the exponent.")


def test_an_error_of_a_plain_call_passes_unchanged() -> None:
    with pytest.raises(LookupError, match="no such row"):
        refuse()


def test_a_flow_called_by_its_function_needs_no_server() -> None:
    assert powers.fn() == (False, [19, 11, 14])


@pytest.mark.server
def test_a_step_inside_a_run_is_recorded_and_gives_the_same(server: None) -> None:
    assert powers() == (True, [19, 11, 14])
    expected = ["power", "power", "power", "where am I"]
    with get_client(sync_client=True) as client:
        for _ in range(120):  # the server hears of a task run by events, a little later
            names = sorted(run.name.rsplit("-", 1)[0] for run in client.read_task_runs())
            if len(names) >= len(expected):
                break
            time.sleep(0.5)
    assert names == expected


def test_no_server_walks_through_what_a_step_is_given(server: None) -> None:
    """A release is a list of its samples: to walk through it takes seconds a step."""
    Watched.seen = 0
    assert counts() == 3
    assert Watched.seen == 0
