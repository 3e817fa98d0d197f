import io
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError, PackageError
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.models import package
from neuro.models.package import Card, Package
from neuro.prediction import predict
from neuro.prediction.predict import Engine
from neuro.uncertainty import calibration
from tests.neuro.models.test_package import reseal

SPEC = PreprocessSpec(size_px=16)


class Brightness(nn.Module):
    """Its logits and its embedding are plain functions of the mean brightness m, in 0..1.

    logits: 10 m for "bright", 10 (1 - m) for "dark". embedding: (m, 1 - m).
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = images.mean(dim=(1, 2, 3))
        embedding = torch.stack([mean, 1 - mean], dim=1)
        return self.scale * embedding, embedding


def card() -> Card:
    # Distance from (0.5, 0.5) over 0.1 reaches the threshold 3.0 at |m - 0.5| = 0.2121.
    reference = calibration.Calibration(
        temperature=2.0,
        conformal_quantile=0.4,
        alpha=0.1,
        ood_mean=(0.5, 0.5),
        ood_axes=(),
        ood_residual=0.1,
        ood_threshold=3.0,
        n=100,
    )
    return Card(
        problem="light",
        dataset="light",
        architecture="brightness",
        classes=("bright", "dark"),
        preprocess=SPEC,
        calibration=reference,
        pin={"release": "r1", "content_hash": "0" * 64},
        code_revision="",
        training={},
        metrics=(),
        synthetic=True,
        intended_use="tests",
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = package.save(tmp_path_factory.mktemp("p") / "model", Brightness(), card())
    return predict.load(package.open_verified(folder))


def flat(*levels: int) -> np.ndarray:
    return np.stack([np.full((16, 16, 1), level, dtype=np.uint8) for level in levels])


def with_quantile(engine: Engine, quantile: float) -> Engine:
    honest = replace(engine.package.card.calibration, conformal_quantile=quantile)
    changed = replace(engine.package, card=replace(engine.package.card, calibration=honest))
    return replace(engine, package=changed)


def test_probabilities_are_the_softmax_at_the_packages_temperature(engine: Engine) -> None:
    found = predict.predict(engine, flat(153), ["s"], model_version="7")[0]  # m = 0.6
    # Logits 6 and 4, over temperature 2: 1 / (1 + e^-1).
    assert found.probabilities == pytest.approx((0.731059, 0.268941), abs=1e-5)
    assert (found.predicted, found.conformal_set) == ("bright", ("bright",))
    assert (found.decision, found.model_version, found.sample_id) == ("answer", "7", "s")
    assert found.preprocess_hash == SPEC.sha256
    assert found.ood_score == pytest.approx(np.sqrt(2) * 0.1 / 0.1 / 3, rel=1e-4)


def test_two_classes_in_the_set_are_an_abstention_that_names_both(engine: Engine) -> None:
    wide = with_quantile(engine, 0.9)
    found = predict.predict(wide, flat(140), ["s"], model_version="1")[0]
    assert found.decision == "abstain"
    assert found.conformal_set == ("bright", "dark")
    assert found.reason == "bright, dark cannot be told apart, by sets that miss the truth in 10%."


def test_where_another_class_than_the_called_one_remains_it_is_an_abstention(
    engine: Engine,
) -> None:
    """Bright at 0.73 before, dark at 0.73 after the share of bright, which is rare, is put back."""
    honest = replace(engine.package.card.calibration, class_offsets=(-1.0, 1.0))
    changed = replace(engine.package, card=replace(engine.package.card, calibration=honest))
    found = predict.predict(replace(engine, package=changed), flat(153), ["s"], model_version="1")[
        0
    ]
    assert found.probabilities == pytest.approx((0.268941, 0.731059), abs=1e-5)
    assert (found.predicted, found.conformal_set) == ("bright", ("dark",))
    assert found.decision == "abstain"
    assert found.reason == (
        "It looks most like bright, but only dark is left, by sets that miss the truth in 10%."
    )


def test_an_empty_set_is_an_abstention(engine: Engine) -> None:
    found = predict.predict(engine, flat(130), ["s"], model_version="1")[0]
    assert (found.decision, found.conformal_set) == ("abstain", ())
    assert found.reason.startswith("No class is likely enough")


@pytest.mark.parametrize(("level", "is_out"), [(181, False), (182, True), (255, True)])
def test_beyond_the_threshold_is_out_of_scope_however_sure(
    engine: Engine, level: int, *, is_out: bool
) -> None:
    # 0.5 + 0.2121 = 0.7121, times 255 = 181.6.
    found = predict.predict(engine, flat(level), ["s"], model_version="1")[0]
    assert (found.decision == "out_of_scope") is is_out
    assert found.conformal_set == ("bright",)


def test_onnx_and_torch_give_the_same_outputs(engine: Engine) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(9, 16, 16, 1), dtype=np.uint8)
    with torch.no_grad():
        expected = Brightness()(torch.from_numpy(preprocess.to_tensor(pixels, SPEC)))
    for found, wanted in zip(predict.outputs(engine, pixels), expected, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


def test_the_batch_size_changes_no_answer(engine: Engine) -> None:
    pixels = flat(10, 120, 130, 140, 250)
    whole = predict.predict(engine, pixels, list("abcde"), model_version="1")
    assert predict.predict(engine, pixels, list("abcde"), model_version="1", batch_size=2) == whole


def test_nothing_to_predict_gives_no_predictions(engine: Engine) -> None:
    assert predict.predict(engine, flat(1)[:0], [], model_version="1") == []


def test_outputs_of_chosen_rows_are_those_rows(engine: Engine) -> None:
    pixels = flat(0, 51, 102, 255)
    _, embeddings = predict.outputs(engine, pixels, rows=np.array([3, 1]))
    assert embeddings[:, 0] == pytest.approx([1.0, 0.2], abs=1e-6)


@pytest.mark.parametrize(
    "pixels", [np.zeros((1, 8, 8, 1), np.uint8), np.zeros((1, 16, 16, 1), np.float32)]
)
def test_pixels_of_another_kind_are_refused(engine: Engine, pixels: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"preprocess\.frame"):
        predict.predict(engine, pixels, ["s"], model_version="1")


def test_a_sample_id_too_few_is_refused(engine: Engine) -> None:
    with pytest.raises(ConfigError, match="2 rows of pixels for 1"):
        predict.predict(engine, flat(1, 2), ["s"], model_version="1")


def frames(preprocess_hash: str) -> Frames:
    return Frames(
        pixels=flat(0, 150, 255),
        sample_ids=np.array(["a", "b", "c"]),
        groups=np.array(["a", "b", "c"]),
        splits=np.array(["test"] * 3),
        targets=np.array([1, 0, 0]),
        content_hash="",
        preprocess_hash=preprocess_hash,
    )


def test_frames_of_another_preprocess_are_refused_with_the_remedy(engine: Engine) -> None:
    other = frames(PreprocessSpec(size_px=16, intensity="standard").sha256)
    with pytest.raises(ConfigError, match="build the frames again"):
        predict.require_same_preprocess(engine, other)


def damaged(engine: Engine, tmp_path: Path, graph: bytes | None = None, **facts: object) -> Package:
    """A package whose manifest is right and whose graph or card is another's."""
    folder = shutil.copytree(engine.package.folder, tmp_path / "p")
    if graph is not None:
        (folder / "model.onnx").write_bytes(graph)
    reseal(folder, **facts)
    return package.open_verified(folder)


