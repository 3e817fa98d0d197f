"""The package as a model of MLflow's: what is kept, and that MLflow alone loads and serves it."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pandas as pd
import pytest
import yaml
from mlflow.exceptions import MlflowException

from neuro.errors import PackageError, SignatureError
from neuro.models import package, package_manifest
from neuro.models.package import Package
from neuro.prediction import image_bytes, predict
from tasks.record import mlflow_model, registry, tracking
from tasks.record.tracking import Run
from tests.neuro.prediction.test_image_bytes import stripes
from tests.neuro.prediction.test_predict import Brightness, card


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("p") / "0123456789abcdef"
    return package.open_verified(package.save(folder, Brightness(), card()))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of MLflow's, with pickles switched off, and a home without a package."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        patch.setenv("NEURO_HOME", str(folder / "home"))
        tracking.client.cache_clear()
        tracking.client().create_experiment("light", str(folder / "artifacts"))
        yield folder
    tracking.client.cache_clear()


def opened() -> Run:
    experiment = tracking.client().get_experiment_by_name("light").experiment_id
    return Run(run_id=tracking.client().create_run(experiment).info.run_id)


@pytest.fixture(scope="module")
def logged(store: Path, found: Package) -> Run:
    run = opened()
    mlflow_model.log(run, found)
    registry.register(run.run_id, "light", found)
    return run


def folder_of(store: Path, run: Run) -> Path:
    return store / "artifacts" / run.run_id / "artifacts" / "model"


def test_one_copy_of_the_package_is_kept_inside_the_model(
    store: Path, logged: Run, found: Package
) -> None:
    root = folder_of(store, logged).parent
    kept = [
        path
        for path in root.rglob("*")
        if path.name in (*package_manifest.FILES, package_manifest.MANIFEST)
    ]
    assert {path.parent for path in kept} == {root / "model" / "package"}
    assert package.open_verified(root / "model" / "package").digest == found.digest


def test_no_file_of_the_model_is_a_pickle_or_tells_of_this_machine(
    store: Path, logged: Run, found: Package
) -> None:
    folder = folder_of(store, logged)
    own = [path for path in folder.iterdir() if path.is_file()]
    assert {path.suffix for path in own} == {"", ".json", ".py", ".txt", ".yaml"}
    for path in own:
        if path.name.endswith("example.json"):
            continue  # base64
        text = path.read_text("utf-8")
        assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text), path.name
        assert not [each for each in re.findall(r"[\s:=\"'](/\w\S*)", text)], path.name
    assert "neuro" not in (folder / "requirements.txt").read_text("utf-8")


def test_a_project_in_the_current_folder_is_not_copied(
    store: Path, found: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("uv.lock", "pyproject.toml"):
        (tmp_path / name).write_text("secret")
    monkeypatch.chdir(tmp_path)
    run = opened()
    mlflow_model.log(run, found)
    assert not list(folder_of(store, run).glob("uv.lock"))


def test_mlflow_loads_the_registered_version_and_answers_as_neuro_does(
    logged: Run, found: Package
) -> None:
    images = [stripes(153), b"no image"]
    served = mlflow.pyfunc.load_model("models:/neuro-light/1")
    engine = predict.load(found)
    expected = [image_bytes.as_dict(engine, each) for each in image_bytes.answer(engine, images)]
    assert served.predict(pd.DataFrame({"image": images})) == expected


def test_what_an_answer_holds_is_what_the_signature_says(logged: Run) -> None:
    served = mlflow.pyfunc.load_model("models:/neuro-light/1")
    (answer,) = served.predict(served.input_example)
    schema = served.metadata.get_output_schema()
    assert set(schema.input_names()) == set(answer)
    assert served.metadata.get_input_schema().input_names() == ["image"]


def test_an_altered_package_is_not_served(store: Path, found: Package) -> None:
    run = opened()
    mlflow_model.log(run, found)
    weights = folder_of(store, run) / "package" / package_manifest.WEIGHTS
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(PackageError, match="does not match"):
        mlflow.pyfunc.load_model(str(folder_of(store, run)))


def test_a_pickled_model_in_its_place_is_refused_by_the_switch(
    store: Path, found: Package, tmp_path: Path
) -> None:
    """What an attacker would write who can write to the store."""
    run, mark = opened(), tmp_path / "ran"
    mlflow_model.log(run, found)
    folder = folder_of(store, run)
    described = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
    flavor = described["flavors"]["python_function"]
    del flavor["model_code_path"]
    flavor |= {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"}
    (folder / "python_model.pkl").write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % bytes(mark))
    (folder / "MLmodel").write_text(yaml.safe_dump(described), "utf-8")
    with pytest.raises(MlflowException, match="pickle is disallowed"):
        mlflow.pyfunc.load_model(str(folder))
    assert not mark.exists()


def test_the_package_of_a_version_is_fetched_from_the_model(logged: Run, found: Package) -> None:
    version, folder = registry.find("light", "1"), registry.packages() / found.digest[:16]
    with pytest.raises(SignatureError, match="neuro keys sign 1 --problem light"):
        registry.fetch(version)
    registry.sign(version)
    shutil.rmtree(folder)  # what was signed lies in the registry, too
    assert registry.fetch(version).digest == found.digest
    assert folder.is_dir()


def test_a_version_that_was_logged_without_a_model_is_still_fetched(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = package.save(tmp_path / "older", Brightness(), card())
    found, run = package.open_verified(older), opened()
    tracking.log_files(run, older, "package")
    version = registry.register(run.run_id, "older", found)
    assert tracking.client().get_model_version("neuro-older", "1").source.endswith("/package")
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "home"))
    registry.sign(version)
    shutil.rmtree(registry.packages())
    assert registry.fetch(version).digest == found.digest


@pytest.fixture
def server(store: Path, logged: Run) -> Iterator[str]:
    """``mlflow models serve`` of the registered version; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/neuro-light/1"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    log = (store / "server.log").open("wb")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = subprocess.Popen(
        command,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(trust_env=False, timeout=5) as client:
            wait_until_ready(client, address, process, store / "server.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        log.close()


def wait_until_ready(
    client: httpx.Client, address: str, process: subprocess.Popen[bytes], log: Path
) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text("utf-8", "replace")
        try:
            if client.get(f"{address}/ping").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    pytest.fail(log.read_text("utf-8", "replace"))


def post(address: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{address}/invocations", json=body, trust_env=False, timeout=120)


@pytest.mark.server
@pytest.mark.slow
def test_mlflow_serves_the_registered_version_over_http(server: str, found: Package) -> None:
    images = [stripes(153), b"no image"]
    engine = predict.load(found)
    expected = [image_bytes.as_dict(engine, each) for each in image_bytes.answer(engine, images)]
    texts = [base64.b64encode(raw).decode() for raw in images]
    rows = [{"image": text} for text in texts]
    split = {"columns": ["image"], "data": [[text] for text in texts]}
    for body in (
        {"dataframe_split": split},
        {"dataframe_records": rows},
        {"inputs": rows},
        {"inputs": {"image": texts}},
        {"instances": rows},
    ):
        answered = post(server, body)
        assert answered.status_code == 200, answered.text
        assert json.loads(answered.text)["predictions"] == expected
    refused = post(server, {"inputs": [{"picture": texts[0]}]})
    assert refused.status_code == 400
    assert "missing inputs ['image']" in refused.text
