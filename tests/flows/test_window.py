"""The window of a drift check: what was answered lately, in batches and to who asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.featurize import featurize
from flows.ingest import ingest
from flows.predict import predict
from monitoring.verdicts import Verdict
from neuro.errors import ConfigError
from neuro.features import descriptors
from neuro.lake import audits, requests
from neuro.lake.requests import Request
from neuro.problems import problem as problems
from neuro.promotion.drift_policy import DriftPolicy
from neuro.sample import Prediction
from neuro.uncertainty.out_of_scope import Reference
from tasks import audit, drift, window
from tasks.load import models, release_data
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tests.flows.conftest import Draw
from tests.neuro.images.test_dicom import dataset, written

DAY = timedelta(days=1)
FEW = DriftPolicy(min_images=2, min_groups=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A model that has answered a window of 24 images in a batch."""

    loaded: Loaded
    model: Model

    @property
    def reference(self) -> Reference:
        return self.model.package.card.calibration.reference

    def asked(self, digests: Sequence[str], at: datetime, **changed: object) -> None:
        """Somebody asks for an answer about each, all as one request."""
        classes = self.model.package.card.classes
        said = Prediction(
            sample_id="",
            model_version=self.model.version,
            preprocess_hash="",
            probabilities=tuple(np.full(len(classes), 1 / len(classes))),
            predicted=classes[0],
            conformal_set=(),
            ood_score=0.0,
            decision="answer",
            reason="",
        )
        facts: dict[str, Any] = {
            "at": at,
            "route": "predictions",
            "who": "ana",
            "problem": "brain",
            "dataset": self.loaded.problem.dataset,
            "model_version": self.model.version,
            "prediction": said,
            "descriptors": np.ones(len(descriptors.NAMES), np.float32),
            "embedding": np.asarray(self.reference.mean, np.float32),
        }
        rows = [
            Request(**{"id": f"{at:%j%H%M%S}-{number}", "sha256": digest, **facts, **changed})
            for number, digest in enumerate(digests)
        ]
        requests.add(self.loaded.lake, rows)

    def window(
        self, days: float = 7.0, now: datetime | None = None, policy: DriftPolicy = FEW
    ) -> window.Window:
        nothing = np.zeros(len(self.loaded.samples), np.bool_)
        at = now or datetime.now(UTC)
        return window.of_days(self.loaded, self.model, nothing, days, policy, at)


@pytest.fixture
def served(model: str, draw: Draw) -> Served:
    ingest.fn(source=str(draw([""], 24, name="later", seed=9)))
    featurize.fn()
    predict.fn(model=model)
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    return Served(loaded=loaded, model=models.of_folder(Path(model)))


def test_a_window_holds_what_was_asked_beside_the_batches_and_each_image_once(
    served: Served,
) -> None:
    later = served.loaded.frames.sample_ids[served.loaded.entered() == served.loaded.release.name]
    now = datetime.now(UTC)
    served.asked(["a" * 64, "b" * 64, str(later[0])], now - DAY)
    served.asked(["a" * 64], now - DAY / 2)
    found = served.window().answers
    assert (len(found.rows), int((found.rows < 0).sum())) == (26, 2)
    seen = window.observed(served.loaded, served.model, found)
    assert (seen.n, seen.n_groups) == (26, 26)
    assert np.array_equal(seen.descriptors[found.rows < 0], np.ones((2, len(descriptors.NAMES))))
    assert np.isnan(seen.correct).all()
    assert np.abs(seen.features[found.rows < 0]).max() < 1e-4  # asked about the very mean
    assert np.abs(seen.features[found.rows >= 0]).max() > 0.1


def test_a_window_may_hold_nothing_but_what_was_asked(served: Served) -> None:
    now = datetime.now(UTC) + 30 * DAY
    served.asked(["a" * 64, "b" * 64], now - DAY)
    found = served.window(now=now).answers
    seen = window.observed(served.loaded, served.model, found)
    assert (seen.n, int((found.rows < 0).sum())) == (2, 2)


def test_the_images_of_one_case_are_one_group(served: Served) -> None:
    served.asked(["a" * 64, "b" * 64], datetime.now(UTC) - DAY, route="case")
    found = served.window().answers
    assert len(np.unique(found.groups[found.rows < 0])) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"is_shadow": True},
        {"prediction": None, "refusal": "no image"},
        {"model_version": "9"},
        {"problem": "skin"},
        {"descriptors": np.ones(3, np.float32)},  # of an older version
        {"embedding": np.ones(3, np.float32)},  # likewise
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_the_model_did_not_answer_is_in_no_window(
    served: Served, changed: dict[str, object]
) -> None:
    served.asked(["a" * 64], datetime.now(UTC) - DAY, **changed)
    assert (served.window().answers.rows >= 0).all()


