"""A graph of what came of what: each edge leads from a cause to what came of it.

Traversals remember where they were, so a cycle, which clocks that are wrong can make, ends them.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

Edge = tuple[str, str]  # ids of a cause and of what came of it

_DIGEST = re.compile(r"[0-9a-f]{32,}$")
_SHOWN = 12  # characters of a digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """Something that was made, decided or observed.

    at: None where no time is known. who: a person, an account or "the envelope", "" where nobody
    is known. says: one line for a person. names: what it may be asked by, beside its id.
    """

    id: str
    kind: str
    at: datetime | None = None
    who: str = ""
    says: str = ""
    names: Collection[str] = field(default=())

    @property
    def label(self) -> str:
        """The id as people read and type it: a digest at its end by its beginning."""
        return _DIGEST.sub(lambda digest: digest[0][:_SHOWN], self.id)


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Nodes by id and the edges between them."""

    nodes: Mapping[str, Node]
    edges: Collection[Edge]

    @cached_property
    def effects(self) -> Mapping[str, Sequence[str]]:
        """Of each node, the ids of what came of it, the oldest first."""
        return self._neighbours(self.edges)

    @cached_property
    def causes(self) -> Mapping[str, Sequence[str]]:
        """Of each node, the ids of what it came from, the oldest first."""
        return self._neighbours([(effect, cause) for cause, effect in self.edges])

    def ancestors(self, node_id: str) -> set[str]:
        """Ids of everything a node came from, without itself."""
        return _reached(self.causes, node_id)

    def descendants(self, node_id: str) -> set[str]:
        """Ids of everything that came from a node, without itself."""
        return _reached(self.effects, node_id)

    def around(self, node_id: str) -> "Lineage":
        """The node with everything it came from and everything that came from it."""
        return self._among({node_id} | self.ancestors(node_id) | self.descendants(node_id))

    def folded(self, kept: str, most: int) -> "Lineage":
        """The same, with one node for many that have kind, causes and effects in common.

        kept: id of a node that stays. most: so many of a kind are shown each for itself.
        """
        alike: dict[tuple[str, frozenset[str], frozenset[str]], list[str]] = defaultdict(list)
        for node in self.nodes.values():
            causes, effects = (frozenset(each[node.id]) for each in (self.causes, self.effects))
            if node.id != kept:
                alike[node.kind, causes, effects].append(node.id)
        nodes = dict(self.nodes)
        for ids in alike.values():
            if len(ids) > most:
                oldest, *others = sorted(ids, key=self._age)
                says = f"and {len(others)} more, the last {nodes[others[-1]].label}"
                nodes[oldest] = replace(nodes[oldest], says=says)
                for each in others:
                    del nodes[each]
        return self._among(nodes.keys(), nodes)

    def _among(self, wanted: Collection[str], nodes: Mapping[str, Node] | None = None) -> "Lineage":
        known = nodes or self.nodes
        return Lineage(
            nodes={name: known[name] for name in sorted(wanted, key=self._age)},
            edges=[(a, b) for a, b in self.edges if a in wanted and b in wanted],
        )

    def _neighbours(self, edges: Collection[Edge]) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for one, other in edges:
            found[one].append(other)
        return {name: sorted(others, key=self._age) for name, others in found.items()}

    def _age(self, node_id: str) -> tuple[bool, float, str]:
        at = self.nodes[node_id].at
        return at is None, at.timestamp() if at else 0.0, node_id


def _reached(neighbours: Mapping[str, Sequence[str]], start: str) -> set[str]:
    seen, waiting = {start}, [start]
    while waiting:
        new = set(neighbours[waiting.pop()]) - seen
        seen |= new
        waiting += new
    return seen - {start}
