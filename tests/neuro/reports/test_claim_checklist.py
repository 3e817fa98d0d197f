"""CLAIM 2024 by its numbers."""

from neuro.reports import claim_checklist
from neuro.reports.claim_checklist import FOR_AUTHORS


def test_there_are_forty_four_items_each_in_its_section() -> None:
    items = claim_checklist.filled({})
    assert [item.number for item in items] == list(range(1, 45))
    sections = {item.number: item.section for item in items}
    assert (sections[7], sections[13], sections[14]) == ("Data", "Data", "Reference standard")
    assert sections[44] == "Other information"


def test_what_is_not_known_is_for_the_authors() -> None:
    items = claim_checklist.filled({9: "grey, 96 px", 7: ""})
    known = {item.number: item.answer for item in items if item.answer != FOR_AUTHORS}
    assert known == {9: "grey, 96 px"}
