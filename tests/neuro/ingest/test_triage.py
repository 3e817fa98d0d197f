from dataclasses import replace
from pathlib import Path

from neuro.images.sandbox import Rejected
from neuro.ingest.delivery import Item
from neuro.ingest.triage import DeliveredFile, SortedFiles, look_alikes, sort_out


def item(name: str, label: str) -> Item:
    return Item(path=Path(name), source_name=name, label=label, given_split="", group_key="")


def sorted_out(arrivals: list[tuple[str, str]], held: dict[str, str] | None = None) -> SortedFiles:
    """Sort (digest, label) arrivals; file names are their numbers."""
    files = [
        DeliveredFile(item=item(str(n), label), sha256=sha)
        for n, (sha, label) in enumerate(arrivals)
    ]
    return sort_out(files, held or {})


def accepted(sorted_files: SortedFiles) -> list[tuple[str, str]]:
    return [(file.sha256, file.item.label) for file in sorted_files.accepted]


def test_every_file_is_accepted_repeated_or_quarantined() -> None:
    blank = Rejected(sha256="f", code="blank", message="one value")
    broken = DeliveredFile(item=item("x", "glioma"), sha256="f", rejected=blank)
    good = [("1", "a"), ("1", "a"), ("2", ""), ("3", "a"), ("3", "b"), ("4", "a")]
    files = [
        DeliveredFile(item=item(str(n), label), sha256=sha) for n, (sha, label) in enumerate(good)
    ]
    sorted_files = sort_out([broken, *files], {"4": "a"})
    assert accepted(sorted_files) == [("1", "a"), ("2", "")]
    assert (sorted_files.repeated, len(sorted_files.quarantined), sorted_files.count) == (
        ("1", "4"),
        3,
        7,
    )
    assert sorted_files.reasons == {"blank": 1, "label_conflict": 2}


def test_a_copy_in_one_delivery_is_a_repeat() -> None:
    sorted_files = sorted_out([("1", "a"), ("1", "a"), ("1", "a")])
    assert accepted(sorted_files) == [("1", "a")]
    assert sorted_files.repeated == ("1", "1")


def test_of_two_copies_the_labelled_one_enters() -> None:
    assert accepted(sorted_out([("1", ""), ("1", "b")])) == [("1", "b")]


def test_of_two_labels_in_one_delivery_none_enters() -> None:
    sorted_files = sorted_out([("1", "a"), ("1", "b")])
    assert sorted_files.accepted == ()
    assert {file.rejected.message for file in sorted_files.quarantined} == {
        "arrived as a and b in one delivery"
    }


def test_a_contradiction_of_the_held_label_file() -> None:
    sorted_files = sorted_out([("1", "b")], {"1": "a"})
    rejected = sorted_files.quarantined[0].rejected
    assert (rejected.sha256, rejected.code) == ("1", "label_conflict")
    assert rejected.message == "arrived as b; it is held as a"
    assert sorted_files.first_labels == {}


def test_a_first_label_of_a_held_image_is_kept_as_a_repeat() -> None:
    sorted_files = sorted_out([("1", "b")], {"1": ""})
    assert (sorted_files.repeated, sorted_files.accepted) == (("1",), ())
    assert sorted_files.first_labels == {"1": "b"}


def test_a_label_that_is_known_already_is_no_first_label() -> None:
    sorted_files = sorted_out([("1", "a")], {"1": "a"})
    assert (sorted_files.repeated, sorted_files.first_labels) == (("1",), {})


def test_a_held_image_that_arrives_without_a_label_is_a_plain_repeat() -> None:
    sorted_files = sorted_out([("1", "")], {"1": "a"})
    assert (sorted_files.repeated, sorted_files.quarantined, sorted_files.first_labels) == (
        ("1",),
        (),
        {},
    )


def same_pixels(arrivals: list[tuple[str, str]], held: dict[str, str]) -> SortedFiles:
    """Sort arrivals of which all, and all that is held, show one picture."""
    files = [
        DeliveredFile(item=item(str(n), label), sha256=sha)
        for n, (sha, label) in enumerate(arrivals)
    ]
    return sort_out(files, held, dict.fromkeys([*held, *(sha for sha, _ in arrivals)], "picture"))


def test_of_equal_pixels_under_two_labels_none_enters() -> None:
    sorted_files = same_pixels([("1", "a"), ("2", "b")], {})
    assert sorted_files.accepted == ()
    assert [(w.sha256, w.other) for w in sorted_files.quarantined] == [("1", "2"), ("2", "1")]
    assert sorted_files.quarantined[1].rejected.message == (
        "arrived as b; 1 has the same pixels and arrived as a"
    )


def test_equal_pixels_against_a_held_label_wait() -> None:
    sorted_files = same_pixels([("2", "b"), ("1", "a")], {"1": "a"})
    (file,) = sorted_files.quarantined
    assert (file.sha256, file.other, sorted_files.repeated) == ("2", "1", ("1",))
    assert file.rejected.message == "arrived as b; 1 has the same pixels and is held as a"


def test_equal_pixels_under_one_label_are_twins_and_enter() -> None:
    assert accepted(same_pixels([("2", "a"), ("3", "")], {"1": "a"})) == [("2", "a"), ("3", "")]


def test_only_new_labelled_look_alikes_of_another_label_are_compared() -> None:
    small = {"held a": b"x", "held b": b"y", "new a": b"x", "new b": b"x", "new c": b"z"}
    labels = {"held a": "a", "held b": "b"}

    def compared(*arrivals: tuple[str, str]) -> set[str]:
        files = [DeliveredFile(item=item(sha, label), sha256=sha) for sha, label in arrivals]
        return look_alikes(files, labels, small)

    assert compared(("new a", "a"), ("new c", "c"), ("held b", "a")) == set()
    assert compared(("new b", "b")) == {"held a", "new b"}
    assert compared(("new a", "a"), ("new b", "")) == set()


def test_a_file_in_both_given_splits_of_one_delivery_is_known_to_lie_in_both() -> None:
    places = [("1", "test"), ("1", "train"), ("2", "train"), ("2", "train"), ("3", "")]
    files = [
        DeliveredFile(item=replace(item(str(n), "a"), given_split=given), sha256=sha)
        for n, (sha, given) in enumerate(places)
    ]
    sorted_files = sort_out(files, {})
    assert [file.item.given_split for file in sorted_files.accepted] == ["train+test", "train", ""]
