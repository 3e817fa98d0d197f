"""JSON that somebody else wrote, read into frozen dataclasses: every value by its declared type."""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_args, get_origin

from neuro.errors import PackageError

LARGEST_BYTES = 64_000_000
LARGEST = 1e38  # of a number: its square is still finite
LONGEST = 100_000  # characters of a text
DEEPEST = 8  # levels of what has no declared type
_AGAIN = "fetch the package again, or train again"
_NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def parse(raw: bytes, where: str) -> dict[str, Any]:
    """The object that a file holds, with each key once and finite numbers.

    where: the file, named in errors. Raises PackageError.
    """
    if len(raw) > LARGEST_BYTES:
        raise PackageError(f"{where} has {len(raw):,} bytes, at most {LARGEST_BYTES:,} are read")
    try:
        facts = json.loads(
            raw.decode(),
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=_each_key_once,
        )
    except RecursionError as error:
        raise PackageError(f"{where} is nested too deeply to be read") from error
    except ValueError as error:  # of JSON, of UTF-8 or ours
        raise PackageError(f"{where} is no JSON as it should be: {error}") from error
    if not isinstance(facts, dict):
        raise PackageError(f"{where} must hold one object, got {_shown(facts)}")
    return facts


def read(kind: Any, value: Any, where: str, *, extra: bool = False) -> Any:
    """The value as what a type says: a dataclass, a tuple of one kind, a mapping or a plain value.

    where: file and field, named in errors. extra: whether a dataclass may lack some of the keys.
    Raises PackageError.
    """
    origin = get_origin(kind)
    if is_dataclass(kind):
        return _record(kind, value, where, extra=extra)
    if origin is tuple:
        _require(isinstance(value, list), value, where, "a list")
        item = get_args(kind)[0]
        return tuple(read(item, each, f"{where}[{n}]") for n, each in enumerate(value))
    if origin is Mapping:
        _require(isinstance(value, dict), value, where, "an object")
        _require_plain(value, where, depth=0)
        return value
    is_right = isinstance(value, int | float if kind is float else kind)
    _require(is_right and isinstance(value, bool) == (kind is bool), value, where, _NAMES[kind])
    _require_plain(value, where, depth=0)
    return float(value) if kind is float else value  # a whole number may have any size


def _record(kind: Any, value: Any, where: str, *, extra: bool) -> Any:
    _require(isinstance(value, dict), value, where, "an object")
    known = {field.name: field for field in fields(kind)}
    if not extra and (unknown := sorted(set(value) - set(known))):
        raise PackageError(f"{where} has the unknown field {unknown[0]!r}; known are {[*known]}")
    for name, field in known.items():
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if name not in value and not has_default:
            raise PackageError(f"{where.rstrip()} lacks the field {name!r}; {_AGAIN}")
    dot = "" if where.endswith(": ") else "."
    given = [field for name, field in known.items() if name in value]
    return kind(**{f.name: read(f.type, value[f.name], f"{where}{dot}{f.name}") for f in given})


def _require_plain(value: Any, where: str, depth: int) -> None:
    """Numbers within LARGEST, texts within LONGEST, and not too deep."""
    if isinstance(value, dict | list):
        _require(depth < DEEPEST, value, where, f"at most {DEEPEST} levels deep")
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in inner:
            _require_plain(each, f"{where}.{str(key)[:40]}", depth + 1)
    elif isinstance(value, int | float):
        _require(abs(value) <= LARGEST, value, where, f"a number of at most {LARGEST:g}")
    elif isinstance(value, str):
        _require(len(value) <= LONGEST, value, where, f"at most {LONGEST:,} characters long")


def _require(is_right: bool, value: Any, where: str, expected: str) -> None:
    if not is_right:
        raise PackageError(f"{where} must be {expected}, got {_shown(value)}; {_AGAIN}")


def _shown(value: Any) -> str:
    """The beginning of a value: it may be as long or as deep as somebody likes."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a larger one"
    return repr(value)[:60]


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}, which is no number")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    facts = dict(pairs)
    if len(facts) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice[:40]!r} is there twice")
    return facts
