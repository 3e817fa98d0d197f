from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from neuro.problems.problem import Augmentation
from neuro.training import augment

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


def test_the_mildest_views_are_poses_alone() -> None:
    spec = Augmentation(mirror=True, flip=True, crop=0.3, gamma=0.5, blur_px=1, noise=0.2)
    poses = replace(STILL, mirror=True, flip=True)
    assert torch.allclose(seen(batch(), augment.milder(spec, 0)), seen(batch(), poses), atol=1e-5)


def test_half_as_strong_a_view_moves_half_as_far() -> None:
    spec = replace(STILL, shift=0.25)
    half = augment.milder(spec, 0.5)
    assert torch.equal(seen(batch(), half), seen(batch(), replace(STILL, shift=0.125)))
    assert augment.milder(spec, 1) == spec


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


def coloured(n: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("field", ["crop", "gamma", "blur_px", "noise"])
def test_a_view_that_is_asked_for_changes_images_and_repeats_by_its_seed(field: str) -> None:
    spec = replace(STILL, **{field: 0.5})
    assert (seen(batch(), spec) - batch()).abs().max() > 0.01
    assert torch.equal(seen(batch(), spec, 3), seen(batch(), spec, 3))


def test_a_crop_shows_only_what_is_inside_the_image() -> None:
    line = torch.linspace(0, 1, 64).expand(32, 1, 64, 64)
    views = seen(line, replace(STILL, crop=0.5))
    steps = views.diff(dim=3)
    assert (steps.amin(dim=(1, 2, 3)) > 0.3 / 63).all()  # no border repeated
    assert (steps.amax(dim=(1, 2, 3)) < 1.1 / 63).all()  # only magnified
    assert steps.mean(dim=(1, 2, 3)).std() > 0.05 / 63


def test_gamma_keeps_the_darkest_and_the_brightest() -> None:
    views = seen(batch(), replace(STILL, gamma=1.0))
    for end in (torch.amin, torch.amax):
        assert torch.allclose(end(views, (1, 2, 3)), end(batch(), (1, 2, 3)), atol=1e-5)


@pytest.mark.parametrize("field", ["saturation", "hue_deg"])
def test_colour_changes_and_grey_stays(field: str) -> None:
    spec = replace(STILL, **{field: 1.0 if field == "saturation" else 60.0})
    grey = batch(16).expand(-1, 3, -1, -1)
    assert torch.allclose(seen(grey, spec), grey, atol=1e-5)
    assert (seen(coloured(), spec) - coloured()).abs().mean() > 0.01


def test_saturation_keeps_the_luma() -> None:
    luma = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    views = seen(coloured(), replace(STILL, saturation=1.0))
    assert torch.allclose((views * luma).sum(1), (coloured() * luma).sum(1), atol=1e-5)


def test_blur_is_a_gaussian_of_each_image_alone() -> None:
    images = torch.zeros(9, 1, 16, 16)
    images[:8, 0, 8, 8] = 1
    views = seen(images, replace(STILL, blur_px=1.0))
    assert views[8].abs().max() == 0
    assert torch.allclose(views[:8].sum(dim=(1, 2, 3)), torch.ones(8), atol=1e-5)
    assert torch.allclose(views, views.transpose(2, 3), atol=1e-6)
    assert views[:8].amax(dim=(1, 2, 3)).min() < 0.5


def test_noise_is_of_at_most_the_deviation_asked_for() -> None:
    images = torch.zeros(64, 1, 32, 32)
    deviations = seen(images, replace(STILL, noise=0.2)).std(dim=(1, 2, 3))
    assert deviations.max() < 0.22
    assert deviations.max() > 0.15
    assert deviations.min() < 0.05


def test_a_smaller_view_is_the_image_seen_smaller() -> None:
    images = torch.arange(16.0).repeat_interleave(2).expand(4, 1, 32, 32).contiguous()
    views = augment.view(images, STILL, torch.Generator(), 16)
    assert torch.allclose(views, torch.arange(16.0).expand(4, 1, 16, 16), atol=1e-4)
