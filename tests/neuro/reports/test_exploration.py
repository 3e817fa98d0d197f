"""The exploration's page, and what it is made of."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from neuro.reports import exploration, exploration_data, given_splits, mean_images, pca_map
from neuro.reports.exploration import NO_CLASS, Exploration
from tests.monitoring.passports import HOSTILE, Reader, digest

IDS = np.array([digest(str(n)) for n in range(60)])


def png(level: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def explored(kinds: list[str] | None = None) -> Exploration:
    """Sixty images: two classes, of the second a third without a sex, ages 20 to 79."""
    named = np.array(kinds or ["glioma"] * 40 + ["notumor"] * 20)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 5)).astype(np.float32)
    splits = np.array(["train"] * 30 + ["val"] * 10 + ["calibration"] * 5 + ["test"] * 15)
    drawn = pca_map.draw("thumbnails", vectors, np.arange(60), splits == "train")
    assert drawn is not None
    pixels = rng.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    rows = {name: np.flatnonzero(named == name) for name in exploration.names(named)}
    return Exploration(
        release="brain-0001-c7f7c6a0",
        problem="brain",
        is_synthetic=True,
        classes=named,
        splits=splits,
        given_splits=np.array(["train", "test"] * 30),
        given_differences=[],
        sources=np.array([""] * 60),
        groups=np.array([f"g{n // 2}" for n in range(60)]),
        modes=np.array(["L"] * 45 + ["RGB"] * 15),
        sizes=np.array([[224.0, 224.0]] * 50 + [[512.0, 480.0]] * 10),
        ages=np.arange(20.0, 80.0),
        sexes=np.array(["female"] * 40 + ["male"] * 13 + [""] * 7),
        averages=mean_images.by_class(pixels, rows),
        examples={
            name: [(sample_id, png()) for sample_id in chosen]
            for name, chosen in exploration.examples(named, IDS).items()
        },
        maps=[drawn],
        missing_maps=["Embeddings: `neuro featurize --set embedding` computes them."],
    )


@pytest.mark.parametrize(
    "said",
    [
        "60 images",
        "30 groups",
        "glioma 40 20 30 10 0 0",  # images, groups, train, val, calibration, test
        "notumor 20 10 0 0 5 15",
        "train 20, test 20",
        "L 40",
        "L 5, RGB 15",
        "The commonest of 2 sizes.",
        "224 x 224 50 83.3 %",
        "glioma: 40 images",
        "30 images of the training split",
        "Age is known of 60 of 60 images, median 50 years.",
        "(unknown) 7, male 13",
        "neuro featurize --set embedding",
        "Synthetic images",
    ],
)
def test_the_page_says_what_it_counts(said: str) -> None:
    assert said in Reader(exploration.build(explored())).text


def test_every_picture_of_the_page_has_a_text() -> None:
    page = Reader(exploration.build(explored()))
    images = page.all("img")
    # Two classes of eight examples, a mean and a deviation; sizes, map and ages.
    assert len(images) == 2 * (8 + 2) + 3
    assert all(image["alt"] for image in images)
    assert page.is_whole


def test_the_source_s_train_and_test_stand_side_by_side() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 32, 32, 1), dtype=np.uint8)
    few = explored(["glioma"] * 60)
    differences = given_splits.compare(
        few.classes, few.given_splits, few.groups, pixels, pixels.reshape(60, -1)
    )
    page = Reader(exploration.build(replace(few, given_differences=differences)))
    told = differences[0].told_apart
    assert f"glioma 30 30 {told} 128 127" in page.text
    texts = [image["alt"] for image in page.all("img")]
    assert "mean image of glioma in the source's train" in texts
    assert "difference of the mean images of glioma" in texts


def test_the_page_points_to_nothing_outside() -> None:
    assert Reader(exploration.build(explored())).outside() == []


def test_a_hostile_class_is_text() -> None:
    page = Reader(exploration.build(explored([HOSTILE] * 60)))
    assert (page.all("script"), page.is_whole) == ([], True)


def test_a_release_without_labels_metadata_or_maps_has_a_page() -> None:
    bare = replace(
        explored([NO_CLASS] * 60),
        ages=np.full(60, np.nan),
        sexes=np.array([""] * 60),
        given_splits=np.array([""] * 60),
        maps=[],
    )
    page = Reader(exploration.build(bare))
    assert "60 images without a class" in page.text
    assert "The delivery says nothing of age or sex." in page.text
    assert page.is_whole


def test_images_of_one_size_need_no_chart_of_sizes() -> None:
    same = replace(explored(), sizes=np.full((60, 2), 224.0))
    page = Reader(exploration.build(same))
    assert "One size." in page.text
    assert not [image for image in page.all("img") if "width against height" in image["alt"]]


def test_a_large_set_is_thinned_and_the_page_says_so() -> None:
    n = exploration.N_POINTS + 100
    assert len(pca_map.some(np.arange(n), exploration.N_POINTS, 0)) == exploration.N_POINTS
    rows = np.arange(n) % 60
    few = explored()
    many = replace(
        few,
        maps=[],
        **{
            name: getattr(few, name)[rows]
            for name in (
                "classes",
                "splits",
                "given_splits",
                "sources",
                "groups",
                "modes",
                "sizes",
                "ages",
                "sexes",
            )
        },
    )
    assert "4,000 of 4,100 images" in Reader(exploration.build(many)).text


def test_the_map_is_found_from_the_training_split_alone() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    fitted = np.arange(50) < 30
    other = vectors.copy()
    other[30:] *= 100
    first, second = (pca_map.draw("x", each, np.arange(50), fitted) for each in (vectors, other))
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first.points[:30], second.points[:30])
    assert first.n_fitted == 30


def test_two_directions_are_found_in_the_order_of_their_variance() -> None:
    """Two independent numbers, the first said three times: standardised, 3 to 1 of variance."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 20_000))
    vectors = np.stack([one, one, one, two], axis=1).astype(np.float32)
    drawn = pca_map.draw("x", vectors, np.arange(20_000), np.ones(20_000, bool))
    assert drawn is not None
    assert drawn.explained == pytest.approx((0.75, 0.25), abs=0.01)
    assert abs(np.corrcoef(drawn.points[:, 0], one)[0, 1]) > 0.999


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_training_images_give_no_map(n: int) -> None:
    vectors = np.eye(5, dtype=np.float32)
    assert pca_map.draw("x", vectors, np.arange(5), np.arange(5) < n) is None


