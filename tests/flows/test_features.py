"""Feature sets through the flow and the verbs' steps, without any server."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.erase import erase
from flows.featurize import featurize
from flows.ingest import ingest
from flows.train import train
from neuro.errors import ConfigError, UnknownNameError
from neuro.features.feature_set import Choice
from neuro.lake import features, releases
from neuro.lake.lake import Lake
from neuro.models import weights_packages
from neuro.problems import problem as problems
from neuro.training.config import TrainConfig
from tasks import label_suspects, similar, training_frame
from tasks.load import encoders
from tasks.similar import SearchConfig
from tests.flows.conftest import LABELS, Deliver, Draw

BRAIN = problems.load("brain")
LITE0 = weights_packages.KNOWN[0]


@pytest.fixture
def lake(delivered: Deliver) -> Lake:
    return Lake(str(delivered(12) / "lake"))


@pytest.fixture
def source(lake: Lake, draw: Draw) -> Path:
    """A file of the delivery that made the lake, drawn again."""
    return next((draw(LABELS, 12) / "glioma").iterdir())


def ids(lake: Lake) -> list[str]:
    return [s.sample_id for s in releases.samples(lake, releases.find(lake, "brain"))]


@pytest.mark.parametrize(("name", "width"), [("thumb", 1024), ("pixels_pca", 64)])
def test_a_set_is_computed_once(lake: Lake, name: str, width: int) -> None:
    assert [featurize.fn(features=name)["computed"] for _ in range(2)] == [48, 0]
    (made,) = features.find(lake, name)
    assert (made.width, made.n) == (width, 48)


def test_only_what_is_missing_is_computed_and_in_one_commit(lake: Lake, draw: Draw) -> None:
    featurize.fn(features="thumb")
    before = lake.open("features_thumb").version
    ingest.fn(source=str(draw(["glioma"], 5, name="later", seed=1)))
    assert featurize.fn(features="thumb")["computed"] == 5
    assert lake.open("features_thumb").version == before + 1


def test_a_set_of_an_older_release_is_computed_for_its_samples_alone(
    lake: Lake, draw: Draw
) -> None:
    older = releases.find(lake, "brain").name
    ingest.fn(source=str(draw(["glioma"], 5, name="later", seed=1)))
    assert featurize.fn(features="thumb", release=older)["computed"] == 48


def test_components_are_fitted_on_the_train_split_of_the_release_alone(
    lake: Lake, draw: Draw
) -> None:
    """Held-out samples that come later change no fit; train samples that do make another one."""
    first = releases.find(lake, "brain")
    choice = Choice(features="pixels_pca")
    before = encoders.chosen(BRAIN, releases.samples(lake, first), choice)
    ingest.fn(source=str(draw(LABELS, 8, name="later", seed=1)))
    samples = releases.samples(lake, releases.find(lake, "brain"))
    old = {s.sample_id for s in releases.samples(lake, first)}
    no_new_train = [s for s in samples if s.sample_id in old or s.split != "train"]
    assert len(no_new_train) > len(old)
    assert encoders.chosen(BRAIN, no_new_train, choice).digest == before.digest
    assert encoders.chosen(BRAIN, samples, choice).digest != before.digest


def test_components_leave_a_picture_of_the_variance_they_explain(lake: Lake, home: Path) -> None:
    drawn = Path(featurize.fn(features="pixels_pca")["picture"])
    assert drawn.parent == home / "reports"
    with Image.open(drawn) as opened:
        assert opened.format == "PNG"


def test_a_random_start_is_never_silent(lake: Lake) -> None:
    facts = featurize.fn(features="embedding_test_resnet", precision="f32")
    assert facts["weights"] == "random weights, seeded, never trained"
    assert facts["set"] == "embedding_test_resnet"


def test_the_embedding_of_a_package_is_its_own_and_another_model_s_is_refused(
    lake: Lake, tmp_path: Path
) -> None:
    models = [train.fn(config=TrainConfig(epochs=1, seed=seed))["package"] for seed in (0, 1)]
    assert featurize.fn(features="embedding", model=models[0])["set"] == "embedding_brain"
    asked = Choice(features="embedding_brain", model=models[1])
    release, out = releases.find(lake, "brain"), tmp_path / "frame.parquet"
    with pytest.raises(ConfigError, match=r"made by .*, not by .*featurize --set embedding_brain"):
        training_frame.write(lake, BRAIN, release, asked, ("train",), out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Choice(features="tumb"), "no feature set 'tumb': did you mean 'thumb'"),
        (Choice(features="embedding_resnet19"), "did you mean resnet18"),
        (Choice(features="thumb", model="resnet18"), "--model goes with --set embedding"),
        (
            Choice(features="thumb", weights="w"),
            "--weights, --pretrained and --precision go with an embedding",
        ),
        (Choice(features="embedding_resnet_small", precision="f16"), "precision must be one of"),
        (Choice(features="embedding"), "no package folder 'champion'"),
    ],
    ids=lambda value: value.features if isinstance(value, Choice) else "",
)
def test_a_wrong_choice_is_refused_with_a_remedy(asked: Choice, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        encoders.chosen(BRAIN, (), asked)


def test_what_made_a_set_is_shown_with_how_much_of_the_release_it_covers(
    lake: Lake, draw: Draw
) -> None:
    featurize.fn(features="thumb")
    ingest.fn(source=str(draw(["glioma"], 5, name="later", seed=1)))
    release = releases.find(lake, "brain")
    shown = training_frame.show(lake, BRAIN, release, Choice(features="thumb"))
    (made,) = shown["made_by"]
    assert (shown["samples"], made["covered"], made["is_current"]) == (53, 48, True)


def test_an_unknown_set_is_no_set(lake: Lake) -> None:
    release = releases.find(lake, "brain")
    with pytest.raises(UnknownNameError, match="did you mean 'thumb'"):
        training_frame.show(lake, BRAIN, release, Choice(features="thum"))
    with pytest.raises(UnknownNameError, match="neuro featurize --set thumb"):
        training_frame.show(lake, BRAIN, release, Choice(features="thumb"))


def search(lake: Lake, asked: str, name: str = "thumb", n: int = 4) -> similar.SimilarCases:
    return similar.search(lake, BRAIN, asked, SearchConfig(choice=Choice(features=name), n=n))


def test_a_sample_is_not_its_own_nearest_case(lake: Lake) -> None:
    featurize.fn(features="thumb")
    asked = ids(lake)[0]
    found = search(lake, asked[:12])
    assert len(found.cases) == 4
    assert asked not in {case.sample.sample_id for case in found.cases}


def test_a_mirrored_and_turned_file_finds_the_case_it_was_made_from(
    lake: Lake, source: Path, tmp_path: Path
) -> None:
    featurize.fn(features="thumb")
    with Image.open(source) as opened:
        turned = opened.transpose(Image.Transpose.TRANSVERSE)
        turned.save(tmp_path / "turned.png")
    found = search(lake, str(tmp_path / "turned.png"), n=1)
    assert found.sample is None
    name = BRAIN.kept_name(f"glioma/{source.name}")
    assert found.cases[0].sample.source_name in (name, f"glioma/{source.name}")
    assert found.cases[0].cosine > 0.999
    assert found.sha256 not in ids(lake)


def test_a_file_whose_bytes_are_a_sample_is_that_sample(lake: Lake, source: Path) -> None:
    featurize.fn(features="thumb")
    found = search(lake, str(source))
    assert found.sample is not None
    assert found.sha256 not in {case.sample.sample_id for case in found.cases}


@pytest.mark.parametrize("name", ["descriptors", "pixels_pca"])
def test_a_file_is_compared_by_any_set(lake: Lake, source: Path, tmp_path: Path, name: str) -> None:
    featurize.fn(features=name)
    with Image.open(source) as opened:
        pixels = np.asarray(opened).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(tmp_path / "nearly.png")
    assert search(lake, str(tmp_path / "nearly.png"), name).cases[0].cosine > 0.99


def test_a_set_that_is_not_complete_names_the_remedy(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="lacks 48 images; run `neuro featurize --set thumb`"):
        search(lake, ids(lake)[0])


def test_the_page_shows_what_the_table_says(lake: Lake, tmp_path: Path) -> None:
    featurize.fn(features="thumb")
    found = search(lake, ids(lake)[0])
    text = similar.draw(lake, BRAIN, found, tmp_path / "similar.html").read_text()
    told = json.loads(json.dumps(found.as_dict(BRAIN)))
    assert all(f"cosine {case['cosine']:.3f}" in text for case in told["cases"])
    assert all(f'data-sample="{case["sample_id"]}"' in text for case in told["cases"])
    assert text.count("data:image/") == 5


def test_an_erasure_takes_the_vectors_and_the_fit_along(lake: Lake, home: Path) -> None:
    for name in ("descriptors", "thumb", "pixels_pca"):
        featurize.fn(features=name)
    train_split = [
        s for s in releases.samples(lake, releases.find(lake, "brain")) if s.split == "train"
    ]
    gone, fit = (
        train_split[0].sample_id,
        encoders.chosen(BRAIN, train_split, Choice(features="pixels_pca")),
    )
    assert len(list((home / "frames").glob("*/fit.safetensors"))) == 1
    done = erase.fn(sample=gone, reason="consent withdrawn")
    assert done["is_proven"]
    for made in features.sets(lake):
        assert made.n == 47
        assert features.missing(lake, made.name, made.encoder_hash, [gone]) == [gone]
    assert list((home / "frames").glob("*/fit.safetensors")) == []
    left = releases.samples(lake, releases.find(lake, "brain"))
    assert encoders.chosen(BRAIN, left, Choice(features="pixels_pca")).digest != fit.digest


PRETRAINED = Choice(features="embedding_tf_efficientnet_lite0", pretrained=True)


def test_pretrained_weights_are_found_and_their_owner_is_named(lake: Lake) -> None:
    facts = featurize.fn(features="embedding", model=LITE0.architecture, pretrained=True)
    assert facts["weights_sha256"] == LITE0.sha256
    assert (facts["weights_licence"], facts["weights_source"]) == (LITE0.licence, LITE0.source)
    assert facts["encoder_hash"] == encoders.chosen(BRAIN, (), PRETRAINED).digest


def test_nothing_but_pretrained_asks_for_pretrained_weights() -> None:
    at_random = encoders.chosen(BRAIN, (), Choice(features=PRETRAINED.features))
    assert encoders.weights_of(at_random) == {"weights": "random weights, seeded, never trained"}
    assert at_random.digest != encoders.chosen(BRAIN, (), PRETRAINED).digest


def test_pretrained_is_refused_where_it_has_nothing_to_choose() -> None:
    with pytest.raises(ConfigError, match="no weights of 'resnet18' are on this machine"):
        encoders.chosen(BRAIN, (), Choice(features="embedding_resnet18", pretrained=True))
    with pytest.raises(ConfigError, match="go with an embedding, not with --set thumb"):
        encoders.chosen(BRAIN, (), Choice(features="thumb", pretrained=True))
    with pytest.raises(ConfigError, match="give that or --weights FILE"):
        encoders.chosen(BRAIN, (), replace(PRETRAINED, weights="w"))


def test_a_search_and_a_set_say_whose_weights_they_have(lake: Lake) -> None:
    featurize.fn(features="embedding", model=LITE0.architecture, pretrained=True)
    found = similar.search(lake, BRAIN, ids(lake)[0], SearchConfig(choice=PRETRAINED, n=1))
    assert found.as_dict(BRAIN)["weights_sha256"] == LITE0.sha256
    shown = training_frame.show(lake, BRAIN, releases.find(lake, "brain"), PRETRAINED)
    assert shown["weights_sha256"] == LITE0.sha256
    assert [made["is_current"] for made in shown["made_by"]] == [True]


def test_suspects_by_an_embedding_are_samples_of_the_release_and_change_no_passport(
    lake: Lake,
) -> None:
    featurize.fn(features="embedding", model=LITE0.architecture, pretrained=True)
    release = releases.find(lake, "brain")
    found = label_suspects.find(lake, BRAIN, release, PRETRAINED)
    assert (found["samples"], found["weights_sha256"]) == (48, LITE0.sha256)
    assert {suspect["sample_id"] for suspect in found["suspects"]} <= set(ids(lake))
    assert releases.find(lake, "brain") == release


def test_suspects_by_anything_but_an_embedding_lead_to_the_passport(lake: Lake) -> None:
    release = releases.find(lake, "brain")
    with pytest.raises(ConfigError, match="`neuro passport` ranks them by thumbnails"):
        label_suspects.find(lake, BRAIN, release, Choice(features="thumb"))


def test_a_search_by_no_named_set_takes_the_pretrained_embedding_once_all_have_it(
    lake: Lake, draw: Draw
) -> None:
    featurize.fn(features="thumb")
    asked = ids(lake)[0]
    assert search(lake, asked, name="").encoder.name == "thumb"
    featurize.fn(features=PRETRAINED.features)  # random weights are no reason
    assert search(lake, asked, name="").encoder.name == "thumb"
    featurize.fn(features=PRETRAINED.features, pretrained=True)
    assert (
        search(lake, asked, name="").encoder.digest == encoders.chosen(BRAIN, (), PRETRAINED).digest
    )
    ingest.fn(source=str(draw(["glioma"], 5, name="later", seed=1)))
    featurize.fn(features="thumb")
    assert search(lake, asked, name="").encoder.name == "thumb"


def test_a_search_by_no_named_set_needs_no_weights(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    featurize.fn(features="thumb")
    featurize.fn(features=PRETRAINED.features, pretrained=True)
    monkeypatch.setattr(weights_packages, "find", lambda architecture: None)
    assert search(lake, ids(lake)[0], name="").encoder.name == "thumb"


def test_the_remedy_for_a_pretrained_set_does_not_lead_to_random_weights(lake: Lake) -> None:
    with pytest.raises(ConfigError, match=r"lite0` with the same .*--pretrained"):
        similar.search(lake, BRAIN, ids(lake)[0], SearchConfig(choice=PRETRAINED))
