"""Windows judged without a trace: past ones again, and images that are in no lake."""

import re
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
from monitoring.intake import Counted, Intake
from neuro.erasure import derived_files
from neuro.errors import ConfigError
from neuro.images.sanitize import CleanImage
from neuro.lake import journal
from neuro.problems import problem as problems
from neuro.promotion import verdict_log
from neuro.promotion.drift_policy import DriftPolicy
from tasks import drift as steps
from tasks import drift_files, redraw_pages, replay
from tasks import window as windows_of
from tasks.drift import Harmless
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
    against = steps.base(loaded, models.of_folder(Path(answered)))
    policy, end = DriftPolicy(min_groups=9), datetime.now(UTC) + 6 * DAY

    def judged(last_ended: datetime, groups: int = 40) -> tuple[dict[str, float], int]:
        """Thresholds in those of the deals after eight windows, and how many are known then."""
        far = {"descriptors": 2.0, "softmax": 0.2}
        known = [
            Harmless(until=last_ended - n * 7 * DAY, groups=groups, distances=far, counted=None)
            for n in range(7, -1, -1)
        ]
        _, verdict = replay._judged(against, 7, policy, end, known)
        assert verdict is not None
        assert verdict.verdict == "steady"
        assert known[-1].until in (end, last_ended)
        return {
            each.name: round(each.threshold / each.dealt, 6)
            for each in verdict.signals
            if each.dealt and each.name in far
        }, len(known)

    dealt = {"descriptors": 1.0, "softmax": 1.0}
    assert judged(end - 7 * DAY) == ({"descriptors": 2.0, "softmax": 1.0}, 9)
    assert judged(end - 6 * DAY) == (dealt, 8)  # the last overlaps: seven are left
    assert judged(end - 7 * DAY, groups=81) == (dealt, 9)  # so many more groups: others


def store_weeks(model: str, **more: object) -> None:
    """Eight weeks, each twice as far as chance."""
    lake, now = release_data.open_lake(None), datetime.now(UTC)
    far = {"name": "descriptors", "statistic": 6.0, "threshold": 3.0, "dealt": 3.0, "alarm": True}
    for week in range(1, 9):
        until, window = now - week * 7 * DAY, f"w{week}"
        body = {"problem": "brain", "window": window, "verdict": "look", "signals": [far]}
        body |= {"model": models.of_folder(Path(model)).version, "days": 7.0, "groups": 40}
        body |= {"images": 40, "until": until.isoformat(), **more}
        verdict_log.record(lake, window, body, now)


def thresholds(told: dict[str, Any]) -> dict[str, float]:
    """In those of the deals."""
    return {
        each["name"]: round(each["threshold"] / each["dealt"], 6)
        for each in told["signals"]
        if each["dealt"]
    }


def test_each_way_to_judge_a_window_hears_the_harmless_ones_before_it(answered: str) -> None:
    store_weeks(answered)
    told = drift.fn(model=answered)
    assert thresholds(told)["descriptors"] == 2.0
    for again in (
        drift.fn(model=answered, window=told["window"]),
        drift.fn(model=answered, current=told["window"]),
    ):
        assert again["signals"][:6] == told["signals"][:6]
    page = Path(told["report"])
    before = re.findall(r"<td class=\"number\">[^<]*</td>", page.read_text())
    page.unlink()
    lake, line = release_data.open_lake(None), derived_files.to_redraw(told)
    assert redraw_pages._draw_drift(lake, line) == page
    assert re.findall(r"<td class=\"number\">[^<]*</td>", page.read_text()) == before


def overrule(window: str, outcome: str) -> None:
    lake = release_data.open_lake(None)
    said = verdict_log.response(
        verdict_log.OVERRULE,
        who="ana",
        reason="no",
        now=datetime.now(UTC),
        days=None,
        outcome=outcome,
    )
    verdict_log.respond(lake, verdict_log.last(lake, "brain", window), said)


@pytest.mark.parametrize(
    ("window", "outcome", "n"),
    [
        ("w8", "label", 7),  # no harmless one
        ("w3", "retrain", 2),  # what was called harmless before a harm may have been none
        ("w3", "steady", 8),
    ],
)
def test_a_person_says_what_was_harmless(answered: str, window: str, outcome: str, n: int) -> None:
    store_weeks(answered)
    overrule(window, outcome)
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    known = models.of_folder(Path(answered))
    compared = steps.observe(loaded, known, None, 7.0, DriftPolicy(min_groups=9))
    assert len(steps.harmless(loaded, known, compared)) == n


def test_harm_ends_what_was_usual_also_that_of_a_release(answered: str) -> None:
    store_weeks(answered)
    lake, now = release_data.open_lake(None), datetime.now(UTC)
    shown = {"name": "labelled_accuracy", "statistic": 0.2, "threshold": 0.1, "alarm": True}
    body = {"problem": "brain", "window": "r2", "verdict": "retrain", "signals": [shown]}
    body |= {"model": models.of_folder(Path(answered)).version, "days": 0.0}
    body |= {"until": (now - 18 * DAY).isoformat()}
    verdict_log.record(lake, "r2", body, now)
    loaded = release_data.load(lake, problems.load("brain"))
    known = models.of_folder(Path(answered))
    compared = steps.observe(loaded, known, None, 7.0, DriftPolicy(min_groups=9))
    assert len(steps.harmless(loaded, known, compared)) == 2


def test_an_export_that_has_stopped_is_seen_though_its_window_is_joined(answered: str) -> None:
    lake, policy = release_data.open_lake(None), DriftPolicy(min_groups=9)
    loaded = release_data.load(lake, problems.load("brain"))
    against, end = steps.base(loaded, models.of_folder(Path(answered))), datetime.now(UTC) + 9 * DAY
    usual = Counted(came=Intake(days=7.0, images=40, refused=0), was_unusual=False)
    weeks = [
        Harmless(until=end - n * 7 * DAY, groups=40, distances={}, counted=usual)
        for n in range(10, 1, -1)
    ]
    row, verdict = replay._judged(against, 7, policy, end, weeks)
    assert row["window"].startswith("14-days")
    assert row["verdict"] == "look"
    assert verdict is not None
    assert "Other counts than usual: 0.0 images a day" in verdict.reason


def test_what_came_is_counted_from_the_first_whole_window_on(answered: str, draw: Draw) -> None:
    began = datetime.now(UTC)
    more = draw([""], 10, name="more", seed=5)
    (more / "letter.png").write_bytes(b"no picture")
    ingest.fn(source=str(more))
    predict.fn(model=answered)
    end = datetime.now(UTC)
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    known, none_seen = models.of_folder(Path(answered)), np.zeros(len(loaded.samples), np.bool_)

    def came(until: datetime, days: float) -> Intake | None:
        policy = DriftPolicy(min_groups=9)
        return windows_of.of_days(loaded, known, none_seen, days, policy, until).intake

    days = (end - began) / DAY
    assert came(end, days) == Intake(days=days, images=10, refused=1)
    assert came(end + DAY, 0.5) == Intake(days=0.5, images=0, refused=0)
    assert came(end, 7.0) is None  # nothing was answered before


@pytest.mark.parametrize(
    "more", [{"days": 28.0}, {"days": 1.0}, {"verdict": "inconclusive"}, {"groups": 81}]
)
def test_windows_of_another_length_and_without_a_verdict_tell_nothing(
    answered: str, more: dict[str, object]
) -> None:
    store_weeks(answered, **more)
    assert set(thresholds(drift.fn(model=answered)).values()) == {1.0}


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
