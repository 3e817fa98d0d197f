"""The step that lets the gate decide who serves, and writes the decision down."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from neuro.errors import ConfigError, NeuroError
from neuro.lake import journal, labels, releases
from neuro.lake.journal import Entry
from neuro.problems.problem import Problem
from neuro.promotion import claims, gates, integrity, retrain_envelope, serving
from neuro.promotion.gates import Decision, Evidence
from neuro.promotion.integrity import Lineage
from neuro.promotion.retrain_envelope import Candidate, Envelope
from neuro.reports import decision_section, render
from tasks import evaluate as evaluation
from tasks import gate_figures, model_card, shadow
from tasks.baselines import Beside
from tasks.evaluate import Looked
from tasks.load import champions, release_data, unseen
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts, journals, notifications, registry
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)

BY_HAND = "by hand"  # the cause of a decision that a person asked for


def check(model: Model) -> Model:
    """The model, if the gate may judge it: only what was trained on the lake's own splits."""
    gates.require_own_splits(model.package.card)
    return model


def require_another(challenger: Model, champion: Model | None) -> None:
    """Raise ConfigError for a challenger that serves already."""
    if champion is not None and challenger.version == champion.version:
        raise ConfigError(
            f"version {champion.version} of {champion.package.card.problem} serves already; give "
            "another one with --model"
        )


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
    """Judge a challenger beside the champion on the same test samples, and do what was decided.

    The locked test decides non-inferiority; the samples that came later are a gate of their own.
    The journal is written first, then the alias moves: a call that is killed in between is
    completed by whoever asks next who serves. Raises StaleError where another was promoted
    meanwhile.
    """
    after = champions.last_change(loaded.lake, loaded.problem.name)
    if challenger.model.registered is not None:
        beside = champion.model.version if champion else ""
        champions.require_serving(loaded.lake, loaded.problem.name, beside)
    challenger = gate_figures.without_worn(loaded, challenger)
    champion = gate_figures.without_worn(loaded, champion) if champion else None
    evidence = gate_figures.gather(loaded, challenger, champion)
    decision = _judged(loaded, challenger, champion, evidence, envelope)
    model = challenger.model.registered
    decision, outside, waits = _held_back(loaded, challenger, champion, decision, envelope, cause)
    is_promoted = decision.decision == "promote" and model is not None and not waits
    entry = {
        "problem": loaded.problem.name,
        "release": loaded.release.name,
        "cause": cause,
        "challenger": challenger.model.version,
        "package": challenger.model.package.digest,
        "trained_on": challenger.model.package.card.pin["release"],
        "champion": champion.model.version if champion else "",
        "after": after,
        "old_test": _figures(challenger, champion, evidence),
        **asdict(decision),
        "is_promoted": is_promoted,
        "waits_for": "approval" if waits else None,
        "outside": outside or "",
        "report": str(challenger.page or ""),
        "who": settings.user()
        if _is_by_hand(loaded.problem, cause)
        else f"the envelope: {envelope.line('needs_approval')}",
        "leak": challenger.leak,
        "shadow": shadow.compared(loaded, challenger.model, champion.model if champion else None),
        "flow_run_id": artifacts.flow_run_id() or "",
        "cost": _cost(loaded, challenger),
    }
    line, is_written = _record(loaded, entry)
    is_new = line.number > after  # else this cause was decided before, and another serves
    if line.body["is_promoted"] and model is not None and is_new:
        champions.require_counted(loaded.lake, line)
        registry.set_alias(model, "champion")
        journals.export_head(loaded.lake, f"promotion of {model.problem} {model.version}")
    _show(challenger.model, line.body)
    _add_to_page(challenger.page, line.body)
    notifications.of_decision(line.body, is_new=is_written)
    return line.body | {"is_promoted": line.body["is_promoted"] and line.number >= after}


def _held_back(
    loaded: Loaded,
    challenger: Looked,
    champion: Looked | None,
    decision: Decision,
    envelope: Envelope,
    cause: str,
) -> tuple[Decision, str | None, bool]:
    """A decision with what the envelope says of a promotion, what is outside it, and if it waits.

    What a person started waits for nobody.
    """
    if decision.decision != "promote":
        return decision, None, False
    model, is_by_hand = challenger.model.registered, _is_by_hand(loaded.problem, cause)
    candidate = _candidate(loaded, challenger, champion)
    outside = None if is_by_hand else retrain_envelope.outside(envelope, candidate)
    said = decision.reason
    if wide := retrain_envelope.wider(envelope):
        said = f"{said}, by limits of the envelope: {wide}"
    if model is None:
        said += "; nothing moves, for no registry has it; train it while `neuro up` runs"
        return replace(decision, reason=said), outside, False
    waits = not is_by_hand and (envelope.needs_approval or outside is not None)
    if waits:
        why = outside or envelope.line("needs_approval")
        ask = f'`neuro approve {model.version} --problem {loaded.problem.name} --reason "..."`'
        said = f"{said}; it waits for {ask}: {why}"
    return replace(decision, reason=said), outside, waits


