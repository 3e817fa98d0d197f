"""Every test starts from an environment that knows no server, no lake and no home of the user."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ["tests.s3.fixtures"]

SET_BY_A_STACK = ("PREFECT_", "MLFLOW_", "NEURO_")
KEPT = {"NEURO_REAL_DATA", "NEURO_FAULTS", "NEURO_FUZZ"}
PREFECT_HOME = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="faults to draw again; 0 draws new ones")


def pytest_configure(config: pytest.Config) -> None:
    # Before any test module imports prefect or mlflow, which read these once.
    for name in list(os.environ):
        if name.startswith(SET_BY_A_STACK) and name not in KEPT:
            del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="neuro-tests-"))
    config.stash[PREFECT_HOME] = home
    os.environ |= {
        "PREFECT_HOME": str(home),
        "PREFECT_PLUGINS_ENABLED": "false",  # or a stack that is up in this folder would be used
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Two workers on two cores: threads of two pools that wait for one another take ten times
        # as long as one thread each.
        os.environ["OMP_NUM_THREADS"] = "1"


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[PREFECT_HOME], ignore_errors=True)
