"""Grouped cross-validation through the flow, without any server."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from flows.erase import erase
from flows.train import train
from neuro.evaluation import labels_in_doubt
from neuro.lake import journal, releases
from neuro.lake.lake import Lake
from neuro.training import trainer
from neuro.training.config import TrainConfig
from tests.flows.conftest import Deliver
from tests.monitoring.passports import Reader


def test_folds_answer_each_sample_but_those_of_the_test_split_once(delivered: Deliver) -> None:
    home = delivered(15)
    lake = Lake(str(home / "lake"))
    samples = releases.samples(lake, releases.find(lake, "brain"))
    asked = [sample for sample in samples if sample.split != "test"]
    found = train.fn(config=TrainConfig(epochs=1, batch_size=8, model="cnn+cnn@48"), folds=3)
    pooled = {metric["name"]: metric for metric in found["pooled"]}
    assert pooled["accuracy"]["n"] == len(asked)
    each = [fold["accuracy"] for fold in found["each"]]
    assert found["over_folds"]["accuracy"]["mean"] == pytest.approx(sum(each) / 3, abs=1e-4)
    assert [fold["splitting"] for fold in found["each"]] == [f"fold-{n}-of-3" for n in (1, 2, 3)]
    assert set(found["baselines"]["lookup"]) == {"accuracy", "macro_f1"}
    assert journal.entries(lake, "look") == []
    _doubts_are_listed_and_shown(home, found["labels_in_doubt"], len(asked))
    _an_erasure_reaches_them(home, found["labels_in_doubt"])


def _doubts_are_listed_and_shown(home: Path, told: dict[str, Any], n_asked: int) -> None:
    """Of the networks of one epoch nearly nothing is right, so that they doubt a lot."""
    page, of_list = Path(told["page"]), Path(told["list"])
    listed = labels_in_doubt.read(of_list)
    assert page.parent == home / "reports" / "labels-in-doubt" / "brain"
    assert (told["n"], told["of"]) == (len(listed.labels), n_asked)
    assert told["n"] > len(told["first"]) == 5
    assert list(told["agreement"]) == ["network", "member 1", "member 2", "similar pictures"]
    assert told["accuracy"]["all"]["n"] == n_asked
    assert told["accuracy"]["without"]["n"] == n_asked - told["n"]
    shown = {image["data-sample"] for image in Reader(page.read_text()).all("img")}
    assert shown == {label.sample_id for label in listed.labels}
    passport = home / "reports" / "passport" / f"{listed.release}.html"
    assert f"Doubted by {listed.who}" in Reader(passport.read_text()).text
    shell = CliRunner().invoke(app, ["passport", "--json"])
    beside = json.loads(shell.stdout)["labels_in_doubt"]
    assert beside[:5] == told["first"]


def _an_erasure_reaches_them(home: Path, told: dict[str, Any]) -> None:
    doubted = told["first"][0]["sample_id"]
    done = erase.fn(sample=doubted, reason="asked")
    assert (done["is_proven"], done["found"]) == (True, [])
    assert not Path(told["page"]).exists()
    assert not Path(told["list"]).exists()
    assert "neuro train --problem brain --folds 5" in done["removed"]["redraw"]
    (passport,) = (home / "reports" / "passport").glob("*.html")
    assert "Doubted by" not in passport.read_text()


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
