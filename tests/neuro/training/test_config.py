from dataclasses import replace

import pytest

from neuro.errors import ConfigError, UnknownNameError
from neuro.problems import problem
from neuro.training import config as train_config
from neuro.training.config import TrainConfig


def test_views_grow_to_the_frame_in_two_thirds_of_the_epochs() -> None:
    config = TrainConfig(epochs=30, grow_from=0.5)
    sides = [train_config.side(config, epoch, 96) for epoch in range(1, 31)]
    assert sides[0] == 48
    assert sides == sorted(sides)
    assert sides.index(96) <= 20
    assert set(sides) <= {48, 64, 80, 96}


def test_views_gain_strength_for_two_thirds_of_the_epochs() -> None:
    config = TrainConfig(epochs=30, augment_from=0.2)
    strengths = [train_config.strength(config, epoch) for epoch in (1, 11, 21, 30)]
    assert strengths == pytest.approx([0.2, 0.6, 1.0, 1.0])
    assert train_config.strength(TrainConfig(), 1) == 1.0
    assert train_config.strength(config.changed({"augment_to": 0.5}), 30) == 0.5


def test_without_growth_views_have_the_side_of_the_frame() -> None:
    assert {train_config.side(TrainConfig(), epoch, 90) for epoch in range(1, 41)} == {90}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("epochs", 0, "epochs must be a whole number, 1 to 10000, got 0"),
        ("optimizer", "lion", "optimizer must be one of .*got 'lion'"),
        ("loss", "dice", "loss must be one of .*got 'dice'"),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(field: str, value: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TrainConfig().changed({field: value})


def test_a_field_that_is_none_is_refused_with_near_misses() -> None:
    with pytest.raises(UnknownNameError, match="no 'epoch'; did you mean epochs"):
        TrainConfig().changed({"epoch": 3})


def test_a_preset_shows_few_images_more_often() -> None:
    few, many = (train_config.choose("default", {}, images=n, kind="cpu") for n in (400, 40_000))
    assert few.epochs > many.epochs
    assert few.epochs * 400 <= many.epochs * 40_000


def test_a_better_preset_trains_longer_and_a_gpu_in_larger_batches() -> None:
    by_name = [
        train_config.choose(name, {}, images=4000, kind="cpu").epochs
        for name in train_config.PRESETS
    ]
    assert by_name == sorted(set(by_name))
    gpu = train_config.choose("default", {}, images=4000, kind="cuda")
    assert gpu.batch_size > 32
    assert (
        gpu.learning_rate
        > train_config.choose("default", {}, images=4000, kind="cpu").learning_rate
    )


def test_what_is_given_goes_before_the_preset() -> None:
    found = train_config.choose("fast", {"epochs": 7, "batch_size": 16}, images=4000, kind="cpu")
    assert (found.epochs, found.batch_size) == (7, 16)


def test_few_images_make_batches_that_fit() -> None:
    assert train_config.choose("default", {}, images=20, kind="cpu").batch_size == 5


def test_few_views_are_milder() -> None:
    strengths = {
        kind: [
            train_config.choose(name, {}, images=4000, kind=kind).augment_to
            for name in train_config.PRESETS
        ]
        for kind in ("cpu", "cuda")
    }
    assert strengths == {"cpu": [0.25, 1.0, 1.0], "cuda": [1.0, 1.0, 1.0]}


@pytest.mark.parametrize("model", ["resnet_small", "resnet18", "vit_small_patch16_224"])
@pytest.mark.parametrize("preset", train_config.PRESETS)
def test_views_of_a_preset_never_grow_weaker(preset: str, model: str) -> None:
    chosen = train_config.choose(preset, {"model": model}, images=4000, kind="cpu")
    assert chosen.augment_from <= chosen.augment_to


@pytest.mark.parametrize("model", ["resnet_small", "vit_small_patch16_224"])
def test_weights_that_are_given_are_changed_more_slowly(model: str) -> None:
    slow, fast = (
        train_config.choose("fast", {"model": model}, images=9, kind="cpu", tunes=tunes)
        for tunes in (True, False)
    )
    assert slow.learning_rate == pytest.approx(fast.learning_rate / 4)


def test_a_convolutional_network_with_weights_is_fine_tuned() -> None:
    model = {"model": "tf_efficientnet_lite0"}
    cpu, gpu = (
        train_config.choose("default", model, images=6000, kind=kind, tunes=True)
        for kind in ("cpu", "cuda")
    )
    assert (cpu.head_epochs, cpu.freeze, gpu.freeze) == (1, 4, 0)
    assert cpu.layer_decay < 1
    assert cpu.class_weight_power == 0.5
    assert cpu.epochs < train_config.choose("default", model, images=6000, kind="cpu").epochs


def test_a_member_without_branches_takes_them_from_all() -> None:
    both = {"model": "tf_efficientnet_lite0+resnet_small"}
    assert train_config.choose("best", both, images=99, kind="cpu", tunes=True).drop_path == 0


@pytest.mark.parametrize("model", ["beit_base_patch16_224", "caformer_s18", "rdnet_tiny"])
def test_what_is_no_known_convolutional_network_is_not_given_stages(model: str) -> None:
    chosen = train_config.choose("fast", {"model": model}, images=99, kind="cpu", tunes=True)
    assert (chosen.layer_decay, chosen.freeze) == (1, 0)


def test_a_single_epoch_is_not_of_the_head_alone() -> None:
    asked = {"model": "resnet18", "epochs": 1}
    assert train_config.choose("fast", asked, images=99, kind="cpu", tunes=True).head_epochs == 0


def test_an_ensemble_of_few_images_stays_in_the_epochs_of_one_network() -> None:
    three = train_config.choose("best", {"model": "cnn+cnn+cnn"}, images=300, kind="cpu")
    assert 3 * three.epochs <= train_config.choose("best", {}, images=300, kind="cpu").epochs


@pytest.mark.parametrize("changes", [{"model": 5}, {"size_px": 8}])
def test_a_model_is_a_name_and_a_side_can_hold_a_picture(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"the name of a network|16 to 1024"):
        TrainConfig().changed(changes)


def test_the_members_of_an_ensemble_share_the_views_of_a_preset() -> None:
    one, three = (
        train_config.choose("best", {"model": model}, images=6000, kind="cpu").epochs
        for model in ("cnn", "cnn+cnn+resnet_small")
    )
    assert 3 * three == pytest.approx(one, abs=2)


def test_frames_have_the_side_of_the_recipe() -> None:
    question = problem.load("skin7")
    assert train_config.framed(question, TrainConfig()) == question
    framed = train_config.framed(question, TrainConfig(size_px=128))
    assert framed.preprocess == replace(question.preprocess, size_px=128)


def test_a_model_of_one_size_sees_views_of_one_size() -> None:
    asked = {"model": "vit_small_patch16_224"}
    assert train_config.choose("best", asked, images=4000, kind="cpu").grow_from == 1.0


def test_a_preset_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no preset 'fastest'; choose one of fast"):
        train_config.choose("fastest", {}, images=1, kind="cpu")
