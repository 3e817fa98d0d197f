"""What came of what: the lineage of releases, models, predictions, samples and journal lines.

run -> release -> training -> model -> predictions -> verdict -> claim -> training ...
model and test set -> look -> decision -> (approval) -> champion -> predictions
"""

from neuro.promotion import lineage_edges as edges
from neuro.promotion import lineage_nodes as nodes
from neuro.promotion.lineage import Lineage
from neuro.promotion.lineage_facts import Facts, Known

_NODES = (  # of what is told twice, the later says more
    nodes.named_nodes,
    nodes.release_nodes,
    nodes.model_nodes,
    nodes.journal_nodes,
    nodes.prediction_nodes,
    nodes.sample_nodes,
)
_EDGES = (
    edges.release_edges,
    edges.model_edges,
    edges.journal_edges,
    edges.cause_edges,
    edges.look_edges,
    edges.prediction_edges,
    edges.sample_edges,
)


def lineage(facts: Facts) -> Lineage:
    """Everything that is known, tied together; what is named and nowhere known has no edge."""
    known = Known(facts)
    found = {node.id: node for make in _NODES for node in make(known)}
    tied = {edge for make in _EDGES for edge in make(known)}
    return Lineage(
        nodes=found,
        edges=sorted((a, b) for a, b in tied if a != b and a in found and b in found),
    )
