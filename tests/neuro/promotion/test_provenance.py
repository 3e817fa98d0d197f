"""Which edges facts give; each expected set is written down from what the journal's writers do."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from neuro.errors import UnknownNameError
from neuro.lake.journal import Entry
from neuro.lake.releases import Release
from neuro.promotion import lineage_facts, named_nodes, provenance
from neuro.promotion.lineage_facts import Arrival, Facts, Predicted, Version

START = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO = "1" * 64, "2" * 64


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def release(name: str, parent: str = "", at: float = 0, note: str = "") -> Release:
    return Release(
        name=name,
        dataset="brain",
        tables={},
        content_hash="",
        passport={},
        parent=parent,
        creator=f"run-{name}",
        note=note,
        n=4,
        is_synthetic=True,
        created_at=day(at),
    )


def line(kind: str, key: str, at: float, **body: Any) -> Entry:
    told = {"problem": "brain", **body}
    return Entry(number=0, key=f"{kind}/{key}", kind=kind, body=told, at=day(at))


def edges(*entries: Entry, **facts: Any) -> set[tuple[str, str]]:
    given = {"releases": [release("brain-1"), release("brain-2", "brain-1", 5)], **facts}
    return set(provenance.lineage(Facts(entries=entries, **given)).edges)


def predicted(version: str, window: str, first: float, last: float) -> Predicted:
    return Predicted(
        problem="brain", version=version, window=window, n=3, first=day(first), last=day(last)
    )


def test_lines_of_kinds_nobody_knew_are_tied_by_what_they_name() -> None:
    """An approval names the key of its decision; a lock a release."""
    decision = line("decision", "brain/2/x", 1, challenger="2", champion="1", is_promoted=False)
    approval = line(
        "approval",
        "brain/1",
        2,
        version="2",
        previous="1",
        who="ada",
        decision=decision.key,
        is_promoted=True,
    )
    lock = line("lock", "brain/1", 3, release="brain-2", who="ada")
    found = edges(decision, approval, lock)
    assert (decision.key, approval.key) in found
    assert (approval.key, f"champion/{approval.key}") in found
    assert (decision.key, f"champion/{decision.key}") not in found
    assert ("brain-2", lock.key) in found
    assert ("model/brain/2", approval.key) in found


def test_a_claim_that_failed_leads_to_the_next_and_the_last_one_to_the_training() -> None:
    cause = "brain/verdict/brain-2/model-1/brain-2"
    verdict = line("verdict", cause, 1, cause=cause, model="1", window="brain-2")
    first = line("claim", f"retrain/{cause}/0", 2, cause=cause, flow_run_id="a")
    failed = line("failed", f"{cause}/0", 3, cause=cause, error="DamagedError: image c0ffee is")
    second = line("claim", f"retrain/{cause}/1", 4, cause=cause, flow_run_id="b")
    decision = line("decision", f"brain/2/{cause}", 6, cause=cause, challenger="2", champion="1")
    two = Version(problem="brain", version="2", digest=TWO, release="brain-2", run_id="m")
    entries = (verdict, first, failed, second, decision)
    found = edges(*entries, versions=[two])
    chain = [verdict.key, first.key, failed.key, second.key, "training/m", "model/brain/2"]
    assert set(pairwise(chain)) < found
    assert (first.key, "training/m") not in found
    made = provenance.lineage(Facts(entries=entries, versions=[two]))
    assert made.nodes[failed.key].says == "DamagedError"
    assert named_nodes.find(made, "brain", cause).id == verdict.key


def test_a_decision_comes_of_the_looks_of_its_own_evaluation_alone() -> None:
    def look(number: int, at: float, model: str, read_by: str = "evaluation") -> Entry:
        told = {"model": model, "release": "brain-2", "read_by": read_by, "test_set": "brain/own"}
        return line("look", f"brain/own/{number}", at, **told)

    first = line("decision", "brain/1/x", 0, challenger="1", champion="", is_promoted=True)
    looks = [look(1, 1, "2"), look(2, 2, "2"), look(3, 2.1, "1"), look(4, 2.2, "3")]
    looks += [look(5, 2.3, "1", read_by="drift"), look(6, 9, "2")]
    told = {"challenger": "2", "champion": "1", "is_promoted": True, "release": "brain-2"}
    decision = line("decision", "brain/2/x", 3, **told)
    found = edges(first, *looks, decision)
    assert {cause for cause, effect in found if effect == decision.key} == {
        *("brain-2", "model/brain/1", "model/brain/2", "look/brain/own/2", "look/brain/own/3")
    }
    assert ("brain-2", "test-set/brain-2/own") in found
    assert ("test-set/brain-2/own", "look/brain/own/6") in found


@pytest.mark.parametrize(
    ("version", "first", "by"),
    [
        ("1", 1, set()),  # before anybody served
        ("1", 3, {"champion/decision/brain/1/x"}),
        ("2", 3, set()),  # a challenger that was asked
        ("2", 5, {"champion/decision/brain/2/x"}),
        ("1", 7, {"champion/rollback/brain/1"}),
    ],
)
def test_predictions_come_of_the_change_by_which_their_model_served_then(
    version: str, first: float, by: set[str]
) -> None:
    entries = [
        line("decision", "brain/1/x", 2, challenger="1", champion="", is_promoted=True),
        line("decision", "brain/2/x", 4, challenger="2", champion="1", is_promoted=True),
        line("rollback", "brain/1", 6, version="1", previous="2", reason="x", who="ada"),
    ]
    found = edges(*entries, predicted=[predicted(version, "brain-2", first, first)])
    node = f"predictions/brain/{version}/brain-2"
    assert {cause for cause, effect in found if effect == node} == {
        f"model/brain/{version}",
        "brain-2",
        *by,
    }


def test_a_verdict_on_the_last_days_rests_on_what_was_predicted_then_and_was_not_trained_on() -> (
    None
):
    one = Version(problem="brain", version="1", digest=ONE, release="brain-1")
    groups = [
        predicted("1", "brain-1", 19, 19),  # trained on
        predicted("1", "brain-2", 11, 14),
        predicted("1", "brain-3", 1, 12),  # before
        predicted("1", "brain-4", 21, 22),  # afterwards
        predicted("2", "brain-2", 19, 19),  # by another
    ]
    verdict = line("verdict", "v", 20, model="1", window="7-days-to-2026-01-21")
    found = edges(verdict, versions=[one], predicted=groups)
    judged = {cause for cause, effect in found if effect == verdict.key}
    assert judged == {"model/brain/1", "predictions/brain/1/brain-2"}


def test_weights_of_one_model_from_which_another_started_tie_them() -> None:
    facts = {"problem": "brain", "release": "brain-1", "code_revision": "c"}
    one = Version(version="1", digest=ONE, weights="w1", starts_from="w0", **facts)
    two = Version(version="2", digest=TWO, weights="w2", starts_from="w1", **facts)
    made = provenance.lineage(Facts(releases=[release("brain-1")], versions=[one, two]))
    assert made.ancestors("model/brain/2") == {
        *("brain-1", "run/run-brain-1", "code/c", "weights/w0", "weights/w1"),
        *(f"training/{ONE}", f"training/{TWO}", "model/brain/1"),
    }


def test_a_restored_release_comes_of_the_one_it_restores() -> None:
    third = release("brain-3", "brain-2", 9, note="restore of brain-1")
    found = edges(releases=[release("brain-1"), release("brain-2", "brain-1"), third])
    assert {cause for cause, effect in found if effect == "brain-3"} == {
        *("brain-1", "brain-2", "run/run-brain-3")
    }


def test_a_run_says_what_it_brought_and_whose_labels() -> None:
    brought = Arrival(run_id="run-brain-1", n_images=4, labels={"source": 3, "A. Reader": 1})
    made = provenance.lineage(Facts(releases=[release("brain-1")], arrivals=[brought]))
    node = made.nodes["run/run-brain-1"]
    assert (node.who, node.says) == (
        "A. Reader",
        "4 images, 1 labels by A. Reader, 3 labels by source",
    )


def test_without_a_registry_a_look_says_which_package_a_version_is() -> None:
    card = Version(problem="brain", version=ONE, digest=ONE, release="brain-1")
    look = line("look", "brain/own/1", 1, model="7", package=ONE)
    (told,) = lineage_facts.versions([], [card], [look])
    assert (told.version, told.digest, told.release) == ("7", ONE, "brain-1")
    registered = Version(problem="brain", version="7", digest=ONE, run_id="m", at=day(3))
    (known,) = lineage_facts.versions([registered], [card], [look])
    assert (known.run_id, known.at, known.release) == ("m", day(3), "brain-1")


def test_a_package_of_two_versions_is_not_guessed() -> None:
    versions = [Version(problem="brain", version=each, digest=ONE) for each in "12"]
    made = provenance.lineage(Facts(versions=versions))
    with pytest.raises(UnknownNameError, match=r"one of 2.*model/brain/1, model/brain/2"):
        named_nodes.find(made, "brain", ONE[:10])
