import pytest
import torch
import torch.nn.functional as F

from neuro import augment
from neuro.problem import Augmentation

STILL = Augmentation(mirror=False, flip=False, rotate_deg=0, scale=0, shift=0, gain=0)


def batch(n: int = 8) -> torch.Tensor:
    return torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def seen(images: torch.Tensor, spec: Augmentation, seed: int = 0) -> torch.Tensor:
    return augment.view(images, spec, torch.Generator().manual_seed(seed))


def test_no_change_asked_for_is_no_change() -> None:
    assert torch.allclose(seen(batch(), STILL), batch(), atol=1e-5)


def test_mirroring_leaves_each_image_or_turns_it_left_to_right() -> None:
    images = batch(32)
    views = seen(images, Augmentation(mirror=True, rotate_deg=0, scale=0, shift=0, gain=0))
    same = (views - images).abs().amax(dim=(1, 2, 3)) < 1e-4
    turned = (views - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert (same ^ turned).all()
    assert 0 < same.sum() < 32


def test_flipping_turns_upside_down() -> None:
    images = batch(32)
    views = seen(images, Augmentation(flip=True, rotate_deg=0, scale=0, shift=0, gain=0))
    turned = (views - images.flip(2)).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert 0 < turned.sum() < 32


def test_one_seed_gives_one_view() -> None:
    spec = Augmentation(mirror=True)
    assert torch.equal(seen(batch(), spec, 3), seen(batch(), spec, 3))
    assert not torch.equal(seen(batch(), spec, 3), seen(batch(), spec, 4))


def test_a_shift_moves_at_most_its_share_of_the_side() -> None:
    images = torch.zeros(64, 1, 40, 40)
    images[:, :, 20, 20] = 1
    views = seen(images, Augmentation(rotate_deg=0, scale=0, shift=0.1, gain=0))
    axis = torch.arange(40.0)
    columns = (views.sum(dim=(1, 2)) * axis).sum(dim=1) / views.sum(dim=(1, 2, 3))
    assert (columns - 20).abs().max() <= 4.0 + 1e-3
    assert (columns - 20).abs().max() > 3.0


def test_gain_changes_brightness_within_its_share() -> None:
    images = torch.full((64, 1, 8, 8), 0.5)
    views = seen(images, Augmentation(rotate_deg=0, scale=0, shift=0, gain=0.2))
    assert views.min() >= 0.4 - 1e-5
    assert views.max() <= 0.6 + 1e-5
    assert views.mean(dim=(1, 2, 3)).std() > 0.03


def test_the_batch_that_came_in_is_unchanged() -> None:
    images = batch()
    seen(images, Augmentation(mirror=True))
    assert torch.equal(images, batch())


@pytest.mark.parametrize("size", [(7, 7), (16, 5)])
def test_pixels_come_from_where_an_affine_map_says(size: tuple[int, int]) -> None:
    maps = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = F.affine_grid(maps, [3, 1, *size], align_corners=False)
    assert torch.allclose(augment._grid(maps, *size), expected, atol=1e-6)
