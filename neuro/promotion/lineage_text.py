"""A lineage as text: a tree for a terminal, and a diagram in the language of mermaid."""

from collections import deque
from collections.abc import Mapping, Sequence

from neuro.promotion.lineage import Edge, Lineage, Node

MOST = 6  # of one kind with the same causes and effects are shown each for itself
DEEPEST = 24  # levels of a tree; what is below is named as the next to ask for
_LONGEST = 140  # characters of what a node says


def tree(lineage: Lineage, node_id: str) -> str:
    """What a node came from and what came of it, the nearest first.

    Each node has one line of its own, below the nearest of those it is tied to; below the others it
    is named after "also". What follows on its own kind, such as a release on a release, stands in
    the same column.
    """
    shown = lineage.folded(node_id, MOST)
    lines = [_line(shown.nodes[node_id])]
    for title, neighbours in (("came from", shown.causes), ("came of it", shown.effects)):
        branches = _branches(shown, neighbours, node_id)
        lines += ["", title, *(branches or ["   nothing that is known"])]
    return "\n".join(lines)


def mermaid(lineage: Lineage, node_id: str) -> str:
    """The same as a flow chart; the node that was asked for has a thick line.

    Whatever a label holds, it stays a label: all but letters, digits and a few signs are written as
    entity codes (https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters).
    """
    shown = lineage.folded(node_id, MOST)
    names = {each: f"n{number}" for number, each in enumerate(shown.nodes)}
    boxes = [f'  {names[node.id]}["{_box(node)}"]' for node in shown.nodes.values()]
    arrows = [f"  {names[cause]} --> {names[effect]}" for cause, effect in sorted(shown.edges)]
    thick = f"  style {names[node_id]} stroke-width:4px"
    return "\n".join(["flowchart LR", *boxes, *arrows, thick])


def escaped(text: str) -> str:
    """Text that is a part of a mermaid label and nothing else."""
    return "".join(
        letter if letter.isalnum() or letter in " -_./,()@" else f"#{ord(letter)};"
        for letter in text
    )


def _box(node: Node) -> str:
    lines = [_name(node), _when_and_who(node), _brief(node.says)]
    return "<br/>".join(escaped(" ".join(line.split())) for line in lines if line)


def _line(node: Node) -> str:
    parts = [_name(node), _when_and_who(node), _brief(node.says)]
    return "  ".join(" ".join(part.split()) for part in parts if part)


def _name(node: Node) -> str:
    is_said = node.label.startswith(f"{node.kind}/")
    return node.label if is_said else f"{node.kind} {node.label}"


def _when_and_who(node: Node) -> str:
    at = f"{node.at:%Y-%m-%d %H:%M}" if node.at else ""
    return f"{at} by {node.who}".strip() if node.who else at


def _brief(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."


def _branches(lineage: Lineage, neighbours: Mapping[str, Sequence[str]], root: str) -> list[str]:
    """The lines below a root. Without recursion: a loop that ran for years is a deep tree."""
    below, nearest = _placed(lineage, neighbours, root)
    lines: list[str] = []
    waiting = [(each, "", 1) for each in reversed(_marked(below[root]))]
    while waiting:
        (node_id, is_last), indent, depth = waiting.pop()
        node, corner = lineage.nodes[node_id], "└─ " if is_last else "├─ "
        inner = below[node_id]
        text = _line(node)
        if inner and depth == DEEPEST:
            text, inner = f"{text}  (goes on: neuro trace '{node.label}')", []
        lines.append(f"{indent}{corner}{text}")
        deeper = indent + ("   " if is_last else "│  ")
        others = [
            each
            for each in neighbours[node_id]
            if (node_id, each) not in nearest and lineage.nodes[each].kind != node.kind
        ]
        if others:
            named = ", ".join(_name(lineage.nodes[each]) for each in others)
            lines.append(f"{deeper}{'│  ' if inner else '   '}also {named}")
        waiting += [(each, deeper, depth + 1) for each in reversed(_marked(inner))]
    return lines


def _marked(ids: Sequence[str]) -> list[tuple[str, bool]]:
    """Each with whether it is the last."""
    return [(each, number == len(ids) - 1) for number, each in enumerate(ids)]


def _placed(
    lineage: Lineage, neighbours: Mapping[str, Sequence[str]], root: str
) -> tuple[dict[str, list[str]], set[Edge]]:
    """Below which node each has its line, and the edges by which it is there.

    The nearest wins; a step to a node of the same kind is none.
    """
    below: dict[str, list[str]] = {name: [] for name in lineage.nodes}
    column = {root: root}  # of each node, the one that it stands below
    edges: set[Edge] = set()
    waiting = deque([(root, other) for other in neighbours[root]])
    while waiting:
        edge = node_id, other = waiting.popleft()
        if other in column:
            continue
        is_alike = lineage.nodes[node_id].kind == lineage.nodes[other].kind
        column[other] = column[node_id] if is_alike else node_id
        below[column[other]].append(other)
        edges.add(edge)
        for following in neighbours[other]:
            step = (other, following)
            if lineage.nodes[following].kind == lineage.nodes[other].kind:
                waiting.appendleft(step)
            else:
                waiting.append(step)
    return below, edges
