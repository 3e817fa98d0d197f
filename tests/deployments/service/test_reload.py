"""Which model answers: the journal says so, and no request is lost when it changes."""

import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.service import served_models, service
from flows.rollback import rollback
from neuro.errors import ServerError
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.models import package, package_manifest
from neuro.prediction import predict
from neuro.prediction.predict import Engine
from tasks.load import served as loading
from tasks.record import registry, signing_keys, tracking
from tests.deployments.service.conftest import Live, Start, wait_until
from tests.neuro.prediction.sealed import untrained

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is looked at every tenth of a second, and all of it every second."""
    monkeypatch.setattr(service, "JOURNAL_S", 0.1)
    monkeypatch.setattr(served_models, "ALL_S", 1.0)
    monkeypatch.setattr(served_models, "AGAIN_S", 0.1)


@pytest.fixture
def promote(registered: list[str], home: Path) -> Callable[[str, str], None]:
    """promote("2", "1"): version 2 takes the place of version 1, by a line of the journal."""
    lake = Lake(str(home / "lake"))

    def write(version: str, before: str, *, moves: bool = True) -> None:
        found = registry.find("brain", version)
        lines = journal.entries(lake)
        body = {
            "problem": "brain",
            "package": found.digest,
            "trained_on": "x",
            "reason": "",
            "challenger": version,
            "champion": before,
            "after": lines[-1].number if lines else 0,
            "is_promoted": True,
            "cause": "x",
        }
        assert journal.record(lake, "decision", f"brain/{version}/x", body, datetime.now(UTC))
        if moves:
            registry.set_alias(found, "champion")

    write("1", "")
    return write


@pytest.fixture
def another(registered: list[str], model: str, home: Path) -> str:
    """A version that was never trained and knows less; its package is another one."""
    known = package.open_verified(Path(model)).card
    made = untrained(home / "made", "brain", known.classes, known.preprocess)
    found = package.open_verified(made)
    package_manifest.sign(found.folder, signing_keys.folder())
    run = tracking.client().create_run("0")
    tracking.client().log_artifacts(run.info.run_id, str(made), "package")
    return registry.register(run.info.run_id, "brain", found).version


def version(running: Live) -> str:
    found = running.service.models.all()
    return found["brain"].model.version if found else ""


def test_a_promotion_and_a_rollback_under_load_lose_no_request(
    start: Start, promote: Callable[[str, str], None], another: str, images: list[bytes]
) -> None:
    with start() as running:
        wait_until(lambda: version(running) == "1")
        answered: list[tuple[int, str]] = []
        end = threading.Event()

        def client() -> None:
            while not end.is_set():
                answer = running.ask(images[0])
                said = answer.json().get("predictions", [{}])[0]
                answered.append((answer.status_code, said.get("model_version", answer.text)))

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: answered)
        promote(another, "1")
        wait_until(lambda: version(running) == another)
        wait_until(lambda: answered[-1][1] == another)
        rollback.fn(reason="it knows less", who="ana")
        wait_until(lambda: version(running) == "1")
        wait_until(lambda: answered[-1][1] == "1")
        end.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answered} == {200}
    assert {name for _, name in answered} == {"1", another}


def test_an_incident_is_told_of_the_version_that_answered(
    start: Start, promote: Callable[[str, str], None], another: str, home: Path, images: list[bytes]
) -> None:
    with start() as running:
        wait_until(lambda: version(running) == "1")
        (answer,) = running.client.predict(images[0])
        promote(another, "1")
        wait_until(lambda: version(running) == another)
        running.client.report(answer.sample_id, "it was wrong")
    (line,) = journal.entries(Lake(str(home / "lake")), "incident")
    assert line.body["version"] == "1"
    assert line.body["package"] == registry.find("brain", "1").digest


def test_an_alias_that_is_moved_by_hand_is_written_down_and_not_followed(
    start: Start, promote: Callable[[str, str], None], home: Path, images: list[bytes]
) -> None:
    with start() as running:
        wait_until(lambda: version(running) == "1")
        registry.set_alias(registry.find("brain", "3"), "champion")
        lake = Lake(str(home / "lake"))
        wait_until(lambda: journal.entries(lake, "alias"))
        assert running.ask(images[0]).json()["predictions"][0]["model_version"] == "1"
    (line,) = journal.entries(lake, "alias")
    assert (line.body["alias"], line.body["serves"]) == ("3", "1")


def damage(version_: str) -> Path:
    """Alter the weights that this machine has of a version; returns where they were."""
    folder = registry.packages() / registry.find("brain", version_).digest[:16]
    if not folder.exists():
        registry.fetch(registry.find("brain", version_))
    weights = folder / package_manifest.WEIGHTS
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    return folder


def test_a_package_that_was_altered_never_answers_and_the_last_good_one_does(
    start: Start, promote: Callable[[str, str], None], another: str, images: list[bytes]
) -> None:
    with start() as running:
        wait_until(lambda: version(running) == "1")
        folder = damage(another)
        promote(another, "1")
        wait_until(lambda: running.service.models.all()["brain"].trouble)
        assert running.ask(images[0]).json()["predictions"][0]["model_version"] == "1"
        (told,) = running.client.models()
        assert told["version"] == "1"
        assert told["trouble"].startswith(f"version {another} cannot serve: ")
        assert str(folder) not in told["trouble"]
        shutil.rmtree(folder)  # it is fetched again
        wait_until(lambda: version(running) == another)
        assert running.client.models()[0]["trouble"] == ""


def test_at_a_start_the_version_before_one_that_was_altered_answers(
    start: Start, promote: Callable[[str, str], None], another: str
) -> None:
    damage(another)
    promote(another, "1")
    with start() as running:
        wait_until(lambda: version(running) == "1")
        assert "cannot serve" in running.client.models()[0]["trouble"]


def test_what_served_last_answers_when_lake_and_registry_are_away_at_the_start(
    start: Start,
    promote: Callable[[str, str], None],
    images: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with start() as running:
        wait_until(lambda: version(running) == "1")

    def away(*_: object) -> int:
        raise ServerError("the lake does not answer")

    monkeypatch.setattr(loading, "state", away)
    with start() as running:
        wait_until(lambda: version(running) == "1")
        assert running.ask(images[0]).status_code == 200
        told = running.send("GET", "/v1/models").json()["following"]
        assert told == "MLflow does not answer; what served last goes on"


@pytest.fixture
def weak(model: str, home: Path) -> Path:
    known = package.open_verified(Path(model)).card
    return untrained(home / "weak", "brain", known.classes, known.preprocess)


def test_a_shadow_is_written_down_and_shown_to_nobody(
    start: Start, model: str, weak: Path, home: Path, images: list[bytes]
) -> None:
    digest = package.open_verified(weak).digest
    with start(models=[Path(model)], shadow=str(weak)) as running:
        answers = running.ask(*images).json()["predictions"]
        told = running.send("GET", "/v1/models").text
    assert digest not in told
    assert {each["model_version"] for each in answers} == {
        package.open_verified(Path(model)).digest
    }
    rows = Lake(str(home / "lake")).read("requests").to_pylist()
    beside = {row["id"]: row for row in rows if row["is_shadow"]}
    assert len(beside) == len(images)
    assert {row["model_version"] for row in beside.values()} == {digest}
    for row in (row for row in rows if not row["is_shadow"]):
        assert beside[f"{row['id']}-shadow"]["sha256"] == row["sha256"]


def test_a_shadow_that_fails_costs_no_answer(
    start: Start, model: str, weak: Path, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, outputs = package.open_verified(weak).digest, predict.outputs

    def broken(engine: Engine, *given: object, **more: object) -> object:
        if engine.package.digest == digest:
            raise ServerError("it fails")
        return outputs(engine, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(predict, "outputs", broken)
    with start(models=[Path(model)], shadow=str(weak)) as running:
        assert running.ask(*images).status_code == 200
        assert running.ask(*images).status_code == 200


def test_a_shadow_that_is_damaged_keeps_no_champion_from_serving(
    start: Start, promote: Callable[[str, str], None], another: str, images: list[bytes]
) -> None:
    damage(another)
    with start(shadow=another) as running:
        wait_until(lambda: version(running) == "1")
        assert running.service.models.all()["brain"].shadow is None
        assert running.ask(images[0]).status_code == 200


def test_the_alias_of_a_shadow_is_followed(
    start: Start, promote: Callable[[str, str], None], another: str
) -> None:
    with start(shadow="challenger") as running:
        wait_until(lambda: version(running) == "1")
        assert running.service.models.all()["brain"].shadow is None
        registry.set_alias(registry.find("brain", another), "challenger")
        wait_until(lambda: running.service.models.all()["brain"].shadow)
        beside = running.service.models.all()["brain"].shadow
    assert beside is not None
    assert beside.version == another


def test_a_registered_shadow_answers_beside_the_champion(
    start: Start,
    promote: Callable[[str, str], None],
    another: str,
    home: Path,
    images: list[bytes],
) -> None:
    with start(shadow=another) as running:
        wait_until(lambda: version(running) == "1")
        running.ask(images[0])
    rows = Lake(str(home / "lake")).read("requests").to_pylist()
    assert sorted((row["model_version"], row["is_shadow"]) for row in rows) == [
        ("1", False),
        (another, True),
    ]
