"""The audit sample of a window: drawn once, read by people, and evidence about the model."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from flows.featurize import featurize
from flows.ingest import ingest
from flows.predict import predict
from monitoring.harm import Evidence
from monitoring.verdicts import DriftConfig, Verdict
from neuro.lake import audits, work_list
from neuro.lake.audits import Audited
from neuro.lake.work_list import AUDIT, CANNOT_TELL, FINAL, FIRST, Read, WorkKey
from neuro.problems import problem as problems
from tasks import audit, drift
from tasks.drift import Compared
from tasks.load import models, release_data
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tests.flows.conftest import Draw

N = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A window that a model has answered."""

    loaded: Loaded
    model: Model
    compared: Compared

    def drawn(self) -> list[Audited]:
        return audits.of_version(self.loaded.lake, "brain", self.model.version)

    def draw(self, n: int = N, days: float | None = None) -> int:
        steady = Verdict(window="", reference="", signals=(), verdict="steady", reason="")
        config = DriftConfig(audit=n)
        return audit.draw(self.loaded, self.model, self.compared, steady, config, days)

    def waiting(self) -> list[str]:
        every = work_list.readings(self.loaded.lake, "brain")
        return [each.item.key.sha256 for each in every if each.item.source == AUDIT]

    def read(self, sample_id: str, label: str) -> None:
        key, now = WorkKey("brain", sample_id), datetime.now(UTC)
        for step in (FIRST, FINAL):
            work_list.record(self.loaded.lake, key, Read(who="ana", step=step, label=label, at=now))


@pytest.fixture
def asked(model: str, draw: Draw) -> Asked:
    """A window without labels."""
    window = ingest.fn(source=str(draw([""], 24, name="later", seed=9)))["release"]
    featurize.fn()
    predict.fn(model=model)
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    known = models.of_folder(Path(model))
    return Asked(loaded=loaded, model=known, compared=drift.observe(loaded, known, window, 7.0))


def test_what_is_drawn_waits_for_readers_before_all_else_and_once(asked: Asked) -> None:
    assert asked.draw() == N
    drawn = asked.drawn()
    assert [each.sha256 for each in drawn] == asked.waiting()
    assert asked.draw() == 0
    assert asked.drawn() == drawn
    called = dict(
        zip(
            asked.loaded.frames.sample_ids[asked.compared.rows].tolist(),
            asked.compared.called.tolist(),
            strict=True,
        )
    )
    classes = asked.model.package.card.classes
    assert all(classes[called[each.sha256]] == each.predicted for each in drawn)


def test_images_of_the_test_split_are_not_drawn(asked: Asked) -> None:
    asked.loaded.frames.splits[asked.compared.rows[::2]] = "test"
    asked.draw(100)
    ids = asked.loaded.frames.sample_ids[asked.compared.rows[::2]]
    assert not np.isin([each.sha256 for each in asked.drawn()], ids).any()


def test_a_check_that_runs_more_often_asks_for_no_more_labels(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.draw(4, days=7)
    tomorrow = Asked(
        loaded=asked.loaded,
        model=asked.model,
        compared=named(asked.compared, "7-days-to-tomorrow"),
    )
    assert tomorrow.draw(4, days=7) == 0

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=7)

    monkeypatch.setattr(audit, "datetime", Later)
    assert tomorrow.draw(4, days=7) == 4
    assert len({each.sha256 for each in asked.drawn()}) == 8


def named(compared: Compared, name: str) -> Compared:
    return replace(compared, window_name=name)


def test_a_draw_that_was_cut_short_is_completed(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(work_list, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            asked.draw()
    assert (len(asked.drawn()), asked.waiting()) == (N, [])
    assert asked.draw() == N


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_readers_decide_is_evidence_by_its_weight(asked: Asked) -> None:
    assert audit.evidence(asked.loaded, asked.model, asked.compared) is None
    asked.draw()
    first, second, third, *_ = asked.drawn()
    assert audit.evidence(asked.loaded, asked.model, asked.compared) is None
    wrong = next(name for name in asked.model.package.card.classes if name != first.predicted)
    asked.read(first.sha256, wrong)
    asked.read(second.sha256, second.predicted)
    asked.read(third.sha256, CANNOT_TELL)
    found = audit.evidence(asked.loaded, asked.model, asked.compared)
    assert found is not None
    assert (found.n, found.windows) == (2, 1)
    assert found.recent == pytest.approx(first.weight / 2)
    assert asked.draw() == 0  # who could not tell is not asked again


def test_what_audits_show_is_heard(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, config = drift.judge(asked.compared, DriftConfig()), DriftConfig()
    assert audit.weigh(asked.loaded, asked.model, asked.compared, verdict, config) == verdict
    shown = Evidence(wealth=200.0, n=80, windows=2, allowed=0.05, recent=0.3)
    monkeypatch.setattr(audit, "evidence", lambda *_: shown)
    heard = audit.weigh(asked.loaded, asked.model, asked.compared, verdict, config)
    assert heard.verdict == "retrain"
