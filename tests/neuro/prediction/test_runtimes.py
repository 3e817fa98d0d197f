"""What runs a graph: the same answers in the same order, whatever the size of the last batch."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuro.errors import ConfigError, PackageError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import package
from neuro.models.package import Package
from neuro.prediction import choose_runtime, open_graph, predict, runtimes
from neuro.prediction.predict import Engine
from neuro.prediction.runtimes import Name, Runtime
from tests.neuro.prediction.sealed import untrained

SPEC = PreprocessSpec(size_px=32)
needs_bf16 = pytest.mark.skipif(
    "openvino" not in runtimes.at_hand(), reason="this processor multiplies no bf16"
)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("p") / "model"
    return package.open_verified(untrained(folder, "light", ("bright", "dark"), SPEC))


def pixels(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 32, 32, 1), dtype=np.uint8)


@needs_bf16
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 200])
def test_openvino_answers_each_image_as_onnxruntime_does(sealed: Package, n: int) -> None:
    exact, fast = (predict.load(sealed, threads=2, runtime=name) for name in runtimes.NAMES[:2])
    for ours, theirs in zip(
        predict.outputs(exact, pixels(n)), predict.outputs(fast, pixels(n)), strict=True
    ):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=0.02 * max(np.abs(ours).max(initial=1), 1))


@needs_bf16
def test_an_image_is_answered_the_same_in_whatever_company(sealed: Package) -> None:
    engine = predict.load(sealed, threads=2, runtime="openvino")
    some = pixels(70)
    whole = predict.outputs(engine, some)[0]
    alone = predict.outputs(engine, some, rows=np.array([69]))[0]
    assert (whole[69] == alone[0]).all()


@needs_bf16
def test_batches_are_made_while_others_run_and_few_ahead(sealed: Package) -> None:
    made = []

    def batches() -> Iterator[np.ndarray]:
        for number in range(40):
            made.append(number)
            yield np.zeros((1, 1, 32, 32), np.float32)

    runtime = runtimes.opened("openvino", sealed, threads=2)
    for n_answered, _ in enumerate(runtime.run(batches())):
        assert len(made) <= n_answered + 4
    assert len(made) == 40


@needs_bf16
def test_a_run_that_was_given_up_disturbs_no_later_one(tmp_path: Path) -> None:
    """Its images are still being looked at when it ends: they are large enough for that."""
    spec = PreprocessSpec(size_px=384)
    folder = untrained(tmp_path / "model", "brain", ("a", "b"), spec)
    runtime = runtimes.opened("openvino", package.open_verified(folder), threads=1)
    batch = np.zeros((runtime.batch_size, 1, 384, 384), np.float32)
    for _ in range(3):
        run = runtime.run([batch] * 4)
        next(run)
        run.close()  # type: ignore[attr-defined]
        assert len(list(runtime.run([batch] * 2))) == 2


def test_threads_that_share_a_runtime_run_it_one_after_the_other() -> None:
    running: list[int] = []

    def passes(batches: runtimes.Batches) -> Iterator[open_graph.Outputs]:
        running.append(1)
        assert len(running) == 1
        for batch in batches:
            time.sleep(0.01)
            yield batch, batch
        running.pop()

    runtime = Runtime(name="onnxruntime", batch_size=1, passes=passes)
    given = [np.full((1, 1), number, np.float32) for number in range(3)]
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: list(runtime.run(given)), range(8)):
            assert [logits.item() for logits, _ in found] == [0, 1, 2]


def test_torch_answers_as_the_graph_does(sealed: Package) -> None:
    """On the CPU, for want of a GPU: the code is the same."""
    exact = predict.load(sealed)
    other = Engine(package=sealed, runtime=runtimes.on_device(sealed, "cpu"))
    for ours, theirs in zip(
        predict.outputs(exact, pixels(9)), predict.outputs(other, pixels(9)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_this_machine_does_not_have_is_said(
    sealed: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "at_hand", lambda: ("onnxruntime",))
    with pytest.raises(ConfigError, match=r"openvino needs .*bf16.*it has: onnxruntime"):
        predict.load(sealed, runtime="openvino")


class Clock:
    """Seconds that pass only as told: by the next reading."""

    def __init__(self, *taken: float) -> None:
        self.times = [0.0]
        for each in taken:
            self.times += [self.times[-1], self.times[-1] + each]

    def __call__(self) -> float:
        return self.times.pop(1)


def engines(monkeypatch: pytest.MonkeyPatch, sealed: Package, bias: float) -> None:
    """The graph itself, and another that adds to the first logit."""
    exact = runtimes.opened("onnxruntime", sealed, threads=1)

    def run(batches: runtimes.Batches) -> Iterator[open_graph.Outputs]:
        for logits, embeddings in exact.run(batches):
            yield logits + np.array([bias, 0], np.float32), embeddings

    other = Runtime(name="openvino", batch_size=32, passes=run)
    by_name: dict[Name, Runtime] = {"onnxruntime": exact, "openvino": other}
    monkeypatch.setattr(runtimes, "at_hand", lambda: tuple(by_name))
    monkeypatch.setattr(runtimes, "opened", lambda name, *_, **__: by_name[name])


FASTER, SLOWER = (9, 9, 2, 1, 2, 1), (9, 9, 1, 2, 1, 2)  # a round to warm up, and two


@pytest.mark.parametrize(
    ("bias", "taken", "chosen", "told"),
    [
        (0.0, FASTER, "openvino", "openvino bf16 64 images/s"),
        (0.0, SLOWER, "onnxruntime", "onnxruntime f32 64 images/s"),
        (0.0, (9, 9, 2, 1.9, 2, 1.9), "onnxruntime", "images/s"),
        (0.2, FASTER, "onnxruntime", "openvino bf16 is not taken, a probability differs by 0.0"),
        (-99.0, FASTER, "onnxruntime", "openvino bf16 is not taken, it calls"),
    ],
)
def test_the_fastest_that_answers_the_same_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    sealed: Package,
    bias: float,
    taken: tuple[float, ...],
    chosen: str,
    told: str,
) -> None:
    engines(monkeypatch, sealed, bias)
    found = choose_runtime.choose(sealed, pixels(64), threads=1, clock=Clock(*taken))
    assert found.name == chosen
    assert told in found.why


@needs_bf16
def test_it_is_asked_of_the_machine_itself(sealed: Package) -> None:
    found = choose_runtime.choose(sealed, pixels(64), threads=2, clock=time.perf_counter)
    assert set(found.images_per_s) == set(runtimes.at_hand())


@pytest.mark.parametrize("fails", ["at once", "when it is asked"])
def test_an_engine_that_fails_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, sealed: Package, fails: str
) -> None:
    engines(monkeypatch, sealed, 0.0)
    working = runtimes.opened

    def run(batches: runtimes.Batches) -> Iterator[open_graph.Outputs]:
        raise RuntimeError("out of memory")
        yield

    def opened(name: Name, *given: Any, **named: Any) -> Runtime:
        if name == "openvino" and fails == "at once":
            raise PackageError("cannot be run by OpenVINO")
        found = working(name, *given, **named)
        return replace(found, passes=run) if name == "openvino" else found

    monkeypatch.setattr(runtimes, "opened", opened)
    found = choose_runtime.choose(sealed, pixels(64), threads=1, clock=time.perf_counter)
    assert found.name == "onnxruntime"
    assert "openvino is not taken, it fails" in found.why


@needs_bf16
def test_what_openvino_refuses_is_an_error_with_the_remedy(
    sealed: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr("openvino.Core.compile_model", refuse)
    with pytest.raises(PackageError, match=r"no such operation.*--engine onnxruntime"):
        predict.load(sealed, runtime="openvino")
