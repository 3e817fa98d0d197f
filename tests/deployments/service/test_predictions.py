"""What the service says of images, and that it says the same as everybody else."""

import base64
import hashlib
import io
import subprocess
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from deployments.service import serve
from deployments.service.config import MOST_FILES, ServiceConfig
from flows.featurize import featurize
from flows.predict import predict
from neuro.client import Client
from neuro.errors import ConfigError, ServerError
from neuro.images import sanitize
from neuro.images.sandbox import Child
from neuro.models import package
from neuro.prediction import predict as predicting
from neuro.prediction import runtimes
from neuro.prediction.predict import Engine
from neuro.problems import problem as problems
from tests.deployments.service.conftest import LABELS, TOKEN, Live, Start, lake_of
from tests.flows.conftest import draw_phantoms
from tests.neuro.conftest import REAL, needs_real

pytestmark = pytest.mark.server


def test_batch_service_and_torch_say_the_same(served: Live, model: str, tmp_path: Path) -> None:
    folder = draw_phantoms(tmp_path / "scans", LABELS, 8, seed=3)
    predict.fn(
        source=str(folder), out=str(tmp_path / "a.parquet"), model=model, engine="onnxruntime"
    )
    rows = {row["sha256"]: row for row in pq.read_table(tmp_path / "a.parquet").to_pylist()}
    paths = sorted(folder.rglob("*.png"))
    answers = served.client.predict(*paths)
    assert [each.sample_id for each in answers] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    ]
    found = package.open_verified(Path(model))
    exact = Engine(package=found, runtime=runtimes.on_device(found, "cpu"))
    frames = np.stack(
        [predicting.preprocess.frame(path.read_bytes(), found.card.preprocess) for path in paths]
    )
    ids = [each.sample_id for each in answers]
    by_torch = predicting.predict(exact, frames, ids, model_version="x")
    for answer, torch in zip(answers, by_torch, strict=True):
        row = rows[answer.sample_id]
        assert answer.predicted == row["predicted"] == torch.predicted
        assert answer.decision == row["decision"] == torch.decision
        ours = [answer.probabilities[name] for name in LABELS]
        assert ours == pytest.approx([row[f"p_{name}"] for name in LABELS], abs=1e-5)
        assert ours == pytest.approx(list(torch.probabilities), abs=1e-5)


def test_what_is_refused_stands_in_its_place_and_costs_no_other(
    served: Live, images: list[bytes]
) -> None:
    alone = served.ask(images[0]).json()["predictions"][0]
    answers = served.ask(images[0], b"a letter", images[1][:200], images[0]).json()["predictions"]
    assert [each["decision"] == "refused" for each in answers] == [False, True, True, False]
    assert answers[1]["reason"].startswith("not_an_image: ")
    assert answers[2]["reason"].startswith("damaged: ")
    assert (answers[1]["probabilities"], answers[1]["predicted"]) == ({}, "")
    for answer in (answers[0], answers[3]):
        assert answer["predicted"] == alone["predicted"]
        assert answer["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-6)


@pytest.mark.parametrize("image", [b"", b"a letter", b"\x89PNG\r\n\x1a\nno more"])
def test_where_every_image_is_refused_the_reason_is_the_answer(served: Live, image: bytes) -> None:
    answer = served.ask(image)
    assert answer.status_code == 422
    assert answer.json()["detail"].partition(":")[0] in ("empty", "not_an_image", "damaged")
    (refused,) = served.client.predict(image)
    assert (refused.decision, refused.sample_id) == (
        "refused",
        hashlib.sha256(image).hexdigest(),
    )


def test_an_unknown_field_is_refused(served: Live, images: list[bytes]) -> None:
    answer = served.ask(images[0], problme="chest")
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "unknown field; known are case, files, forget, problem",
    )


def test_too_many_images_and_none_are_refused(served: Live, images: list[bytes]) -> None:
    assert served.ask(*[images[0]] * MOST_FILES).status_code == 200
    many = served.ask(*[images[0]] * 200)
    assert (many.status_code, many.json()["detail"]) == (
        413,
        f"1 to {MOST_FILES} images a request; send them in several",
    )
    assert served.send("POST", "/v1/predictions", data={"problem": "brain"}).status_code == 422


