"""Maps of what speaks for a class: equal to another program's, and as the network is built."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neuro.explanation import class_maps
from neuro.explanation.class_maps import Mapper
from neuro.explanation.map_layers import MapLayer
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone

SPEC = PreprocessSpec(size_px=96)


def network(name: str = "resnet_small", seed: int = 0) -> backbone.Network:
    torch.manual_seed(seed)
    return backbone.build(name, SPEC, n_classes=3).eval()


def mapper(net: backbone.Network, name: str = "resnet_small") -> Mapper:
    return class_maps.of_network(net, SPEC, name)


def pictures(n: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (n, 96, 96, 1), dtype=np.uint8)


def wanted(*classes: int) -> NDArray[np.float32]:
    return np.eye(3, dtype=np.float32)[list(classes)]


def at_last_layer(net: backbone.Network, name: str) -> Mapper:
    whole = mapper(net, name)
    return replace(whole, members=tuple((layers[-1],) for layers in whole.members))


@pytest.mark.parametrize("name", ["resnet_small", "cnn", "resnet18", "convnext_atto"])
def test_at_the_last_layer_maps_are_those_of_torchcam_but_for_its_scale(name: str) -> None:
    """A mean follows, so that each place has the same gradient, and Grad-CAM is the same."""
    from torchcam.methods import GradCAM

    net = network(name)
    ours = at_last_layer(net, name)
    found = class_maps.maps(ours, pictures(), wanted(0, 1, 2))
    plain = torch.nn.Sequential(net.backbone, net.head)
    ((layer,),) = ours.members
    target = next(n for n, module in plain.named_modules() if module is layer.module)
    with GradCAM(plain, target) as cam, torch.enable_grad():
        images = torch.from_numpy(preprocess.to_tensor(pictures(), SPEC)).requires_grad_()
        theirs = cam([0, 1, 2], plain(images), normalized=False)[0].numpy()
    assert theirs.max() > 0
    np.testing.assert_allclose(found, theirs, rtol=1e-3, atol=1e-5 * theirs.max())


def test_the_last_layer_adds_up_to_the_logit_where_a_mean_follows() -> None:
    net = network()
    ours = at_last_layer(net, "resnet_small")
    weights = wanted(0, 1, 2)
    for_class, against = (class_maps.maps(ours, pictures(), s * weights) for s in (1, -1))
    with torch.no_grad():
        logits, _ = net(torch.from_numpy(preprocess.to_tensor(pictures(), SPEC)))
    expected = (logits - net.head.bias).numpy()[range(3), range(3)]
    assert np.allclose((for_class - against).sum(axis=(1, 2)), expected, rtol=1e-3)


def test_what_speaks_for_a_class_is_added_over_the_stages() -> None:
    net = network()
    whole = mapper(net)
    ((*layers,),) = whole.members
    alone = [replace(whole, members=((layer,),)) for layer in layers]
    parts = [class_maps.maps(each, pictures(), wanted(0, 1, 2)) for each in alone]
    sums = [part.sum(axis=(1, 2)) for part in parts]
    found = class_maps.maps(whole, pictures(), wanted(0, 1, 2))
    assert found.shape == (3, 24, 24)
    # Enlarging keeps what a place adds, but for the edges.
    assert np.allclose(found.sum(axis=(1, 2)), np.sum(sums, axis=0), rtol=0.05)


def test_one_class_less_another_is_mapped_by_the_difference_of_their_logits() -> None:
    net = network()
    found = class_maps.maps(mapper(net), pictures(1), wanted(0) - wanted(2))
    with torch.no_grad():
        net.head.weight[0] -= net.head.weight[2]
    assert np.allclose(found, class_maps.maps(mapper(net), pictures(1), wanted(0)), atol=1e-6)


def test_a_network_that_averages_mirror_images_has_maps_that_mirror() -> None:
    net = network()
    net.averages_mirror = net.averages_flip = True
    plain = class_maps.maps(mapper(net), pictures(1), wanted(1))
    turned = class_maps.maps(mapper(net), pictures(1)[:, ::-1, ::-1], wanted(1))
    assert np.allclose(turned, plain[:, ::-1, ::-1], atol=1e-6)
    assert not np.allclose(plain, plain[:, ::-1, ::-1], atol=1e-6)


def test_the_members_of_an_ensemble_are_added_in_the_unit_of_the_logits() -> None:
    one, other = network(seed=0), network(seed=1)
    name = "resnet_small+resnet_small"
    joined = class_maps.maps(mapper(backbone.join([one, other]), name), pictures(), wanted(0, 1, 2))
    alone = [class_maps.maps(mapper(each), pictures(), wanted(0, 1, 2)) for each in (one, other)]
    assert np.allclose(joined, np.mean(alone, axis=0), rtol=1e-3, atol=1e-7)


def test_a_member_of_another_side_weighs_by_what_it_adds_and_not_by_its_cells() -> None:
    torch.manual_seed(0)
    net = backbone.build("cnn@48+cnn", SPEC, n_classes=3).eval()
    whole = mapper(net, "cnn@48+cnn")
    sums = [
        class_maps.maps(replace(whole, members=(layers,)), pictures(), wanted(0, 1, 2)).sum()
        for layers in whole.members
    ]
    together = class_maps.maps(whole, pictures(), wanted(0, 1, 2)).sum()
    assert together == pytest.approx(sum(sums), rel=0.05)


def test_a_class_that_nothing_speaks_for_has_a_map_of_nothing() -> None:
    net = network()
    with torch.no_grad():
        net.head.weight[1] = 0
    assert not class_maps.maps(mapper(net), pictures(1), wanted(1)).any()


def test_more_pictures_than_a_batch_are_mapped_one_by_one() -> None:
    ours, n = mapper(network()), class_maps.BATCH + 1
    found = class_maps.maps(ours, pictures(n), wanted(*[0] * n))
    last = class_maps.maps(ours, pictures(n)[-1:], wanted(0))
    assert np.allclose(found[-1], last[0], atol=1e-6)


def test_a_layer_that_is_followed_by_one_that_works_in_place_is_mapped() -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 4, 8, stride=8), torch.nn.ReLU(inplace=True)]
    pooled = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    net = backbone.Network(torch.nn.Sequential(*layers, *pooled), 4, 3).eval()
    net.requires_grad_(False)
    members = ((MapLayer(module=layers[0], cells=12),),)
    whole = replace(mapper(network()), network=net, members=members)
    assert class_maps.maps(whole, pictures(), wanted(0, 1, 2)).any()
