"""What a passport says in plain sentences, how serious it is, and what to do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuro.reports.render import Status

SealedPassport = Mapping[str, Any]  # a passport as a release keeps it

_Part = tuple[Status, str, str]  # how serious, what it says, what to do

NOT_INSPECTED = "Not inspected when this release was made."
_NOT_INSPECTED: _Part = (
    "unknown",
    NOT_INSPECTED,
    "The next release of this data will be inspected; make one with `neuro ingest`.",
)

_LABELS = "Import labels: `neuro labels import FILE`."

_LEAK = 0.02  # share of the given test images with a twin in training from which a score is unsound
_LOOKUP_GAIN = 0.03  # accuracy that a look-up wins by a leak, above the noise of five draws
_LOOKUP_HIGH = 0.95
_CONFOUNDED = 0.2  # mean recall over chance from which a model may live on the confound alone
_LARGE_GROUP = 0.02  # share of all images that one patient or cluster should not exceed

CONFOUNDS = {
    "all": "all of them together",
    "mode": "colour mode",
    "width": "image width",
    "height": "image height",
    "bytes": "size of the file",
    "format": "file format",
    "border": "border of the picture",
    "border_spread": "unevenness of the border",
    "removed": "notes in the file",
}
_RESIZED = (
    "neuro resizes every image, but what resizing does differs with the size: compare scores "
    "within images of one size."
)
_BORDER = "Look at the borders of the pictures, for text and frames, and crop or mask them."
_CONFOUND_REMEDIES = {
    "mode": "neuro decodes every image to the one colour mode of the problem, so its own models "
    "cannot see it; a model trained with other software can.",
    "width": _RESIZED,
    "height": _RESIZED,
    "source": "Hold one source out, and report the score on it.",
    "border": _BORDER,
    "border_spread": _BORDER,
}
_CONFOUND_REMEDY = "Report the score within images that are alike in it, too."


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """One part of a passport. key: of the passport, and its anchor on the page."""

    key: str
    title: str
    status: Status
    says: str
    remedy: str


def advise(passport: SealedPassport) -> list[Advice]:
    """Every part, in the order in which a person should read them."""
    advices = []
    for key, (title, describe) in _PARTS.items():
        if passport.get(key) is None:
            status, says, remedy = _NOT_INSPECTED
        else:
            status, says, remedy = describe(passport)
        advices.append(Advice(key=key, title=title, status=status, says=says, remedy=remedy))
    return advices


def figures(passport: SealedPassport) -> dict[str, float]:
    """The passport's counts and accuracies, by what each is of."""
    figures: dict[str, float] = {"images": passport["images"], "groups": passport["groups"]}
    figures |= {f"label {name or '(none)'}": n for name, n in passport["labels"].items()}
    figures |= {f"split {name}": n for name, n in passport["splits"].items()}
    figures |= {f"twins: {k}": n for k, n in passport["twins"].items() if isinstance(n, int)}
    figures |= {f"look-up accuracy, {name}": v for name, v in passport["lookup"].items()}
    for row in passport.get("confounds") or ():
        if row["is_named"]:
            figures[f"class told by {row['name']}, mean recall"] = row["balanced"]
    if "label_suspects" in passport:
        figures["labels in doubt"] = len(passport["label_suspects"])
    return figures


def suspect_ids(passport: SealedPassport) -> frozenset[str]:
    """The samples whose label the passport doubts."""
    return frozenset(row["sample_id"] for row in passport.get("label_suspects") or ())


