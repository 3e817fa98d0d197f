"""Which column of a table is the label, the split and the patient, told from names and values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
}
MAX_CLASSES = 50
_LABEL_WORDS = ("label", "class", "diagnosis", "dx", "target", "finding", "category", "grade", "y")
_ID = r"(s|ids?|no|nr|num|number|key|code|uid|name|hash|index)?"
_PATIENT = re.compile(rf"(patient|person|participant|subject|subj|individual|pid|mrn){_ID}")
_LESION = re.compile(rf"(lesion|case){_ID}")
_ID_WORDS = {
    *("id", "ids", "no", "nr", "num", "number", "key", "code", "uid", "name", "hash", "index"),
    *("identifier", "pseudonym", "anon", "anonymous", "unique", "the"),
}
_BARE = {"patient", "person", "participant", "subject", "individual", "lesion", "case"}
# What is measured or noted of a patient or a picture; seldom what a classifier is asked.
_ATTRIBUTES = {
    *("sex", "gender", "age", "race", "ethnicity", "weight", "height", "bmi", "smoker", "smoking"),
    *("side", "laterality", "view", "position", "projection", "orientation", "plane", "site"),
    *("scanner", "manufacturer", "vendor", "device", "hospital", "center", "centre", "institution"),
    *("country", "year", "month", "date", "time", "visit", "fold", "split", "set", "modality"),
    *("localization", "localisation", "location", "quality", "magnification", "source", "batch"),
    *("dataset", "width", "height", "rows", "columns", "reader", "radiologist", "count"),
}
_FEW_IDS = 10
_N = len(_LABEL_WORDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """What each column is; "" for none. questions: what is doubtful; unused: the others."""

    label: str
    split: str
    group: str
    questions: tuple[str, ...]
    unused: tuple[str, ...]


def infer(values: Mapping[str, Sequence[str]], file: str, group: str = "") -> Columns | None:
    """The columns of a table that names images in ``file``; None if none could be the label.

    group: the column of the patient where it is known.
    """
    columns = [name for name in values if name != file]
    split = next((name for name in columns if _is_split(values[name])), "")
    groups = [name for name in columns if _is_group(name, values[name])]
    if not group and groups:  # a patient has several lesions
        group = min(groups, key=lambda name: (not _names_patient(name), len(set(values[name]))))
    left = [name for name in columns if name not in (split, group)]
    candidates = [name for name in left if why_no_label(values[name]) == ""]
    if not candidates:
        return None
    label = min(candidates, key=_rank)
    unused = tuple(name for name in left if name != label)
    questions = _doubtful_label(label, candidates)
    flags = [name for name in left if set(values[name]) <= {"", "0", "1", "0.0", "1.0"}]
    if label in flags and len(flags) > 1 and _rank(label) >= _N:
        questions = [
            f"whether {label!r} is the label: {', '.join(flags)} hold 0 and 1, as where each class "
            "has a column of its own. If so, join them into one column of names"
        ]
    if _rank(label) >= 2 * _N:
        questions += [
            f"whether {label!r} is the label: {name!r} is not taken, {why_no_label(values[name])}"
            for name in left
            if _rank(name) < 2 * _N and name not in candidates
        ]
    if _rank(label) >= _N and _looks_like_ids(label, values[label]):
        questions.append(f"whether {label!r} is the label; its values look like ids")
    if not group:
        questions += _doubtful_group(unused, values)
    return Columns(label=label, split=split, group=group, questions=tuple(questions), unused=unused)


def why_no_label(values: Sequence[str]) -> str:
    """Why a column's values cannot be labels; "" if they can: a few names that repeat."""
    names = set(values) - {""}
    if any(re.fullmatch(r"[+-]?\d*[.,]\d*[1-9]\d*(e[+-]?\d+)?", name, re.I) for name in names):
        return "it holds measured numbers; a class is needed, such as low and high"
    if len(names) < 2:
        return "it has one value only" if names else "it is empty"
    if len(names) > len(values) // 2:
        return "almost each of its values stands there once"
    if len(names) > MAX_CLASSES:
        return (
            f"it has {len(names)} values, and over {MAX_CLASSES} classes are not drafted; join "
            "rare ones, or write the problem file by hand"
        )
    return ""


