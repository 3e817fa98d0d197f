"""What a node came from and what came of it, compared with a walk written down by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from neuro.promotion.lineage import Lineage, Node

START = datetime(2026, 1, 1, tzinfo=UTC)


def graph(*edges: str) -> Lineage:
    """Of edges such as "a>b"; a node's kind is its first letter, and it is as old as its name."""
    pairs = [tuple(edge.split(">")) for edge in edges]
    names = sorted({name for pair in pairs for name in pair})
    nodes = {
        name: Node(id=name, kind=name[0], at=START + timedelta(days=age))
        for age, name in enumerate(names)
    }
    return Lineage(nodes=nodes, edges=[(cause, effect) for cause, effect in pairs])


def test_each_cause_and_each_effect_is_found_and_no_sibling() -> None:
    made = graph("a>b", "b>c", "a>d", "d>e", "c>f", "e>f", "g>d")
    assert made.ancestors("c") == {"a", "b"}
    assert made.descendants("d") == {"e", "f"}
    assert made.around("d").nodes.keys() == {"a", "g", "d", "e", "f"}
    assert ("c", "f") not in made.around("d").edges


def test_a_cycle_of_clocks_that_are_wrong_ends_the_walk() -> None:
    made = graph("a>b", "b>c", "c>a")
    assert made.descendants("a") == made.ancestors("a") == {"b", "c"}


@pytest.mark.parametrize("seed", range(5))
def test_what_is_reached_is_what_powers_of_the_matrix_reach(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = np.triu(rng.random((30, 30)) < 0.07, k=1)
    pairs = [f"n{a:02}>n{b:02}" for a, b in np.argwhere(matrix)] + ["n00>n29"]
    matrix[0, 29] = True
    made = graph(*pairs)
    reached = np.linalg.matrix_power((matrix | np.eye(30, dtype=bool)).astype(np.int64), 30) > 0
    for name in made.nodes:
        row = int(name[1:])
        expected = {f"n{each:02}" for each in np.flatnonzero(reached[row])} - {name}
        assert made.descendants(name) == expected


def test_many_that_are_alike_become_one_and_the_one_asked_for_stays() -> None:
    made = graph(*(f"a>b{number:02}" for number in range(20)), "a>c", "b07>c")
    folded = made.folded("b03", most=3)
    assert folded.nodes.keys() == {"a", "b00", "b03", "b07", "c"}
    assert folded.nodes["b00"].says == "and 17 more, the last b19"
    assert made.folded("a", most=20).nodes.keys() == made.nodes.keys()
