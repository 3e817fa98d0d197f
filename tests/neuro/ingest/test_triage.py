from dataclasses import replace
from pathlib import Path

from neuro.images.sandbox import Rejected
from neuro.ingest.delivery import Item
from neuro.ingest.triage import Arrived, Intake, look_alikes, sort_out


def item(name: str, label: str) -> Item:
    return Item(path=Path(name), source_name=name, label=label, given_split="", group_key="")


def sorted_out(arrivals: list[tuple[str, str]], held: dict[str, str] | None = None) -> Intake:
    """Sort (digest, label) arrivals; file names are their numbers."""
    files = [
        Arrived(item=item(str(n), label), sha256=sha) for n, (sha, label) in enumerate(arrivals)
    ]
    return sort_out(files, held or {})


def accepted(intake: Intake) -> list[tuple[str, str]]:
    return [(sha256, item.label) for item, sha256 in intake.accepted]


def test_every_file_is_accepted_repeated_or_quarantined() -> None:
    blank = Rejected(sha256="f", code="blank", message="one value")
    broken = Arrived(item=item("x", "glioma"), sha256="f", rejected=blank)
    good = [("1", "a"), ("1", "a"), ("2", ""), ("3", "a"), ("3", "b"), ("4", "a")]
    files = [Arrived(item=item(str(n), label), sha256=sha) for n, (sha, label) in enumerate(good)]
    intake = sort_out([broken, *files], {"4": "a"})
    assert accepted(intake) == [("1", "a"), ("2", "")]
    assert (intake.repeated, len(intake.quarantined), intake.placed) == (("1", "4"), 3, 7)
    assert intake.reasons == {"blank": 1, "label_conflict": 2}


def test_a_copy_in_one_delivery_is_a_repeat() -> None:
    intake = sorted_out([("1", "a"), ("1", "a"), ("1", "a")])
    assert accepted(intake) == [("1", "a")]
    assert intake.repeated == ("1", "1")


def test_of_two_copies_the_labelled_one_enters() -> None:
    assert accepted(sorted_out([("1", ""), ("1", "b")])) == [("1", "b")]


def test_of_two_labels_in_one_delivery_none_enters() -> None:
    intake = sorted_out([("1", "a"), ("1", "b")])
    assert intake.accepted == ()
    assert {waits.rejected.message for waits in intake.quarantined} == {
        "arrived as a and b in one delivery"
    }


def test_a_contradiction_of_the_held_label_waits() -> None:
    intake = sorted_out([("1", "b")], {"1": "a"})
    rejected = intake.quarantined[0].rejected
    assert (rejected.sha256, rejected.code) == ("1", "label_conflict")
    assert rejected.message == "arrived as b; it is held as a"
    assert intake.first_labels == {}


def test_a_first_label_of_a_held_image_is_kept_as_a_repeat() -> None:
    intake = sorted_out([("1", "b")], {"1": ""})
    assert (intake.repeated, intake.accepted) == (("1",), ())
    assert intake.first_labels == {"1": "b"}


def test_a_label_that_is_known_already_is_no_first_label() -> None:
    intake = sorted_out([("1", "a")], {"1": "a"})
    assert (intake.repeated, intake.first_labels) == (("1",), {})


def test_a_held_image_that_arrives_without_a_label_is_a_plain_repeat() -> None:
    intake = sorted_out([("1", "")], {"1": "a"})
    assert (intake.repeated, intake.quarantined, intake.first_labels) == (("1",), (), {})


def same_pixels(arrivals: list[tuple[str, str]], held: dict[str, str]) -> Intake:
    """Sort arrivals of which all, and all that is held, show one picture."""
    files = [
        Arrived(item=item(str(n), label), sha256=sha) for n, (sha, label) in enumerate(arrivals)
    ]
    return sort_out(files, held, dict.fromkeys([*held, *(sha for sha, _ in arrivals)], "picture"))


def test_of_equal_pixels_under_two_labels_none_enters() -> None:
    intake = same_pixels([("1", "a"), ("2", "b")], {})
    assert intake.accepted == ()
    assert [(w.sha256, w.other) for w in intake.quarantined] == [("1", "2"), ("2", "1")]
    assert intake.quarantined[1].rejected.message == (
        "arrived as b; 1 has the same pixels and arrived as a"
    )


def test_equal_pixels_against_a_held_label_wait() -> None:
    intake = same_pixels([("2", "b"), ("1", "a")], {"1": "a"})
    (waits,) = intake.quarantined
    assert (waits.sha256, waits.other, intake.repeated) == ("2", "1", ("1",))
    assert waits.rejected.message == "arrived as b; 1 has the same pixels and is held as a"


def test_equal_pixels_under_one_label_are_twins_and_enter() -> None:
    assert accepted(same_pixels([("2", "a"), ("3", "")], {"1": "a"})) == [("2", "a"), ("3", "")]


def test_only_new_labelled_look_alikes_of_another_label_are_compared() -> None:
    small = {"held a": b"x", "held b": b"y", "new a": b"x", "new b": b"x", "new c": b"z"}
    labels = {"held a": "a", "held b": "b"}

    def compared(*arrivals: tuple[str, str]) -> set[str]:
        files = [Arrived(item=item(sha, label), sha256=sha) for sha, label in arrivals]
        return look_alikes(files, labels, small)

    assert compared(("new a", "a"), ("new c", "c"), ("held b", "a")) == set()
    assert compared(("new b", "b")) == {"held a", "new b"}
    assert compared(("new a", "a"), ("new b", "")) == set()


def test_a_file_in_both_given_splits_of_one_delivery_is_known_to_lie_in_both() -> None:
    places = [("1", "test"), ("1", "train"), ("2", "train"), ("2", "train"), ("3", "")]
    files = [
        Arrived(item=replace(item(str(n), "a"), given_split=given), sha256=sha)
        for n, (sha, given) in enumerate(places)
    ]
    intake = sort_out(files, {})
    assert [entry.given_split for entry, _ in intake.accepted] == ["train+test", "train", ""]
