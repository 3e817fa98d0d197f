"""Windows judged without a trace: past ones again, and images that are in no lake."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows.drift import drift
from flows.featurize import featurize
from flows.ingest import ingest
from flows.predict import predict
from neuro.errors import ConfigError
from neuro.images.sanitize import CleanImage
from neuro.lake import journal
from neuro.problems import problem as problems
from neuro.promotion import verdict_log
from neuro.promotion.drift_policy import DriftPolicy
from tasks import drift as steps
from tasks import drift_files, replay
from tasks.load import models, release_data
from tasks.runtime import settings
from tests.flows.conftest import LABELS, Draw

DAY = timedelta(days=1)


@pytest.fixture
def answered(model: str, draw: Draw) -> str:
    """The package of a model that has answered 40 images of a release that came later."""
    ingest.fn(source=str(draw([""], 40, name="later", seed=9)))
    featurize.fn()
    predict.fn(model=model)
    few = "[drift]\nmin_groups = 10"  # the reference has less than 30
    (settings.load().home / "envelope.toml").write_text(few)
    return model


def lines() -> list[str]:
    lake = release_data.open_lake(None)
    return [each.key for each in journal.entries(lake)]


def replayed(model: str, later: timedelta, days: float = 7) -> dict[str, Any]:
    """The windows up to so much later than now."""
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    known, policy = models.of_folder(Path(model)), DriftPolicy(min_groups=10)
    return replay.past(loaded, known, days, policy, datetime.now(UTC) + later)


def test_a_replay_judges_each_window_since_the_first_answer_and_writes_nothing(
    answered: str,
) -> None:
    before = lines()
    found = replayed(answered, 15 * DAY)
    assert [row["images"] for row in found["replayed"]] == [40, 40, 40]  # joined as far back
    assert [row["window"].split("-")[0] for row in found["replayed"]] == ["7", "14", "21"]
    assert sum(found["verdicts"].values()) == 3
    assert set(found["alarms"]) == {
        *("descriptors", "formats", "features", "softmax", "classes", "confidence")
    }
    (one,) = drift.fn(model=answered, replay=True)["replayed"]
    assert {**one, "window": ""} == {**found["replayed"][0], "window": ""}
    assert lines() == before


def test_a_replay_learns_from_the_harmless_windows_that_it_has_passed(answered: str) -> None:
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    against, policy = (
        steps.base(loaded, models.of_folder(Path(answered))),
        DriftPolicy(min_groups=9),
    )
    end = datetime.now(UTC) + 6 * DAY

    def thresholds(last_ended: datetime) -> dict[str, float]:
        """In those of the deals, after eight windows."""
        ends = [last_ended - number * 7 * DAY for number in range(8)][::-1]
        far = {"descriptors": 3.0, "softmax": 0.2}
        harmless = [replay._Harmless(until=each, distances=far) for each in ends]
        _, verdict = replay._judged(against, 7, policy, end, harmless)
        assert verdict is not None
        return {
            each.name: round(each.threshold / each.dealt, 6)
            for each in verdict.signals
            if each.dealt and each.name in far
        }

    assert thresholds(end - 7 * DAY) == {"descriptors": 3.0, "softmax": 1.0}
    assert thresholds(end - 6 * DAY) == {"descriptors": 1.0, "softmax": 1.0}  # the last overlaps


def test_the_verdicts_before_tell_how_far_is_usual_and_a_person_what_was_harmless(
    answered: str,
) -> None:
    lake, now = release_data.open_lake(None), datetime.now(UTC)
    far = [{"name": "descriptors", "statistic": 6.0, "threshold": 2.0, "dealt": 2.0}]
    for week in range(1, 9):
        until, window = now - week * 7 * DAY, f"w{week}"
        body = {"problem": "brain", "window": window, "verdict": "look", "signals": far}
        body |= {"model": models.of_folder(Path(answered)).version, "days": 7.0}
        verdict_log.record(lake, window, {**body, "until": until.isoformat()}, now)
    found = {each["name"]: each for each in drift.fn(model=answered)["signals"]}
    assert found["descriptors"]["threshold"] == pytest.approx(3 * found["descriptors"]["dealt"])
    said = verdict_log.response(
        verdict_log.OVERRULE, who="ana", reason="no", now=now, days=None, outcome="label"
    )
    verdict_log.respond(lake, verdict_log.last(lake, "brain", "w3"), said)
    again = {each["name"]: each for each in drift.fn(model=answered)["signals"]}
    assert again["descriptors"]["threshold"] == again["descriptors"]["dealt"]


def test_a_replay_of_too_many_windows_is_refused(answered: str) -> None:
    with pytest.raises(ConfigError, match="at most 520 are replayed; give more --days"):
        drift.fn(model=answered, replay=True, days=1e-9)


def test_a_window_that_cannot_be_judged_is_a_row_that_says_why(answered: str) -> None:
    found = replayed(answered, 800 * DAY, days=60)  # longer than windows are joined
    assert found["verdicts"]["not judged"] == 6
    assert "has no prediction by model" in found["replayed"][-1]["reason"]


def test_one_question_is_asked_at_a_time(answered: str) -> None:
    with pytest.raises(ConfigError, match="give one of --window, --current and --replay"):
        drift.fn(model=answered, replay=True, current="x")


def test_files_are_judged_where_they_lie(answered: str, draw: Draw) -> None:
    before = lines()
    same = drift.fn(model=answered, current=str(draw([""], 60, name="same", seed=11)))
    assert (same["images"], same["groups"], same["verdict"]) == (60, 60, "steady")
    dark = draw([""], 60, name="dark", seed=12)
    for path in dark.glob("*.png"):
        with Image.open(path) as picture:
            picture.point(lambda level: level // 3).save(path)
    (dark / "broken.png").write_bytes(b"no picture")
    (dark / "again.png").write_bytes(next(dark.glob("dark_*.png")).read_bytes())
    found = drift.fn(model=answered, current=str(dark))
    assert found["images"] == 60
    assert found["verdict"] in ("look", "label")
    assert "2 of 62 files are refused or repeated" in found["reason"]
    assert lines() == before


def test_a_folder_without_a_readable_image_says_what_to_do(answered: str, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="vetting lets in none of the images"):
        drift.fn(model=answered, current=str(folder))


def test_a_release_is_judged_once_as_it_is_for_good(answered: str) -> None:
    release = release_data.load(release_data.open_lake(None), problems.load("brain")).release.name
    before = lines()
    once = drift.fn(model=answered, current=release)
    assert lines() == before
    stored = drift.fn(model=answered, window=release)
    same = ("window", "verdict", "signals", "images", "groups")
    assert [once[name] for name in same] == [stored[name] for name in same]


def test_a_window_of_days_is_found_again_by_its_name(answered: str) -> None:
    first = drift.fn(model=answered)
    lake = release_data.open_lake(None)
    judged = verdict_log.last(lake, "brain")
    assert judged.days == 7.0
    again = drift.fn(model=answered, window=first["window"])
    same = ("window", "days", "verdict", "signals", "images", "cause")
    assert [again[name] for name in same] == [first[name] for name in same]


def test_labels_of_the_test_split_are_no_look(answered: str) -> None:
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    known = models.of_folder(Path(answered))
    frames = loaded.frames
    later = loaded.entered() == loaded.release.name
    labels = np.where(later, 0, frames.targets)
    splits = np.where(later & (np.arange(len(later)) % 2 == 0), "test", frames.splits)
    seen = replace(loaded, frames=replace(frames, targets=labels, splits=splits))
    policy = DriftPolicy(min_groups=2)
    counted = steps.observe(seen, known, None, 7.0, policy)
    looks = lines()
    told = replay.current(seen, known, loaded.release.name, policy)
    (shown,) = [each for each in told["signals"] if each["name"] == "labelled_accuracy"]
    n = int((later & (splits != "test")).sum())
    assert f"on {n} labelled images" in shown["explanation"]
    assert lines() == looks
    assert int((~np.isnan(counted.window.correct)).sum()) == int(later.sum())


def test_images_that_the_model_was_trained_on_are_left_out_of_files(
    answered: str, draw: Draw
) -> None:
    both = draw(LABELS, 30, name="both")  # as the model's own delivery was drawn
    for path in draw([""], 30, name="new", seed=11).glob("*.png"):
        path.rename(both / path.name)
    found = drift.fn(model=answered, current=str(both))
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    born = str(models.of_folder(Path(answered)).package.card.pin["release"])
    n = int(loaded.known_at(born).sum())
    assert (n, found["images"]) == (120, 30)
    assert "120 of 150 files are of the release the model was trained on" in found["reason"]


@pytest.mark.parametrize(
    ("problem", "name", "group"),
    [
        ("brain", "x.dcm", "patient 7"),
        ("chest", "person9_bacteria_25.jpeg", "person9"),
        ("chest", "x.dcm", "a" * 64),  # names tell there, and no PatientID does
    ],
)
def test_the_images_of_a_patient_are_one_group_as_far_as_a_file_says_so(
    problem: str, name: str, group: str
) -> None:
    image = CleanImage(
        sha256="a" * 64,
        stored=b"",
        stored_sha256="",
        media_type="",
        width=1,
        height=1,
        mode="L",
        thumbnail=b"",
        group_id_hint="patient 7",
    )
    assert drift_files._group(problems.load(problem), name, image) == group
