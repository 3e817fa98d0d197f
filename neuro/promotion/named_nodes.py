"""Which node of a lineage a person means."""

import difflib
from collections.abc import Collection

from neuro.errors import UnknownNameError
from neuro.promotion import lineage_facts as facts
from neuro.promotion.lake_records import SHORTEST
from neuro.promotion.lineage import Lineage, Node

_LISTED = 6  # names that a message lists


def find(lineage: Lineage, problem: str, text: str) -> Node:
    """The node that a text means: an id, or another name of it, whole or its first 8 characters.

    That is the name of a release, the number of a model version of the problem, the digest of a
    package, a digest or source name of a sample, SAMPLE@VERSION, a cause, or a key of the journal.
    Raises UnknownNameError where there is none or several, with those that are near.
    """
    exact = {text, facts.model_id(problem, text), f"model/{text}"} & lineage.nodes.keys()
    meant = exact or _by_name(lineage, problem, text)
    if len(meant) == 1:
        return lineage.nodes[min(meant)]
    if meant:
        raise UnknownNameError(
            f"{text!r} may be one of {len(meant)}, give more of one: {_listed(meant)}"
        )
    near = _near(lineage, problem, text)
    hint = f"did you mean one of these: {_listed(near)}? " if near else ""
    raise UnknownNameError(
        f"nothing is known by {text!r}: {hint}Give a release, a model version with --problem, a "
        f"package's or sample's digest (at least {SHORTEST} of its characters), a source name, "
        "SAMPLE@VERSION, a cause or a key of the journal"
    )


def _by_name(lineage: Lineage, problem: str, text: str) -> Collection[str]:
    """The nodes that have the text as a name, else those of which one begins with it.

    A cause is a name of several lines: the first of them, of which the others came, is meant.
    """
    if predictions := _predictions(lineage, problem, text):
        return predictions
    wanted = {text, f"{problem}/{text}"}
    named = [node for node in lineage.nodes.values() if wanted & {*node.names}]
    if named:
        first = min(named, key=lambda node: (node.at is None, node.at, node.id))
        lines = {node.id for node in named}
        return [first.id] if lines <= lineage.descendants(first.id) | {first.id} else lines
    if len(text) < SHORTEST:
        return []
    nodes = lineage.nodes.values()
    is_predicted = "@" in text  # else the beginning of SAMPLE@VERSION means the sample
    return {
        node.id
        for node in nodes
        for name in (node.id, *(node.names if is_predicted or node.kind != "prediction" else ()))
        if name.startswith(text)
    } or {node.id for node in nodes if node.id.rpartition("/")[2].startswith(text)}


def _near(lineage: Lineage, problem: str, text: str) -> Collection[str]:
    """Names like the text; of SAMPLE@VERSION the predictions of that sample."""
    nodes = lineage.nodes.values()
    samples = _by_name(lineage, problem, text.rpartition("@")[0])
    predicted = [
        name
        for node in nodes
        if node.kind == "prediction" and node.id.rpartition("/")[2] in samples
        for name in node.names
    ]
    names = [name for node in nodes for name in (node.id, *node.names)]
    return predicted or difflib.get_close_matches(text, names, n=_LISTED, cutoff=0.5)


def _predictions(lineage: Lineage, problem: str, text: str) -> Collection[str]:
    """The predictions that SAMPLE@VERSION means; VERSION is one of the problem, or PROBLEM/VERSION.

    A package in no registry is a version by its digest.
    """
    sample, is_split, model = text.rpartition("@")
    if not is_split:
        return []
    of_problem, _, version = model.removeprefix("model/").rpartition("/")
    samples = _by_name(lineage, problem, sample)
    found = set()
    for node in lineage.nodes.values():
        if node.kind == "prediction":
            _, its_problem, its_version, its_sample = node.id.split("/")
            is_beginning = len(version) >= SHORTEST and its_version.startswith(version)
            is_version = its_version == version or is_beginning
            if its_sample in samples and its_problem == (of_problem or problem) and is_version:
                found.add(node.id)
    return found


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(sorted(names)[:_LISTED]) + more
