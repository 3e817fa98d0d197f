"""How windows are judged, and what of it starts a retraining: the table [drift] of the envelope."""

import math
from dataclasses import dataclass, fields
from typing import Any

from neuro.errors import ConfigError

N_SIGNALS = 6  # the false-alarm budget is shared evenly, whether or not there are labels
HARM, LABELS, DRIFT = "harm", "labels", "drift"  # what retrains by itself, the strictest first
_MOST_TRIALS = 100_000
_WHOLE = {  # least and most of each whole number
    "trials": (1, _MOST_TRIALS),
    "min_images": (1, 1_000_000),
    "min_groups": (2, 1_000_000),
    "min_labelled_groups": (2, 1_000_000),
    "audit": (0, 10_000),
    "confirm": (2, 52),
    "new_labelled_groups": (2, 1_000_000),
    "accumulate": (1, 520),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftPolicy:
    """How sure to be. alpha: chance that any signal of images alarms on a window without a shift.

    That of counts has a sixth of it beside. trials: half set the thresholds, half measure their
    false alarms. min_images, min_groups: a window by days that has fewer is joined with those
    before it, up to ``accumulate`` of them.
    min_groups: fewer in window or reference give no verdict. min_labelled_groups: fewer cannot
    prove harm. harm: the drop of accuracy that matters; only labels that exclude it show that there
    is none. audit: images of a window that readers are asked about, at most. harm_alpha: chance
    that audits ever show a harm that is none.

    retrain_on: ``harm``, what labels have shown; ``labels``, also a harm that is suspected in
    ``confirm`` windows in a row once so many groups (``new_labelled_groups``) have a labelled image
    that entered after the last release trained on; ``drift``, also any alarm in so many windows.
    """

    alpha: float = 0.02
    trials: int = 1200
    min_images: int = 200
    min_groups: int = 30
    min_labelled_groups: int = 30
    harm: float = 0.05
    audit: int = 40
    harm_alpha: float = 0.01
    retrain_on: str = LABELS
    confirm: int = 2
    new_labelled_groups: int = 100
    accumulate: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("alpha", "harm", "harm_alpha"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 < value < 1:
                raise ConfigError(f"{name} must be between 0 and 1, got {value!r}")
        for name, (least, most) in _WHOLE.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ConfigError(f"{name} must be {least} to {most}, got {value!r}")
        if self.retrain_on not in (HARM, LABELS, DRIFT):
            raise ConfigError(
                f"retrain_on must be {HARM}, {LABELS} or {DRIFT}, got {self.retrain_on!r}"
            )
        needed = math.ceil(2 * N_SIGNALS / self.alpha)
        if self.trials < needed:
            raise ConfigError(
                f"trials must be at least {needed} for alpha {self.alpha}, got {self.trials}"
            )

    @property
    def chance(self) -> float:
        """That one signal alarms on a window without a shift."""
        return self.alpha / N_SIGNALS

    @property
    def stated(self) -> dict[str, Any]:
        """What differs from the defaults."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        plain = {entry.name: entry.default for entry in fields(self)}
        return {name: value for name, value in values.items() if value != plain[name]}

    @property
    def cost(self) -> str:
        """What ``retrain_on`` costs in retrainings that nothing has asked for.

        Of windows without a shift ``alpha`` alarm at most. Windows in a row share a reference: if
        that is unusual, all of them alarm. At the other end each is unusual by itself.
        """
        if self.retrain_on == HARM:
            return "labels must show harm; without one they do so in at most " + (
                f"{self.harm_alpha:.2g} of all models by audits, and at most {self.alpha:.2g} of "
                "windows by labels that came with them"
            )
        apart = self.alpha**self.confirm
        needs = " and enough new labels" if self.retrain_on == LABELS else ""
        return (
            f"{self.confirm} windows in a row must alarm{needs}: without a shift {apart:.2g} of "
            f"windows if each is unusual by itself, and at most {self.alpha:.2g} of them"
        )
