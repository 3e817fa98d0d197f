"""The tree, and a mermaid chart that no name can break out of."""

import re
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from neuro.promotion import lineage_text
from neuro.promotion.lineage import Lineage, Node

AT = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
NODE = re.compile(r'  n\d+\["[\w#; \-./,()@]*(<br/>[\w#; \-./,()@]*)*"\]')

RELEASES = Lineage(
    nodes={
        "brain-1": Node(id="brain-1", kind="release", at=AT, says="40 images"),
        "brain-2": Node(id="brain-2", kind="release"),
        "brain-3": Node(id="brain-3", kind="release"),
        "model/brain/1": Node(id="model/brain/1", kind="model", who="ada"),
        "look/1": Node(id="look/1", kind="look"),
    },
    edges=[
        ("brain-1", "brain-2"),
        ("brain-2", "brain-3"),
        ("brain-1", "model/brain/1"),
        ("model/brain/1", "look/1"),
        ("brain-3", "look/1"),
    ],
)


def test_each_has_one_line_and_releases_that_follow_one_another_stand_in_one_column() -> None:
    assert lineage_text.tree(RELEASES, "brain-1").splitlines() == [
        "release brain-1  2026-11-28 09:30  40 images",
        "",
        "came from",
        "   nothing that is known",
        "",
        "came of it",
        "├─ release brain-2",
        "├─ release brain-3",
        "│  └─ look/1",
        "└─ model/brain/1  by ada",
        "      also look/1",
    ]


def test_a_chain_deeper_than_a_screen_says_where_it_goes_on() -> None:
    names = [f"{'ab'[number % 2]}/{number:04}" for number in range(5000)]
    nodes = {name: Node(id=name, kind=name[0]) for name in names}
    chain = Lineage(nodes=nodes, edges=list(pairwise(names)))
    lines = lineage_text.tree(chain, names[0]).splitlines()
    assert len(lines) == 6 + lineage_text.DEEPEST
    assert lines[-1].endswith(f"(goes on: neuro trace '{names[lineage_text.DEEPEST]}')")


@pytest.mark.parametrize(
    "text",
    [
        'a"] --> b["c',
        "line\nn0 --> n1",
        "x\r\n%% comment",
        '<img src=x onerror="alert(1)">',
        "`markdown`",
        "click n0 call alert()",
        "end; subgraph s",
        "#quot; &quot; #35;",
        "style a:#f00;",
        "\u2028n0 --> n1",
        "\x1b[31mred",
        "Bjørn Å. \N{GRINNING FACE}",
    ],
)
def test_no_text_breaks_out_of_its_label(text: str) -> None:
    nodes = {
        "a": Node(id="a", kind="sample", at=AT, who=text, says=text),
        text: Node(id=text, kind=text),  # its time is not known, so that it comes last
    }
    lines = lineage_text.mermaid(Lineage(nodes=nodes, edges=[("a", text)]), "a").split("\n")
    assert (lines[0], lines[-2:]) == (
        "flowchart LR",
        ["  n0 --> n1", "  style n0 stroke-width:4px"],
    )
    assert len(lines) == 5
    assert all(NODE.fullmatch(line) for line in lines[1:3])


def test_what_is_escaped_reads_back_as_it_was() -> None:
    text = 'Bjørn "Å" <b> #35; a:b; %%'
    back = re.sub("#([0-9]+);", lambda code: chr(int(code[1])), lineage_text.escaped(text))
    assert back == text


def test_a_name_of_several_lines_has_one_in_the_tree() -> None:
    nodes = {"a": Node(id="a", kind="sample", says="x\n└─ champion/brain/9")}
    assert lineage_text.tree(Lineage(nodes=nodes, edges=[]), "a").splitlines()[0] == (
        "sample a  x └─ champion/brain/9"
    )
