"""Grouped cross-validation through the flow, without any server."""

import pytest

from flows.train import train
from neuro.lake import journal, releases
from neuro.lake.lake import Lake
from neuro.training import trainer
from neuro.training.config import TrainConfig
from tests.flows.conftest import Deliver


def test_folds_answer_each_sample_but_those_of_the_test_split_once(delivered: Deliver) -> None:
    home = delivered(15)
    lake = Lake(str(home / "lake"))
    samples = releases.samples(lake, releases.find(lake, "brain"))
    asked = [sample for sample in samples if sample.split != "test"]
    found = train.fn(config=TrainConfig(epochs=1, batch_size=8, model="cnn"), folds=3)
    pooled = {metric["name"]: metric for metric in found["pooled"]}
    assert pooled["accuracy"]["n"] == len(asked)
    each = [fold["accuracy"] for fold in found["each"]]
    assert found["over_folds"]["accuracy"]["mean"] == pytest.approx(sum(each) / 3, abs=1e-4)
    assert [fold["splitting"] for fold in found["each"]] == [f"fold-{n}-of-3" for n in (1, 2, 3)]
    assert set(found["baselines"]["lookup"]) == {"accuracy", "macro_f1"}
    assert journal.entries(lake, "look") == []


def test_folds_that_were_stopped_go_on_with_the_fold_that_was_under_way(
    delivered: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = delivered(15)
    config = TrainConfig(epochs=1, batch_size=8, model="cnn")
    expected = train.fn(config=config, folds=3)
    fitted: list[int] = []
    fit = trainer.Trainer._epoch

    def counted(self: trainer.Trainer, number: int) -> trainer.Epoch:
        fitted.append(number)
        if len(fitted) == 3:
            raise KeyboardInterrupt
        return fit(self, number)

    monkeypatch.setattr(trainer.Trainer, "_epoch", counted)
    with pytest.raises(KeyboardInterrupt):
        train.fn(config=config, folds=3)
    assert len(list(home.glob("frames/*/training.pt"))) == 2
    found = train.fn(config=config, folds=3)
    assert len(fitted) == 4  # of the fold that was stopped, again
    assert found["each"] == expected["each"]
    assert list(home.glob("frames/*/training.pt")) == []