def _judged(
    loaded: Loaded,
    challenger: Looked,
    champion: Looked | None,
    evidence: Evidence,
    envelope: Envelope,
) -> Decision:
    """The gates of what it is, and of how good it is."""
    decided = gates.decide(
        challenger.evaluation,
        champion.evaluation if champion else None,
        recall_floors=loaded.problem.recall_floors,
        config=envelope.promotion,
        budget=gate_figures.look_budget(loaded, challenger),
        evidence=evidence,
    )
    return integrity.joined(decided, integrity.gates(_lineage(loaded, challenger)))


def _lineage(loaded: Loaded, challenger: Looked) -> Lineage:
    found, model = challenger.model.package, challenger.model
    pin = found.card.pin
    known = releases.known(loaded.lake, loaded.problem.dataset).get(str(pin["release"]))
    tested = np.isin(loaded.frames.sample_ids, challenger.evaluation.sample_ids)
    seen = unseen.by(loaded, found.trained_on())
    return Lineage(
        signed_by=found.signed_by,
        is_registered=model.registered is not None,
        release=str(pin["release"]),
        content_hash=str(pin["content_hash"]),
        known_hash=known.content_hash if known else "",
        n_seen=int((seen & tested).sum()),
        left_out=loaded.left_out,
    )


def _candidate(loaded: Loaded, challenger: Looked, champion: Looked | None) -> Candidate:
    card = challenger.model.package.card
    before = champion.model.package.card.preprocess if champion else card.preprocess
    return Candidate(
        problem=loaded.problem.name,
        model=card.architecture,
        sees_other_pictures=card.preprocess.sha256 != before.sha256,
    )


def _cost(loaded: Loaded, challenger: Looked) -> dict[str, Any]:
    """What a challenger cost: its training, and the labels of people since the last decision."""
    lake, problem = loaded.lake, loaded.problem
    decisions = journal.entries(lake, serving.DECISION)
    last = max(
        (each.at for each in decisions if each.body["problem"] == problem.name), default=None
    )
    n_labels = labels.n_by_people(lake, problem.dataset, last)
    return model_card.cost_of(challenger.model.package) | {"labels": n_labels}


def _is_by_hand(problem: Problem, cause: str) -> bool:
    """Whether a person typed it, whose decision it then is."""
    return cause == BY_HAND or claims.is_by_hand(problem.name, cause)


def _figures(
    challenger: Looked, champion: Looked | None, evidence: Evidence
) -> dict[str, list[dict[str, Any]]]:
    """What each is on the locked test."""
    compared = {"challenger": challenger, "champion": champion}
    return {
        name: [asdict(metric) for metric in evidence.of_known(looked.evaluation).metrics]
        for name, looked in compared.items()
        if looked is not None
    }


def _show(model: Model, entry: Mapping[str, Any]) -> None:
    """The decision on the page of the run and in the registry."""
    decision, cause = entry["decision"], entry["cause"]
    artifacts.label_run(decision, name=f"{decision} model {model.version} ({cause})")
    rows = [artifacts.rounded(gate) for gate in entry["gates"]]
    artifacts.table("gates", rows, f"{decision}: {entry['reason']}")
    if model.registered is not None:
        failed = [gate["name"] for gate in entry["gates"] if not gate["passed"]]
        told = {"decision": decision, "reason": entry["reason"], "failed": ", ".join(failed)}
        told |= {"waits_for": entry["waits_for"] or "", "gates": json.dumps(rows)}
        registry.tag(model.registered, told)


def _add_to_page(page: Path | None, entry: Mapping[str, Any]) -> None:
    """The decision on the page of the challenger's evaluation, which was drawn before it."""
    if page is None:
        return
    try:
        render.write(page, decision_section.put(page.read_text(encoding="utf-8"), entry))
    except (NeuroError, OSError) as error:  # the decision stands in the journal
        _log.warning("the decision is not on the page %s: %s", page, error)


def _record(loaded: Loaded, entry: Mapping[str, Any]) -> tuple[Entry, bool]:
    """Write a decision; the line as it stands, and whether this call has written it.

    By a cause a decision is made once, and a second run for it finds the first, unless that came
    too late to count. By hand it is made as often as somebody asks for it.
    """
    first = f"{entry['problem']}/{entry['challenger']}/{entry['cause']}"
    number, key = 1, first
    while not journal.record(loaded.lake, serving.DECISION, key, entry, datetime.now(UTC)):
        line = journal.stored(loaded.lake, serving.DECISION, key)
        if entry["cause"] != BY_HAND and not _came_too_late(loaded, line):
            return line, False
        number += 1
        key = f"{first}/{number}"
    return journal.stored(loaded.lake, serving.DECISION, key), True


def _came_too_late(loaded: Loaded, line: Entry) -> bool:
    """Whether a promotion was written after another one, beside what served before."""
    counted = {change.number for change in serving.changes(loaded.lake, loaded.problem.name)}
    return line.body["is_promoted"] and line.number not in counted
