from dataclasses import dataclass

import pytest

from neuro import limits
from neuro.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Dose:
    parts: int = 2
    share: float = 0.5
    route: str = "oral"


LIMITS = {"parts": (1, 4), "share": (0, 1)}


def test_what_is_within_its_limits_passes() -> None:
    for dose in (Dose(parts=1, share=0), Dose(parts=4, share=1.0)):
        limits.within(dose, LIMITS)
        limits.among(dose, {"route": ("oral",)})


@pytest.mark.parametrize(
    ("dose", "told"),
    [
        (Dose(parts=5), r"dose\.parts must be a whole number, 1 to 4, got 5"),
        (Dose(parts=1.5), r"dose\.parts must be a whole number, 1 to 4, got 1\.5"),  # type: ignore[arg-type]
        (Dose(share=-0.1), r"dose\.share must be 0 to 1, got -0\.1"),
        (Dose(share="0.5"), r"dose\.share must be 0 to 1, got '0\.5'"),  # type: ignore[arg-type]
        (Dose(share=float("nan")), r"dose\.share must be 0 to 1, got nan"),
    ],
)
def test_what_is_beyond_is_named_with_its_limits(dose: Dose, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        limits.within(dose, LIMITS, "dose.")


def test_what_is_no_choice_is_named_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"^route must be one of oral, nasal, got 'ear'$"):
        limits.among(Dose(route="ear"), {"route": ("oral", "nasal")})
