"""The step that lets the gate decide who serves, and writes the decision down."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from logging import getLogger
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, NeuroError
from neuro.evaluation import evaluate as scoring
from neuro.evaluation.evaluate import Evaluation
from neuro.lake import journal
from neuro.prediction import predict
from neuro.promotion import gates, serving
from neuro.promotion.answer_gates import Strangers
from neuro.promotion.retrain_envelope import Envelope
from neuro.synthetic import strangers
from tasks import count_look
from tasks import evaluate as evaluation
from tasks.baselines import Beside
from tasks.evaluate import Looked
from tasks.load import models, release_data, unseen
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts, registry
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)

BY_HAND = "by hand"  # the cause of a decision that a person asked for
STRANGERS = 40  # drawn pictures of each kind that the gate shows both models


def check(model: Model) -> Model:
    """The model, if the gate may judge it: only what was trained on the lake's own splits."""
    gates.require_own_splits(model.package.card)
    return model


def without_seen(loaded: Loaded, challenger: Model | None, champion: Model | None) -> Loaded:
    """The release without what either model was trained on elsewhere: it is left out for both.

    Raises ConfigError for a challenger of which that cannot be told, and where nothing is left.
    """
    if challenger is not None and unseen.is_untold(loaded, challenger):
        raise ConfigError(
            f"model {challenger.version[:12]}, or what it started from, is too old to say on what "
            "it was trained: the test split may be among it; train it again, without --weights or "
            "from newer ones"
        )
    left = unseen.for_models(loaded, *filter(None, (challenger, champion)))
    unseen.require(left, "test")
    return left


def evaluate(
    loaded: Loaded, challenger: Model, champion: Model | None, beside: Beside
) -> tuple[Looked, Looked | None]:
    """Both models on the test split, each one counted look. beside: baselines by split."""
    scored = evaluation.evaluate(loaded, challenger, beside=beside)
    if champion is None:
        return scored, None
    decoded = release_data.decoded_for(loaded, champion.problem_as_trained(loaded.problem))
    return scored, evaluation.evaluate(decoded, champion, beside=beside)


@step(name="promote")
def promote(
    loaded: Loaded, challenger: Looked, champion: Looked | None, envelope: Envelope, cause: str
) -> dict[str, Any]:
    """Judge a challenger beside the champion on the same test samples; move the alias if it won.

    The samples the champion's release already had decide non-inferiority; those that came later
    are a gate of their own.
    """
    known = _known_to_champion(loaded, challenger, champion)
    decision = gates.decide(
        challenger.evaluation,
        champion.evaluation if champion else None,
        recall_floors=loaded.problem.recall_floors,
        config=envelope.promotion,
        known=known,
        strangers=_strangers(challenger.model, champion.model) if champion else None,
        best=_best_earlier(loaded, champion) if champion else None,
    )
    model = challenger.model.registered
    is_promoted = (
        decision.decision == "promote" and model is not None and not envelope.needs_approval
    )
    if is_promoted and model is not None:
        registry.set_alias(model, "champion")
    elif decision.decision == "promote" and model is None:
        nowhere = "nothing moves, for no registry has it; train it while `neuro up` runs"
        decision = replace(decision, reason=f"{decision.reason}; {nowhere}")
    compared = {"challenger": challenger, "champion": champion}
    entry = {
        "problem": loaded.problem.name,
        "release": loaded.release.name,
        "cause": cause,
        "challenger": challenger.model.version,
        "champion": champion.model.version if champion else "",
        "old_test": {
            name: [asdict(metric) for metric in looked.evaluation.take(known).metrics]
            for name, looked in compared.items()
            if looked is not None
        },
        **asdict(decision),
        "is_promoted": is_promoted,
        "who": settings.user() if cause == BY_HAND else "the envelope",
        "leak": challenger.leak,
        "flow_run_id": artifacts.flow_run_id() or "",
    }
    _record(loaded, f"{loaded.problem.name}/{challenger.model.version}/{cause}", entry)
    name = f"{decision.decision} model {challenger.model.version} ({cause})"
    artifacts.label_run(decision.decision, name=name)
    rows = [artifacts.rounded(asdict(gate)) for gate in decision.gates]
    artifacts.table("gates", rows, f"{decision.decision}: {decision.reason}")
    return entry


def _best_earlier(loaded: Loaded, champion: Looked) -> Evaluation | None:
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
    return scored


def _record(loaded: Loaded, key: str, entry: dict[str, Any]) -> None:
    """By a cause a decision is made once; by hand as often as somebody asks for it."""
    number, first = 1, key
    while not journal.record(loaded.lake, "decision", key, entry, datetime.now(UTC)):
        if entry["cause"] != BY_HAND:
            return
        number += 1
        key = f"{first}/{number}"


def _strangers(challenger: Model, champion: Model) -> Strangers:
    """What both answer of drawn pictures of no problem."""
    ours, theirs = (_answered_strangers(model) for model in (challenger, champion))
    return Strangers(challenger=float(ours.mean()), champion=float(theirs.mean()), n=len(ours))


def _answered_strangers(model: Model) -> NDArray[np.bool_]:
    spec = model.package.card.preprocess
    drawn = strangers.draw(STRANGERS, spec.size_px, spec.channels)
    pixels = np.concatenate([*drawn.values()])
    return predict.answer(model.engine, pixels).calibrated.is_answered


def _known_to_champion(
    loaded: Loaded, challenger: Looked, champion: Looked | None
) -> NDArray[np.bool_]:
    """Which test samples were there when the champion was trained, (n,) bool."""
    tested = challenger.evaluation.sample_ids
    if champion is None:
        return np.ones(len(tested), dtype=bool)
    release = str(champion.model.package.card.pin["release"])
    return np.isin(tested, loaded.frames.sample_ids[loaded.known_at(release)])