def test_an_unknown_problem_is_named_with_those_that_are_served(
    served: Live, images: list[bytes]
) -> None:
    answer = served.ask(images[0], problem="chest")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "no such problem; those that are served: brain"
    assert served.ask(images[0], problem="brain").status_code == 200


def test_one_clients_image_is_never_in_anothers_answer(served: Live, tmp_path: Path) -> None:
    """Eight clients at once, each with images of its own; each answer is that of its image."""
    folder = draw_phantoms(tmp_path / "many", LABELS, 8, seed=9)
    images = [path.read_bytes() for path in sorted(folder.rglob("*.png"))]
    alone = [served.ask(image).json()["predictions"][0] for image in images]
    wrong: list[str] = []

    def client(number: int) -> None:
        own = range(number, len(images), 8)
        with Client(served.url, TOKEN) as asking:
            for _ in range(6):
                for row, answer in zip(own, asking.predict(*[images[n] for n in own]), strict=True):
                    expected = alone[row]
                    is_same = answer.sample_id == expected["sample_id"] and np.allclose(
                        list(answer.probabilities.values()),
                        list(expected["probabilities"].values()),
                        atol=1e-6,
                    )
                    wrong.extend([] if is_same else [answer.sample_id])

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len({answer["probabilities"]["glioma"] for answer in alone}) == len(images)


def test_what_is_said_of_a_map_goes_by_its_figures(served: Live, images: list[bytes]) -> None:
    answer = served.send("POST", "/v1/explanations", files={"file": images[0]}).json()
    first, gap = answer["maps"][0], answer["maps"][0]["insertion"] - answer["maps"][0]["deletion"]
    is_believed = first["is_sane"] and gap >= 0.05
    assert answer["said"].startswith(
        "The first map points at what decides" if is_believed else "Do not believe the first map"
    )


def test_an_answer_comes_with_maps_that_are_pictures(served: Live, images: list[bytes]) -> None:
    answer, maps = served.client.explain(images[0])
    assert answer.sample_id == hashlib.sha256(images[0]).hexdigest()
    assert [each.shows for each in maps] == [answer.predicted] * 2
    assert (maps[0].against, maps[1].against in LABELS) == ("", True)
    for each in maps:
        assert 0 <= each.deletion <= 1
        assert 0 <= each.insertion <= 1
        with Image.open(io.BytesIO(each.png)) as picture:
            assert picture.format == "PNG"
            assert np.asarray(picture).std() > 0


