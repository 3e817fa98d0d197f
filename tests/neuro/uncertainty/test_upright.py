"""A turned picture, told by its embedding."""

import numpy as np
from numpy.typing import NDArray

from neuro.uncertainty import upright
from neuro.uncertainty.upright import TURNS, Upright


def embeddings(turn: int, n: int, seed: int) -> NDArray[np.float32]:
    """Two numbers of each tell the turn, the others nothing."""
    rng = np.random.default_rng([turn, seed])
    found = rng.normal(size=(n, 6))
    found[:, 0] += 6 * np.cos(turn * np.pi / 2)
    found[:, 1] += 6 * np.sin(turn * np.pi / 2)
    return found.astype(np.float32)


def test_turned_pictures_are_above_the_limit_and_upright_ones_below() -> None:
    found = upright.fit([embeddings(t, 200, 0) for t in range(TURNS)], embeddings(0, 200, 1))
    assert (found.scores(embeddings(0, 300, 2)) <= 1).mean() > 0.96
    for turn in range(1, TURNS):
        assert (found.scores(embeddings(turn, 300, 2)) > 1).mean() > 0.96


def test_where_the_embedding_does_not_tell_nothing_much_is_called_turned() -> None:
    same = [embeddings(0, 200, seed) for seed in range(TURNS)]
    found = upright.fit(same, embeddings(0, 200, 9))
    assert (found.scores(embeddings(0, 300, 10)) > 1).mean() < 0.05


def test_a_package_without_the_look_calls_nothing_turned() -> None:
    assert Upright().scores(embeddings(2, 3, 0)).tolist() == [0, 0, 0]


def test_a_picture_that_is_rather_upright_than_not_is_below_the_limit() -> None:
    """However surely the upright ones that were kept back are told."""
    found = upright.fit([embeddings(t, 200, 0) for t in range(TURNS)], embeddings(0, 200, 1))
    assert found.threshold >= -np.log(0.5) - 1e-4
