"""Servers of a cluster on loopback: Prefect's, and Ray's own programs."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from deployments.stack import processes

START_S = 120.0


@pytest.fixture(scope="session")
def token() -> Iterator[None]:
    """Ray asks for a token, and would write one of its own into the user's home."""
    told = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback alone
        # On a busy machine a worker needs longer than Ray waits for it, and is started for ever.
        "RAY_worker_register_timeout_seconds": "300",
        "RAY_health_check_timeout_ms": "60000",
    }
    os.environ |= told
    yield
    for name in told:
        del os.environ[name]


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture(scope="module")
def cluster(token: None) -> Iterator[str]:
    """The address of a Ray cluster of two workers that knows nothing of this process."""
    with processes.listening(None, 6379) as head, processes.listening(None, 10001) as clients:
        ports = [processes.port_of(each) for each in (head, clients)]
    yield from started(*ports)


def started(port: int, door: int) -> Iterator[str]:
    """Start the cluster, give its address, and stop it; door: the port of its clients."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # a socket's path is at most 107 letters long
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += ["--node-ip-address=127.0.0.1", f"--port={port}", f"--ray-client-server-port={door}"]
    command += ["--num-cpus=2", "--object-store-memory=200000000", "--include-dashboard=false"]
    clean = {k: v for k, v in os.environ.items() if k.startswith("RAY_") or k in ("HOME", "PATH")}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [*command, f"--temp-dir={folder}"],
            cwd=folder,
            env=clean,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as program,
    ):
        try:
            end = time.monotonic() + START_S
            while "Ray runtime started" not in (folder / "log").read_text(errors="replace"):
                assert program.poll() is None, processes.last_lines(folder / "log")
                assert time.monotonic() < end, processes.last_lines(folder / "log")
                time.sleep(0.2)
            address = f"ray://127.0.0.1:{door}"
            while not admits(address):
                assert time.monotonic() < end, said_of_clients(folder)
            yield address
            sys.stderr.write(said_of_clients(folder))  # shown where a test has failed
        finally:
            program.terminate()  # it alone: asked together with its children it waits for them
            program.wait(60)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def admits(address: str) -> bool:
    """Whether a client gets in: Ray starts a program for each, and the first of them may fail."""
    program = "import ray, sys; ray.init(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, address], capture_output=True, check=False, timeout=START_S
    )
    return done.returncode == 0


def said_of_clients(folder: Path) -> str:
    """What Ray's programs for clients have said, which it leaves in files."""
    files = sorted(folder.rglob("ray_client_server*.err"))
    return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-2000:]}" for path in files)
