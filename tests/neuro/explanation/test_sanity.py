"""A map that does not change with the weights is of the picture, not of the model."""

import numpy as np
import torch

from neuro.explanation import class_maps, sanity
from tests.neuro.explanation.test_class_maps import mapper, network, pictures, wanted


def test_shuffled_weights_keep_their_values_and_leave_the_network_as_it_was() -> None:
    ours = mapper(network())
    before = ours.network.head.weight.clone()
    theirs = sanity.shuffled(ours).network.head.weight
    assert torch.equal(ours.network.head.weight, before)
    assert not torch.equal(theirs, before)
    assert torch.equal(theirs.flatten().sort().values, before.flatten().sort().values)


def test_the_head_alone_can_be_shuffled() -> None:
    ours = mapper(network())
    theirs = sanity.shuffled(ours, "head.").network
    one, other = (dict(net.backbone.named_parameters()) for net in (ours.network, theirs))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_map_is_wholly_alike_with_itself_and_with_its_own_stretch() -> None:
    maps = class_maps.maps(mapper(network()), pictures(), wanted(0, 1, 2))
    assert np.allclose(sanity.rank_correlation(maps, 3 * maps**2), 1)
    assert np.allclose(sanity.rank_correlation(maps, -maps), -1)


def test_a_constant_map_is_alike_with_nothing() -> None:
    maps = class_maps.maps(mapper(network()), pictures(1), wanted(0))
    assert sanity.rank_correlation(maps, np.zeros_like(maps)).tolist() == [0]


def test_maps_of_the_picture_alone_are_called_alike() -> None:
    """A head of equal weights says the same when it is shuffled."""
    net = network()
    with torch.no_grad():
        net.head.weight.fill_(0.1)
    ours = mapper(net)
    maps = class_maps.maps(ours, pictures(), wanted(0, 1, 2))
    alike = sanity.correlation(ours, pictures(), wanted(0, 1, 2), maps)
    assert (alike >= sanity.ALIKE).all()
