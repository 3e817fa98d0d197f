"""A group rule guessed from file names: which part of them repeats like a patient does."""

import re
from collections.abc import Sequence

_WORD = re.compile(
    r"(?:^|(?<=[^A-Za-z]))"
    r"((?:patient|person|participant|subject|lesion|case|study|subj|pat|sub|pid|p)[_\-. ]?)\d+",
    re.IGNORECASE,
)
LEADING_NUMBER = r"\d+(?=[_-])"
_FIRST_OF_NUMBERS = r".+?\d+(?=[_-]\d+)"  # IM-0115 of IM-0115-0001
_MAX_GROUP = 20  # a part that is the same in more files on average is a class or a set, no patient


def pattern_of(names: Sequence[str], parts: int) -> str:
    """A regular expression with one group that names a patient; "" where names show none.

    names: file names without their folders. parts: folders the files lie in; what repeats only as
    often as these is no patient. Words like "patient" or "case" before a number are believed;
    other parts must repeat in a believable way.
    """
    found = [match for name in names if (match := _WORD.search(name))]
    words = sorted({match.group(1) for match in found}, key=lambda word: (-len(word), word))
    is_first = all(match.start(1) == 0 for match in found)
    boundary = "" if is_first else "(?<![A-Za-z])"
    rules = [rf"{boundary}{re.escape(word)}\d+" for word in words]
    rest = [name for name in names if not _WORD.search(name)]
    if rules and not _repeats(_values(rules, names)):
        rules, rest = [], list(names)
    for rule in (LEADING_NUMBER, _FIRST_OF_NUMBERS):
        values = [match.group() for name in rest if (match := re.match(rule, name))]
        is_common = len(values) >= 0.1 * len(names)
        if is_common and _repeats(values) and 3 * parts < len(set(values)):
            rules.append(rule if is_first else f"^{rule}")
            break
    matched = len(_values(rules, names)) if rules else 0
    if matched < 0.5 * len(names):
        return ""
    return f"^({'|'.join(rules)})" if is_first else f"({'|'.join(rules)})"


def names_patient(name: str) -> bool:
    """Whether a name is a word like "patient" and a number, and nothing more."""
    match = _WORD.match(name)
    return match is not None and match.end() == len(name)


def _values(rules: Sequence[str], names: Sequence[str]) -> list[str]:
    rule = re.compile("|".join(rules))
    return [match.group() for name in names if (match := rule.search(name))]


def _repeats(values: Sequence[str]) -> bool:
    """Whether these could be patients: more than one, some of them with several files."""
    distinct = len(set(values))
    return 1 < distinct < len(values) <= _MAX_GROUP * distinct
