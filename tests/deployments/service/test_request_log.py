"""What is written down of a request, and where it can be reached again."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from deployments.service import request_log
from deployments.service import service as services
from deployments.service.request_log import RequestLog
from flows.erase import erase
from flows.ingest import ingest
from neuro.errors import ConfigError, UnknownNameError
from neuro.features import descriptors
from neuro.images import sanitize
from neuro.ingest import late_labels
from neuro.lake import journal, labels, releases
from neuro.lake.request_spool import Spool
from neuro.models import package
from neuro.problems import problem as problems
from tests.deployments.service.conftest import LABELS, Live, Start, lake_of, wait_until
from tests.flows.conftest import draw_phantoms

pytestmark = pytest.mark.server


def waiting(home: Path) -> list[Any]:
    return list(Spool(folder=home / "requests").requests())


@pytest.fixture
def unmoved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines stay in the spool until the service ends."""
    monkeypatch.setattr(request_log, "MOVING_S", 3600.0)


@pytest.mark.usefixtures("unmoved")
def test_each_image_is_on_the_disk_before_its_answer_and_in_the_lake_afterwards(
    start: Start, model: str, home: Path, images: list[bytes]
) -> None:
    with start(models=[Path(model)]) as served:
        answers = served.ask(images[0], b"a letter", images[1]).json()["predictions"]
        lines = sorted(waiting(home), key=lambda line: line.id)
        assert [line.sha256 for line in lines] == [each["sample_id"] for each in answers]
    assert waiting(home) == []
    rows = sorted(lake_of(home).read("requests").to_pylist(), key=lambda row: row["id"])
    assert [row["decision"] for row in rows] == [each["decision"] for each in answers]
    first, answer = rows[0], answers[0]
    assert first["probabilities"] == list(answer["probabilities"].values())
    assert (first["route"], first["problem"], first["dataset"]) == ("predictions", "brain", "brain")
    found = package.open_verified(Path(model))
    assert (first["model_version"], first["package"]) == (found.digest, found.digest)
    stored = sanitize.clean(images[0]).stored
    assert first["descriptors"] == pytest.approx(descriptors.describe(stored).tolist(), rel=1e-5)
    assert len(first["embedding"]) == len(found.card.calibration.ood_mean)
    assert first["latency_s"] > 0
    assert [row["image"] for row in rows] == [None] * 3
    assert not any(row["is_shadow"] for row in rows)


def test_an_image_is_kept_only_where_the_problem_file_allows_it(
    start: Start, model: str, home: Path, images: list[bytes], tmp_path: Path
) -> None:
    text = Path("neuro/problems/builtin/brain.toml").read_text()
    (tmp_path / "brain.toml").write_text(f"keep_requests = true\n{text}")
    with start(models=[Path(model)], problems=[str(tmp_path / "brain.toml")]) as served:
        served.ask(images[0])
    (row,) = lake_of(home).read("requests").to_pylist()
    assert row["image"] == sanitize.clean(images[0]).stored


def test_nothing_is_written_under_a_clients_name_and_no_upload_stays(
    served: Live, home: Path, images: list[bytes]
) -> None:
    before = {str(path) for path in home.rglob("*")}
    for name in ("../../Mueller_Hans.png", "Mueller_Hans", "/tmp/Mueller_Hans"):  # noqa: S108
        files = {"files": (name, images[0])}
        assert served.send("POST", "/v1/predictions", files=files).status_code == 200
    for path in home.rglob("*"):
        assert "Mueller" not in path.name
        if path.is_file() and str(path) not in before:
            raw = path.read_bytes()
            assert b"Mueller" not in raw
            assert images[0][200:400] not in raw
    assert not [path for path in (home / "scratch").rglob("*") if path.is_file()]


def test_a_lake_that_is_away_is_said_and_gets_its_lines_later(
    start: Start, model: str, home: Path, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "MOVING_S", 0.2)
    with start(models=[Path(model)]) as served:
        (home / "lake").rename(home / "away")
        (home / "lake").touch()  # nothing can be made there
        assert served.ask(images[0]).status_code == 200
        wait_until(lambda: served.service.log.trouble)
        told = served.send("GET", "/v1/models").json()
        assert told["log_waiting_bytes"] > 0
        assert told["log_trouble"]
        assert str(home) not in json.dumps(told)
        (answer,) = served.client.predict(images[0])
        said = {"sample_id": answer.sample_id, "label": "glioma"}
        assert served.send("POST", "/v1/feedback", json=said).status_code == 503
        (home / "lake").unlink()
        (home / "away").rename(home / "lake")
        wait_until(lambda: not served.service.log.waiting() and not served.service.log.trouble)
    assert lake_of(home).read("requests").num_rows == 2


