"""The nodes of a lineage: what was made, decided or observed, with one line for a person."""

from collections.abc import Iterator

from neuro.lake import quarantine, tombstones
from neuro.lake.journal import Entry
from neuro.lake.releases import Release
from neuro.promotion import lineage_facts as facts
from neuro.promotion.lineage import Node
from neuro.promotion.lineage_facts import Arrival, Known

SOURCE = "source"  # gave the labels that came with the images
_SAID = ("decision", "verdict", "action", "read_by")  # what a line of the journal says happened


def named_nodes(known: Known) -> Iterator[Node]:
    """What is only named: models that nothing else is known of, and the test sets of looks."""
    named = {model for entry in known.entries for model in facts.models_of(known, entry)}
    named |= {known.model(each.problem, each.version) for each in known.facts.predicted}
    for model in named:
        yield Node(id=model, kind="model", says="its package is not at hand")
    for entry in known.entries:
        if test_set := facts.test_set_id(entry):
            yield Node(id=test_set, kind="test-set")


def release_nodes(known: Known) -> Iterator[Node]:
    """Releases, and the runs that made them with what they brought."""
    arrivals = {each.run_id: each for each in known.facts.arrivals}
    for release in known.facts.releases:
        run = facts.run_id(known, release.creator)
        if run not in known.keys:
            yield _arrival_node(run, arrivals.get(release.creator), release)
        says = f"{release.n} images"
        says += f", after {release.parent}" if release.parent else ""
        says += f", on branch {release.branch}" if release.branch else ""
        says += f", superseded by {release.superseded_by}" if release.superseded_by else ""
        yield Node(id=release.name, kind="release", at=release.created_at, says=says)


def _arrival_node(run: str, arrival: Arrival | None, release: Release) -> Node:
    brought = arrival or Arrival(run_id=release.creator)
    people = sorted(brought.labels.keys() - {SOURCE})
    counts = [f"{brought.n_images} images"] if brought.n_images else []
    counts += [f"{n} labels by {who}" for who, n in sorted(brought.labels.items())]
    says = ": ".join(filter(None, (release.note, ", ".join(counts))))
    return Node(id=run, kind="run", at=release.created_at, who=", ".join(people), says=says)


def model_nodes(known: Known) -> Iterator[Node]:
    """Model versions, and what their trainings had: code, weights to start from, a release."""
    for each in known.facts.versions:
        about = (each.architecture, f"package {each.digest[:12]}" if each.digest else "")
        yield Node(
            id=facts.model_id(each.problem, each.version),
            kind="model",
            at=each.at,
            says=", ".join(filter(None, about)),
            names=(each.digest,) if each.digest else (),
        )
        if each.digest:
            yield Node(id=facts.training_id(each), kind="training", at=each.at)
        if each.code_revision:
            yield Node(id=f"code/{each.code_revision}", kind="code")
        if each.starts_from:
            yield Node(id=f"weights/{each.starts_from}", kind="weights")
        if each.release and each.release not in known.releases:
            yield Node(id=each.release, kind="release", says="not in this lake, or no longer")


def journal_nodes(known: Known) -> Iterator[Node]:
    """Lines of the journal, and the changes of champion that they tell."""
    for entry in known.entries:
        who, cause = entry.body.get("who"), entry.body.get("cause")
        tombstones_of = entry.body["sha256"] if entry.kind == tombstones.KIND else []
        yield Node(
            id=entry.key,
            kind=entry.kind,
            at=entry.at,
            who=who if isinstance(who, str) else "",
            says=_said(known, entry),
            names=(*([str(cause)] if cause else []), *tombstones_of),
        )
    for change in known.changes:
        says = f"version {facts.new_champion(change)} of {facts.problem_of(change)} serves"
        yield Node(id=facts.champion_id(change), kind="champion", at=change.at, says=says)


def _said(known: Known, entry: Entry) -> str:
    """What a line decided, and why. Of an error its kind: its text may name an image."""
    body = entry.body
    results = [body[name] for name in _SAID if body.get(name) and body[name] not in known.keys]
    if isinstance(body.get("sha256"), list):
        results.append(f"{len(body['sha256'])} images")
    if body.get("error"):
        results.append(str(body["error"]).partition(":")[0])
    reason = body.get("why") or (body.get("reason") if entry.kind != quarantine.KIND else "")
    return ": ".join(map(str, filter(None, (", ".join(map(str, results)), reason))))


def prediction_nodes(known: Known) -> Iterator[Node]:
    """Predictions of one version for one window together, and single ones."""
    for each in known.facts.predicted:
        version = facts.model_id(each.problem, each.version)
        count = f"{each.n} predictions" if not each.sample_id else ""
        yield Node(
            id=facts.predicted_id(each),
            kind="prediction" if each.sample_id else "predictions",
            at=each.first,
            says=", ".join(filter(None, (count, each.says))),
            names=(f"{each.sample_id}@{version}",) if each.sample_id else (),
        )


def sample_nodes(known: Known) -> Iterator[Node]:
    """Samples that are followed, and their labels; no group: its name is an image's digest."""
    for each in known.facts.followed:
        says = f"{each.source_name}, {each.split}"
        names = (each.source_name,)
        yield Node(id=each.sample_id, kind="sample", at=each.at, says=says, names=names)
        for given in each.labels:
            label = facts.label_id(each, given)
            yield Node(id=label, kind="label", at=given.at, who=given.who, says=given.label)