class Other(nn.Module):
    """Answers of any width; from the inverse brightness, which no black image has."""

    def __init__(self, *, k: int = 2, d: int = 2, is_inverse: bool = False) -> None:
        super().__init__()
        self.k, self.d, self.is_inverse = k, d, is_inverse

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = images.mean(dim=(1, 2, 3)).unsqueeze(1)
        mean = 1 / (mean - 1) if self.is_inverse else mean
        return mean.repeat(1, self.k), mean.repeat(1, self.d)


def graph(
    network: nn.Module,
    *,
    inputs: str = "pixels",
    outputs: tuple[str, ...] = ("logits", "embedding"),
    side: int = 16,
    is_any: bool = True,
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, side, side),),
            buffer,
            input_names=[inputs],
            output_names=list(outputs),
            dynamic_axes={name: {0: "n"} for name in (inputs, *outputs)} if is_any else None,
            dynamo=False,
        )
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "is no graph that can be run"),
        (b"garbage" * 100, "is no graph that can be run"),
        (graph(Other(), inputs="images"), r"takes images tensor\(float\), expected pixels"),
        (graph(Other(), outputs=("a", "b")), "has the outputs a, b, expected logits"),
        (graph(Other(), side=32), r"shape .*32.* but preprocess in model.json makes"),
        (graph(Other(), is_any=False), "for any n"),
        (graph(Other(k=3)), r"logits of 2 images are \(2, 3\), but model.json has 2 classes"),
        (graph(Other(d=5)), r"embedding of 2 images are \(2, 5\), but .*ood_mean of 2 numbers"),
    ],
)
def test_a_graph_that_is_not_as_the_card_says_is_refused_by_name(
    engine: Engine, tmp_path: Path, raw: bytes, says: str
) -> None:
    found = damaged(engine, tmp_path, raw)
    with pytest.raises(PackageError, match=rf"p/model\.onnx.*({says})"):
        predict.load(found)


def test_a_card_with_another_list_of_classes_does_not_fit_its_graph(
    engine: Engine, tmp_path: Path
) -> None:
    found = damaged(engine, tmp_path, classes=["bright", "dark", "grey"])
    with pytest.raises(PackageError, match=r"model\.json has 3 classes"):
        predict.load(found)


def test_answers_that_are_not_finite_are_no_predictions(engine: Engine, tmp_path: Path) -> None:
    """The graph is finite for black and divides by zero for white."""
    loaded = predict.load(damaged(engine, tmp_path, graph(Other(is_inverse=True))))
    assert len(predict.predict(loaded, flat(0, 9), ["a", "b"], model_version="1")) == 2
    with pytest.raises(PackageError, match="logits hold NaN or infinity for 1 of 3 images"):
        predict.predict(loaded, flat(0, 255, 9), ["a", "b", "c"], model_version="1")


def test_a_calibration_that_makes_nothing_finite_is_no_prediction(engine: Engine) -> None:
    broken = replace(engine.package.card.calibration, ood_threshold=float("nan"))
    changed = replace(engine.package, card=replace(engine.package.card, calibration=broken))
    with pytest.raises(PackageError, match="not finite"):
        predict.predict(replace(engine, package=changed), flat(9), ["a"], model_version="1")
