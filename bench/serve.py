"""The prediction service beside `mlflow models serve`: requests a second, and their times."""

import argparse
import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from neuro.models import package as packages
from tasks.record import mlflow_model
from tasks.runtime import settings

CLIENTS, SECONDS, ROUNDS = 8, 10.0, 4
OVERLOAD = 400  # clients at once
_PEER = Path(__file__).with_name("rivals") / "plain_pyfunc.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """A server, and how an image is sent to it."""

    name: str
    url: str
    content_type: str
    body: Callable[[bytes], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """seconds: of each request that was answered. statuses: of all."""

    took_s: float
    seconds: Sequence[float]
    statuses: Mapping[int, int]

    @property
    def per_s(self) -> float:
        """Requests that were answered."""
        return len(self.seconds) / self.took_s


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench serve", description=__doc__)
    parser.add_argument("package", type=Path, help="that `neuro train` wrote")
    parser.add_argument("folder", type=Path, help="of images, such as real ones")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interleaved; medians are told")
    parser.add_argument("--requests", type=int, default=0, help="only send so many, count errors")
    parser.add_argument("--overload", action="store_true", help=f"only send {OVERLOAD} at once")
    parser.add_argument("--shadow", type=Path, help="only: what another package beside it costs")
    parser.add_argument("--start", action="store_true", help="only: how long to the first answer")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    files = sorted(path for path in options.folder.rglob("*") if path.is_file())
    chosen = files[:: max(1, len(files) // options.images)][: options.images]
    images = [path.read_bytes() for path in chosen]
    model = options.package.resolve()
    with ExitStack() as closing:
        scratch = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        if options.start:
            facts = _starts(model, scratch, images)
        elif options.overload:
            ours = closing.enter_context(_service("neuro serve", model, scratch / "a"))
            facts = _overloaded(ours, images)
        elif options.requests:
            ours = closing.enter_context(_service("neuro serve", model, scratch / "a"))
            facts = _many(ours, images, options.requests)
        elif options.shadow:
            arms = [
                closing.enter_context(_service("alone", model, scratch / "a")),
                closing.enter_context(
                    _service("with a shadow", model, scratch / "b", options.shadow.resolve())
                ),
            ]
            facts = _compared(arms, images, options.rounds, clients=1, pause_s=0.2)
        else:
            arms = [
                closing.enter_context(_service("neuro serve", model, scratch / "a")),
                closing.enter_context(_mlflow(model, scratch / "b", is_plain=True)),
                closing.enter_context(_mlflow(model, scratch / "c", is_plain=False)),
            ]
            facts = _compared(arms, images, options.rounds, clients=CLIENTS)
    card = packages.open_verified(options.package).card
    about = {"architecture": card.architecture, "side": card.preprocess.size_px}
    facts = about | {"images": len(images), "cores": settings.cores()} | facts
    if options.json:
        print(json.dumps(facts))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items() if name != "arms"))
    rows: Any = facts.get("arms", {})
    for name, row in rows.items():
        print(f"{name:40}", "  ".join(f"{key} {value}" for key, value in row.items()))


def _compared(
    arms: Sequence[Arm], images: Sequence[bytes], rounds: int, *, clients: int, pause_s: float = 0
) -> dict[str, object]:
    """Each arm in turn; the first round warms up and is not told."""
    found: dict[str, list[Round]] = {arm.name: [] for arm in arms}
    for number in range(rounds + 1):
        for arm in arms:
            done = _round(arm, images, clients=clients, seconds=SECONDS, pause_s=pause_s)
            if set(done.statuses) != {200}:
                raise SystemExit(f"{arm.name} answered {dict(done.statuses)}")
            if number:
                found[arm.name].append(done)
    rows = {
        name: {
            "requests/s": round(median(each.per_s for each in some), 1),
            "p50 ms": round(median(_percentile(each, 50) for each in some), 1),
            "p95 ms": round(median(_percentile(each, 95) for each in some), 1),
        }
        for name, some in found.items()
    }
    ours = next(iter(rows.values()))
    for row in rows.values():
        row["p95 to the first"] = round(row["p95 ms"] / ours["p95 ms"], 2)
        row["requests/s of the first to it"] = round(ours["requests/s"] / row["requests/s"], 2)
    return {"clients": clients, "arms": rows}


def _many(arm: Arm, images: Sequence[bytes], n: int) -> dict[str, object]:
    done = _round(arm, images, clients=CLIENTS, seconds=3600.0, most=n)
    return {
        "requests": sum(done.statuses.values()),
        "statuses": dict(done.statuses),
        "requests_per_s": round(done.per_s, 1),
        "p95_ms": round(_percentile(done, 95), 1),
        "worst_ms": round(max(done.seconds) * 1e3, 1),
    }


def _overloaded(arm: Arm, images: Sequence[bytes]) -> dict[str, object]:
    done = _round(arm, images, clients=OVERLOAD, seconds=2 * SECONDS)
    after = _round(arm, images, clients=1, seconds=2.0)
    return {
        "clients": OVERLOAD,
        "statuses": dict(done.statuses),
        "answered_per_s": round(done.per_s, 1),
        "afterwards": dict(after.statuses),
    }


def _starts(model: Path, scratch: Path, images: Sequence[bytes]) -> dict[str, object]:
    """From the end of the imports to the first answer: at first, and with the engine remembered."""
    first, *again = (_start(model, scratch / "home", images[0]) for _ in range(4))
    return {"first_s": round(first, 2), "remembered_s": round(median(again), 2)}


_START = """
import json, sys, threading, time, http.client
from pathlib import Path
import uvicorn
from deployments.service import app, routes, serve, service, sign_in
from deployments.service.config import ServiceConfig
from deployments.stack import processes
import openvino
model, home, image, token = sys.argv[1:]
began = time.perf_counter()
def ask():
    body = Path(image).read_bytes()
    secret = Path(token)
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {"authorization": "Bearer " + secret.read_text().strip()}
            headers["content-type"] = "multipart/form-data; boundary=b"
            connection.request("POST", "/v1/predictions", body, headers)
            answer = connection.getresponse()
            if answer.read() and answer.status == 200:
                break
        except OSError:
            pass
        time.sleep(0.01)
    print(json.dumps(time.perf_counter() - began), flush=True)
    import os
    os._exit(0)
