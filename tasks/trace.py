"""What `neuro trace` does: gather what is known here, and tell what came of what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from neuro.errors import NeuroError, ServerError
from neuro.lake.lake import Lake
from neuro.models import package, package_manifest
from neuro.problems.problem import Problem
from neuro.promotion import lake_records, lineage_facts, lineage_text, named_nodes, provenance
from neuro.promotion.lineage import Lineage
from neuro.promotion.lineage_facts import Version
from tasks.record import registry
from tasks.runtime import settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """A node with everything it came from and everything that came from it.

    missing: what could not be asked, and how it can be.
    """

    node_id: str
    lineage: Lineage
    missing: Sequence[str]

    @property
    def tree(self) -> str:
        """For a terminal."""
        return lineage_text.tree(self.lineage, self.node_id)

    @property
    def mermaid(self) -> str:
        """For a page that draws mermaid."""
        return lineage_text.mermaid(self.lineage, self.node_id)

    def as_dict(self) -> Mapping[str, Any]:
        """What ``neuro trace --json`` prints."""
        return {
            "id": self.node_id,
            "nodes": [
                {
                    "id": node.id,
                    "kind": node.kind,
                    "at": node.at.isoformat(timespec="seconds") if node.at else "",
                    "who": node.who,
                    "says": node.says,
                }
                for node in self.lineage.nodes.values()
            ],
            "edges": [list(edge) for edge in self.lineage.edges],
            "mermaid": self.mermaid,
            "missing": list(self.missing),
        }


def trace(lake: Lake, problem: Problem, name: str, *, is_local: bool = False) -> Trace:
    """Trace what a name means; is_local: without the registry. Raises UnknownNameError."""
    registered, missing = _registered(is_local=is_local)
    sealed, damaged = _sealed()
    facts = lake_records.read(lake)
    wanted = lake_records.sample_ids(lake, problem, name)
    facts = replace(
        facts,
        versions=lineage_facts.versions(registered, sealed, facts.entries),
        followed=lake_records.followed(lake, problem, wanted),
        predicted=[*facts.predicted, *lake_records.predictions_of(lake, problem, wanted)],
    )
    everything = provenance.lineage(facts)
    node = named_nodes.find(everything, problem.name, name)
    return Trace(node_id=node.id, lineage=everything.around(node.id), missing=[*missing, *damaged])


def _registered(*, is_local: bool) -> tuple[list[Version], list[str]]:
    """The registry's versions, or why they are not here."""
    here = settings.load()
    url = here.mlflow_tracking_uri
    lost = "which training run made a model version, and versions that nobody has looked at"
    if is_local:
        return [], [f"with --local the registry is not asked: {lost}, are missing"]
    if not url:
        return [], [f"no MLflow server is known in this folder: {lost}, are missing; `neuro up`"]
    if url.startswith("http") and not settings.reachable(url):
        return [], [f"the MLflow server at {url} is not reached: {lost}, are missing; `neuro up`"]
    try:
        known = registry.versions()
    except ServerError as error:
        return [], [f"{error}: {lost}, are missing"]
    return [
        Version(
            problem=each.model.problem,
            version=each.model.version,
            digest=each.model.digest,
            release=each.release,
            run_id=each.model.run_id,
            at=each.at,
        )
        for each in known
    ], []


def _sealed() -> tuple[list[Version], list[str]]:
    """The packages on this machine by their cards, and those that cannot be believed."""
    versions, damaged = [], []
    for folder in sorted(
        path.parent for path in registry.packages().glob(f"*/{package_manifest.CARD}")
    ):
        try:
            found = package.described(folder)
        except NeuroError as error:
            damaged.append(f"package {folder.name} is left out: {error}")
            continue
        card = found.card
        versions.append(
            Version(
                problem=card.problem,
                version=found.digest,
                digest=found.digest,
                release=str(card.pin["release"]),
                architecture=card.architecture,
                code_revision=card.code_revision,
                starts_from=card.weights_sha256,
                weights=found.files[package_manifest.WEIGHTS],
            )
        )
    return versions, damaged
