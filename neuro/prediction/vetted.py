"""Answers to images that have just been vetted; the rejected among them keep their reason."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from neuro.errors import BadImageError
from neuro.images import preprocess, sandbox
from neuro.images.preprocess import PreprocessSpec
from neuro.images.sandbox import Rejected, VetConfig
from neuro.images.sanitize import CleanImage
from neuro.prediction import predict
from neuro.prediction.predict import Engine
from neuro.sample import Prediction

Answered = Prediction | Rejected


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decoded:
    """Some images in the order they came in: each its SHA-256, or why it is rejected.

    pixels: frames of those that are not, (m, size, size, channels) uint8.
    """

    images: Sequence[str | Rejected]
    pixels: NDArray[np.uint8]

    @property
    def sample_ids(self) -> list[str]:
        """Of the rows of pixels."""
        return [image for image in self.images if isinstance(image, str)]


def decode(vetted: Iterable[CleanImage | Rejected], spec: PreprocessSpec) -> Decoded:
    """Frames of what vetting let in."""
    images: list[str | Rejected] = []
    frames = []
    for image in vetted:
        if isinstance(image, Rejected):
            images.append(image)
            continue
        try:
            frames.append(preprocess.frame(image.stored, spec))
        except BadImageError as error:
            images.append(Rejected(sha256=image.sha256, code=error.code, message=str(error)))
        else:
            images.append(image.sha256)
    shape = (len(frames), spec.size_px, spec.size_px, spec.channels)
    return Decoded(images=images, pixels=np.array(frames, np.uint8).reshape(shape))


def parts(
    paths: Sequence[Path], spec: PreprocessSpec, config: VetConfig, *, size: int
) -> Iterator[Decoded]:
    """Files vetted in limited children and decoded, ``size`` by ``size``; the next meanwhile.

    Memory stays what two parts and a few batches of the children need.
    """
    is_over = Event()
    with closing(sandbox.check_files(paths, config)) as vetted, ThreadPoolExecutor(1) as thread:

        def following() -> Decoded:
            some = takewhile(lambda _: not is_over.is_set(), islice(vetted, size))
            return decode(some, spec)

        try:
            coming = thread.submit(following)
            for start in range(0, len(paths), size):
                part = coming.result()
                if start + size < len(paths):
                    coming = thread.submit(following)
                yield part
        finally:
            is_over.set()  # whoever asked has gone: no further file is looked at


def answer(engine: Engine, decoded: Decoded, *, model_version: str) -> list[Answered]:
    """One answer for each image, in their order. Raises what ``predict.predict`` raises."""
    predictions = predict.predict(
        engine, decoded.pixels, decoded.sample_ids, model_version=model_version
    )
    return merged(decoded.images, predictions)


def merged(images: Sequence[str | Rejected], predictions: Sequence[Prediction]) -> list[Answered]:
    """One answer for each image, in their order. predictions: of those that are not rejected."""
    said = iter(predictions)
    return [image if isinstance(image, Rejected) else next(said) for image in images]