def test_a_mean_and_a_deviation_are_those_of_the_pixels() -> None:
    pixels = np.zeros((400, 2, 2, 1), np.uint8)
    pixels[:200, 0, 0] = 100  # mean 50, deviation 50
    pixels[:, 1, 1] = 30  # mean 30, deviation 0
    found = mean_images.by_class(pixels, {"a": np.arange(400), "none": np.array([], np.int64)})
    assert list(found) == ["a"]
    assert np.asarray(Image.open(io.BytesIO(found["a"].mean))).tolist() == [[50, 0], [0, 30]]
    assert np.asarray(Image.open(io.BytesIO(found["a"].deviation))).tolist() == [[255, 0], [0, 0]]
    assert found["a"].largest == 50


def test_age_and_sex_are_read_whatever_they_are_called() -> None:
    rows = [
        {"age": "45.0", "sex": "male"},
        {"PatientAge": "045Y", "PatientSex": "F"},
        {"patient_age_years": 3.5, "patient_sex": "O"},
        {"age": "unknown", "sex": "unknown"},
        {"age": "0", "Gender": "w"},
        {},
    ]
    np.testing.assert_equal(exploration_data.ages(rows), [45, 45, 3.5, np.nan, 0, np.nan])
    assert exploration_data.sexes(rows).tolist() == ["male", "female", "other", "", "female", ""]
