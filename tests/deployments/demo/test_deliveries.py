"""The demonstration's deliveries: cut by group, and only the first one says its labels."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deployments.demo import deliveries, demo
from deployments.demo.deliveries import Deliveries
from neuro.duplicates import twins
from neuro.errors import ConfigError
from neuro.images import thumbnail
from neuro.problems import problem as problems
from neuro.problems.problem import Problem

IMAGES = 100


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Deliveries:
    folder, brain = tmp_path_factory.mktemp("demo"), problems.load("brain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliveries, "SEEN_TWICE", 0.3)  # of few heads none would cross by chance
        source = deliveries.draw(folder / "phantoms", brain, images=IMAGES, seed=3)
    return deliveries.cut(source, brain, folder / "out", images=None, seed=3, shift=1.0)


def images_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def test_every_image_is_in_one_delivery(cut: Deliveries) -> None:
    folders = (cut.first, cut.second, cut.third)
    counts = [len(images_of(folder)) for folder in folders]
    assert sum(counts) == IMAGES
    assert np.allclose(counts, [60, 15, 25], atol=6)


def test_only_the_first_delivery_has_class_folders(cut: Deliveries) -> None:
    assert {path.parent.name for path in images_of(cut.first)} == {
        "glioma",
        "meningioma",
        "notumor",
        "pituitary",
    }
    for folder in (cut.second, cut.third):
        assert {path.parent for path in images_of(folder)} == {folder}


def test_some_groups_have_several_images_and_none_is_in_two_deliveries(cut: Deliveries) -> None:
    """Not of the third, whose images the new scanner has changed one by one."""
    paths = [*images_of(cut.first), *images_of(cut.second)]
    small = [thumbnail.thumbnail(np.asarray(Image.open(path))) for path in paths]
    pairs = twins.find(twins.vectors(small), 0, 0.97)
    assert len(pairs) > 0
    n_first = len(images_of(cut.first))
    assert all((one < n_first) == (other < n_first) for one, other in pairs.tolist())


def test_labels_are_given_for_one_half_of_the_third_and_kept_back_for_the_other(
    cut: Deliveries,
) -> None:
    with cut.labels.open(newline="") as stream:
        given = {row["sample"]: row["label"] for row in csv.DictReader(stream)}
    assert not given.keys() & cut.held_out.keys()
    assert len(given) + len(cut.held_out) == len(images_of(cut.third))
    assert abs(len(given) - len(cut.held_out)) < 8


def test_what_a_link_leads_to_is_used_where_it_is_followed(tmp_path: Path) -> None:
    brain = problems.load("brain")
    away = deliveries.draw(tmp_path / "away", brain, images=IMAGES, seed=3)
    (tmp_path / "in").mkdir()
    for folder in filter(Path.is_dir, away.iterdir()):
        (tmp_path / "in" / folder.name).symlink_to(folder)
    with pytest.raises(ConfigError, match="give --follow"):
        cut_at(tmp_path, brain)
    made = cut_at(tmp_path, brain, follow=[str(away)])
    copies = [path for part in (made.first, made.second, made.third) for path in images_of(part)]
    assert len(copies) == IMAGES


def test_only_a_folder_of_ones_own_has_links_to_follow() -> None:
    with pytest.raises(ConfigError, match="--follow needs --data"):
        demo.DemoConfig(follow=["away"])


def cut_at(folder: Path, problem: Problem, follow: Sequence[str] = ()) -> Deliveries:
    out = folder / "out"
    return deliveries.cut(
        folder / "in", problem, out, images=None, seed=3, shift=1.0, follow=follow
    )
