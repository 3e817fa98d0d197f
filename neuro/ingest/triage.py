"""Sort a vetted delivery: what enters, what is a repeat, what waits in quarantine."""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from PIL import Image

from neuro.images.sandbox import Rejected
from neuro.images.sanitize import DECODE_ERRORS, FORMATS
from neuro.ingest.delivery import Item
from neuro.sample import SPLITS

CONFLICT = "label_conflict"


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """One file after vetting. sha256: of its bytes, or of its name where they cannot be read."""

    item: Item
    sha256: str
    rejected: Rejected | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """A file that does not enter, and why. other: the sample with the same pixels, "" for none."""

    item: Item
    sha256: str
    rejected: Rejected
    other: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Intake:
    """Every file of a delivery, in exactly one place.

    accepted: with the digest of the source bytes; the given split of copies is "train+test" where
    the delivery has the same file in both. repeated: one digest per repeat. first_labels:
    images that were held without a label and arrive with one; they are repeats.
    """

    accepted: tuple[tuple[Item, str], ...]
    repeated: tuple[str, ...]
    quarantined: tuple[Waits, ...]
    first_labels: Mapping[str, str]

    @property
    def placed(self) -> int:
        """Accepted, repeated and quarantined files together."""
        return len(self.accepted) + len(self.repeated) + len(self.quarantined)

    @property
    def reasons(self) -> dict[str, int]:
        """Quarantined files by reason code."""
        return dict(Counter(waits.rejected.code for waits in self.quarantined))


def sort_out(
    arrived: Iterable[Arrived],
    labels: Mapping[str, str],
    pixels: Mapping[str, str] | None = None,
) -> Intake:
    """Decide for each file.

    labels: sample_id -> newest label, "" for none, of every sample the dataset holds. pixels:
    sample_id -> digest of the pixels, of those in ``look_alikes``. A picture that arrives with two
    labels does not enter; one that contradicts the label it has, waits.
    """
    copies: dict[str, list[Item]] = defaultdict(list)
    quarantined: list[Waits] = []
    for file in arrived:
        if file.rejected is not None:
            quarantined.append(Waits(item=file.item, sha256=file.sha256, rejected=file.rejected))
        else:
            copies[file.sha256].append(file.item)
    said = {sha256: {item.label for item in items} - {""} for sha256, items in copies.items()}
    same = _same_pictures(said, labels, pixels or {})
    accepted, repeated, first_labels = [], [], {}
    for sha256, items in copies.items():
        if rival := _rival(sha256, said, labels, same):
            other, message = rival
            rejected = Rejected(sha256=sha256, code=CONFLICT, message=message)
            quarantined += [
                Waits(item=item, sha256=sha256, rejected=rejected, other=other) for item in items
            ]
        elif sha256 in labels:
            repeated += [sha256] * len(items)
            if said[sha256] and not labels[sha256]:
                first_labels[sha256] = min(said[sha256])
        else:
            labelled_first = sorted(items, key=lambda item: not item.label)
            accepted.append((replace(labelled_first[0], given_split=_given(items)), sha256))
            repeated += [sha256] * (len(items) - 1)
    return Intake(
        accepted=tuple(accepted),
        repeated=tuple(repeated),
        quarantined=tuple(quarantined),
        first_labels=first_labels,
    )


def _given(copies: Iterable[Item]) -> str:
    """Every given split of a file that a delivery holds several times, joined by "+"."""
    said = {item.given_split for item in copies}
    return "+".join(split for split in SPLITS if split in said)


def look_alikes(
    arrived: Iterable[Arrived], labels: Mapping[str, str], thumbnails: Mapping[str, bytes]
) -> set[str]:
    """Samples whose pixels must be compared: equal thumbnails, other labels, one of them new.

    Equal pixels have equal thumbnails, so no conflict is missed. thumbnails: of all that is held
    and all that is new.
    """
    said: dict[str, set[str]] = defaultdict(set)
    for file in arrived:
        if file.rejected is None and file.sha256 not in labels and file.item.label:
            said[file.sha256].add(file.item.label)
    fresh = {thumbnails[sha256] for sha256 in said}
    clusters: dict[bytes, set[str]] = defaultdict(set)
    for sha256, small in thumbnails.items():
        if small in fresh and (sha256 in said or labels.get(sha256)):
            clusters[small].add(sha256)
    return {
        sha256
        for cluster in clusters.values()
        if len(set[str]().union(*(said.get(s) or {labels[s]} for s in cluster))) > 1
        for sha256 in cluster
    }


def pixel_digest(stored: bytes) -> str:
    """Digest of what a picture shows, whatever its coding; "" if the clean bytes do not decode."""
    try:
        with Image.open(io.BytesIO(stored), formats=FORMATS) as picture:
            shown = picture.convert("RGB")
    except DECODE_ERRORS:  # damaged in the store: `neuro verify` names it
        return ""
    return hashlib.sha256(f"{shown.size}".encode() + shown.tobytes()).hexdigest()


def _same_pictures(
    said: Mapping[str, set[str]], labels: Mapping[str, str], pixels: Mapping[str, str]
) -> dict[str, list[str]]:
    """For each new sample, the other labelled samples that show the same."""
    alike: dict[str, list[str]] = defaultdict(list)
    for sha256, digest in sorted(pixels.items()):
        if digest and (labels.get(sha256) or (sha256 not in labels and said.get(sha256))):
            alike[digest].append(sha256)
    return {
        sha256: [other for other in alike[digest] if other != sha256]
        for sha256, digest in pixels.items()
        if digest and sha256 in said and sha256 not in labels
    }


def _rival(
    sha256: str,
    said: Mapping[str, set[str]],
    labels: Mapping[str, str],
    same: Mapping[str, list[str]],
) -> tuple[str, str] | None:
    """Which sample contradicts an arrival ("" for its own bytes), and in what words."""
    own, held = said[sha256], labels.get(sha256, "")
    if sha256 not in same and (not own or own == {held} or (len(own) == 1 and not held)):
        return None
    arrived = " and ".join(sorted(own))
    if len(own | ({held} - {""})) > 1:
        how = f"; it is held as {held}" if held else " in one delivery"
        return "", f"arrived as {arrived}{how}"
    for other in same.get(sha256, ()):
        others = {labels[other]} if other in labels else said[other]
        if len(own | others) > 1:
            how = "is held" if other in labels else "arrived"
            return other, (
                f"arrived as {arrived}; {other[:12]} has the same pixels and {how} as "
                f"{' and '.join(sorted(others))}"
            )
    return None
