"""One condition of a promotion, with its numbers."""

from dataclasses import dataclass

from neuro.sample import Metric


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """``value`` with its 95 % interval against ``threshold``; more is better."""

    name: str
    value: float
    low: float
    high: float
    threshold: float
    passed: bool
    explanation: str

    @property
    def is_refuted(self) -> bool:
        """Not only unproven: the whole interval lies below the threshold."""
        return not self.passed and self.high < self.threshold


def proven(metric: Metric, threshold: float, *, name: str, explanation: str) -> Gate:
    """Passed where the whole interval lies above the threshold."""
    return _gate(name, metric, threshold, explanation, passed=metric.low > threshold)


def not_refuted(metric: Metric, threshold: float, *, name: str, explanation: str) -> Gate:
    """Passed unless the whole interval lies below the threshold: few samples hold nothing back."""
    return _gate(name, metric, threshold, explanation, passed=metric.high >= threshold)


def _gate(name: str, metric: Metric, threshold: float, explanation: str, *, passed: bool) -> Gate:
    return Gate(
        name=name,
        value=metric.value,
        low=metric.low,
        high=metric.high,
        threshold=threshold,
        passed=passed,
        explanation=explanation,
    )
