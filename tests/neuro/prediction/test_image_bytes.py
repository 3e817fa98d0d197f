import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neuro.images.sandbox import Rejected
from neuro.models import package
from neuro.prediction import image_bytes, predict
from neuro.prediction.predict import Engine
from neuro.sample import Prediction
from tests.neuro.prediction.test_predict import Brightness, card


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = package.save(tmp_path_factory.mktemp("p") / "model", Brightness(), card())
    return predict.load(package.open_verified(folder))


def stripes(level: int) -> bytes:
    """A PNG of 32 px whose columns differ by 100; frames of 16 px are about ``level`` alone."""
    columns = np.tile([level - 50, level + 50], 16)
    buffer = io.BytesIO()
    Image.fromarray(np.tile(columns, (32, 1)).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_bytes_are_answered_as_their_frame_is(engine: Engine) -> None:
    (found,) = image_bytes.answer(engine, [stripes(153)])
    assert isinstance(found, Prediction)
    # Mean 0.6: logits 6 and 4, over temperature 2: 1 / (1 + e^-1).
    assert found.probabilities == pytest.approx((0.731059, 0.268941), abs=2e-3)
    assert (found.predicted, found.decision) == ("bright", "answer")
    assert found.model_version == engine.package.digest


def test_a_broken_image_is_refused_in_its_place_and_costs_no_other(engine: Engine) -> None:
    whole = [stripes(153), stripes(102)]
    images = [b"", whole[0], whole[0][:70], b"no image", whole[1]]
    rows = [image_bytes.as_dict(engine, each) for each in image_bytes.answer(engine, images)]
    told = [(row["decision"], row["predicted"]) for row in rows]
    refused = ("refused", "")
    assert told == [refused, ("answer", "bright"), refused, refused, ("answer", "dark")]
    assert [row["reason"].partition(":")[0] for row in rows if row["decision"] == "refused"] == [
        "empty",
        "damaged",
        "not_an_image",
    ]
    assert len({tuple(row) for row in map(sorted, rows)}) == 1  # each row has the same fields


def test_of_broken_images_alone_each_is_refused(engine: Engine) -> None:
    found = image_bytes.answer(engine, [b"x", b"y"])
    assert [image_bytes.as_dict(engine, each)["ood_score"] for each in found] == [None, None]


def test_the_base64_of_an_image_is_answered_as_its_bytes_are(engine: Engine) -> None:
    raw = stripes(153)
    texts = [base64.b64encode(raw).decode(), base64.encodebytes(raw).decode()]  # in one line, in 76
    expected = image_bytes.answer(engine, [raw])
    assert image_bytes.answer(engine, texts) == 2 * expected


@pytest.mark.parametrize("odd", ["no base64!", "abc", None, 7, float("nan"), ["x"]])
def test_what_is_no_image_at_all_is_refused_in_its_place(engine: Engine, odd: Any) -> None:
    first, refused, last = image_bytes.answer(engine, [stripes(153), odd, stripes(153)])
    assert isinstance(first, Prediction)
    assert first == last
    assert isinstance(refused, Rejected)
    assert refused.code == "not_base64"


def test_no_image_is_kept(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    image_bytes.answer(engine, [stripes(153), b"no image"])
    assert list(tmp_path.iterdir()) == []
