import os
from pathlib import Path

import pytest
import torch

from neuro.training import checkpoint
from neuro.training.checkpoint import Checkpoint


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoint:
    return Checkpoint(path=tmp_path / "run" / "training.pt", key="k")


def test_what_was_saved_last_is_loaded(kept: Checkpoint) -> None:
    for step in (1, 2):
        kept.save({"step": step, "weights": torch.full((3,), step)})
    held = kept.load()
    assert held is not None
    assert (held["step"], held["weights"].tolist()) == (2, [2, 2, 2])
    assert [path.name for path in kept.path.parent.iterdir()] == ["training.pt"]


def test_the_state_of_another_run_is_not_loaded(kept: Checkpoint) -> None:
    kept.save({"step": 1})
    assert Checkpoint(path=kept.path, key="other").load() is None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_torn_file_is_as_good_as_none(kept: Checkpoint, share: float) -> None:
    kept.save({"weights": torch.arange(1000)})
    whole = kept.path.read_bytes()
    kept.path.write_bytes(whole[: int(share * len(whole))])
    assert kept.load() is None


def test_nothing_is_left_of_a_run_that_has_ended(kept: Checkpoint) -> None:
    kept.save({"step": 1})
    kept.path.with_name("training.pt.17.part").write_bytes(b"of a run that was killed")
    kept.remove()
    assert not kept.path.parent.exists()


def test_any_fact_makes_another_key() -> None:
    keys = {
        checkpoint.key_of(content="a", seed=0),
        checkpoint.key_of(content="a", seed=1),
        checkpoint.key_of(content="b", seed=0),
    }
    assert len(keys) == 3
    assert checkpoint.key_of(seed=0, content="a") in keys


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("was-run",)


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"key": "k", "state": Hostile()}, tmp_path / "training.pt")
    assert Checkpoint(path=tmp_path / "training.pt", key="k").load() is None
    assert not (tmp_path / "was-run").exists()
