"""Whether what a person wrote is within what is allowed; errors name the field and the remedy."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from neuro.errors import ConfigError


def within(record: Any, limits: Mapping[str, tuple[float, float]], where: str = "") -> None:
    """Raise ConfigError for a field that is no number from its lowest to its highest value.

    record: a dataclass; what it declares int must be whole. where: the table of a file it was read
    from, such as "augment.".
    """
    kinds = {field.name: field.type for field in fields(record)}
    for name, (low, high) in limits.items():
        value, is_whole = getattr(record, name), kinds[name] is int
        if not isinstance(value, int if is_whole else int | float) or not low <= value <= high:
            whole = "a whole number, " if is_whole else ""
            raise ConfigError(f"{where}{name} must be {whole}{low} to {high}, got {value!r}")


def among(record: Any, choices: Mapping[str, Collection[str]], where: str = "") -> None:
    """Raise ConfigError for a field that is none of its choices."""
    for name, allowed in choices.items():
        if getattr(record, name) not in allowed:
            raise ConfigError(
                f"{where}{name} must be one of {', '.join(allowed)}, got {getattr(record, name)!r}"
            )
