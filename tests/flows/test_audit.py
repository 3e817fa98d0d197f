"""The audit sample of a window: drawn once, read by people, and evidence about the model."""

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
from monitoring import verdicts
from monitoring.harm import Evidence
from monitoring.verdicts import Verdict
from neuro.lake import audits, erasure, journal, work_list
from neuro.lake.audits import Audited
from neuro.lake.work_list import AUDIT, CANNOT_TELL, FINAL, FIRST, Read, WorkKey
from neuro.problems import problem as problems
from neuro.promotion.drift_policy import DriftPolicy
from tasks import audit, drift
from tasks.drift import Compared
from tasks.load import models, release_data
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tests.flows.conftest import Draw

# So many of a window of 24 groups are drawn uniformly, of 15, too: never fewer than asked for,
# whatever a model that another processor has trained calls the images.
N = 9


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
        config = DriftPolicy(audit=n)
        return audit.draw(self.loaded, self.model, self.compared, steady, config, days)

    def as_version(self, version: str, drawn: Sequence[Audited], **changed: Any) -> "Asked":
        """The same window answered by another version, for which so many were drawn, changed."""
        rows = [replace(each, model_version=version, **changed) for each in drawn]
        audits.add(self.loaded.lake, rows)
        return replace(self, model=replace(self.model, version=version))

    def evidence(self) -> Evidence | None:
        return audit.evidence(self.loaded, self.model, self.compared, DriftPolicy())

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
    return Asked(
        loaded=loaded,
        model=known,
        compared=drift.observe(loaded, known, window, 7.0, DriftPolicy()),
    )


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


def test_a_check_that_runs_more_often_asks_for_no_more_labels(asked: Asked) -> None:
    asked.draw(days=7)
    drawn = asked.drawn()
    tomorrow = replace(asked, compared=named(asked.compared, "7-days-to-tomorrow"))
    assert tomorrow.draw(days=7) == 0
    week_ago = drawn[0].drawn_at - timedelta(days=7)
    of_last_week = tomorrow.as_version("next", drawn, drawn_at=week_ago)
    assert of_last_week.draw(days=7) == N
    assert len({each.sha256 for each in of_last_week.drawn()}) == 2 * N


def named(compared: Compared, name: str) -> Compared:
    return replace(compared, window_name=name)


def test_a_draw_that_was_cut_short_is_completed(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(work_list, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            asked.draw(days=7)
    assert (len(asked.drawn()), asked.waiting()) == (N, [])
    tomorrow = replace(asked, compared=named(asked.compared, "7-days-to-tomorrow"))
    assert tomorrow.draw(days=7) == N  # it asks for no more, and forgets none
    assert asked.waiting() == [each.sha256 for each in asked.drawn()]


def test_of_two_draws_at_once_one_counts(asked: Asked) -> None:
    asked.draw(8)
    first = asked.drawn()
    later = [
        replace(each, sequence=number, drawn_at=each.drawn_at + timedelta(seconds=1))
        for number, each in enumerate(reversed([*first, *first]))
    ]
    audits.add(asked.loaded.lake, later)
    assert asked.drawn() == first


def test_an_erasure_under_way_holds_no_verdict_back(asked: Asked) -> None:
    erasure.begin(asked.loaded.lake, "erase-1")
    assert asked.draw() == 0
    erasure.end(asked.loaded.lake)
    assert asked.draw() == N


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_readers_decide_is_evidence_by_its_weight(asked: Asked) -> None:
    assert asked.evidence() is None
    asked.draw()
    asked = asked.as_version("half", asked.drawn(), weight=0.5)
    first, second, third, fourth, *_ = asked.drawn()
    wrong = next(name for name in asked.model.package.card.classes if name != first.predicted)
    asked.read(fourth.sha256, wrong)  # out of its turn, as an error that somebody has seen
    assert asked.evidence() is None
    asked.read(first.sha256, wrong)
    asked.read(second.sha256, second.predicted)
    found = asked.evidence()
    assert found is not None
    assert (found.n, found.windows) == (2, 1)
    assert found.recent == pytest.approx(0.5 / 2)
    asked.read(third.sha256, CANNOT_TELL)
    found = asked.evidence()
    assert found is not None
    assert found.n == 3
    assert asked.draw() == 0  # who could not tell is not asked again


def test_what_audits_show_is_heard(asked: Asked) -> None:
    verdict, policy = drift.judge(asked.compared, DriftPolicy()), DriftPolicy()
    assert audit.weigh(asked.loaded, asked.model, asked.compared, verdict, policy) == verdict
    asked.draw()
    # One error, of any model: of one that is seldom right, too.
    asked = asked.as_version("heavy", asked.drawn(), weight=1e6)
    first = asked.drawn()[0]
    classes = asked.model.package.card.classes
    asked.read(first.sha256, next(name for name in classes if name != first.predicted))
    heard = audit.weigh(asked.loaded, asked.model, asked.compared, verdict, policy)
    assert heard.verdict == "retrain"


def test_harm_that_is_shown_later_is_a_cause_of_its_own(asked: Asked, tmp_path: Path) -> None:
    """Labels of readers count without a new release: nothing else of the cause would differ."""
    steady = drift.judge(asked.compared, DriftPolicy())
    shown = Evidence(wealth=200.0, n=80, windows=2, allowed=0.05, recent=0.3)
    heard = verdicts.with_audits(steady, shown, DriftPolicy(), 0.05)
    for verdict in (steady, heard, heard):
        page = tmp_path / "page.html"
        drift.remember(asked.loaded, asked.model, asked.compared, verdict, page, "brain")
    lines = journal.entries(asked.loaded.lake, "verdict")
    assert [each.body["verdict"] for each in lines] == [steady.verdict, "retrain"]
