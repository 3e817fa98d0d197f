import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from neuro.duplicates import twins
from neuro.features import encoders, pca
from neuro.features.encoders import Fitting, Pixels, Thumb
from neuro.images import preprocess, thumbnail
from neuro.images.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size_px=16)
FITTING = Fitting(spec=SPEC, train=("a", "b"))


def encoded(seed: int, kind: str = "PNG") -> bytes:
    grey = np.random.default_rng(seed).integers(0, 256, (40, 52), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, kind)
    return buffer.getvalue()


def fitted(n: int = 30) -> Pixels:
    frames = np.stack([preprocess.frame(encoded(seed), SPEC) for seed in range(n)])
    fit = encoders.fit(frames, np.arange(n), FITTING)
    return Pixels(spec=SPEC, fit=fit, digest=FITTING.digest)


def test_a_thumbnail_vector_is_the_thumbnail_that_twins_are_found_by() -> None:
    with Image.open(io.BytesIO(encoded(0))) as opened:
        small = thumbnail.thumbnail(np.asarray(opened))
    (vector,) = Thumb().encode([encoded(0)])
    assert (vector == twins.vectors([small.tobytes()])[0]).all()
    assert float(vector @ vector) == pytest.approx(1, abs=1e-5)


def test_a_flat_picture_has_no_thumbnail_vector() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 40), 7, np.uint8)).save(buffer, "PNG")
    assert not Thumb().encode([buffer.getvalue()]).any()


@pytest.mark.parametrize("encoder", [Thumb(), fitted()], ids=["thumb", "pixels"])
def test_a_vector_depends_on_its_image_alone(encoder: encoders.Encoder) -> None:
    images = [encoded(seed) for seed in range(5)]
    together = encoder.encode(images)
    assert together.dtype == np.float32
    assert [
        (encoder.encode([raw])[0] == row).all() for raw, row in zip(images, together, strict=True)
    ] == [True] * 5


@pytest.mark.parametrize("encoder", [Thumb(), fitted()], ids=["thumb", "pixels"])
def test_an_encoder_that_was_sent_elsewhere_gives_the_same_bits(encoder: encoders.Encoder) -> None:
    sent = pickle.loads(pickle.dumps(encoder))  # noqa: S301 - our own bytes
    assert sent.digest == encoder.digest
    assert (sent.encode([encoded(1)]) == encoder.encode([encoded(1)])).all()


def test_the_vectors_of_the_rows_it_was_fitted_on_are_centred() -> None:
    vectors = fitted().encode([encoded(seed) for seed in range(30)])
    assert vectors.shape == (30, 64)
    assert np.abs(vectors.mean(axis=0)).max() < 1e-3


@pytest.mark.parametrize(
    "other",
    [
        replace(FITTING, train=("a", "c")),
        replace(FITTING, spec=PreprocessSpec(size_px=32)),
        replace(FITTING, spec=PreprocessSpec(size_px=16, intensity="standard")),
        replace(FITTING, components=32),
    ],
)
def test_another_fit_or_preprocess_has_another_digest(other: Fitting) -> None:
    assert other.digest != FITTING.digest


def test_other_code_has_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (FITTING.digest, Thumb().digest)
    monkeypatch.setattr(pca, "VERSION", "pca-0")
    monkeypatch.setattr(encoders, "THUMB_VERSION", "thumb-0")
    assert FITTING.digest != before[0]
    assert Thumb().digest != before[1]


def test_the_order_of_the_train_samples_says_nothing() -> None:
    assert replace(FITTING, train=("b", "a")).digest == FITTING.digest


def test_principal_components_see_the_rows_they_are_given_and_no_others() -> None:
    frames = np.stack([preprocess.frame(encoded(seed), SPEC) for seed in range(30)])
    rows = np.arange(20)
    before = encoders.fit(frames, rows, FITTING)
    frames[20:] = 255 - frames[20:]
    after = encoders.fit(frames, rows, FITTING)
    assert (before.components == after.components).all()
    assert (before.mean == after.mean).all()
