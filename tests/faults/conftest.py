"""The seed and the counts stand below the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import seeds
from tests.faults.victims import Zygote


def pytest_configure(config: pytest.Config) -> None:
    seeds.SEED = config.getoption("--seed") or seeds.SEED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ended = [r for how in ("passed", "failed", "error") for r in terminalreporter.getreports(how)]
    if not any(report.nodeid.startswith("tests/faults/") for report in ended):
        return
    for line in (*seeds.told, f"replay these faults with --seed {seeds.SEED}"):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Forks `neuro` commands that can be killed."""
    with Zygote(Path(tmp_path_factory.mktemp("logs"))) as running:
        yield running