def is_attribute(column: str) -> bool:
    """Whether a column's name says that it notes something of the patient or the picture."""
    return bool(set(_words(column)) & _ATTRIBUTES)


def _looks_like_ids(column: str, values: Sequence[str]) -> bool:
    """Whether a column is named like an id, or holds many or long numbers of one shape."""
    names = set(values) - {""}
    shapes = {re.sub("[0-9]+", "0", name) for name in names}
    is_numbered = len(shapes) == 1 and shapes != names
    is_long = all(re.search("[0-9]{3}", name) for name in names)
    is_named = bool(set(_words(column)) & {"id", "uid", "study", "exam", "series", "accession"})
    return is_named or (is_numbered and (is_long or len(names) > _FEW_IDS))


def _words(column: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()
    return [word for word in re.split(r"[\W_]+", parted) if word]


def _names_patient(column: str) -> bool:
    return any(_PATIENT.fullmatch(word) for word in _words(column))


def _has_group_word(column: str) -> bool:
    return _names_patient(column) or any(_LESION.fullmatch(word) for word in _words(column))


def _is_group(column: str, values: Sequence[str]) -> bool:
    """A name like "patient_id" with nothing else in it, and values that repeat as ids do."""
    words = _words(column)
    is_named = _has_group_word(column) and all(
        word in _ID_WORDS or _PATIENT.fullmatch(word) or _LESION.fullmatch(word) for word in words
    )
    ids = [value for value in values if value]
    distinct = set(ids)
    if not is_named or not 3 <= len(distinct) < len(ids):
        return False
    if all(value.isdecimal() for value in distinct) and len(words) == 1 and words[0] in _BARE:
        return len(distinct) > _FEW_IDS  # else it may count lesions, or grade a case
    has_digits = sum(any(char.isdigit() for char in value) for value in distinct)
    return 2 * has_digits >= len(distinct) or len(distinct) > _FEW_IDS


def _doubtful_group(columns: Sequence[str], values: Mapping[str, Sequence[str]]) -> list[str]:
    """What to ask where columns sound like the patient, but do not look like it."""
    doubtful = [
        name
        for name in columns
        if _has_group_word(name)
        and not is_attribute(name)
        and 1 < len(set(values[name]) - {""}) < len(values[name])
    ]
    if not doubtful:
        return []
    return [
        f"whether {' or '.join(doubtful)} names the patient: the name says so, the values do not. "
        "If it does, write it under groups.column"
    ]


def _doubtful_label(label: str, candidates: Sequence[str]) -> list[str]:
    """What to ask where the label's column has no name that says so, or others look like it."""
    others = [name for name in candidates if name != label]
    if is_attribute(label) and not others:
        return [
            f"whether {label!r} is the label: its name says that it is something else, but no "
            "other column could be it"
        ]
    if _has_group_word(label):
        more = f", and {' or '.join(others)} may be the label" if others else ""
        return [f"whether {label!r} is the label; it may name the patient{more}"]
    rivals = [name for name in others if _rank(name) // _N == _rank(label) // _N]
    if not rivals:
        return []
    return [f"whether {label!r} is the label; it may be {' or '.join(rivals)}"]


def _rank(column: str) -> int:
    """How little a column's name sounds like the label; below len(_LABEL_WORDS) it is one."""
    name = column.lower()
    if name in _LABEL_WORDS:
        return _LABEL_WORDS.index(name)
    if is_attribute(column):
        return 3 * _N
    stems = {word.removesuffix("s") for word in _words(column)} | set(_words(column))
    return _N * (1 if stems & set(_LABEL_WORDS) else 2)


def _is_split(values: Sequence[str]) -> bool:
    names = set(values) - {""}
    return len(names) > 1 and all(name.lower() in SPLITS for name in names)
