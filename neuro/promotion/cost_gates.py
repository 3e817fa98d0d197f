"""What a challenger may cost: time for an answer, and bytes of its package."""

from dataclasses import dataclass

from neuro.promotion import gate
from neuro.promotion.gate import Gate
from neuro.sample import Metric


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The challenger's as a multiple of the champion's.

    one_image, batch: of the time that an answer takes, on one machine, in turns. package: of bytes.
    """

    one_image: float
    batch: float
    package: float


def compare(cost: Cost, *, max_slowdown: float, max_growth: float) -> list[Gate]:
    """Gates of speed and size; each value is the champion's cost as a share of the challenger's."""
    return [
        _at_most(
            max(cost.one_image, cost.batch),
            max_slowdown,
            name="latency_no_worse",
            explanation=f"it takes {cost.one_image:.2g} times as long as the champion for one "
            f"image and {cost.batch:.2g} times for a batch, measured in turns on this machine; at "
            f"most {max_slowdown:g} times (max_slowdown under [promotion] of the envelope)",
        ),
        _at_most(
            cost.package,
            max_growth,
            name="size_no_worse",
            explanation=f"its package has {cost.package:.2g} times the bytes of the champion's; at "
            f"most {max_growth:g} times (max_growth under [promotion] of the envelope)",
        ),
    ]


def _at_most(multiple: float, most: float, *, name: str, explanation: str) -> Gate:
    value = 1 / multiple
    metric = Metric(name=name, value=value, low=value, high=value, n=1, groups=1)
    return gate.not_refuted(metric, 1 / most, name=name, explanation=explanation)
