"""kill -9 of a service under load: each request that was answered stands in the log, once.

Replay one draw of moments: pytest tests/faults/test_kill_serve.py --seed 7
"""

import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuro.client import Client
from neuro.errors import ServerError
from neuro.images.preprocess import PreprocessSpec
from neuro.lake.lake import Lake
from neuro.lake.request_spool import Spool
from tests.faults import seeds
from tests.neuro.prediction.sealed import untrained

pytestmark = pytest.mark.slow

ROUNDS = seeds.rounds(short=2, long=30)
CLIENTS = 4
# The service, which moves its log to the lake all the time.
CHILD = """
import sys
from deployments.service import request_log
request_log.MOVING_S = 0.05
from deployments.cli import app
sys.argv = ["neuro", *sys.argv[1:]]
app.main()
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = ("glioma", "meningioma", "notumor", "pituitary")
    return untrained(tmp_path_factory.mktemp("p") / "model", "brain", labels, PreprocessSpec())


def start(model: Path, home: Path, port: int) -> subprocess.Popen[bytes]:
    words = ["serve", "--model", str(model), "--port", str(port), "--rate", "100000/minute"]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *words, "--engine", "onnxruntime"],
        cwd=home,
        env={**os.environ, "NEURO_HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def picture(number: int, turn: int) -> bytes:
    """No two are the same."""
    rng = np.random.default_rng([number, turn])
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def asking(address: str, home: Path, number: int, answered: list[str]) -> None:
    """Ask until the service has gone; what was answered is remembered."""
    token = (home / "service.token").read_text().strip()
    with Client(address, token, timeout_s=20) as client:
        for turn in range(1_000_000):
            image = picture(number, turn)
            try:
                client.predict(image)
            except ServerError:
                return
            answered.append(hashlib.sha256(image).hexdigest())


def test_no_request_that_was_answered_is_lost_and_none_stands_twice(
    model: Path, tmp_path: Path, free_port: int
) -> None:
    draws, address = seeds.draws("serve"), f"http://127.0.0.1:{free_port}"
    answered: list[str] = []
    for turn in range(ROUNDS):
        child = start(model, tmp_path, free_port)
        wait_until_ready(address, child)
        clients = [
            threading.Thread(target=asking, args=(address, tmp_path, turn * CLIENTS + n, answered))
            for n in range(CLIENTS)
        ]
        for each in clients:
            each.start()
        time.sleep(draws.uniform(0.2, 3))
        child.kill()
        child.wait()
        for each in clients:
            each.join()
    lake, spool = Lake(str(tmp_path / "lake")), Spool(folder=tmp_path / "requests")
    spool.move(lake)
    rows = lake.read("requests", columns=["id", "sha256"])
    logged = rows["sha256"].to_pylist()
    assert len(answered) > 20
    assert set(answered) <= set(logged)
    assert len(set(logged)) == len(logged)
    assert len(set(rows["id"].to_pylist())) == len(logged)
    assert not list((tmp_path / "requests").glob("*.jsonl"))
    n = len(answered)
    seeds.told.append(
        f"a service was killed {ROUNDS} times; all {n} answers stand in its log, once"
    )


def wait_until_ready(address: str, child: subprocess.Popen[bytes]) -> None:
    import httpx

    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert child.poll() is None
        try:
            if httpx.get(f"{address}/readyz", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("the service is not ready")


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
