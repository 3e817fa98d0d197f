from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neuro.errors import ConfigError
from neuro.models import backbone
from neuro.training import ensemble_trainer, profiling, tuning
from neuro.training.checkpoint import Checkpoint
from neuro.training.device import Machine
from neuro.training.ensemble_trainer import EnsembleTrainer
from neuro.training.trainer import Trainer
from tests.neuro.training.test_trainer import CONFIG, PROBLEM, discs

CPU = Machine(device="cpu", precision="f32")
RECIPE = replace(CONFIG, model="cnn+resnet_small@24", epochs=2)


def trainer(**changes: object) -> EnsembleTrainer:
    made = ensemble_trainer.trainer(discs(), PROBLEM, RECIPE.changed(changes), machine=CPU)
    assert isinstance(made, EnsembleTrainer)
    return made


def test_members_are_the_networks_that_they_would_be_alone() -> None:
    both = trainer()
    numbers = [(epoch.number, epoch.epochs) for epoch in both.epochs()]
    assert numbers == [(1, 4), (2, 4), (3, 4), (4, 4)]
    second = replace(RECIPE, model="resnet_small@24", seed=RECIPE.seed + 1)
    alone = Trainer(discs(), PROBLEM, second, fabric=CPU.fabric())
    list(alone.epochs())
    whole = both.network.state_dict()
    for name, tensor in alone.network.backbone.state_dict().items():
        assert torch.equal(whole[f"backbone.members.1.{name}"], tensor), name


def test_what_each_member_adds_is_told() -> None:
    both = trainer(epochs=6)
    list(both.epochs())
    first, second = both.joined
    assert (first.member, second.member) == ("cnn", "resnet_small@24")
    assert first.alone == first.together
    judge = Trainer(discs(), PROBLEM, CONFIG, fabric=CPU.fabric())
    with torch.no_grad():
        val = judge.loader.images(discs().labelled("val"))
        assert second.together == judge.score(both.network.glance(val).numpy())[1]


def test_what_is_read_of_a_file_for_all_members_is_known_before_they_train(tmp_path: Path) -> None:
    cnn = backbone.build("cnn", PROBLEM.preprocess, n_classes=2).backbone
    save_file(cnn.state_dict(), tmp_path / "w")
    config = RECIPE.changed({"model": "cnn+cnn@24", "epochs": 1})
    both = EnsembleTrainer(discs(), PROBLEM, config, tmp_path / "w", CPU)
    assert both.start is not None
    assert both.start.loaded == 2 * len(cnn.state_dict())
    list(both.epochs())
    assert both.network.start == both.start


def test_a_killed_ensemble_goes_on_with_the_member_under_way(tmp_path: Path) -> None:
    kept = Checkpoint(path=tmp_path / "training.pt", key="k")
    killed = trainer().epochs(kept)
    for _ in range(3):
        next(killed)
    killed.close()
    again, whole = trainer(), trainer()
    assert [e.number for e in again.epochs(kept)] == [1, 2, 3, 4]
    list(whole.epochs())
    expected = whole.network.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in again.network.state_dict().items())
    kept.remove()
    assert not tmp_path.exists() or not any(tmp_path.iterdir())


def test_members_that_lose_patience_are_numbered_on() -> None:
    epochs = list(trainer(epochs=12, patience=1).epochs())
    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert len(epochs) < 24


def test_a_search_or_a_profile_of_an_ensemble_is_refused() -> None:
    with pytest.raises(ConfigError, match="tune one member"):
        tuning.check(4, 0, RECIPE.model)
    with pytest.raises(ConfigError, match="give a member"):
        profiling.check_one_process(CPU, RECIPE.model)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "resnet18+cnn", "drop_path": 0.1}, "cnn has no stochastic depth"),
        ({"model": "cnn+tf_efficientnet_lite0@16"}, "what follows @"),
        ({"model": "cnn+pit_ti_224", "layer_decay": 0.8}, "does not say which stages"),
        ({"model": "resnet_small+cnn", "freeze": 5}, "give at most 4"),
    ],
)
def test_what_is_wrong_with_any_member_is_said_before_the_first_is_trained(
    changes: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        trainer(**changes)
