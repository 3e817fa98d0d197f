"""Answers to the bytes of images from outside: vetted and decoded as a delivery's are."""

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuro.images import sandbox
from neuro.images.sandbox import Rejected, VetConfig
from neuro.images.sanitize import CleanImage
from neuro.prediction import vetted
from neuro.prediction.predict import Engine
from neuro.prediction.vetted import Answered
from neuro.sample import REFUSED


def answer(engine: Engine, images: Sequence[bytes | str]) -> list[Answered]:
    """One answer for each image, in their order; a broken one is rejected and costs no other.

    images: the bytes of a file each, or their base64 as text. They lie in a folder of this account
    alone until they are vetted, and are kept nowhere. The model version is the package's digest.
    Raises what ``predict.predict`` raises.
    """
    package = engine.package
    decoded = vetted.decode(_vetted([_raw(image) for image in images]), package.card.preprocess)
    return vetted.answer(engine, decoded, model_version=package.digest)


def as_dict(engine: Engine, answered: Answered) -> dict[str, Any]:
    """The fields of a Prediction, with probabilities by class, for JSON.

    Of a rejected image the decision is "refused" and the reason says why; nothing is predicted.
    """
    package = engine.package
    if isinstance(answered, Rejected):
        return {
            "sample_id": answered.sha256,
            "model_version": package.digest,
            "preprocess_hash": package.card.preprocess.sha256,
            "probabilities": {},
            "predicted": "",
            "conformal_set": [],
            "ood_score": None,
            "decision": REFUSED,
            "reason": f"{answered.code}: {answered.message}",
        }
    by_class = dict(zip(package.card.classes, answered.probabilities, strict=True))
    conformal_set = list(answered.conformal_set)
    return asdict(answered) | {"probabilities": by_class, "conformal_set": conformal_set}


def _raw(image: object) -> bytes | Rejected:
    try:
        if isinstance(image, str):
            return base64.b64decode("".join(image.split()), validate=True)
        if isinstance(image, bytes):
            return image
    except ValueError:
        pass
    return Rejected(sha256="", code="not_base64", message="give the base64 of an image file")


def _vetted(images: Sequence[bytes | Rejected]) -> list[CleanImage | Rejected]:
    """What a limited child makes of each, those that were rejected before among them."""
    with tempfile.TemporaryDirectory(prefix="neuro-") as scratch:
        paths = []
        for number, raw in enumerate(images):
            if isinstance(raw, bytes):
                paths.append(Path(scratch, str(number)))
                paths[-1].write_bytes(raw)
        checked = iter(list(sandbox.check_files(paths, VetConfig())) if paths else ())
    return [raw if isinstance(raw, Rejected) else next(checked) for raw in images]
