"""Triage of a vetted delivery: which files are accepted, repeated or quarantined."""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from neuro.images.sandbox import Rejected
from neuro.images.sanitize import DECODE_ERRORS, FORMATS
from neuro.ingest.delivery import Item
from neuro.sample import SPLITS

CONFLICT = "label_conflict"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveredFile:
    """A file of a delivery and the digest of its bytes, or of its name if it cannot be read.

    rejected: why it is not accepted, None if there is no reason so far.
    """

    item: Item
    sha256: str
    rejected: Rejected | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinedFile:
    """A file that is not accepted, and why.

    other: the sample that shows the same picture under another label, "" for none.
    """

    item: Item
    sha256: str
    rejected: Rejected
    other: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SortedFiles:
    """Every file of a delivery, in exactly one place.

    accepted: one file for each new image; its given split is "train+test" where the delivery has
    the same image in both. repeated: the digest of each file whose image the dataset or the
    delivery has already. first_labels: labels, by sample_id, of repeated images that had none.
    """

    accepted: tuple[DeliveredFile, ...]
    repeated: tuple[str, ...]
    quarantined: tuple[QuarantinedFile, ...]
    first_labels: Mapping[str, str]

    @property
    def count(self) -> int:
        """Accepted, repeated and quarantined files together."""
        return len(self.accepted) + len(self.repeated) + len(self.quarantined)

    @property
    def reasons(self) -> dict[str, int]:
        """Quarantined files by reason code."""
        return dict(Counter(file.rejected.code for file in self.quarantined))


def sort_out(
    files: Iterable[DeliveredFile],
    known_labels: Mapping[str, str],
    pixel_digests: Mapping[str, str] | None = None,
) -> SortedFiles:
    """Decide for each file.

    known_labels: sample_id -> newest label, "" for none, of every sample of the dataset.
    pixel_digests: sample_id -> digest of the pixels, of those in ``look_alikes``. An image that is
    delivered under two labels, or under another one than it has, is quarantined.
    """
    copies: dict[str, list[Item]] = defaultdict(list)
    quarantined: list[QuarantinedFile] = []
    for file in files:
        if file.rejected is None:
            copies[file.sha256].append(file.item)
        else:
            quarantined.append(
                QuarantinedFile(item=file.item, sha256=file.sha256, rejected=file.rejected)
            )
    delivered = {sha256: {item.label for item in items} - {""} for sha256, items in copies.items()}
    labels = _Labels(known=known_labels, delivered=delivered)
    labelled_by_picture: dict[str, list[str]] = defaultdict(list)
    pictures = pixel_digests or {}
    for sha256, digest in sorted(pictures.items()):
        if digest and labels.of(sha256):
            labelled_by_picture[digest].append(sha256)
    accepted: list[DeliveredFile] = []
    repeated: list[str] = []
    first_labels: dict[str, str] = {}
    for sha256, items in copies.items():
        digest = "" if sha256 in known_labels else pictures.get(sha256, "")
        conflict = _conflict(sha256, labels, labelled_by_picture.get(digest, ()))
        if conflict is not None:
            rejected = Rejected(sha256=sha256, code=CONFLICT, message=conflict.message)
            quarantined += [
                QuarantinedFile(item=item, sha256=sha256, rejected=rejected, other=conflict.other)
                for item in items
            ]
        elif sha256 in known_labels:
            repeated += [sha256] * len(items)
            if labels.delivered[sha256] and not known_labels[sha256]:
                (first_labels[sha256],) = labels.delivered[sha256]
        else:
            accepted.append(DeliveredFile(item=_joined(items), sha256=sha256))
            repeated += [sha256] * (len(items) - 1)
    return SortedFiles(
        accepted=tuple(accepted),
        repeated=tuple(repeated),
        quarantined=tuple(quarantined),
        first_labels=first_labels,
    )


def look_alikes(
    files: Iterable[DeliveredFile], known_labels: Mapping[str, str], thumbnails: Mapping[str, bytes]
) -> set[str]:
    """Samples whose pixels must be compared: equal thumbnails, other labels, one of them new.

    Equal pixels have equal thumbnails, so no conflict is missed. thumbnails: of every sample of the
    dataset and of every new image.
    """
    new_labels: dict[str, set[str]] = defaultdict(set)
    for file in files:
        if file.rejected is None and file.sha256 not in known_labels and file.item.label:
            new_labels[file.sha256].add(file.item.label)
    new_thumbnails = {thumbnails[sha256] for sha256 in new_labels}
    labels_by_thumbnail: dict[bytes, set[str]] = defaultdict(set)
    samples_by_thumbnail: dict[bytes, set[str]] = defaultdict(set)
    for sha256, thumbnail in thumbnails.items():
        if thumbnail not in new_thumbnails:
            continue
        known_label = known_labels.get(sha256)
        labels = new_labels.get(sha256) or ({known_label} if known_label else set())
        if labels:
            samples_by_thumbnail[thumbnail].add(sha256)
            labels_by_thumbnail[thumbnail] |= labels
    alike: set[str] = set()
    for thumbnail, samples in samples_by_thumbnail.items():
        if len(labels_by_thumbnail[thumbnail]) > 1:
            alike |= samples
    return alike


def pixel_digest(stored: bytes) -> str:
    """Digest of what a picture shows, whatever its coding; "" if the clean bytes do not decode."""
    try:
        with Image.open(io.BytesIO(stored), formats=FORMATS) as picture:
            pixels = picture.convert("RGB")
    except DECODE_ERRORS:  # damaged in the store: `neuro verify` names it
        return ""
    return hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Labels:
    """Labels by sample_id: those of the dataset, "" for none, and those of the delivery's files."""

    known: Mapping[str, str]
    delivered: Mapping[str, set[str]]

    def of(self, sha256: str) -> set[str]:
        """The label of a sample of the dataset, or those that a new image is delivered with."""
        if sha256 in self.known:
            return {self.known[sha256]} - {""}
        return self.delivered.get(sha256, set())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Conflict:
    """Why an image is not accepted. other: the sample it contradicts, "" for itself."""

    message: str
    other: str = ""


def _joined(copies: Sequence[Item]) -> Item:
    """The first copy that has a label, with the given splits of all copies joined by "+"."""
    if len(copies) == 1:
        return copies[0]
    chosen = min(copies, key=lambda item: not item.label)
    given = {item.given_split for item in copies}
    return replace(chosen, given_split="+".join(split for split in SPLITS if split in given))


def _conflict(sha256: str, labels: _Labels, same_picture: Iterable[str]) -> _Conflict | None:
    """The first contradiction between an image's labels: with its own one, or a same picture's.

    same_picture: labelled samples with the same pixels, the image itself among them.
    """
    delivered = labels.delivered[sha256]
    arrived = f"arrived as {' and '.join(sorted(delivered))}"
    known_label = labels.known.get(sha256, "")
    if len(delivered) > 1 or (known_label and delivered - {known_label}):
        how = f"; it is held as {known_label}" if known_label else " in one delivery"
        return _Conflict(message=arrived + how)
    for other in same_picture:
        other_labels = labels.of(other)
        if len(delivered | other_labels) > 1:
            how = "is held" if other in labels.known else "arrived"
            shown = " and ".join(sorted(other_labels))
            message = f"{arrived}; {other[:12]} has the same pixels and {how} as {shown}"
            return _Conflict(message=message, other=other)
    return None
