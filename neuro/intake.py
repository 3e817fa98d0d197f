"""Sort a vetted delivery: what enters, what is a repeat, what waits in quarantine."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neuro.delivery import Item
from neuro.image import CleanImage
from neuro.vet import Rejected

CONFLICT = "label_conflict"


@dataclass(frozen=True, kw_only=True, slots=True)
class Intake:
    """Every file of a delivery, in exactly one place.

    first_labels: images that were held without a label and arrive with one; they are repeats.
    """

    accepted: tuple[tuple[Item, CleanImage], ...]
    repeated: int
    quarantined: tuple[tuple[Item, Rejected], ...]
    first_labels: Mapping[str, str]

    @property
    def seen(self) -> int:
        """All files; accepted, repeated and quarantined add up to it."""
        return len(self.accepted) + self.repeated + len(self.quarantined)

    @property
    def reasons(self) -> dict[str, int]:
        """Quarantined files by reason code."""
        return dict(Counter(rejected.code for _, rejected in self.quarantined))


def sort_out(
    vetted: Iterable[tuple[Item, CleanImage | Rejected]], labels: Mapping[str, str]
) -> Intake:
    """Decide for each file.

    labels: sample_id -> newest label, "" for none, of every sample the dataset holds.
    An image with two labels in one delivery does not enter; one that contradicts its label waits.
    """
    groups: dict[str, list[tuple[Item, CleanImage]]] = defaultdict(list)
    quarantined: list[tuple[Item, Rejected]] = []
    for item, result in vetted:
        if isinstance(result, Rejected):
            quarantined.append((item, result))
        else:
            groups[result.sha256].append((item, result))
    accepted, repeated, first_labels = [], 0, {}
    for sha256, copies in groups.items():
        said = {item.label for item, _ in copies} - {""}
        if len(said | ({labels[sha256]} - {""} if sha256 in labels else set())) > 1:
            quarantined += [(item, _conflict(sha256, said, labels)) for item, _ in copies]
        elif sha256 in labels:
            repeated += len(copies)
            if said and not labels.get(sha256):
                first_labels[sha256] = said.pop()
        else:
            labelled_first = sorted(copies, key=lambda copy: not copy[0].label)
            accepted.append(labelled_first[0])
            repeated += len(copies) - 1
    return Intake(
        accepted=tuple(accepted),
        repeated=repeated,
        quarantined=tuple(quarantined),
        first_labels=first_labels,
    )


def _conflict(sha256: str, said: set[str], labels: Mapping[str, str]) -> Rejected:
    arrived = " and ".join(sorted(said))
    held = f"; it is held as {labels[sha256]}" if labels.get(sha256) else " in one delivery"
    return Rejected(sha256=sha256, code=CONFLICT, message=f"arrived as {arrived}{held}")