def test_the_nearest_case_of_a_training_image_with_a_scratch_is_itself(
    served: Live, home: Path, tmp_path: Path
) -> None:
    """The release was made of the phantoms of seed 0."""
    featurize.fn(features="thumb")
    path = next(draw_phantoms(tmp_path / "delivery", LABELS, 30).rglob("*.png"))
    pixels = np.asarray(Image.open(path)).copy()
    pixels[:2, :2] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    cases = served.client.similar(buffer.getvalue(), n=3)
    assert len(cases) == 3
    assert cases[0]["sample_id"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert cases[0]["cosine"] > 0.99
    assert cases[0]["label"] == path.parent.name


def test_a_search_without_features_says_what_to_run(served: Live, images: list[bytes]) -> None:
    answer = served.send("POST", "/v1/similar", files={"file": images[0]})
    assert answer.status_code == 409
    assert "run `neuro featurize --set thumb`" in answer.json()["detail"]


def test_what_answers_is_told(served: Live, model: str) -> None:
    (told,) = served.client.models()
    found = package.open_verified(Path(model))
    assert (told["problem"], told["version"], told["package"]) == (
        *("brain", found.digest),
        found.digest,
    )
    assert told["classes"] == LABELS
    assert told["engine"] == "onnxruntime f32"
    assert told["intended_use"] == problems.load("brain").intended_use


def test_without_a_registry_and_without_a_package_nothing_is_started(home: Path) -> None:
    with pytest.raises(ServerError, match="start it with `neuro up`, or give --model"):
        serve.run(ServiceConfig(), print)


def test_two_packages_of_one_problem_are_refused_at_the_start(start: Start, model: str) -> None:
    with (
        pytest.raises(ConfigError, match="two packages answer problem brain"),
        start(models=[Path(model), Path(model)]),
    ):
        pass


def test_without_a_champion_it_is_said_how_to_make_one(
    start: Start, registered: list[str], images: list[bytes]
) -> None:
    with start() as running:
        answer = running.ask(images[0])
        assert answer.status_code == 503
        assert "train a model with `neuro train`" in answer.json()["detail"]
        ready = running.send("GET", "/readyz")
        assert (ready.status_code, ready.json()["why"]) == (503, "no problem has a champion")
        assert running.send("GET", "/healthz").json() == {"alive": True}


@pytest.mark.real
@needs_real("malformed", "odd")
@pytest.mark.parametrize("folder", ["malformed", "odd"])
def test_each_file_that_people_have_gets_an_answer_or_a_reason(served: Live, folder: str) -> None:
    paths = [path for path in sorted(Path(REAL, folder).rglob("*")) if path.is_file()]
    assert len(paths) > 50
    for path in paths:
        answer = served.ask(path.read_bytes())
        if answer.status_code == 200:
            (found,) = answer.json()["predictions"]
            assert found["predicted"] in LABELS
            assert sum(found["probabilities"].values()) == pytest.approx(1)
        else:
            assert answer.status_code in (413, 422), (path, answer.text)
            assert answer.json()["detail"]
            assert path.name not in answer.text


def test_a_decoder_that_dies_or_cannot_be_started_spoils_no_later_answer(
    served: Live, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that is one result behind would answer each upload with the one before it."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    served.ask(*images[:2])
    expected = [hashlib.sha256(image).hexdigest() for image in images]
    for turn in range(3):
        for child in served.service._vetting._children:
            assert child._process is not None
            child._process.kill()
        with monkeypatch.context() as scarce:
            scarce.setattr(subprocess, "Popen", refuse)
            statuses = [served.ask(images[turn]).status_code for _ in range(2)]
            assert statuses == [422, 503]  # the child has gone, and there is no other
        for _ in range(3):
            answers = served.ask(*images).json()["predictions"]
            assert [each["sample_id"] for each in answers] == expected
            assert "refused" not in {each["decision"] for each in answers}


def test_an_answer_about_another_file_is_never_given(
    served: Live, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sanitize.clean(images[1])
    with monkeypatch.context() as mistaken:
        mistaken.setattr(Child, "check", lambda *_: [other])
        assert served.ask(images[0]).status_code == 503
    assert served.ask(images[0]).status_code == 200


def test_base64_of_an_image_is_no_image(served: Live, images: list[bytes]) -> None:
    assert served.ask(base64.b64encode(images[0])).status_code == 422


def test_a_case_is_answered_beside_its_images_by_their_mean(
    start: Start, ruled: Path, home: Path, images: list[bytes]
) -> None:
    given = (images[0], images[2], b"no image", images[4])
    with start(models=[ruled]) as served:
        case, answers = served.client.predict_case(*given)
        assert "case" not in served.ask(*given).json()
    routes = lake_of(home).read("requests")["route"].to_pylist()
    assert sorted(routes) == ["case"] * 4 + ["predictions"] * 4
    assert [each.decision for each in answers].count("refused") == 1
    let_in = [each for each in answers if each.decision != "refused"]
    counted = [each for each in let_in if (each.ood_score or 0) <= 1] or let_in
    for name, probability in case.probabilities.items():
        expected = np.mean([each.probabilities[name] for each in counted])
        assert probability == pytest.approx(expected, abs=1e-6)
    assert (case.rule, case.images) == ("mean", 3)
    assert case.model_version == answers[0].model_version
    assert sum(case.probabilities.values()) == pytest.approx(1)


def test_a_case_of_which_no_image_is_let_in_says_why(start: Start, ruled: Path) -> None:
    with (
        start(models=[ruled]) as served,
        pytest.raises(ConfigError, match=r"no image of the case can be answered: not_an_image"),
    ):
        served.client.predict_case(b"text", b"more text")


def test_a_case_without_a_rule_is_refused_with_the_remedy(
    served: Live, images: list[bytes]
) -> None:
    answer = served.ask(images[0], case="true")
    assert answer.status_code == 422
    assert "[cases] in the problem file" in answer.json()["detail"]
    answer = served.ask(images[0], case="perhaps")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("case: ")
