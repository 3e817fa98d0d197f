from pathlib import Path

from neuro.delivery import Item
from neuro.image import CleanImage
from neuro.intake import Intake, sort_out
from neuro.vet import Rejected


def item(name: str, label: str) -> Item:
    return Item(path=Path(name), source_name=name, label=label, given_split="", group_key="")


def image(sha256: str) -> CleanImage:
    return CleanImage(
        sha256=sha256,
        stored=b"",
        stored_sha256="",
        media_type="image/png",
        width=32,
        height=32,
        mode="L",
        perceptual_hash="",
        thumbnail=b"",
    )


def sorted_out(arrivals: list[tuple[str, str]], held: dict[str, str] | None = None) -> Intake:
    """Sort (digest, label) arrivals; file names are their numbers."""
    vetted = [(item(str(n), label), image(sha)) for n, (sha, label) in enumerate(arrivals)]
    return sort_out(vetted, held or {})


def accepted(intake: Intake) -> list[tuple[str, str]]:
    return [(image.sha256, item.label) for item, image in intake.accepted]


def test_every_file_is_accepted_repeated_or_quarantined() -> None:
    broken = (item("x", "glioma"), Rejected(sha256="f", code="blank", message="one value"))
    good = [(item("1", "a"), image("1")), (item("2", "a"), image("1")), (item("3", ""), image("2"))]
    clash = [(item("4", "a"), image("3")), (item("5", "b"), image("3"))]
    known = [(item("6", "a"), image("4"))]
    intake = sort_out([broken, *good, *clash, *known], {"4": "a"})
    assert accepted(intake) == [("1", "a"), ("2", "")]
    assert (intake.repeated, len(intake.quarantined), intake.seen) == (2, 3, 7)
    assert intake.reasons == {"blank": 1, "label_conflict": 2}


def test_a_copy_in_one_delivery_is_a_repeat() -> None:
    intake = sorted_out([("1", "a"), ("1", "a"), ("1", "a")])
    assert accepted(intake) == [("1", "a")]
    assert intake.repeated == 2


def test_of_two_copies_the_labelled_one_enters() -> None:
    assert accepted(sorted_out([("1", ""), ("1", "b")])) == [("1", "b")]


def test_of_two_labels_in_one_delivery_none_enters() -> None:
    intake = sorted_out([("1", "a"), ("1", "b")])
    assert intake.accepted == ()
    assert {rejected.message for _, rejected in intake.quarantined} == {
        "arrived as a and b in one delivery"
    }


def test_a_contradiction_of_the_held_label_waits() -> None:
    intake = sorted_out([("1", "b")], {"1": "a"})
    ((_, rejected),) = intake.quarantined
    assert (rejected.sha256, rejected.code) == ("1", "label_conflict")
    assert rejected.message == "arrived as b; it is held as a"
    assert intake.first_labels == {}


def test_a_first_label_of_a_held_image_is_kept_as_a_repeat() -> None:
    intake = sorted_out([("1", "b")], {"1": ""})
    assert (intake.repeated, intake.accepted) == (1, ())
    assert intake.first_labels == {"1": "b"}


def test_a_label_that_is_known_already_is_no_first_label() -> None:
    intake = sorted_out([("1", "a")], {"1": "a"})
    assert (intake.repeated, intake.first_labels) == (1, {})


def test_a_held_image_that_arrives_without_a_label_is_a_plain_repeat() -> None:
    intake = sorted_out([("1", "")], {"1": "a"})
    assert (intake.repeated, intake.quarantined, intake.first_labels) == (1, (), {})
