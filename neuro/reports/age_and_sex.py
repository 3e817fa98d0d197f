"""Age and sex as the metadata of a source has them, whatever it calls them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

AGES = ("age", "age_years", "patient_age", "patientage", "patient_age_years")
SEXES = ("sex", "gender", "patient_sex", "patientsex")
_YEARS = re.compile(r"0*(\d{1,3}(?:\.\d+)?)\s*[yY]?")
_WORDS = {"f": "female", "w": "female", "m": "male", "o": "other", "woman": "female", "man": "male"}
_UNKNOWN = ("", "unknown", "nan", "none", "n/a", "u")


def ages(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Years of each sample, (n,), NaN where none or no number is given. An age of 0 stays one."""
    found = [_YEARS.fullmatch(_value(row, AGES)) for row in rows]
    return np.array([float(match[1]) if match else np.nan for match in found], dtype=np.float64)


def sexes(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.str_]:
    """Sex of each sample in lower case, (n,), "" where none is given or it is unknown."""
    told = [_value(row, SEXES).lower() for row in rows]
    known = ["" if word in _UNKNOWN else _WORDS.get(word, word) for word in told]
    return np.array(known, dtype=np.str_)


def _value(row: Mapping[str, Any], names: Sequence[str]) -> str:
    lower = {key.lower(): value for key, value in row.items()}
    found = (lower[name] for name in names if lower.get(name) not in (None, ""))
    return str(next(found, "")).strip()
