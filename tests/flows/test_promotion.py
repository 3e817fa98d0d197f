"""A promotion and a rollback against a real registry, without a server."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.rollback import rollback
from neuro.errors import ConfigError
from neuro.evaluation import evaluate as scoring
from neuro.lake import journal, labels
from neuro.lake.labels import Annotation
from neuro.models import package
from neuro.problems import problem as problems
from neuro.promotion.gates import PromotionConfig
from neuro.promotion.retrain_envelope import Envelope
from tasks import evaluate as evaluation
from tasks import promote
from tasks.evaluate import Looked
from tasks.load import models
from tasks.load.release_data import Loaded
from tasks.record import registry, tracking

BRAIN = problems.load("brain")
OPEN = Envelope(needs_approval=False)
MONTHLY = "brain/month/2026-11"  # a cause that no person is behind
WIDE = Envelope(promotion=PromotionConfig(margin=0.45))  # few groups do not show more


def scored(loaded: Loaded, model: models.Model) -> Looked:
    """A model on the test split, without what a person reads of it."""
    found = scoring.evaluate(model.engine, loaded.frames, "test", model_version=model.version)
    return Looked(evaluation=found, looks=None, lookup={}, model=model, url="")


def right(loaded: Loaded, model: models.Model) -> Looked:
    """The model as if each of its answers were right."""
    looked = scored(loaded, model)
    labels = looked.evaluation.targets
    certain = np.eye(len(BRAIN.classes))[labels]
    answers = replace(looked.evaluation, called=labels, probabilities=certain)
    return replace(looked, evaluation=answers.take(labels >= 0))


def promoted(loaded: Loaded, looked: Looked, envelope: Envelope = OPEN) -> dict[str, Any]:
    return promote.promote(loaded, looked, None, envelope, promote.BY_HAND)


def serving() -> str:
    champion = registry.champion("brain")
    return champion.version if champion else ""


def test_what_is_in_no_registry_is_not_said_to_be_promoted(loaded: Loaded, model: str) -> None:
    entry = promoted(loaded, right(loaded, models.load(BRAIN, model)))
    assert (entry["decision"], entry["is_promoted"]) == ("promote", False)
    assert "no registry has it" in entry["reason"]


def test_a_decision_says_what_the_challenger_cost(loaded: Loaded, model: str) -> None:
    looked = right(loaded, models.load(BRAIN, model))
    first = promoted(loaded, looked)["cost"]
    assert first["seconds"] > 0
    assert first["kwh"] > 0
    assert first["labels"] == 0  # those that came with the images are nobody's work
    said = Annotation(label="glioma", who="ana", at=datetime.now(UTC) + timedelta(seconds=2))
    one = str(loaded.frames.sample_ids[0])
    labels.add_reviewed(loaded.lake, BRAIN.dataset, one, said, "review-1")
    assert promoted(loaded, looked)["cost"]["labels"] == 1


def test_each_decision_by_hand_is_written_down_and_one_of_a_cause_once(
    loaded: Loaded, model: str
) -> None:
    looked = right(loaded, models.load(BRAIN, model))
    for _ in range(3):
        promoted(loaded, looked)
        promote.promote(loaded, looked, None, OPEN, "brain/month/2026-11")
    causes = [entry.body["cause"] for entry in journal.entries(loaded.lake, "decision")]
    assert sorted(causes) == ["brain/month/2026-11", *[promote.BY_HAND] * 3]


@pytest.mark.parametrize(("limits", "is_promoted"), [(OPEN, True), (Envelope(), False)])
def test_what_needs_approval_passes_the_gate_and_is_not_promoted(
    loaded: Loaded, registered: list[str], limits: Envelope, *, is_promoted: bool
) -> None:
    looked = right(loaded, models.by_version(BRAIN, registered[0]))
    entry = promote.promote(loaded, looked, None, limits, MONTHLY)
    assert (entry["decision"], entry["is_promoted"]) == ("promote", is_promoted)
    assert entry["waits_for"] == (None if is_promoted else "approval")
    assert bool(serving()) is is_promoted


def test_the_champion_before_this_one_serves_again_and_the_journal_says_who_wanted_it(
    loaded: Loaded, registered: list[str]
) -> None:
    first, second, _ = registered
    looked = [right(loaded, models.by_version(BRAIN, version)) for version in registered]
    promoted(loaded, looked[0])
    promote.promote(loaded, looked[1], looked[0], WIDE, promote.BY_HAND)
    assert serving() == second
    told = rollback.fn(reason="misses pituitary", who="ada")
    assert told["champion"] == first
    assert (told["version"], told["previous"], serving()) == (first, second, first)
    (kept,) = journal.entries(loaded.lake, "rollback")
    assert (kept.body["who"], kept.body["reason"]) == ("ada", "misses pituitary")
    with pytest.raises(ConfigError, match=f"no champion of brain came before version {first}"):
        rollback.fn(reason="again")
    assert rollback.fn(version=second, reason="it was the scanner")["version"] == serving()


def test_the_best_that_served_is_compared_with_too_and_that_is_a_look(
    loaded: Loaded, registered: list[str]
) -> None:
    """Versions of one package, of which the first was promoted by answers that were right."""
    found = [models.by_version(BRAIN, version) for version in registered]
    as_they_are = [scored(loaded, model) for model in found]
    promoted(loaded, right(loaded, found[0]))
    worse = {"challenger": [{"name": "macro_f1", "value": 0.5}]}
    body = {"problem": "brain", "challenger": registered[1], "champion": registered[0]}
    body |= {"is_promoted": True, "reason": "", "cause": "x", "old_test": worse}
    journal.record(loaded.lake, "decision", "x", body, datetime.now(UTC))
    looks = len(journal.entries(loaded.lake, "look"))
    entry = promote.promote(loaded, as_they_are[2], as_they_are[1], WIDE, promote.BY_HAND)
    (gate,) = (gate for gate in entry["gates"] if gate["name"] == "no_worse_than_best")
    assert gate["value"] == 0.0
    assert f"version {registered[0]}, the best" in gate["explanation"]
    assert len(journal.entries(loaded.lake, "look")) == looks + 1


def test_a_challenger_is_measured_beside_the_champion_and_is_a_new_look_and_the_champion_is_none(
    loaded: Loaded, registered: list[str]
) -> None:
    """Two versions of one package: as large, about as fast, and one package on one release."""
    first, second, _ = (models.by_version(BRAIN, version) for version in registered)
    promoted(loaded, right(loaded, first))
    pair = evaluation.evaluate(loaded, second), evaluation.evaluate(loaded, first)
    references = [look.body["as_reference"] for look in journal.entries(loaded.lake, "look")]
    assert references == [False, True]
    entry = promote.promote(loaded, *pair, WIDE, promote.BY_HAND)
    gates = {gate["name"]: gate for gate in entry["gates"]}
    page = Path(entry["report"]).read_text()
    for name in gates:
        assert name.replace("_", " ") in page
    tags = tracking.client().get_model_version("neuro-brain", "2").tags
    assert [gate["name"] for gate in json.loads(tags["gates"])] == list(gates)
    assert gates["size_no_worse"]["value"] == 1.0
    assert gates["latency_no_worse"]["outcome"] == "passed"
    assert (entry["look"], entry["error"]) == (1, pytest.approx(0.025))
    assert entry["groups_needed"]["there"] == len(set(pair[0].evaluation.groups))


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
    promote.promote(loaded, looked[1], looked[0], WIDE, promote.BY_HAND)
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
    promote.promote(loaded, looked[1], looked[0], WIDE, promote.BY_HAND)
    card = next((home / "packages").glob("*/model.json"))
    card.write_bytes(card.read_bytes() + b" ")
    with pytest.raises(package.PackageError):
        rollback.fn(reason="misses pituitary")
    assert (serving(), journal.entries(loaded.lake, "rollback")) == (registered[1], [])
