from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from neuro.training import batches
from neuro.training.config import TrainConfig

CONFIG = TrainConfig(batch_size=8)
ROWS = np.arange(100, 150)
TARGETS = np.array([0] * 45 + [1] * 5)
IMAGES = torch.rand(8, 2, 12, 12, generator=torch.Generator().manual_seed(1))
SHARES = F.one_hot(torch.arange(8), 8).float()


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_epoch_is_full_batches_of_distinct_rows_in_another_order_each_time() -> None:
    first, second = (batches.split(ROWS, TARGETS, CONFIG, chance(seed)) for seed in (1, 2))
    assert [len(rows) for rows in first] == [8] * 6
    assert len(set(np.concatenate(first)) & set(ROWS)) == 48
    assert not np.array_equal(first, second)


def test_balanced_batches_hold_each_class_equally_often() -> None:
    config = replace(CONFIG, sampler="balanced")
    seen = np.concatenate(
        [r for seed in range(40) for r in batches.split(ROWS, TARGETS, config, chance(seed))]
    )
    assert set(seen) == set(ROWS)
    assert abs(np.isin(seen, ROWS[45:]).mean() - 0.5) < 0.05


def mixed(seed: int, **alphas: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The images and shares as a recipe mixes them, from a seed."""
    mix = batches.mixing(CONFIG.changed(alphas))
    assert mix is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return mix(IMAGES, SHARES)


def test_a_recipe_without_mixing_has_none() -> None:
    assert batches.mixing(CONFIG) is None


def test_one_seed_mixes_alike_and_another_otherwise() -> None:
    first, again, other = (mixed(seed, mixup=1.0, cutmix=1.0)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_mixup_adds_images_in_the_shares_it_says() -> None:
    images, shares = mixed(0, mixup=1.0)
    assert torch.allclose(torch.einsum("nk,kchw->nchw", shares, IMAGES), images, atol=1e-6)
    assert ((shares > 0).sum(dim=1) == 2).any()
    assert torch.allclose(shares.sum(dim=1), torch.ones(8))


def test_cutmix_pastes_a_box_and_says_its_share() -> None:
    for seed in range(20):
        images, shares = mixed(seed, cutmix=1.0)
        changed = (images != IMAGES).any(dim=1).float().mean(dim=(1, 2))
        kept = shares.diagonal()
        moved = kept < 1
        assert torch.allclose(changed[moved], 1 - kept[moved], atol=1e-6)
        assert torch.equal(images[~moved], IMAGES[~moved])


def test_where_both_are_asked_for_each_comes() -> None:
    pasted = []
    for seed in range(20):
        images, _ = mixed(seed, mixup=1.0, cutmix=1.0)
        pasted.append(torch.isin(images, IMAGES).all().item())
    assert {True, False} == set(pasted)
