"""A promotion and a rollback against a real registry, without a server."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.rollback import rollback
from neuro.errors import ConfigError
from neuro.lake import journal
from neuro.models import package
from neuro.problems import problem as problems
from neuro.promotion.gates import PromotionConfig
from neuro.promotion.retrain_envelope import Envelope
from tasks import evaluate as evaluation
from tasks import promote
from tasks.evaluate import Looked
from tasks.load import models, release_data
from tasks.load.release_data import Loaded
from tasks.record import registry, tracking

BRAIN = problems.load("brain")
OPEN = Envelope()
WIDE = Envelope(promotion=PromotionConfig(margin=0.45))  # few groups do not show more


@pytest.fixture
def registered(home: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The numbers of two versions of one package, in a registry of MLflow's in the home."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    monkeypatch.chdir(home)
    tracking.client.cache_clear()
    found = package.open_verified(Path(model))
    made = []
    for _ in range(2):
        run = tracking.client().create_run("0")
        tracking.client().log_artifacts(run.info.run_id, model, "package")
        made.append(registry.register(run.info.run_id, "brain", found).version)
    yield made
    tracking.client.cache_clear()


def right(loaded: Loaded, model: models.Model) -> Looked:
    """The model as if each of its answers were right."""
    looked = evaluation.evaluate(loaded, model)
    labels = looked.evaluation.targets
    certain = np.eye(len(BRAIN.classes))[labels]
    answers = replace(looked.evaluation, called=labels, probabilities=certain)
    return replace(looked, evaluation=answers.take(labels >= 0))


@pytest.fixture
def loaded(model: str) -> Loaded:
    return release_data.load(release_data.open_lake(None), BRAIN)


def promoted(loaded: Loaded, looked: Looked, envelope: Envelope = OPEN) -> dict[str, Any]:
    return promote.promote(loaded, looked, None, envelope, promote.BY_HAND)


def serving() -> str:
    champion = registry.champion("brain")
    return champion.version if champion else ""


def test_what_is_in_no_registry_is_not_said_to_be_promoted(loaded: Loaded, model: str) -> None:
    entry = promoted(loaded, right(loaded, models.load(BRAIN, model)))
    assert (entry["decision"], entry["is_promoted"]) == ("promote", False)
    assert "no registry has it" in entry["reason"]


def test_each_decision_by_hand_is_written_down_and_one_of_a_cause_once(
    loaded: Loaded, model: str
) -> None:
    looked = right(loaded, models.load(BRAIN, model))
    for _ in range(3):
        promoted(loaded, looked)
        promote.promote(loaded, looked, None, OPEN, "brain/month/2026-11")
    causes = [entry.body["cause"] for entry in journal.entries(loaded.lake, "decision")]
    assert sorted(causes) == ["brain/month/2026-11", *[promote.BY_HAND] * 3]


@pytest.mark.parametrize(
    ("limits", "is_promoted"), [(OPEN, True), (Envelope(needs_approval=True), False)]
)
def test_what_needs_approval_passes_the_gate_and_is_not_promoted(
    loaded: Loaded, registered: list[str], limits: Envelope, *, is_promoted: bool
) -> None:
    entry = promoted(loaded, right(loaded, models.by_version(BRAIN, registered[0])), limits)
    assert (entry["decision"], entry["is_promoted"]) == ("promote", is_promoted)
    assert bool(serving()) is is_promoted


def test_the_champion_before_this_one_serves_again_and_the_journal_says_who_wanted_it(
    loaded: Loaded, registered: list[str]
) -> None:
    first, second = registered
    looked = [right(loaded, models.by_version(BRAIN, version)) for version in registered]
    promoted(loaded, looked[0])
    promote.promote(loaded, looked[1], looked[0], WIDE, "brain/month/2026-11")
    assert serving() == second
    told = rollback.fn(reason="misses pituitary", who="ada")
    assert (told["version"], told["previous"], serving()) == (first, second, first)
    (kept,) = journal.entries(loaded.lake, "rollback")
    assert (kept.body["who"], kept.body["reason"]) == ("ada", "misses pituitary")
    with pytest.raises(ConfigError, match=f"no champion of brain came before version {first}"):
        rollback.fn(reason="again")
    assert rollback.fn(version=second, reason="it was the scanner")["version"] == serving()


def test_the_best_that_served_is_compared_with_too_and_that_is_a_look(
    loaded: Loaded, registered: list[str]
) -> None:
    """Two versions of one package, of which the first was promoted by answers that were right."""
    first, second = (models.by_version(BRAIN, version) for version in registered)
    as_they_are = evaluation.evaluate(loaded, second)
    promoted(loaded, right(loaded, first))
    looks = len(journal.entries(loaded.lake, "look"))
    entry = promote.promote(loaded, as_they_are, as_they_are, WIDE, promote.BY_HAND)
    (gate,) = (gate for gate in entry["gates"] if gate["name"] == "no_worse_than_best")
    assert gate["value"] == 0.0
    assert f"version {registered[0]}, the best" in gate["explanation"]
    assert len(journal.entries(loaded.lake, "look")) == looks + 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"reason": " "}, "needs a reason"),
        ({"reason": "x", "version": "1"}, "version 1 of brain serves now"),
        ({"reason": "x", "version": "2"}, "version 2 of brain never served, those that did are 1"),
        ({"reason": "x", "problem": "chest"}, "problem chest has no champion"),
    ],
)
def test_a_rollback_that_cannot_be_is_refused_and_nothing_moves(
    loaded: Loaded, registered: list[str], asked: dict[str, str], says: str
) -> None:
    promoted(loaded, right(loaded, models.by_version(BRAIN, registered[0])))
    with pytest.raises(ConfigError, match=says):
        rollback.fn(**asked)
    assert (serving(), journal.entries(loaded.lake, "rollback")) == ("1", [])


def test_a_rollback_that_was_killed_before_the_alias_moved_is_done_by_the_same_call(
    loaded: Loaded, registered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = [right(loaded, models.by_version(BRAIN, version)) for version in registered]
    promoted(loaded, looked[0])
    promote.promote(loaded, looked[1], looked[0], WIDE, "brain/month/2026-11")
    with monkeypatch.context() as broken:
        broken.setattr(registry, "set_alias", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rollback.fn(reason="misses pituitary")
    assert serving() == registered[1]
    assert rollback.fn(reason="misses pituitary")["version"] == serving() == registered[0]


def test_a_package_that_was_altered_does_not_serve_again(
    loaded: Loaded, registered: list[str], home: Path
) -> None:
    looked = [right(loaded, models.by_version(BRAIN, version)) for version in registered]
    promoted(loaded, looked[0])
    promote.promote(loaded, looked[1], looked[0], WIDE, "brain/month/2026-11")
    card = next((home / "packages").glob("*/model.json"))
    card.write_bytes(card.read_bytes() + b" ")
    with pytest.raises(package.PackageError):
        rollback.fn(reason="misses pituitary")
    assert (serving(), journal.entries(loaded.lake, "rollback")) == (registered[1], [])
