"""Is the current window like the reference, and if not, does it matter?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from monitoring import signals
from monitoring.harm import Evidence
from monitoring.history import NOTHING_USUAL, Usual
from monitoring.signals import (
    CONFIDENCE,
    DESCRIPTORS,
    FORMATS,
    INTAKE,
    LABELLED,
    Drop,
    Signal,
)
from monitoring.windows import Observed
from neuro.promotion.drift_policy import DRIFT, HARM, LABELS, DriftPolicy
from neuro.promotion.verdict_log import Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What to do about a window: nothing, look at it, have it labelled, retrain, or wait."""

    window: str
    reference: str
    signals: tuple[Signal, ...]
    verdict: Outcome
    reason: str


def judge(
    reference: Observed,
    current: Observed,
    *,
    window: str,
    reference_name: str,
    policy: DriftPolicy,
    usual: Usual = NOTHING_USUAL,
    intake: Signal | None = None,
) -> Verdict:
    """Compare the current window with the labelled samples of the reference.

    window, reference_name: what the two are called. usual: how far harmless windows before were.
    intake: what the counts say beside those of such windows, None where there are too few. The same
    arguments give the same verdict.
    """
    reference, labelled = reference.labelled(), current.labelled()
    found: tuple[Signal, ...] = ()
    drop: Drop | None = None
    if min(reference.n_groups, current.n_groups) >= policy.min_groups:
        rng = np.random.default_rng(policy.seed)
        found = signals.unlabelled(reference, current, policy, rng, usual)
        if labelled.n:
            signal, drop = signals.labelled_accuracy(reference, labelled, policy, rng)
            found = (*found, signal)
    if labelled.n_groups < policy.min_labelled_groups:
        drop = None  # so few groups do not measure it
    if _is_suspected(drop, policy) and any(signal.is_usual for signal in found):
        # Nothing that goes with a loss is usual.
        again = np.random.default_rng(policy.seed)
        by_deals = signals.unlabelled(reference, current, policy, again)
        found = (*by_deals, *found[len(by_deals) :])
    found = (*found, intake) if intake else found
    outcome, advice = _decide(found, labelled.n_groups, drop, policy)
    expected = ", ".join(signal.name for signal in found if signal.is_usual)
    if expected:
        advice += f". Farther than chance, but within what {usual.windows} harmless windows before "
        advice += f"lead to expect: {expected}"
    counts = (
        f"{current.n} images of {current.n_groups} groups against {reference.n} of "
        f"{reference.n_groups}"
    )
    return Verdict(
        window=window,
        reference=reference_name,
        signals=found,
        verdict=outcome,
        reason=f"{advice} ({counts}).",
    )


def with_audits(verdict: Verdict, audited: Evidence, policy: DriftPolicy, error: float) -> Verdict:
    """The verdict once the labels of all audit samples so far are heard: harm they show is harm.

    However small the window is: they add up. Where a window shortly before had changed, too, and
    the labels of its audit exclude a loss that matters, labels are not asked for again, unless
    those of this window suspect one.

    error: share of wrong answers of the reference.
    """
    signal = signals.audited_accuracy(audited, policy)
    heard = replace(verdict, signals=(*verdict.signals, signal))
    if signal.alarm:
        reason = f"Harm is measured: {signal.explanation}. {verdict.reason}"
        return replace(heard, verdict="retrain", reason=reason)
    before, harm = audited.measured, policy.harm
    lost = max(before.high - error, 0.0) if before else harm
    is_suspected = any(
        each.name == LABELLED and (each.alarm or each.statistic >= harm) for each in verdict.signals
    )
    if verdict.verdict != "label" or before is None or lost >= harm or is_suspected:
        return heard
    reason = (
        f"Windows have been unlike the reference for a while, and {before.n} labels of the audit "
        f"of one exclude a loss of accuracy that matters: {100 * lost:.1f} points at most, and "
        f"{100 * harm:g} would. {verdict.reason}"
    )
    return replace(heard, verdict="look", reason=reason)


