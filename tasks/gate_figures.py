"""What the gate is told of challenger and champion beside their evaluations."""

import time
from dataclasses import replace
from logging import getLogger

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, NeuroError
from neuro.evaluation import evaluate as scoring
from neuro.evaluation import looks
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.looks import LookBudget
from neuro.lake import journal
from neuro.models.package import Package
from neuro.prediction import latency, predict
from neuro.prediction.latency import Asked
from neuro.prediction.predict import Engine
from neuro.promotion import locked_test, serving
from neuro.promotion.answer_gates import Strangers
from neuro.promotion.cost_gates import Cost
from neuro.promotion.gates import NO_EVIDENCE, Evidence
from neuro.promotion.locked_test import LockedTest
from neuro.synthetic import strangers
from tasks import count_look, evaluation_page
from tasks.evaluate import Looked
from tasks.load import models, release_data, unseen
from tasks.load.models import Model
from tasks.load.release_data import Loaded

_log = getLogger(__name__)

STRANGERS = 40  # drawn pictures of each kind that the gate shows both models
BATCH, ROUNDS, ROUNDS_OF_BATCH = 16, 15, 5  # of the measurement of time


def gather(loaded: Loaded, challenger: Looked, champion: Looked | None) -> Evidence:
    """What both models answer and cost; comparing with the best earlier champion is a look."""
    if champion is None:
        return NO_EVIDENCE
    ours, theirs = (_with_drawn(looked.model) for looked in (challenger, champion))
    tested = challenger.evaluation.sample_ids
    return Evidence(
        known=in_locked_test(loaded, champion, tested),
        columns=evaluation_page.known_of(loaded, tested.tolist()),
        strangers=Strangers(
            challenger=_share_answered(*ours), champion=_share_answered(*theirs), n=len(ours[1])
        ),
        cost=_cost(ours, theirs),
        best=_best_earlier(loaded, champion, tested),
    )


def look_budget(loaded: Loaded, challenger: Looked) -> LookBudget:
    """The number of the challenger on the test set, by the looks in the journal."""
    changed = serving.changes(loaded.lake, loaded.problem.name)
    locked, entries = _locked(loaded), journal.entries(loaded.lake, "look")
    if locked is not None:  # what read releases before saw none of its samples
        before = loaded.releases_until(locked.after)
        entries = [entry for entry in entries if entry.body.get("release") not in before]
    return looks.budget(
        entries,
        loaded.problem,
        loaded.frames,
        package=challenger.model.package.digest,
        release=loaded.release.name,
        served={change.version for change in changed},
    )


def without_worn(loaded: Loaded, looked: Looked) -> Looked:
    """An evaluation without the test samples that are not asked since a person locked others."""
    locked = _locked(loaded)
    if locked is None:
        return looked
    fresh = loaded.frames.sample_ids[~loaded.known_at(locked.after)]
    asked = np.isin(looked.evaluation.sample_ids, fresh)
    return replace(looked, evaluation=looked.evaluation.take(asked))


def in_locked_test(loaded: Loaded, champion: Looked, tested: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which test samples, by sample_id, are the locked test, (n,) bool; the others came later.

    Where the journal does not say what the first champion learnt from, it is that of this one.
    """
    first = locked_test.locked_release(loaded.lake, loaded.problem.name)
    release = first or str(champion.model.package.card.pin["release"])
    return np.isin(tested, loaded.frames.sample_ids[loaded.known_at(release)])


def _with_drawn(model: Model) -> Asked:
    """A model's engine with pictures of no problem, as it takes them."""
    spec = model.package.card.preprocess
    drawn = strangers.draw(STRANGERS, spec.size_px, spec.channels)
    return model.engine, np.concatenate([*drawn.values()])


def _share_answered(engine: Engine, pixels: NDArray[np.uint8]) -> float:
    return float(predict.answer(engine, pixels).calibrated.is_answered.mean())


def _cost(challenger: Asked, champion: Asked) -> Cost:
    def slowdown(n_images: int, rounds: int) -> float:
        ours, theirs = ((engine, pixels[:n_images]) for engine, pixels in (challenger, champion))
        return latency.ratio(ours, theirs, rounds=rounds, clock=time.perf_counter)

    return Cost(
        one_image=slowdown(1, ROUNDS),
        batch=slowdown(BATCH, ROUNDS_OF_BATCH),
        package=_n_bytes(challenger[0].package) / _n_bytes(champion[0].package),
    )


def _n_bytes(package: Package) -> int:
    return sum((package.folder / name).stat().st_size for name in package.files)


def _best_earlier(loaded: Loaded, champion: Looked, tested: NDArray[np.str_]) -> Evaluation | None:
    """The best earlier champion on the same test samples, a look; None where the champion is it.

    Or where it cannot be compared: that is logged, and the gate does without.
    """
    changed = serving.changes(loaded.lake, loaded.problem.name)
    version = serving.best_but(changed, champion.model.version)
    if not version:
        return None
    try:
        model = models.earlier(loaded.problem, version)
        decoded = release_data.decoded_for(loaded, model.problem_as_trained(loaded.problem))
        rows = decoded.frames.labelled("test")
        if (
            unseen.is_untold(decoded, model)
            or unseen.by(decoded, model.package.trained_on())[rows].any()
        ):
            raise ConfigError("it may have been trained on some of the test samples")
        scored = scoring.evaluate(model.engine, decoded.frames, "test", model_version=version)
    except NeuroError as error:
        _log.warning("version %s, the best that served, is not compared with: %s", version, error)
        return None
    count_look.count(decoded, model, read_by="evaluation", n=len(rows))
    return scored.take(np.isin(scored.sample_ids, tested))


def _locked(loaded: Loaded) -> LockedTest | None:
    return locked_test.of_problem(loaded.lake, loaded.problem.name)
