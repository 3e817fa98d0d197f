from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuro.errors import ConfigError, TrainingError
from neuro.promotion import retrain_envelope
from neuro.promotion.drift_policy import DriftPolicy
from neuro.promotion.retrain_envelope import Candidate, Envelope, RetrainRequest
from neuro.training import config

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
REQUEST = RetrainRequest(problem="brain", model="resnet_small", epochs=20, seconds=600)


def test_the_default_envelope_lets_an_ordinary_training_start() -> None:
    assert retrain_envelope.check(Envelope(), REQUEST, started=(), now=NOW) is None


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("preset", config.PRESETS)
def test_the_default_envelope_lets_a_champion_of_any_preset_train_again(
    preset: str, kind: str
) -> None:
    asked = replace(REQUEST, epochs=config.choose(preset, {}, images=100, kind=kind).epochs)
    assert retrain_envelope.check(Envelope(), asked, started=(), now=NOW) is None


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Envelope(problems=("chest",)), "brain is not among the envelope's problems: chest"),
        (Envelope(problems=()), "brain is not among"),
        (Envelope(architectures=("resnet18",)), "resnet_small is not among"),
        (Envelope(max_epochs=19), "20 epochs exceed the envelope's 19"),
        (Envelope(max_seconds=599), "600 s exceed the envelope's 599 s"),
    ],
)
def test_what_lies_outside_the_envelope_is_refused_with_the_reason(
    limits: Envelope, says: str
) -> None:
    refusal = retrain_envelope.check(limits, REQUEST, started=(), now=NOW)
    assert refusal is not None
    assert says in refusal


def test_no_time_at_all_lets_nothing_start() -> None:
    refusal = retrain_envelope.check(
        Envelope(max_seconds=0), replace(REQUEST, seconds=0), started=(), now=NOW
    )
    assert refusal == "0 s exceed the envelope's 0 s"


def test_a_training_that_has_used_up_its_time_is_stopped() -> None:
    retrain_envelope.require_time(60, 60, epochs="3 of 20")
    with pytest.raises(TrainingError, match=r"after epoch 3 of 20: 61 s .* exceed max_seconds 60 "):
        retrain_envelope.require_time(61, 60, epochs="3 of 20")


@pytest.mark.parametrize(
    ("waited_s", "may_start"),
    [(3599, False), (3600, True), (-3599, False), (-3600, True), (-1e9, True)],
)
def test_the_cool_down_counts_from_the_last_start(waited_s: int, *, may_start: bool) -> None:
    last = NOW - timedelta(seconds=waited_s)
    refusal = retrain_envelope.check(Envelope(cool_down_s=3600), REQUEST, started=[last], now=NOW)
    assert (refusal is None) is may_start


@pytest.mark.parametrize(("n", "may_start"), [(2, True), (3, False)])
def test_so_many_start_by_themselves_within_a_month(n: int, *, may_start: bool) -> None:
    hours = timedelta(hours=12)
    started = [NOW - (number + 1) * hours for number in range(n)]
    started += [NOW - timedelta(days=30)] * 9  # of before
    limits = Envelope(cool_down_s=3600, max_per_month=3)
    refusal = retrain_envelope.check(limits, REQUEST, started=started, now=NOW)
    assert (refusal is None) is may_start


def test_the_drift_table_of_a_file_says_how_windows_are_judged(tmp_path: Path) -> None:
    file = tmp_path / "envelope.toml"
    file.write_text('[drift]\nretrain_on = "drift"\naudit = 10\n')
    found = retrain_envelope.load(file).drift
    assert found == DriftPolicy(retrain_on="drift", audit=10)
    assert found.stated == {"retrain_on": "drift", "audit": 10}


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "envelope.toml"
    file.write_text('problems = ["brain"]\nneeds_approval = true\n[promotion]\nmargin = 0.02\n')
    found = retrain_envelope.load(file)
    assert (found.problems, found.needs_approval, found.promotion.margin) == (
        ("brain",),
        True,
        0.02,
    )
    assert found.max_epochs == Envelope().max_epochs


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[drift]\naudits = 3", r"\[drift\] of .*unknown 'audits': did you mean 'audit'"),
        ("[drift]\naudit = 1.5", "audit must be 0 to 10000, got 1.5"),
        ("[drift]\naudit = true", "audit must be 0 to 10000, got True"),
        ('[drift]\nalpha = "low"', "alpha must be between 0 and 1, got 'low'"),
        ("[drift]\nretrain_on = 1", "retrain_on must be harm, labels or drift, got 1"),
        ("drift = 3", r"drift must be a table, \[drift\]"),
        ("max_epoch = 3", "unknown 'max_epoch': did you mean 'max_epochs'"),
        ("max_epochs = -1", "max_epochs must be a number from 0"),
        ("max_seconds = nan", "max_seconds must be a number from 0"),
        ('cool_down_s = "6 h"', "cool_down_s must be a number"),
        ('problems = "brain"', "problems must be a list"),
        ("needs_approval = 1", "needs_approval must be true or false"),
        ("changes_preprocess = 1", "changes_preprocess must be true or false"),
        ("approvals = 0", "approvals must be 1 to 9"),
        ('approvals = 2\napprovers = ["ada"]', "asks for 2 persons, and approvers names 1"),
        ("[promotion]\nmargin = 2", "promotion.margin"),
        ("[promotion]\nmargins = 0.1", "unknown 'margins': did you mean 'margin'"),
        ("promotion = 3", "promotion"),
        ("problems = [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_by_field(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "envelope.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        retrain_envelope.load(file)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        retrain_envelope.load(tmp_path / "nowhere.toml")


def candidate(*, model: str = "resnet_small", sees_other_pictures: bool = False) -> Candidate:
    return Candidate(problem="brain", model=model, sees_other_pictures=sees_other_pictures)


def test_a_candidate_inside_the_envelope_needs_no_person_for_what_it_is() -> None:
    assert retrain_envelope.outside(Envelope(), candidate()) is None


def test_a_candidate_of_another_architecture_is_outside_by_the_line_of_the_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "brain.toml"
    file.write_text('# ours\narchitectures = ["resnet18"]\n')
    found = retrain_envelope.outside(retrain_envelope.load(file), candidate())
    assert found is not None
    assert 'brain.toml line 2: architectures = ["resnet18"]' in found


def test_a_candidate_that_sees_other_pictures_is_outside_unless_the_envelope_allows_it() -> None:
    other = candidate(sees_other_pictures=True)
    found = retrain_envelope.outside(Envelope(), other)
    assert found is not None
    assert "the default, changes_preprocess = False" in found
    assert retrain_envelope.outside(Envelope(changes_preprocess=True), other) is None
