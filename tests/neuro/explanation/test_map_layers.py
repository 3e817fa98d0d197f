"""Which layer makes a map, of every kind of backbone that is trained here."""

import pytest
import torch

from neuro.errors import ConfigError
from neuro.explanation import map_layers
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone

# Side of the frames, cells across each layer, and those that can be told apart.
LAYERS = {
    "resnet_small": (96, [24, 12, 6, 3], 6),
    "cnn": (96, [24, 12, 6, 3], 6),
    "resnet18": (224, [56, 28, 14, 7], 7),
    "mobilenetv3_small_050": (96, [24, 12, 6, 3], 6),
    "tf_efficientnet_lite0": (128, [32, 16, 8, 4], 8),
    "convnext_atto": (96, [24, 12, 6, 3], 6),
    "densenet121": (96, [24, 12, 6, 3], 6),
    "vit_tiny_patch16_224": (224, [14], 14),
    "deit_tiny_distilled_patch16_224": (224, [14], 14),
    "swin_tiny_patch4_window7_224": (224, [56, 28, 14, 7], 7),
}


def network(name: str, side: int) -> backbone.Network:
    torch.manual_seed(0)
    return backbone.build(name, PreprocessSpec(size_px=side), n_classes=3).eval()


@pytest.mark.parametrize("name", LAYERS)
def test_the_last_stages_give_maps_from_fine_to_coarse(name: str) -> None:
    side, cells, apart = LAYERS[name]
    net, image = network(name, side), torch.zeros(1, 1, side, side)
    (layers,) = map_layers.find(net, image, name)
    assert [layer.cells for layer in layers] == cells
    assert map_layers.cells(layers) == apart
    found: list[torch.Tensor] = []
    layers[-1].module.register_forward_hook(lambda _m, _i, output: found.append(output))
    net.backbone(image)
    assert layers[-1].as_map(found[0]).shape[2:] == (cells[-1], cells[-1])


def test_where_no_stage_has_six_cells_the_finest_says_what_is_told_apart() -> None:
    name = "resnet_small"
    (layers,) = map_layers.find(network(name, 16), torch.zeros(1, 1, 16, 16), name)
    assert [layer.cells for layer in layers] == [4, 4, 2]
    assert map_layers.cells(layers) == 4


def test_each_member_of_an_ensemble_has_layers_at_the_side_that_it_sees() -> None:
    name = "cnn@64+resnet_small"
    members = map_layers.find(network(name, 96), torch.zeros(1, 1, 96, 96), name)
    assert [layers[-1].cells for layers in members] == [2, 3]


def test_a_network_that_mixes_the_places_is_refused_by_its_name() -> None:
    name = "mixer_s32_224"
    with pytest.raises(ConfigError, match=f"{name} has no layer that keeps the places"):
        map_layers.find(network(name, 224), torch.zeros(1, 1, 224, 224), name)
