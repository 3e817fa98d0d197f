"""What learns, and how fast, where a backbone starts from weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neuro.errors import ConfigError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, stages
from neuro.models.backbone import Network
from neuro.training import optimizer
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.trainer import Trainer
from tests.neuro.training.test_trainer import CONFIG, PROBLEM, discs

CPU = Machine(device="cpu", precision="f32")


def trainer(**changes: object) -> Trainer:
    config = replace(CONFIG, epochs=2, augment_from=0.1).changed(changes)
    return Trainer(discs(), PROBLEM, config, fabric=CPU.fabric())


def changed(trained: Trainer) -> set[str]:
    """Names of what is not as it was, weights and norms' statistics, counters left out."""
    before = {name: tensor.clone() for name, tensor in trained.step.network.state_dict().items()}
    list(trained.epochs())
    return {
        name
        for name, tensor in trained.step.network.state_dict().items()
        if not torch.equal(tensor, before[name])
    }


def test_frozen_stages_keep_weights_and_statistics() -> None:
    names = changed(trainer(freeze=2))
    learnt = {name.split(".")[1] for name in names if name.startswith("backbone.")}
    assert learnt == {"7", "8", "9"}  # the stem lies in 0 to 5, the first block in 6
    assert "head.weight" in names


def test_the_head_alone_learns_first() -> None:
    assert changed(trainer(epochs=1, head_epochs=1)) == {"head.weight", "head.bias"}
    assert "backbone.0.weight" in changed(trainer(epochs=2, head_epochs=1))


def test_a_training_of_head_first_goes_on_after_a_kill(tmp_path: Path) -> None:
    changes = {"epochs": 3, "head_epochs": 2, "freeze": 1}
    kept = Checkpoint(path=tmp_path / "training.pt", key="k")
    killed = trainer(**changes).epochs(kept)
    next(killed)
    killed.close()
    again, whole = trainer(**changes), trainer(**changes)
    list(again.epochs(kept))
    list(whole.epochs())
    expected = whole.network.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in again.network.state_dict().items())


@pytest.mark.parametrize(("model", "most"), [("resnet_small", 4), ("cnn", 4), ("resnet18", 4)])
def test_a_backbone_of_which_nothing_would_learn_is_refused(model: str, most: int) -> None:
    network = backbone.build(model, PreprocessSpec(size_px=32), n_classes=2)
    stages.frozen(network.backbone, most)
    with pytest.raises(ConfigError, match=f"give at most {most}"):
        stages.frozen(network.backbone, most + 1)


def test_the_stages_of_a_network_of_timm_are_its_own() -> None:
    network = backbone.build("tf_efficientnet_lite0", PreprocessSpec(mode="RGB"), n_classes=2)
    held = stages.frozen(network.backbone, 4)
    learning = {n.split(".")[1] for n, w in network.backbone.named_parameters() if w.requires_grad}
    assert learning >= {"3", "4", "5", "6"}
    assert not learning & {"0", "1", "2"}
    assert network.backbone.blocks[2] in held
    assert network.backbone.blocks[3] not in held


def rates(network: Network, config: TrainConfig) -> dict[str, float]:
    groups = optimizer.parameter_groups(network, config)
    by_id = {id(weight): group["lr"] for group in groups for weight in group["params"]}
    return {n: by_id[id(w)] for n, w in network.named_parameters() if id(w) in by_id}


def test_each_stage_learns_slower_than_the_next() -> None:
    network = backbone.build("resnet_small", PreprocessSpec(), n_classes=2)
    found = rates(network, TrainConfig(learning_rate=1.0, layer_decay=0.5))
    assert found["head.weight"] == 1.0
    assert found["backbone.9.conv1.weight"] == 0.5
    assert found["backbone.0.weight"] == found["backbone.4.bias"] == 0.5**5


def test_what_is_frozen_is_not_given_to_the_optimizer() -> None:
    network = backbone.build("resnet_small", PreprocessSpec(), n_classes=2)
    stages.frozen(network.backbone, 1)
    assert "backbone.0.weight" not in rates(network, TrainConfig())


def test_branches_are_left_out_in_training_only() -> None:
    spec, images = PreprocessSpec(mode="RGB", size_px=64), torch.rand(2, 3, 64, 64)
    network = backbone.build("resnet18", spec, n_classes=2, drop_path=0.5)
    for name, weight in network.named_parameters():
        if name.endswith("bn2.weight"):
            torch.nn.init.ones_(weight)  # timm starts each branch at zero
    network.eval()
    assert torch.equal(network(images)[0], network(images)[0])
    network.train()
    answers = [network(images)[0] for _ in range(4)]
    assert not all(torch.equal(answer, answers[0]) for answer in answers)


def test_a_model_without_branches_to_leave_out_is_refused() -> None:
    for model in ("resnet_small", "vgg11"):
        with pytest.raises(ConfigError, match="no stochastic depth"):
            backbone.build(model, PreprocessSpec(), n_classes=2, drop_path=0.1)
