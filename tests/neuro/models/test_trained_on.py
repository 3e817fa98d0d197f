from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neuro.errors import PackageError, TrainingError
from neuro.models import load_weights, trained_on

SALT = trained_on.salt(["content", "own"])
ONE = trained_on.of_training([{"a", "group"}, {"b", "group"}], SALT)


def test_a_sample_is_held_by_any_of_its_digests() -> None:
    assert ONE.holds([{"a"}, {"new", "group"}, {"new"}, set()]).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_two_trainings_hash_the_same_image_differently() -> None:
    salts = {trained_on.salt(each) for each in (["c", "own"], ["c", "given"], ["c", "own", "a"])}
    assert len(salts | {trained_on.hashed("a", salt) for salt in salts}) == 6


def test_hashes_come_back_from_tensors_in_their_order() -> None:
    other = trained_on.of_training([{"c"}], trained_on.salt(["elsewhere", "own"]))
    told = [ONE, other, trained_on.UNKNOWN]
    stored = {"head.bias": torch.zeros(2)} | trained_on.as_tensors(told)
    assert [tensor.shape for tensor in stored.values()][1:] == [(4, 16), (2, 16), (1, 16)]
    wrapped = {f"module.{name}": tensor for name, tensor in stored.items()}
    for tensors, name in ((stored, "head.bias"), (wrapped, "module.head.bias")):
        network, trainings = trained_on.split(tensors)
        assert list(network) == [name]
        assert trainings == tuple(told)


@pytest.mark.parametrize(
    "tensors",
    [
        {"trained_on.0": torch.zeros(3, 16)},
        {"trained_on.0": torch.zeros(3, 15, dtype=torch.uint8)},
        {"trained_on.0": torch.zeros(16, dtype=torch.uint8)},
        {"trained_on.0": torch.zeros(0, 16, dtype=torch.uint8)},
        {"trained_on.1": torch.zeros(3, 16, dtype=torch.uint8)},
        {"trained_on.x": torch.zeros(3, 16, dtype=torch.uint8)},
    ],
)
def test_hashes_of_another_shape_are_refused(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    with pytest.raises(PackageError, match="must be a uint8 tensor"):
        trained_on.split(tensors)
    save_file(tensors | {"w": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(TrainingError, match=r"w\.safetensors: trained_on\.0 must be"):
        load_weights.trainings(tmp_path / "w.safetensors")


def test_a_file_of_others_was_trained_on_nothing_that_is_known(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert load_weights.trainings(tmp_path / "w.safetensors") == ()