def with_history(
    verdict: Verdict, before: Sequence[str], new_groups: int, policy: DriftPolicy
) -> Verdict:
    """The verdict once those of earlier windows are heard: what stays is no accident.

    before: of the model's windows before this one, apart from each other, the last first.
    new_groups: with a labelled image that entered after the last release that was trained on.
    """
    counted: set[str] = {"label", "retrain"}
    if policy.retrain_on == DRIFT:
        counted.add("look")
    if policy.retrain_on == HARM or verdict.verdict not in counted - {"retrain"}:
        return verdict
    if not any(signal.alarm and signal.name != INTAKE for signal in verdict.signals):
        return verdict  # nothing is to be learnt from how many images came
    in_a_row = 1 + sum(1 for _ in takewhile(counted.__contains__, before))
    if in_a_row < policy.confirm:
        return verdict
    said = f"The same in {in_a_row} windows in a row"
    if policy.retrain_on == LABELS and new_groups < policy.new_labelled_groups:
        wanting = f"{new_groups} groups have a labelled image newer than the last training, and "
        wanting += f"{policy.new_labelled_groups} would start a retraining"
        return replace(verdict, reason=f"{verdict.reason} {said}: {wanting}.")
    why = f"retrain_on = {policy.retrain_on!r}, {new_groups} groups with new labels"
    reason = f"{said}, and the envelope retrains on that ({why}; {policy.cost}). {verdict.reason}"
    return replace(verdict, verdict="retrain", reason=reason)


def _decide(
    found: Sequence[Signal], labelled_groups: int, drop: Drop | None, policy: DriftPolicy
) -> tuple[Outcome, str]:
    """The verdict's rule. Alarm is not harm: only a drop measured on labels asks to retrain.

    drop: None where too few groups are labelled to measure it. That harm was not shown does not
    show that there is none: this takes an interval whose upper end is below what matters.
    """
    alarms = {signal.name: signal for signal in found if signal.alarm}
    explanations = "; ".join(signal.explanation for signal in alarms.values())
    has_counts, moved = INTAKE in alarms, alarms.keys() - {INTAKE}
    counts = f"Other counts than usual: {explanations}" if has_counts else ""
    if not {signal.name for signal in found} - {INTAKE}:
        few = f"Fewer than {policy.min_groups} groups on one side"
        if has_counts:
            return "look", f"{counts}. {few}: nothing else is judged"
        return "inconclusive", f"{few}: wait for more"
    if drop is not None and LABELLED in alarms:
        return "retrain", f"Harm is measured: {alarms[LABELLED].explanation}"
    is_excluded = drop is not None and drop.high < policy.harm
    still_possible = (
        f"{labelled_groups} labelled groups do not exclude a loss of accuracy that matters "
        f"({100 * policy.harm:g} points or more): the 95 % interval of the drop is {drop}"
    )
    if not moved:
        doubt = "" if drop is None or is_excluded else f". But {still_possible}"
        if has_counts:
            return "look", f"{counts}. No other signal is above its threshold{doubt}"
        return "steady", f"No signal is above its threshold{doubt}"
    if is_excluded:
        return "look", (
            f"Harm was suspected but {labelled_groups} labelled groups show none: the 95 % "
            f"interval of the drop in accuracy is {drop}, and {100 * policy.harm:g} would matter. "
            f"{explanations}"
        )
    is_suspected = _is_suspected(drop, policy)
    if moved <= {DESCRIPTORS, FORMATS} and not is_suspected:
        doubt = "" if drop is None else f". But {still_possible}"
        return "look", f"The images changed, the model's answers did not: {explanations}{doubt}"
    if drop is not None:
        return "label", f"{still_possible}; label more groups to decide. {explanations}"
    estimate = "".join(f"; {each.explanation}" for each in found if each.name == CONFIDENCE)
    return "label", (
        f"Harm is suspected: {explanations}{estimate}. Only {labelled_groups} groups are "
        f"labelled; {policy.min_labelled_groups} are needed to measure it"
    )


def _is_suspected(drop: Drop | None, policy: DriftPolicy) -> bool:
    """Whether labels let one think of a loss that matters."""
    return drop is not None and (drop.low > 0 or drop.value >= policy.harm)
