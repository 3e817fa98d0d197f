"""What runs a package's graph: ONNX Runtime in fp32, OpenVINO in bf16, or torch on a GPU.

The graph of the package decides in all three: whoever opens one has looked at it before with
``open_graph``. Batches are taken one after another from whoever makes them, a few ahead of the
answers, so that making and running overlap and memory stays what some batches need.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal, get_args

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from neuro.errors import ConfigError, PackageError
from neuro.models import package as packages
from neuro.models.package import Package
from neuro.models.package_manifest import ONNX
from neuro.prediction import open_graph
from neuro.prediction.open_graph import Outputs

Name = Literal["onnxruntime", "openvino", "torch"]
NAMES: tuple[Name, ...] = get_args(Name)
EXACT: Name = "onnxruntime"  # what a package is proven, calibrated and judged by
PRECISIONS = {"onnxruntime": "f32", "openvino": "bf16", "torch": "f32"}

Batches = Iterable[NDArray[np.float32]]
_OPENVINO_BATCH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """batch_size: the n that it is made for; more does not help, and fewer costs as much.

    passes: what answers batches, for one caller at a time.
    """

    name: Name
    batch_size: int
    passes: Callable[[Batches], Iterator[Outputs]]
    alone: Lock = field(default_factory=Lock, repr=False, compare=False)

    def run(self, batches: Batches) -> Iterator[Outputs]:
        """Answers to batches of (n, c, side, side) float32, in their order.

        Threads may call it at once, and wait: a network that two run at once is faster for neither,
        and takes the memory of both.
        """
        with self.alone:
            yield from self.passes(batches)

    def __str__(self) -> str:
        return f"{self.name} {PRECISIONS[self.name]}"


def at_hand() -> tuple[Name, ...]:
    """Those that this machine has the processor or the device for."""
    has = {"onnxruntime": True, "openvino": _has_bf16(), "torch": torch.cuda.is_available()}
    return tuple(name for name in NAMES if has[name])


def opened(name: Name, package: Package, *, threads: int, batch_size: int = 0) -> Runtime:
    """Open the graph of a verified package. threads: processors that it may use.

    batch_size: at most so many images at once, 0 for what is fastest; a service, whose images come
    one by one, is opened for 1.

    Raises PackageError for a graph that is not as the card says, ConfigError for a runtime that
    this machine has nothing for.
    """
    session = open_graph.open_graph(package, threads)
    if name == EXACT:
        return _onnxruntime(session, package)
    if name not in at_hand():
        needs = {"openvino": "a processor that multiplies bf16", "torch": "a CUDA device"}[name]
        raise ConfigError(
            f"engine {name} needs {needs}, and this machine has none; those that it has: "
            f"{', '.join(at_hand())}"
        )
    if name == "openvino":
        return _openvino(package, threads, batch_size or _OPENVINO_BATCH)
    return on_device(package, "cuda")


def _onnxruntime(session: onnxruntime.InferenceSession, package: Package) -> Runtime:
    def passes(batches: Batches) -> Iterator[Outputs]:
        for batch in batches:
            yield open_graph.run(session, batch, package)

    return Runtime(name="onnxruntime", batch_size=128, passes=passes)


def _openvino(package: Package, threads: int, batch_size: int) -> Runtime:
    """One stream for each thread: a batch is run by one, and others beside it."""
    import openvino  # a second to import, and not needed everywhere

    spec = package.card.preprocess
    shape = (batch_size, spec.channels, spec.size_px, spec.size_px)
    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "NUM_STREAMS": str(threads),
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": False,  # others use the processors, too
    }
    with _told(package):
        model = core.read_model(package.read(ONNX))
        model.reshape({open_graph.INPUT: shape})  # so that company changes no image's answer
        compiled: Any = core.compile_model(model, "CPU", options)

    requests = [compiled.create_infer_request() for _ in range(threads + 1)]

    def passes(batches: Batches) -> Iterator[Outputs]:
        free, working = deque(requests), deque[tuple[Any, int]]()
        try:
            for batch in batches:
                if not free:
                    yield _answered(working, free, package)
                request = free.popleft()
                with _told(package):
                    request.start_async([_padded(batch, shape)], share_inputs=False)
                working.append((request, len(batch)))
            while working:
                yield _answered(working, free, package)
        finally:
            for request, _ in working:  # of a run that was given up: the next one has them, too
                request.wait()

    return Runtime(name="openvino", batch_size=batch_size, passes=passes)


def _answered(working: deque[tuple[Any, int]], free: deque[Any], package: Package) -> Outputs:
    """The answers of the request that was started first, which is free again."""
    request, n = working.popleft()
    with _told(package):
        request.wait()
        logits, embeddings = (
            request.get_tensor(name).data[:n].copy()  # the next batch is written over it
            for name in (open_graph.LOGITS, open_graph.EMBEDDING)
        )
    free.append(request)
    return open_graph.checked((logits, embeddings), n, package)


@contextmanager
def _told(package: Package) -> Iterator[None]:
    """Around what OpenVINO does, whose errors are RuntimeErrors."""
    try:
        yield
    except RuntimeError as error:
        said = " ".join(str(error).split())[:160]
        raise PackageError(
            f"{package.folder / ONNX} cannot be run by OpenVINO ({said}); give --engine onnxruntime"
        ) from error


def _padded(batch: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if batch.shape == shape:
        return batch
    whole = np.zeros(shape, np.float32)
    whole[: len(batch)] = batch
    return whole


def on_device(package: Package, device: str) -> Runtime:
    """The network of a package, by torch on a device."""
    network = packages.restore(package).to(device)

    def passes(batches: Batches) -> Iterator[Outputs]:
        for batch in batches:
            # TF32 keeps ten bits of a factor: the answers would be others than those of the graph.
            with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
                logits, embeddings = network(torch.from_numpy(batch).to(device))
                found = (logits.float().cpu().numpy(), embeddings.float().cpu().numpy())
            yield open_graph.checked(found, len(batch), package)

    return Runtime(name="torch", batch_size=256, passes=passes)


def _has_bf16() -> bool:
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