with processes.listening(None, 18000) as listener:
    port = processes.port_of(listener)
    threading.Thread(target=ask, daemon=True).start()
    config = ServiceConfig(models=[Path(model)], token_file=Path(token))
    serve.run(config, lambda _: None, listener)
"""


def _start(model: Path, home: Path, image: bytes) -> float:
    home.mkdir(exist_ok=True)
    body = home.parent / "body"
    body.write_bytes(_multipart(image))
    done = subprocess.run(
        [sys.executable, "-c", _START, str(model), str(home), str(body), str(home / "token")],
        env={**os.environ, "NEURO_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])


@contextmanager
def _service(name: str, model: Path, home: Path, shadow: Path | None = None) -> Iterator[Arm]:
    port, token = _free_port(), home / "token"
    home.mkdir()
    command = ["-m", "deployments.cli.app", "serve", "--port", str(port), "--model", str(model)]
    command += ["--token-file", str(token), "--rate", "1000000/minute"]
    command += ["--shadow", str(shadow)] if shadow else []
    with _running(command, home, {"NEURO_HOME": str(home)}):
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/readyz")
        yield Arm(
            name=name,
            url=f"{url}/v1/predictions",
            content_type="multipart/form-data; boundary=b",
            body=_multipart,
            headers={"authorization": f"Bearer {token.read_text().strip()}"},
        )


@contextmanager
def _mlflow(model: Path, folder: Path, *, is_plain: bool) -> Iterator[Arm]:
    """The package as neuro logs it, or a model as people write one: Pillow and ONNX Runtime."""
    found = packages.open_verified(model)
    port, place = _free_port(), folder / "model"
    folder.mkdir()
    if is_plain:
        from mlflow import pyfunc

        pyfunc.save_model(
            place, python_model=str(_PEER), artifacts={"package": str(model)}, pip_requirements=[]
        )
    else:
        mlflow_model.write(place, found)
        shutil.copytree(model, place / "package")
    command = ["-m", "mlflow", "models", "serve", "-m", str(place), "--env-manager", "local"]
    with _running([*command, "--port", str(port), "--workers", "1"], folder, {}):
        _wait(f"http://127.0.0.1:{port}/health")
        name = "Pillow and ONNX Runtime" if is_plain else "the same package"
        yield Arm(
            name=f"mlflow models serve, {name}",
            url=f"http://127.0.0.1:{port}/invocations",
            content_type="application/json",
            body=_dataframe,
        )


@contextmanager
def _running(command: list[str], folder: Path, more: Mapping[str, str]) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **more, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def _round(
    arm: Arm,
    images: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    most: int = 0,
    pause_s: float = 0,
) -> Round:
    """So many clients, each with a connection of its own, ask one image after the other."""
    bodies = [arm.body(image) for image in images]
    took: list[float] = []
    statuses: Counter[int] = Counter()
    numbers = iter(range(most or 1 << 60))
    lock, begun = threading.Lock(), time.perf_counter()
    end = begun + seconds

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        where = urlsplit(arm.url)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=120)
        headers = {"content-type": arm.content_type, **arm.headers}
        while time.perf_counter() < end:
            with lock:
                if next(numbers, None) is None:
                    return
            body = bodies[int(rng.integers(len(bodies)))]
            started = time.perf_counter()
            try:
                connection.request("POST", where.path, body, headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except OSError:
                connection.close()
                status = 0
            with lock:
                statuses[status] += 1
                if status == 200:
                    took.append(time.perf_counter() - started)
            time.sleep(pause_s)
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Round(took_s=time.perf_counter() - begun, seconds=took, statuses=statuses)


def _multipart(image: bytes) -> bytes:
    head = b'--b\r\ncontent-disposition: form-data; name="files"; filename="x"\r\n\r\n'
    return head + image + b"\r\n--b--\r\n"


def _dataframe(image: bytes) -> bytes:
    text = base64.b64encode(image).decode()
    return json.dumps({"dataframe_split": {"columns": ["image"], "data": [[text]]}}).encode()


def _percentile(done: Round, q: float) -> float:
    return float(np.percentile(done.seconds, q)) * 1e3


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(url: str) -> None:
    where, end = urlsplit(url), time.monotonic() + 180
    while time.monotonic() < end:
        try:
            connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=5)
            connection.request("GET", where.path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{url} is not ready after 180 s")
