"""Whether a map depends on what was learnt: it must change when the weights are shuffled.

Adebayo et al., arXiv:1810.03292. A map that stays alike is of the picture, not of the model.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from neuro.explanation import class_maps
from neuro.explanation.class_maps import Floats, Mapper

ALIKE = 0.5  # rank correlation from which on a map says more of the picture than of the model
SHUFFLES = {"head.": 8, "": 2}  # networks, by what the names of the shuffled weights begin with


def correlation(
    mapper: Mapper, pixels: NDArray[np.uint8], weights: Floats, maps: Floats
) -> NDArray[np.float64]:
    """How alike each map is with those of the same network with shuffled weights, (n,), -1 to 1.

    The higher of two means: over networks with a shuffled head, and with everything shuffled.
    """
    means = [
        np.mean(
            [
                rank_correlation(
                    maps, class_maps.maps(shuffled(mapper, part, seed), pixels, weights)
                )
                for seed in range(n)
            ],
            axis=0,
        )
        for part, n in SHUFFLES.items()
    ]
    return np.asarray(np.max(means, axis=0))


def shuffled(mapper: Mapper, part: str = "", seed: int = 0) -> Mapper:
    """The mapper of a copy whose weights keep their values and lose their places.

    part: what the names of those weights begin with.
    """
    network, generator = copy.deepcopy(mapper.network), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith(part):
                order = torch.randperm(weight.numel(), generator=generator)
                weight.copy_(weight.flatten()[order].view_as(weight))
    return class_maps.of_network(network, mapper.spec, mapper.architecture)


def rank_correlation(first: Floats, second: Floats) -> NDArray[np.float64]:
    """Spearman's of maps, (n, grid, grid) each; 0 where one is constant, saying nothing. (n,)."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    one, other = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    both = (one * other).sum(axis=1)
    return np.asarray(np.divide(both, size, out=np.zeros(len(one)), where=size > 0))
