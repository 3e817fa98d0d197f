"""One condition of a promotion, with its numbers."""

from dataclasses import dataclass
from typing import Literal

from neuro.sample import Metric

Outcome = Literal["passed", "failed", "not shown", "not enough groups"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """``value`` with its interval against ``threshold``; more is better.

    outcome: "failed" where the whole interval lies below the threshold. "not enough groups" passes,
    but shows nothing.
    """

    name: str
    value: float
    low: float
    high: float
    threshold: float
    passed: bool
    outcome: Outcome
    explanation: str

    @property
    def is_refuted(self) -> bool:
        """Not only unproven."""
        return self.outcome == "failed"


def proven(metric: Metric, threshold: float, *, name: str, explanation: str) -> Gate:
    """Passed where the whole interval lies above the threshold."""
    is_proven = metric.low > threshold
    return of(metric, threshold, "passed" if is_proven else "not shown", name, explanation)


def reached(metric: Metric, threshold: float, *, name: str, explanation: str) -> Gate:
    """Passed where the whole interval lies at the threshold or above."""
    is_reached = metric.low >= threshold
    return of(metric, threshold, "passed" if is_reached else "not shown", name, explanation)


def not_refuted(metric: Metric, threshold: float, *, name: str, explanation: str) -> Gate:
    """Passed unless the whole interval lies below the threshold: few samples hold nothing back."""
    return of(metric, threshold, "passed", name, explanation)


def of(
    metric: Metric, threshold: float, unless_refuted: Outcome, name: str, explanation: str
) -> Gate:
    """A gate that failed where it is refuted, and else has this outcome."""
    outcome: Outcome = "failed" if metric.high < threshold else unless_refuted
    return Gate(
        name=name,
        value=metric.value,
        low=metric.low,
        high=metric.high,
        threshold=threshold,
        passed=outcome in ("passed", "not enough groups"),
        outcome=outcome,
        explanation=explanation,
    )
