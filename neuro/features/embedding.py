"""The penultimate layer of any backbone as a feature set, in bf16 where the processor has it.

The backbone runs as one graph with its normalisation: by OpenVINO in bf16, else by ONNX Runtime in
fp32. A backbone that cannot be exported runs as it is. Which precision is part of the digest.
"""

import hashlib
import io
import json
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from neuro.errors import ConfigError
from neuro.models import backbone as backbones
from neuro.training.device import has_bf16_cpu

VERSION = "embedding-1"  # part of the feature hash: raise it when any vector changes
BATCH = 16  # of every run: a batch of another size may be rounded otherwise
TOLERANCE = 1e-3  # of a graph beside its network, relative

Precision = Literal["bf16", "f32"]
PRECISIONS: tuple[Precision, ...] = ("bf16", "f32")
Frames = NDArray[np.uint8]
Run = Callable[[Frames], NDArray[np.float32]]

_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """How stored bytes become what the backbone was made for: RGB, stretched to a square.

    mean, deviation: of each colour, of levels in 0..1.
    """

    size_px: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    decoder: str = "libjpeg-turbo, pillow-bilinear"

    @property
    def sha256(self) -> str:
        """Digest of every field."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def frame(self, raw: bytes) -> Frames:
        """One (size, size, 3) frame: the pixels that Pillow gives, decoded in half the time."""
        side = (self.size_px, self.size_px)
        if raw.startswith(b"\xff\xd8"):
            pixels: Frames = simplejpeg.decode_jpeg(raw, "RGB")
            if pixels.shape[:2] == side:
                return pixels
            picture = Image.fromarray(pixels)
        else:
            with Image.open(io.BytesIO(raw), formats=("PNG",)) as opened:
                picture = opened.convert("RGB")
        return np.asarray(picture.resize(side, Image.Resampling.BILINEAR))


@dataclass(frozen=True, kw_only=True, slots=True)
class Backbone:
    """An encoder (``encoders.Encoder``); weights, if a file, must be there where it encodes.

    weights_digest: SHA-256 of every tensor, whatever file they came from.
    """

    name: str
    architecture: str
    weights: Path | None
    weights_digest: str
    input: Input
    precision: Precision

    @property
    def preprocess_hash(self) -> str:
        """Of what the backbone was made for, not of a problem."""
        return self.input.sha256

    @property
    def digest(self) -> str:
        """Of code version, architecture, weights, preprocess and precision."""
        facts = [VERSION, self.architecture, self.weights_digest, self.input.sha256, self.precision]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()

    def encode(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Stored bytes to (n, width) float32; the last batch is filled up with black pictures."""
        if not images:
            return np.empty((0, 0), np.float32)
        run, side = _engine(self), self.input.size_px
        parts = []
        for start in range(0, len(images), BATCH):
            some = images[start : start + BATCH]
            frames = np.zeros((BATCH, side, side, 3), np.uint8)
            for place, raw in enumerate(some):
                frames[place] = self.input.frame(raw)
            parts.append(run(frames)[: len(some)])
        return np.concatenate(parts)


def backbone(
    architecture: str, weights: Path | None = None, precision: Precision | None = None
) -> Backbone:
    """The encoder of a timm name or ``resnet_small``; without weights, of a seeded random start.

    precision: by default the fastest here. Raises what ``model.build`` raises.
    """
    extractor = backbones.extractor(architecture, weights)
    frames = Input(size_px=extractor.size_px, mean=extractor.mean, deviation=extractor.deviation)
    return Backbone(
        name=f"embedding_{architecture.partition('.')[0]}",
        architecture=architecture,
        weights=weights,
        weights_digest=_digest(extractor.network),
        input=frames,
        precision=precision or fastest(),
    )


def fastest() -> Precision:
    """bf16 where the processor multiplies it, else f32."""
    return "bf16" if has_bf16_cpu() else "f32"


def _digest(network: nn.Module) -> str:
    sha256 = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha256.update(tensor.contiguous().numpy().tobytes())
    return sha256.hexdigest()


class _Normalised(nn.Module):
    """Frames (n, size, size, 3) uint8 to embeddings; the normalisation is part of the graph."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, extractor: backbones.Extractor) -> None:
        super().__init__()
        self.network = extractor.network
        mean = torch.tensor(extractor.mean)[:, None, None]
        deviation = torch.tensor(extractor.deviation)[:, None, None]
        self.register_buffer("scale", 1 / (255 * deviation))
        self.register_buffer("shift", -mean / deviation)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        scaled = frames.permute(0, 3, 1, 2).float() * self.scale + self.shift
        embedding: torch.Tensor = self.network(scaled)
        return embedding.flatten(1)


def _engine(encoder: Backbone) -> Run:
    """One for each encoder and process, whichever thread asks first."""
    with _lock:
        return _built(encoder)


@lru_cache(maxsize=2)
def _built(encoder: Backbone) -> Run:
    if encoder.precision == "bf16" and fastest() != "bf16":
        raise ConfigError(
            f"{encoder.name} was asked for in bf16, and this machine has no processor for it; give "
            "--precision f32"
        )
    extractor = backbones.extractor(encoder.architecture, encoder.weights)
    digest = _digest(extractor.network)
    if digest != encoder.weights_digest:
        raise ConfigError(
            f"the weights of {encoder.name} are {digest[:12]} here, expected "
            f"{encoder.weights_digest[:12]}; give the same file everywhere"
        )
    whole = _Normalised(extractor).eval()
    graph = _exported(whole, encoder.input.size_px)
    if graph is None:
        return _plain(whole, encoder.precision)
    return _openvino(graph) if encoder.precision == "bf16" else _onnxruntime(graph)


def _exported(network: nn.Module, size_px: int) -> bytes | None:
    """An ONNX graph for BATCH frames; None if there is none that answers like the network."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (BATCH, size_px, size_px, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # notes of the tracer; the check below decides
            expected = network(torch.from_numpy(frames)).numpy()
            torch.onnx.export(
                network,
                (torch.from_numpy(frames),),
                buffer,  # type: ignore[arg-type]  # a file or a buffer, says its documentation
                input_names=["frames"],
                output_names=["embedding"],
                dynamo=False,
            )
        answer = _onnxruntime(buffer.getvalue())(frames)
    except Exception:  # noqa: BLE001 - the exporter raises whatever the backbone's code makes of it
        return None
    size = max(float(np.abs(expected).max()), 1e-6)
    is_close = np.abs(answer - expected).max() <= TOLERANCE * size
    return buffer.getvalue() if is_close else None


def _onnxruntime(graph: bytes) -> Run:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others wait, too
    session = onnxruntime.InferenceSession(
        graph, sess_options=options, providers=["CPUExecutionProvider"]
    )

    def run(frames: Frames) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = session.run(["embedding"], {"frames": frames})[0]
        return vectors

    return run


def _openvino(graph: bytes) -> Run:
    import openvino  # not needed where there is no bf16

    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"}
    compiled: Any = core.compile_model(core.read_model(graph), "CPU", options)

    def run(frames: Frames) -> NDArray[np.float32]:
        request = compiled.create_infer_request()  # one cannot serve two threads
        return np.array(request.infer([frames])[0], np.float32)

    return run


def _plain(network: nn.Module, precision: Precision) -> Run:
    def run(frames: Frames) -> NDArray[np.float32]:
        fast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
        with torch.inference_mode(), fast:
            vectors: NDArray[np.float32] = network(torch.from_numpy(frames)).float().numpy()
        return vectors

    return run
