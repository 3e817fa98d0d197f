"""The graph of a package, opened and compared with what the package's card says of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as states

from neuro.errors import PackageError
from neuro.models.package import Card, Package
from neuro.models.package_manifest import CARD, ONNX

Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]

INPUT, LOGITS, EMBEDDING = "pixels", "logits", "embedding"
# ONNX Runtime's errors have no base of their own.
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(e for e in vars(states).values() if isinstance(e, type) and issubclass(e, Exception)),
)
_AGAIN = "fetch the package again, or train again"


def open_graph(package: Package, threads: int) -> onnxruntime.InferenceSession:
    """A session of the graph in a package's verified bytes. threads: used inside one batch.

    Raises PackageError for what is no graph, has other inputs and outputs than the card says, or
    does not answer two black images with finite numbers.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # it would write to stderr what the error says
    where, raw = package.folder / ONNX, package.read(ONNX)
    _require_whole(raw, where)
    try:
        session = onnxruntime.InferenceSession(
            raw, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except _ERRORS as error:
        raise PackageError(
            f"{where} is no graph that can be run: {_brief(error)}; {_AGAIN}"
        ) from error
    spec = package.card.preprocess
    shape = (spec.channels, spec.size_px, spec.size_px)
    _check_input(session, shape, str(where))
    _check_outputs(session, str(where))
    run(session, np.zeros((2, *shape), np.float32), package)
    return session


def _require_whole(raw: bytes, where: Path) -> None:
    """Raise PackageError for a graph whose weights lie in another file, which nobody verified."""
    if b"location" not in raw:  # the key by which a tensor names its file (onnx.proto)
        return
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs

    try:
        graph = onnx.load_model_from_string(raw).graph
    except DecodeError as error:
        raise PackageError(f"{where} is no graph that can be run; {_AGAIN}") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(graph)):
        raise PackageError(
            f"{where} takes weights from another file, which is not sealed; {_AGAIN}"
        )


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor of a graph, and of the graphs within it."""
    yield from graph.initializer
    for attribute in (each for node in graph.node for each in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for within in (attribute.g, *attribute.graphs):
            if within.node or within.initializer:
                yield from _tensors(within)


def run(
    session: onnxruntime.InferenceSession, pixels: NDArray[np.float32], package: Package
) -> Outputs:
    """Logits (n, k) and embeddings (n, d) of pixels, (n, c, side, side), as ``checked`` has them.

    Raises PackageError.
    """
    try:
        answers = session.run([LOGITS, EMBEDDING], {INPUT: pixels})
    except _ERRORS as error:
        where = package.folder / ONNX
        raise PackageError(f"{where} cannot be run: {_brief(error)}; {_AGAIN}") from error
    return checked((answers[0], answers[1]), len(pixels), package)


def checked(outputs: Outputs, n: int, package: Package) -> Outputs:
    """Logits (n, k) and embeddings (n, d), k and d as in the card, all of them finite.

    Raises PackageError for anything else: no answer is better than NaN.
    """
    where, (logits, embeddings) = package.folder / ONNX, outputs
    for name, found, width, of in (
        (LOGITS, logits, *_classes(package.card)),
        (EMBEDDING, embeddings, *_mean(package.card)),
    ):
        if found.shape != (n, width):
            raise PackageError(
                f"{where}: {name} of {n} images are {found.shape}, but {CARD} has {of}; {_AGAIN}"
            )
        broken = np.count_nonzero(~np.isfinite(found).all(axis=1))
        if broken:
            raise PackageError(
                f"{where}: {name} hold NaN or infinity for {broken} of {n} images; "
                f"these answers are not kept. Do not use the package: {_AGAIN}"
            )
    return logits, embeddings


def _classes(card: Card) -> tuple[int, str]:
    return len(card.classes), f"{len(card.classes)} classes"


def _mean(card: Card) -> tuple[int, str]:
    n = len(card.calibration.ood_mean)
    return n, f"calibration.ood_mean of {n} numbers"


def _check_input(session: onnxruntime.InferenceSession, shape: tuple[int, ...], where: str) -> None:
    inputs = session.get_inputs()
    names = [each.name for each in inputs]
    if names != [INPUT] or inputs[0].type != "tensor(float)":
        types = [f"{each.name} {each.type}" for each in inputs]
        raise PackageError(
            f"{where} takes {', '.join(types)[:200] or 'nothing'}, expected {INPUT} tensor(float); "
            f"{_AGAIN}"
        )
    found = inputs[0].shape
    is_any = [not isinstance(side, int) for side in found]
    fits = [free or side == n for free, side, n in zip(is_any[1:], found[1:], shape, strict=False)]
    if len(found) != 4 or not is_any[0] or not all(fits):
        raise PackageError(
            f"{where} takes {INPUT} of shape {found}, but preprocess in {CARD} makes (n, "
            f"{', '.join(map(str, shape))}) for any n; {_AGAIN}"
        )


def _check_outputs(session: onnxruntime.InferenceSession, where: str) -> None:
    types = {each.name: each.type for each in session.get_outputs()}
    for name in (LOGITS, EMBEDDING):
        if types.get(name) != "tensor(float)":
            raise PackageError(
                f"{where} has the outputs {', '.join(types)[:200] or 'none'}, expected {LOGITS} "
                f"and {EMBEDDING} as tensor(float); {_AGAIN}"
            )


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
