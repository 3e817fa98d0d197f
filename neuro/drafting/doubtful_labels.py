"""Labels that may not be what they seem: one class written twice, no label, several findings."""

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuro.ingest.table_match import nfc

_MISSING = {
    *("nan", "na", "n/a", "#n/a", "<na>", "n.a.", "none", "null", "nil", "-", "--", "?", ".", "nd"),
    *("n.d.", "missing", "unknown", "unk", "undefined", "not available", "not applicable", "k.a."),
    *("unlabelled", "unlabeled", "no label", "not labelled", "not labeled", "tbd", "todo"),
}
_LONG, _LIKE, _RARE = 5, 0.8, 10
_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """Source labels and what they mean. classes: by source label; no_label: what means none."""

    classes: Mapping[str, str]
    no_label: tuple[str, ...]
    questions: tuple[str, ...]


def look(counts: Mapping[str, int], ordered: Sequence[str], *, is_table: bool) -> Labels:
    """What the labels of a folder or table mean, and what must be asked.

    counts: images by label. ordered: the labels in the order of the classes.
    """
    missing = [label for label in ordered if _plain(label) in _MISSING]
    real = [label for label in ordered if label not in missing]
    no_label = tuple(missing) if is_table and len({spelling(label) for label in real}) > 1 else ()
    questions = []
    if missing:
        names = _listed(missing)
        drafted = "no label (layout.no_label)" if no_label else "a class"
        questions.append(f"whether {names} is a class or means no label; drafted as {drafted}")
    kept = [label for label in ordered if label not in no_label]
    by_spelling: dict[str, list[str]] = {}
    for label in kept:
        by_spelling.setdefault(spelling(label), []).append(label)
    classes: dict[str, str] = {}
    for same in by_spelling.values():
        chosen = max(same, key=lambda label: counts[label])
        classes |= dict.fromkeys(same, chosen)
        if len(same) > 1:
            questions.append(
                f"whether {_listed(same)} are one class; drafted as one, {chosen!r}, under labels"
            )
    classes = {label: classes[label] for label in kept}
    total: Counter[str] = Counter()
    for label, name in classes.items():
        total[name] += counts[label]
    questions += _misspelt(total)
    several = [label for label in kept if re.search(r"\w\s*[|;]\s*\w", label)]
    if several:
        questions.append(
            f"whether labels that name several findings, such as {_listed(several[:1])}, are "
            "classes of their own; an image has one class"
        )
    return Labels(classes=classes, no_label=no_label, questions=tuple(questions))


def spelling(label: str) -> str:
    """What is left of a label without case, kind of gap, and the order of its findings."""
    parts = sorted(_plain(part) for part in re.split("[|;,/&]", label))
    return "|".join(parts)


def disagreements(one: Mapping[str, str], two: Mapping[str, str]) -> tuple[int, bool]:
    """In how many images two sources of labels differ, and whether they share a class."""
    differ = sum(
        spelling(one[image]) != spelling(two[image])
        for image in one.keys() & two.keys()
        if one[image] and two[image]
    )
    names = [{spelling(label) for label in labels.values() if label} for labels in (one, two)]
    return differ, not names[0].isdisjoint(names[1])


def _plain(label: str) -> str:
    text = re.sub(r"(?<=\w)[\s_\-]+(?=\w)", " ", nfc(label).casefold().strip())
    number = re.fullmatch(r"0*(\d+)(\.0+)?", text)
    return number.group(1) if number else text


def _misspelt(total: Mapping[str, int]) -> list[str]:
    """Questions about classes of few images that are called almost like one of many."""
    questions, classes = [], sorted(total)
    for name in classes:
        words = [
            other
            for other in classes
            if total[other] >= _RARE * total[name]
            and min(len(name), len(other)) >= _LONG
            and not re.search("[0-9]", name + other)
        ]
        near = difflib.get_close_matches(name, words, n=1, cutoff=_LIKE)
        if near:
            questions.append(
                f"whether {name!r} ({total[name]} images) is a class; it may mean {near[0]!r}"
            )
    return questions


def _listed(names: Sequence[str]) -> str:
    more = " ..." if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