def test_where_a_lake_was_and_is_gone_none_is_made(
    start: Start, model: str, home: Path, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a disk is not mounted: the lines wait for the lake that has the rest."""
    monkeypatch.setattr(request_log, "MOVING_S", 0.1)
    for is_seen_before in (False, True):
        with start(models=[Path(model)]) as served:
            if not is_seen_before:
                served.ask(images[0])
                wait_until(lambda: not served.service.log.waiting())
            (home / "lake").rename(home / "away")
            served.ask(images[1])
            wait_until(lambda: served.service.log.trouble)
        assert not (home / "lake").exists()
        assert len(waiting(home)) == 1
        (home / "away").rename(home / "lake")
        with start(models=[Path(model)]) as served:
            wait_until(lambda: not served.service.log.waiting())
    assert lake_of(home).read("requests").num_rows == 3


def test_an_erasure_that_takes_long_keeps_no_service_from_ending(
    start: Start, model: str, home: Path, images: list[bytes]
) -> None:
    spool = Spool(folder=home / "requests")
    with spool.standing_still(), start(models=[Path(model)]) as served:
        assert served.ask(images[0]).status_code == 200
    assert len(waiting(home)) == 1


def test_what_answers_is_followed_though_a_file_of_the_log_has_gone(
    served: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def gone(_: object) -> int:
        looked.append(1)
        raise FileNotFoundError

    monkeypatch.setattr(services, "JOURNAL_S", 0.05)
    monkeypatch.setattr(RequestLog, "waiting", gone)
    wait_until(lambda: len(looked) > 3)
    assert served.service.is_loaded


def test_a_disk_without_room_for_an_upload_is_said(
    served: Live, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_bytes", full)
        answer = served.ask(images[0], images[1])
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "this machine has no room to look at an upload",
    )
    assert served.send("GET", "/readyz").status_code == 503
    assert served.ask(images[0]).status_code == 200
    assert served.send("GET", "/readyz").status_code == 200


def test_readiness_comes_back_without_a_request(
    start: Start, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "MOVING_S", 0.05)
    with start(models=[Path(model)]) as served:
        served.service.log.is_broken = True
        wait_until(lambda: served.send("GET", "/readyz").status_code == 200)
        assert not served.service.log.is_broken


def test_without_a_log_nothing_is_answered(
    served: Live, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Spool, "append", full)
        answer = served.ask(images[0])
        assert answer.status_code == 503
        assert "none is answered" in answer.json()["detail"]
        assert served.send("GET", "/readyz").status_code == 503
    assert served.ask(images[0]).status_code == 200
    assert served.send("GET", "/readyz").status_code == 200


@pytest.fixture
def asked(start: Start, model: str, home: Path, images: list[bytes]) -> str:
    """The digest of an image that a service was asked about, and that is in no release."""
    with start(models=[Path(model)]) as served:
        served.ask(*images[:2])
    return hashlib.sha256(images[0]).hexdigest()


@pytest.mark.parametrize("is_moved", [True, False])
def test_an_image_that_was_only_asked_about_is_erased_and_proven(
    asked: str, start: Start, model: str, home: Path, images: list[bytes], is_moved: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not is_moved:  # one more line of it waits in the spool
        monkeypatch.setattr(RequestLog, "_move", lambda _: None)
        with start(models=[Path(model)]) as served:
            served.ask(images[0])
        assert len(waiting(home)) == 1
    told = erase.fn(sample=asked[:16], reason="asked", who="ana")
    assert (told["sample_ids"], told["is_proven"]) == ([asked], True)
    assert told["removed"]["requests"] == (1 if is_moved else 2)
    assert waiting(home) == []
    rows = lake_of(home).read("requests")["sha256"].to_pylist()
    assert rows == [hashlib.sha256(images[1]).hexdigest()]
    with pytest.raises(UnknownNameError):
        erase.fn(sample=asked[:16], reason="asked", who="ana")


def test_two_images_that_begin_alike_are_not_guessed(
    asked: str, home: Path, images: list[bytes]
) -> None:
    with pytest.raises((ConfigError, UnknownNameError)):
        erase.fn(sample=asked[:4], reason="asked", who="ana")
    assert lake_of(home).read("requests").num_rows == 2


def test_a_label_waits_for_a_review_and_no_release_has_it(
    served: Live, home: Path, tmp_path: Path
) -> None:
    lake = lake_of(home)
    before = releases.find(lake, "brain")
    sample = releases.samples(lake, before)[0]
    other = next(name for name in LABELS if name != sample.label)
    assert served.client.label(sample.sample_id, other)
    assert not served.client.label(sample.sample_id, other)
    rows = lake.read("labels", where=f"sha256 = '{sample.sample_id}'").to_pylist()
    last = max(rows, key=lambda row: row["sequence"])
    assert (last["label"], last["is_reviewed"], last["run_id"]) == (other, False, labels.UNREVIEWED)
    done = CliRunner().invoke(app, ["labels", "waiting", "--json"])
    (row,) = json.loads(done.stdout)
    assert (row["sample"], row["label"]) == (sample.sample_id, other)
    ingest.fn(source=str(draw_phantoms(tmp_path / "more", LABELS, 3, seed=8)))
    after = {each.sample_id: each for each in releases.samples(lake, releases.find(lake, "brain"))}
    assert len(after) > before.n
    assert after[sample.sample_id].label == sample.label
    reviewed = tmp_path / "reviewed.csv"
    reviewed.write_text(f"sample,label,who\n{sample.sample_id},{other},reader\n")
    late_labels.import_file(lake, problems.load("brain"), reviewed, datetime.now(UTC))
    assert labels.waiting(lake, "brain") == []
    after = {each.sample_id: each for each in releases.samples(lake, releases.find(lake, "brain"))}
    assert after[sample.sample_id].label == other


def test_a_label_of_an_image_that_was_asked_about_does_not_quarantine_it_later(
    served: Live, home: Path, tmp_path: Path
) -> None:
    folder = draw_phantoms(tmp_path / "later", ["glioma"], 2, seed=11)
    path = sorted(folder.rglob("*.png"))[0]
    (answer,) = served.client.predict(path)
    assert served.client.label(answer.sample_id, "notumor")
    told = ingest.fn(source=str(folder))
    assert (told["accepted"], told["quarantined"]) == (2, 0)
    lake = lake_of(home)
    found = {each.sample_id: each for each in releases.samples(lake, releases.find(lake, "brain"))}
    assert found[answer.sample_id].label == "glioma"


def test_an_incident_stands_in_the_journal_by_the_name_of_who_told_it(
    served: Live, home: Path, images: list[bytes]
) -> None:
    (answer,) = served.client.predict(images[0])
    assert served.client.report(answer.sample_id, "called a healthy head a tumour")
    assert not served.client.report(answer.sample_id, "called a healthy head a tumour")
    (line,) = journal.entries(lake_of(home), "incident")
    assert line.body["sample_id"] == answer.sample_id
    assert line.body["reason"] == "called a healthy head a tumour"
    assert line.body["version"] == answer.model_version
    assert line.body["prediction"]["probabilities"] == list(answer.probabilities.values())
    assert line.body["who"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"sample_id": "0" * 64, "label": "glioma"}, 404),
        ({"label": "glioma", "incident": "both"}, 422),
        ({}, 422),
        ({"label": "no such label"}, 422),
        ({"incident": "bell \x07"}, 422),
        ({"incident": "colour \x9b31m"}, 422),
        ({"incident": "turned \u202e"}, 422),
        ({"label": "glioma", "problem": "chest"}, 404),
        ({"label": "glioma", "more": "x"}, 422),
        ({"sample_id": "x", "label": "glioma"}, 422),
    ],
)
def test_a_feedback_that_cannot_be_is_refused(
    served: Live, home: Path, images: list[bytes], said: dict[str, str], status: int
) -> None:
    (answer,) = served.client.predict(images[0])
    answered = served.send("POST", "/v1/feedback", json={"sample_id": answer.sample_id} | said)
    assert answered.status_code == status
    assert answered.json()["detail"]
    lake = lake_of(home)
    assert journal.entries(lake, "incident") == []
    assert labels.UNREVIEWED not in lake.read("labels")["run_id"].to_pylist()


def test_every_route_that_is_asked_is_written_down(
    start: Start, model: str, home: Path, images: list[bytes]
) -> None:
    with start(models=[Path(model)]) as served:
        (answer,) = served.client.predict(images[0])
        served.client.explain(images[0])
        served.send("POST", "/v1/similar", files={"file": images[0]})
        served.client.report(answer.sample_id, "wrong")
    routes = sorted(lake_of(home).read("requests")["route"].to_pylist())
    assert routes == ["explanations", "feedback", "predictions", "similar"]


def test_nothing_is_written_down_of_what_is_not_to_be_kept(
    start: Start, ruled: Path, home: Path, images: list[bytes]
) -> None:
    with start(models=[ruled]) as served:
        (answer,) = served.client.predict(images[0], forget=True)
        served.client.predict_case(images[0], images[1], forget=True)
        served.client.explain(images[0], forget=True)
        served.send("POST", "/v1/similar", files={"file": images[0]}, data={"forget": "true"})
        assert answer.predicted
    assert lake_of(home).read("requests").num_rows == 0
    digest = answer.sample_id.encode()
    assert [
        path for path in home.rglob("*") if path.is_file() and digest in path.read_bytes()
    ] == []


def test_the_folders_of_the_log_are_for_this_account_alone(
    served: Live, home: Path, images: list[bytes]
) -> None:
    served.ask(images[0])
    for path in (home / "requests", home / "scratch" / "service"):
        assert path.stat().st_mode & 0o077 == 0
    for path in (home / "requests").iterdir():
        assert path.stat().st_mode & 0o077 == 0
    assert os.access(home / "requests", os.W_OK)
