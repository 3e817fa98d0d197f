import re

import pytest

from neuro.drafting.infer_groups import pattern_of

SCANS = {
    "a word at the start": (["person1_a.png", "person1_b.png", "person22_a.png"], r"^(person\d+)"),
    "a word inside": (["ct_case-7_1.png", "ct_case-7_2.png", "mr_case-81_1.png"], "case-7"),
    "two words": (
        ["patient1_1.png", "patient1_2.png", "Subject_4_1.png", "Subject_4_2.png"],
        r"^(Subject_\d+|patient\d+)",
    ),
    "eyes of numbers": ([f"{n}_{eye}.png" for n in range(9) for eye in ("l", "r")], r"^(\d+"),
    "a number at the end": ([f"IM-{n:04}-{m}.png" for n in range(9) for m in (1, 2)], "IM-0000"),
}


@pytest.mark.parametrize("what", SCANS)
def test_a_part_that_repeats_like_a_patient_is_found(what: str) -> None:
    names, expected = SCANS[what]
    pattern = pattern_of(names, 2)
    match = re.search(pattern, names[0])
    assert match is not None
    assert re.compile(pattern).groups == 1
    assert pattern.startswith(expected) or match.group(1) == expected


NOTHING = {
    "running numbers": [f"scan_{n}.png" for n in range(50)],
    "classes": [f"Tr-{kind}_{n:04}.png" for kind in ("gl", "me", "no") for n in range(10)],
    "each patient once": [f"patient{n}.png" for n in range(20)],
    "one patient": [f"patient1_{n}.png" for n in range(20)],
    "words that end in p": [f"clip{n // 2}{'ab'[n % 2]}.png" for n in range(20)],
    "nothing alike": ["a.png", "b.png", "c.png"],
}


@pytest.mark.parametrize("what", NOTHING)
def test_what_is_no_patient_is_not_taken_for_one(what: str) -> None:
    assert pattern_of(NOTHING[what], 3) == ""


def test_a_word_counts_only_where_it_begins() -> None:
    names = ["ct_p1_a.png", "ct_p1_b.png", "ct_p2_a.png", "ct_p2_b.png", "clip1_x.png"]
    pattern = pattern_of(names, 2)
    found = [match and match[1] for match in (re.search(pattern, name) for name in names)]
    assert found == ["p1", "p1", "p2", "p2", None]


def test_chest_x_rays_are_grouped_as_their_own_problem_groups_them() -> None:
    names = [f"person{n}_{kind}_{n}.jpeg" for n in range(40) for kind in ("bacteria", "virus")]
    names += [f"IM-{n:04}-{m:04}.jpeg" for n in range(30) for m in (1, 2)]
    names += [f"IM-{n:04}-0001-{m:04}.jpeg" for n in range(30, 40) for m in (1, 2)]
    names += [f"NORMAL2-IM-{n:04}-{m:04}.jpeg" for n in range(30) for m in (1, 2)]
    own, drafted = r"^(person\d+|NORMAL2-IM-\d+|IM-\d+)", pattern_of(names, 2)
    groups = [[re.search(rule, name)[1] for name in names] for rule in (own, drafted)]  # type: ignore[index]
    assert groups[0] == groups[1]
