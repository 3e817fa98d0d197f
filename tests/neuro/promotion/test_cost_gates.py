"""What a challenger may cost."""

import pytest

from neuro.promotion import cost_gates
from neuro.promotion.cost_gates import Cost
from neuro.promotion.gates import PromotionConfig

CONFIG = PromotionConfig()


@pytest.mark.parametrize(
    ("one_image", "batch", "package", "failed"),
    [
        (1.0, 1.0, 1.0, []),
        (5.0, 5.2, 4.0, []),  # efficientnet-lite0 after the small network
        (10.0, 1.0, 1.0, ["latency_no_worse"]),
        (1.0, 10.0, 1.0, ["latency_no_worse"]),
        (0.5, 0.5, 20.0, ["size_no_worse"]),
    ],
)
def test_ten_times_the_time_or_twenty_times_the_bytes_are_refused_and_five_are_not(
    one_image: float, batch: float, package: float, failed: list[str]
) -> None:
    cost = Cost(one_image=one_image, batch=batch, package=package)
    limits = {"max_slowdown": CONFIG.max_slowdown, "max_growth": CONFIG.max_growth}
    gates = cost_gates.compare(cost, **limits)
    assert [gate.name for gate in gates if gate.is_refuted] == failed


def test_what_it_costs_is_said_and_which_field_limits_it() -> None:
    cost = Cost(one_image=5.0, batch=4.0, package=3.5)
    latency, size = cost_gates.compare(cost, max_slowdown=8, max_growth=10)
    assert (latency.value, latency.threshold) == (0.2, 0.125)
    assert "5 times as long as the champion for one image and 4 times" in latency.explanation
    assert "at most 8 times (max_slowdown under [promotion]" in latency.explanation
    assert "3.5 times the bytes" in size.explanation
    assert "at most 10 times (max_growth" in size.explanation
