from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from neuro.errors import ConfigError, TrainingError
from neuro.training import tuning
from neuro.training.config import TrainConfig
from neuro.training.tuning import Attempt, Progress, Trial

CONFIG = TrainConfig(epochs=6)
SPACE = tuning.space(CONFIG, (), size_px=96)
EVERY = {"learning_rate", "weight_decay", "label_smoothing", "mixup", "grow_from"}


def run(attempt: Attempt, level: float) -> Trial:
    """A trial whose macro-F1 is the same after each epoch."""
    for _ in range(CONFIG.epochs):
        attempt.add(level)
        if attempt.is_worse():
            return attempt.pruned()
    return attempt.complete()


def after(levels: Sequence[float]) -> list[Trial]:
    trials: list[Trial] = []
    for level in levels:
        trials.append(run(Attempt(CONFIG, SPACE, trials), level))
    return trials


def test_the_first_trial_is_the_recipe_itself() -> None:
    assert Attempt(CONFIG, SPACE, []).config == CONFIG


def test_every_trial_lies_in_the_space_and_changes_nothing_else() -> None:
    for trial in after([0.5] * 12):
        assert trial.values.keys() == EVERY
        assert all(SPACE[name].low <= v <= SPACE[name].high for name, v in trial.values.items())


def test_trials_come_nearer_to_what_scores_well() -> None:
    trials: list[Trial] = []
    for _ in range(40):
        attempt = Attempt(CONFIG, SPACE, trials)
        attempt.add(1 - attempt.values["mixup"])
        trials.append(attempt.complete())
    mixup = [trial.values["mixup"] for trial in trials]
    assert sum(mixup[-10:]) < sum(mixup[1:11]) / 2


def test_a_trial_depends_on_nothing_but_those_before_it() -> None:
    trials = after([0.5, 0.6, 0.4, 0.9, 0.3, 0.8, 0.7])
    assert Attempt(CONFIG, SPACE, trials).values == Attempt(CONFIG, SPACE, list(trials)).values
    other = replace(CONFIG, seed=1)
    assert Attempt(other, SPACE, trials).values != Attempt(CONFIG, SPACE, trials).values


def test_a_trial_under_the_median_of_three_is_stopped_after_a_third_of_the_epochs() -> None:
    trials = after([0.5, 0.6, 0.7, 0.1, 0.65])
    assert [trial.state for trial in trials] == ["complete"] * 3 + ["pruned", "complete"]
    assert len(trials[3].scores) == 3


def test_a_trial_is_not_stopped_after_its_last_epoch() -> None:
    attempt = Attempt(CONFIG, SPACE, after([0.5, 0.6, 0.7]))
    for score in (0.6, 0.6, 0.6, 0.6, 0.6, 0.1):
        attempt.add(score)
        assert not attempt.is_worse()


def test_with_patience_a_trial_is_worth_its_best_epoch_and_without_its_last() -> None:
    found = []
    for patience in (0, 5):
        attempt = Attempt(replace(CONFIG, patience=patience), SPACE, [])
        for score in (0.2, 0.9, 0.4):
            attempt.add(score)
        found.append(attempt.complete().value)
    assert found == [0.4, 0.9]


def test_of_equal_trials_the_first_is_the_best_and_a_pruned_one_never() -> None:
    trials = after([0.5, 0.7, 0.7])
    stopped = replace(trials[0], number=4, value=None, scores=(0.99,))
    assert tuning.best([*trials, stopped]).number == 2


def test_a_search_in_which_no_trial_ends_says_what_to_lower() -> None:
    lost = Trial(number=1, values={}, scores=(), note="the loss is nan in epoch 1")
    with pytest.raises(TrainingError, match=r"lower --learning-rate .the loss is nan in epoch 1"):
        tuning.best([lost])


def test_what_is_given_is_held_and_what_is_nought_stays_nought() -> None:
    config = replace(CONFIG, weight_decay=0.0)
    found = tuning.space(config, ["model", "mixup"], size_px=96)
    assert found.keys() == EVERY - {"mixup", "weight_decay"}
    with pytest.raises(ConfigError, match="nothing left to search"):
        tuning.space(CONFIG, EVERY, size_px=96)


def test_views_of_small_frames_do_not_grow() -> None:
    assert "grow_from" not in tuning.space(CONFIG, (), size_px=32)


def test_a_recipe_outside_the_usual_widens_the_space_to_itself() -> None:
    config = replace(CONFIG, label_smoothing=0.5, grow_from=0.3)
    assert Attempt(config, tuning.space(config, (), size_px=96), []).config == config


def test_a_space_that_leaves_the_limits_of_a_recipe_is_refused_before_the_first_trial() -> None:
    with pytest.raises(ConfigError, match=r"learning_rate must be .* got 20"):
        tuning.space(replace(CONFIG, learning_rate=5), (), size_px=96)


@pytest.mark.parametrize(("trials", "folds", "told"), [(1, 0, "at least 2"), (3, 3, "--folds 3")])
def test_a_search_that_cannot_be_is_refused(trials: int, folds: int, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        tuning.check(trials, folds, "cnn")


def test_progress_is_read_as_it_was_written_and_half_a_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "new" / "search.json"
    kept = Progress(run_id="a", open_id="b", trials=tuple(after([0.1 + 0.2, 0.5])))
    kept.save(path)
    held = Progress.load(path)
    assert Attempt(CONFIG, SPACE, held.trials).values == Attempt(CONFIG, SPACE, kept.trials).values
    assert [t.value for t in held.trials] == [t.value for t in kept.trials]
    path.write_text(path.read_text()[:-20])
    assert Progress.load(path) == Progress()


def test_the_picture_shows_complete_pruned_and_lost_trials() -> None:
    trials = after([0.5, 0.6, 0.7, 0.1])
    lost = Trial(number=5, values={}, scores=(), note="the loss is nan")
    figure = tuning.draw([*trials, lost], title="t", synthetic=True)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    told = {text.get_text() for text in legend.get_texts()}
    assert told == {"best so far", "complete", "pruned, its best epoch", "no finite loss"}
