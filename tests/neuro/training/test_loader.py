import numpy as np
import pytest
import torch

from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.training import batches
from neuro.training.loader import FrameReader

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)
PIXELS[0] = 7  # without any contrast
CPU = torch.device("cpu")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(("intensity", "apart"), [("unit", 0.0), ("standard", 1e-5)])
def test_rows_are_what_prediction_makes_of_them(mode: str, intensity: str, apart: float) -> None:
    spec = PreprocessSpec(mode=mode, size_px=16, intensity=intensity)
    pixels = PIXELS[..., : spec.channels]
    rows = np.array([5, 0, 0, 8])
    found = FrameReader(pixels, spec, CPU).images(rows)
    assert found.is_contiguous(memory_format=torch.channels_last)
    expected = preprocess.to_tensor(pixels[rows], spec)
    assert np.abs(found.numpy() - expected).max() <= apart


def test_an_item_is_given_when_the_next_is_made_and_none_is_lost() -> None:
    made: list[int] = []
    seen = [
        (item, len(made)) for item in batches.delayed_by_one(made.append(n) or n for n in range(4))
    ]  # type: ignore[func-returns-value]
    assert seen == [(0, 2), (1, 3), (2, 4), (3, 4)]
    assert list(batches.delayed_by_one(iter(()))) == []