def test_a_small_window_is_joined_with_those_before_it_and_says_so(served: Served) -> None:
    now = datetime.now(UTC)
    served.asked(["a" * 64, "b" * 64], now + 15 * DAY)
    policy = DriftPolicy(min_images=20, min_groups=2)
    found = served.window(now=now + 16 * DAY, policy=policy)
    assert (found.days, len(found.answers.rows)) == (21.0, 26)
    assert found.name == f"21-days-to-{now + 16 * DAY:%Y-%m-%d}"
    assert "3 windows of 7 days joined: fewer had less than 20 images or 2 groups" in found.note
    enough = served.window(now=now + 16 * DAY)
    assert (enough.days, len(enough.answers.rows), enough.note) == (7.0, 2, "")


def test_no_more_windows_are_joined_than_the_policy_says(served: Served) -> None:
    now = datetime.now(UTC)
    served.asked(["a" * 64], now + 15 * DAY)
    policy = DriftPolicy(min_images=20, min_groups=2, accumulate=2)
    assert len(served.window(now=now + 16 * DAY, policy=policy).answers.rows) == 1


def test_answers_of_a_clock_that_went_ahead_are_in_no_window_and_it_is_said(
    served: Served,
) -> None:
    now = datetime.now(UTC)
    served.asked(["a" * 64, "b" * 64], now + 3 * DAY)
    found = served.window(now=now + timedelta(minutes=1))
    assert len(found.answers.rows) == 24
    assert found.note.startswith("2 answers are dated ahead of this clock")


def test_a_time_without_answers_is_an_error_that_says_what_to_do(served: Served) -> None:
    with pytest.raises(ConfigError, match=r"window 7-days-to-.* has no prediction by"):
        served.window(now=datetime.now(UTC) - 30 * DAY)


def test_readers_are_asked_for_nothing_that_the_lake_does_not_hold(served: Served) -> None:
    served.asked([f"{number:064x}" for number in range(40)], datetime.now(UTC))
    compared = drift.observe(served.loaded, served.model, None, 7.0, DriftPolicy())
    steady = Verdict(window="", reference="", signals=(), verdict="steady", reason="")
    audit.draw(served.loaded, served.model, compared, steady, DriftPolicy(audit=64), 7.0)
    drawn = audits.of_version(served.loaded.lake, "brain", served.model.version)
    frames = served.loaded.frames
    later = served.loaded.entered() == served.loaded.release.name
    open_to_readers = frames.sample_ids[later & (frames.splits != "test")]
    assert {each.sha256 for each in drawn} == set(open_to_readers.tolist())


def test_a_format_is_noted_in_full_however_long_its_name_is(model: str, tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        slice_ = dataset(rng.integers(0, 4096, (96, 96)).astype(np.uint16))
        (folder / f"{number}.dcm").write_bytes(written(slice_))
    release = ingest.fn(source=str(folder))["release"]
    featurize.fn()
    predict.fn(model=model)
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    compared = drift.observe(loaded, models.of_folder(Path(model)), release, 7.0, DriftPolicy())
    full = "96x96 DICOM MONOCHROME2 16 bit, 0.5-99.5 percentile"
    assert set(compared.window.formats) == {full}


def test_answers_after_a_window_of_the_past_are_not_in_it(served: Served) -> None:
    now = datetime.now(UTC)
    served.asked(["a" * 64, "b" * 64, "c" * 64], now + 3 * DAY)
    served.asked(["d" * 64], now + 2 * DAY)
    found = served.window(now=now + 2 * DAY + timedelta(minutes=1))
    assert int((found.answers.rows < 0).sum()) == 1
    assert found.until == now + 2 * DAY + timedelta(minutes=1)


def test_the_first_answer_is_that_of_a_batch_or_of_who_asked(served: Served) -> None:
    batch = window.first_answer(served.loaded, served.model)
    assert batch is not None
    served.asked(["a" * 64], batch - 3 * DAY)
    served.asked(["b" * 64], batch - 9 * DAY, model_version="another")
    served.asked(["c" * 64], batch - 8 * DAY, is_shadow=True)
    assert window.first_answer(served.loaded, served.model) == batch - 3 * DAY


def test_no_image_of_the_test_split_is_on_a_page(served: Served) -> None:
    compared = drift.observe(served.loaded, served.model, None, 7.0, DriftPolicy())
    splits = served.loaded.frames.splits
    splits[compared.rows] = np.where(np.arange(len(compared.rows)) < 20, "test", "train")
    assert drift.may_be_shown(served.loaded, compared).tolist() == [20, 21, 22, 23]
    only_asked = replace(compared, rows=np.full(len(compared.rows), -1))
    assert drift.may_be_shown(served.loaded, only_asked).tolist() == []