def many(count: int, one: str, more: str = "") -> str:
    """A count with its noun: 1 image, 1,043 images."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _twins(passport: SealedPassport) -> _Part:
    twins = passport["twins"]
    leaked, given = twins["given_test_with_train_twin"], twins["given_test"]
    crossed, near = twins["cross_label_groups"], twins["near_groups"]
    if not near and not leaked:
        return "fine", "No picture occurs twice.", "Nothing to do."
    says, todo = [], []
    if leaked:
        says.append(
            f"{leaked:,} of {given:,} test images of the source's own split show a picture that is "
            "also in its training part."
        )
        todo.append(
            "Do not report scores on that split; use neuro's own grouped split, in which every "
            "copy of a picture stays on one side."
        )
    elif given:
        says.append("No test image of the source's own split is also in its training part.")
    says.append(
        f"{many(near, 'group')} of pictures are copies of one another or all but alike, mirrored "
        f"and turned ones included; {twins['exact_groups']:,} are copies all but to the pixel (one "
        "group may hold several of these)."
    )
    if crossed:
        says.append(f"In {many(crossed, 'group')} the copies have different labels.")
        todo.append("Have a reader decide the copies with different labels.")
    status: Status = "serious" if leaked > _LEAK * max(given, 1) else "look"
    if not leaked and not crossed:
        status = "fine"
        todo.append("Nothing to do: neuro keeps the copies of a picture together.")
    return status, " ".join(says), " ".join(todo)


def _lookup(passport: SealedPassport) -> _Part:
    lookup = passport["lookup"]
    names = {
        "given": "the source's own split",
        "random": "a random split",
        "grouped": "the grouped split",
    }
    known = {name: lookup[name] for name in names if lookup.get(name) is not None}
    if sum(bool(label) for label in passport.get("labels") or {"": 0}) == 1:
        return "unknown", "It says nothing: every label is the same.", _LABELS
    if not known:
        return "unknown", "It could not be scored: too few labelled images.", _LABELS
    scores = ", ".join(f"{score:.2f} on {names[name]}" for name, score in known.items())
    says = (
        "Copying the label of the most similar training picture, which learns nothing, has an "
        f"accuracy of {scores}."
    )
    floor = lookup.get("test") if lookup.get("test") is not None else known.get("grouped")
    gain = max(known.get(name, 0.0) for name in ("given", "random")) - known.get("grouped", 0.0)
    todo = f"A score under {floor:.2f} on neuro's test split is worth nothing. " if floor else ""
    if gain >= _LOOKUP_GAIN and "grouped" in known:
        todo += (
            f"What a split that ignores copies adds, {gain:.2f}, is leakage: do not compare with "
            "scores that were published on such a split."
        )
    if max(known.values()) >= _LOOKUP_HIGH and gain >= _LOOKUP_GAIN:
        return "serious", says, todo
    return "look" if gain >= _LOOKUP_GAIN else "fine", says, todo.strip()


def _confounds(passport: SealedPassport) -> _Part:
    rows = passport["confounds"]
    named = [row for row in rows if row["is_named"]]
    alone = [row for row in named if row["name"] != "all"]
    if not rows:
        return "unknown", "Not measured: fewer than two classes or 50 images have labels.", _LABELS
    if not named:
        says = "The class cannot be told from what is not the picture's content."
        return "fine", says, "Nothing to do."
    parts = [
        f"{CONFOUNDS.get(row['name'], row['name'])} ({row['balanced']:.2f})" for row in alone[:4]
    ]
    best = max(named, key=lambda row: row["balanced"])
    says = (
        "The class can be told without looking at the picture's content. By guessing, a mean "
        f"recall of {best['balanced_chance']:.2f} is reached"
    )
    says += f"; with {', '.join(parts)}" if parts else ""
    together = next((row for row in named if row["name"] == "all"), None)
    says += f"; with all of it together {together['balanced']:.2f}." if together else "."
    tips = [_CONFOUND_REMEDIES.get(row["name"], _CONFOUND_REMEDY) for row in alone[:4]]
    todo = "A model has to beat these figures clearly, and neuro shows them beside each. "
    todo += " ".join(dict.fromkeys(tips))
    is_strong = best["balanced"] - best["balanced_chance"] >= _CONFOUNDED
    return "serious" if is_strong else "look", says, todo.strip()


def _sources(passport: SealedPassport) -> _Part:
    rows = passport["sources"]
    if not rows:
        says = "All images come from one source, as far as the delivery says."
        return "look", says, "Test on images of another hospital before you believe a score."
    best = max(rows, key=lambda row: row["accuracy"] - row["chance"])
    says = (
        f"From the picture alone, the {best['name']} is told with an accuracy of "
        f"{best['accuracy']:.2f}; guessing reaches {best['chance']:.2f}."
    )
    if best["accuracy"] - best["chance"] < _LOOKUP_GAIN:
        return "fine", says, "Nothing to do: the sources look alike."
    todo = "The sources look different. Report scores for each by itself, and hold one out."
    return "look", says, todo


def _suspects(passport: SealedPassport) -> _Part:
    rows = passport["label_suspects"]
    if not rows:
        return "fine", "No label is contradicted by similar pictures.", "Nothing to do."
    says = (
        f"{many(len(rows), 'label')} {'is' if len(rows) == 1 else 'are'} contradicted by similar "
        "pictures and by a model that had not seen them; the most doubtful come first."
    )
    if len(rows) >= 100:
        says = f"At least {says}"
    todo = (
        "Have a reader look at them. Correct what is wrong with `neuro labels import FILE`; a "
        "label that is right stays, however rare the picture."
    )
    return "look", says, todo


def _grouping(passport: SealedPassport) -> _Part:
    grouping, images = passport["grouping"], max(int(passport["images"]), 1)
    joined = {
        "id": "by patient or lesion id",
        "twins": "by being twins",
        "both": "by both",
    }
    parts = [f"{grouping[key]:,} {how}" for key, how in joined.items() if grouping.get(key)]
    largest = grouping["largest"]
    says = f"{many(passport['images'], 'image')} form {many(passport['groups'], 'group')}"
    if parts:
        says += f": {', '.join(parts)}, and {grouping['alone']:,} of one image each"
    says += f". The largest group holds {many(largest, 'image')}."
    if not (grouping.get("id") or grouping.get("both")):
        todo = (
            "No patient is known: images of one patient that are no twins may lie in two splits, "
            "and scores may be too high. Name a rule in the problem file ([groups]), if the ids "
            "exist."
        )
        return "look", says, todo
    if largest > max(_LARGE_GROUP * images, 10):
        return "look", says, "Look at the largest group: one patient, or a false cluster?"
    return "fine", says, "Nothing to do: no group lies in two splits."


def _metadata(passport: SealedPassport) -> _Part:
    rows, images = passport["metadata"], passport["images"]
    if not rows:
        todo = "Whether a model is as good for women as for men, or at every age, cannot be told."
        return "look", "The delivery says nothing of age, sex or site.", todo
    lacking = [row for row in rows if row["missing"] or row["impossible"]]
    if not lacking:
        return "fine", f"{many(len(rows), 'column')}, none with a gap.", "Nothing to do."
    parts = []
    for row in lacking:
        figures = [f"{row[key]:,} {key}" for key in ("missing", "impossible") if row[key]]
        parts.append(f"{row['column']}: {' and '.join(figures)}")
    says = f"Of {many(images, 'image')}, {'; '.join(parts)}."
    return "look", says, "Leave these images out of any figure by age or sex, and say how many."


def _identifiers(passport: SealedPassport) -> _Part:
    files = {kind: n for kind, n in passport["identifiers"].items() if n}
    if not files:
        return "fine", "No file carried an identifier.", "Nothing to do."
    kinds = ", ".join(f"{kind} in {many(n, 'file')}" for kind, n in files.items())
    says = f"Removed on the way in: {kinds}. The stored images have none of it."
    todo = "The delivered originals still have it: protect or delete them."
    return "look", says, todo


def _about(passport: SealedPassport) -> _Part:
    about = passport["about"]
    gaps = [name for name in ("licence", "citation", "intended_use") if not about.get(name)]
    population = about.get("population") or "Nothing is written down of whom the images show."
    if not about.get("population"):
        gaps.append("population")
    if gaps:
        names = ", ".join(gaps).replace("_", " ")
        return "look", population, f"Write {names} into the problem file."
    return "fine", population, "Do not use a model on anybody else before it was tested there."


_PARTS: dict[str, tuple[str, Callable[[SealedPassport], _Part]]] = {
    "twins": ("Copies of the same picture", _twins),
    "lookup": ("What a look-up scores without learning", _lookup),
    "confounds": ("Clues that are not the picture", _confounds),
    "sources": ("Can the source be seen in the picture?", _sources),
    "label_suspects": ("Labels in doubt", _suspects),
    "grouping": ("Patients, lesions and clusters", _grouping),
    "metadata": ("What is known of the patients", _metadata),
    "identifiers": ("Identifiers found and removed", _identifiers),
    "about": ("Whom it shows, and what it may be used for", _about),
}


def by_status(advices: Sequence[Advice]) -> list[Advice]:
    """The most serious first, each in its order."""
    order: tuple[Status, ...] = ("serious", "look", "unknown", "fine")
    return sorted(advices, key=lambda advice: order.index(advice.status))
