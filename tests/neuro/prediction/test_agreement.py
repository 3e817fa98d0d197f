"""How far two models agree, counted by hand."""

import numpy as np

from neuro.prediction import agreement
from neuro.prediction.agreement import Said


def said(**answers: tuple[str, str]) -> Said:
    """By sample: what it is called, and what is decided."""
    return Said(
        sample_ids=np.array([*answers], dtype=np.str_),
        predicted=np.array([called for called, _ in answers.values()], dtype=np.str_),
        decisions=np.array([decided for _, decided in answers.values()], dtype=np.str_),
    )


def test_samples_of_both_are_compared_whatever_their_order() -> None:
    ours = said(s=("a", "answer"), t=("a", "answer"), u=("b", "answer"), v=("b", "abstain"))
    theirs = said(w=("a", "answer"), v=("b", "answer"), t=("b", "abstain"), s=("a", "answer"))
    found = agreement.compare(ours, theirs)
    assert found is not None
    assert (found.n, round(found.agreement, 6)) == (3, 0.666667)
    assert found.flips == {"a -> b": 1}
    assert found.decisions == {"abstain -> answer": 1, "answer -> abstain": 1}


def test_the_commonest_flip_comes_first() -> None:
    ours = said(**{f"s{n}": ("a", "answer") for n in range(6)})
    classes = ["c", "b", "c", "c", "a", "d"]
    theirs = said(**{f"s{n}": (name, "answer") for n, name in enumerate(classes)})
    found = agreement.compare(ours, theirs)
    assert found is not None
    assert [*found.flips.items()] == [("a -> c", 3), ("a -> b", 1), ("a -> d", 1)]
    assert (round(found.agreement, 6), found.decisions) == (0.166667, {})


def test_without_a_common_sample_nothing_is_said() -> None:
    assert agreement.compare(said(s=("a", "answer")), said(t=("a", "answer"))) is None
    assert agreement.compare(said(), said()) is None
