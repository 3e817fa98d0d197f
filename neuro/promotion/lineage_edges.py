"""The edges of a lineage: from a cause to what came of it.

Lines of the journal are tied by what their bodies name, whatever their kind: a release, a model
version of a problem, a test set, a cause, or the key of another line.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from neuro.lake.journal import Entry
from neuro.promotion import claims, verdict_log
from neuro.promotion import lineage_facts as facts
from neuro.promotion.lineage import Edge
from neuro.promotion.lineage_facts import Known, Predicted


def release_edges(known: Known) -> Iterator[Edge]:
    """From a run to its release, and from a release to the next or to one that restores it."""
    for release in known.facts.releases:
        yield release.parent, release.name
        yield facts.run_id(known, release.creator), release.name
        restored = release.note.removeprefix("restore of ")
        yield restored, release.name


def model_edges(known: Known) -> Iterator[Edge]:
    """From release, code and weights to a training, and to its model; weights may be of a model."""
    for each in known.facts.versions:
        training, model = facts.training_id(each), facts.model_id(each.problem, each.version)
        yield each.release, training
        yield f"code/{each.code_revision}", training
        yield f"weights/{each.starts_from}", training
        yield training, model
        yield model, f"weights/{each.weights}"


def journal_edges(known: Known) -> Iterator[Edge]:
    """A line comes of what its body names; a change of champion comes of its line."""
    for entry in known.entries:
        for model in facts.models_of(known, entry):
            yield model, entry.key
        test_set = facts.test_set_id(entry)
        for name in facts.mentioned(entry):
            if name in known.releases:
                yield name, test_set or entry.key
            elif name in known.keys:
                yield name, entry.key
        yield test_set, entry.key
    for change in known.changes:
        yield change.key, facts.champion_id(change)


def cause_edges(known: Known) -> Iterator[Edge]:
    """From a verdict to its claims, from a claim that failed to the next, and to the training."""
    verdicts, decided = defaultdict(list), defaultdict(list)
    for entry in known.entries:
        if entry.kind == "verdict":
            verdicts[claims.cause_of(entry)].append(entry.key)
        elif entry.kind == "decision":
            decided[claims.cause_of(entry)].append(entry)
    standing: dict[str, Entry] = {}
    given_back: dict[str, str] = {}
    for claim in known.entries:
        if claim.kind != claims.CLAIM:
            continue
        cause, failed = claims.cause_of(claim), f"{claims.FAILED}/{claims.number_of(claim)}"
        for verdict in verdicts[cause]:
            yield verdict, claim.key
        yield claim.key, failed
        yield given_back.pop(cause, ""), claim.key
        if failed in known.keys:
            given_back[cause] = failed
        else:
            standing[cause] = claim
    for cause, claim in standing.items():
        for decision in decided[cause]:
            problem, challenger = (
                facts.problem_of(decision),
                str(decision.body.get("challenger", "")),
            )
            version = known.version(problem, challenger)
            is_known = version is not None and version.digest
            made = facts.training_id(version) if version and is_known else ""
            yield claim.key, made or known.model(problem, challenger)


def look_edges(known: Known) -> Iterator[Edge]:
    """The looks a decision was made by: its challenger's last before it, and those since then.

    No line says so; they are those of the challenger and of versions that served, on its release.
    """
    looks = defaultdict(list)
    for entry in known.entries:
        if entry.kind == "look" and entry.body.get("read_by", "evaluation") == "evaluation":
            looks[facts.problem_of(entry), entry.body.get("release")].append(entry)
    served = {(facts.problem_of(change), facts.new_champion(change)) for change in known.changes}
    for decision in known.entries:
        if decision.kind != "decision":
            continue
        problem, challenger = facts.problem_of(decision), decision.body.get("challenger")
        before = [
            look for look in looks[problem, decision.body.get("release")] if look.at <= decision.at
        ]
        own = [number for number, look in enumerate(before) if look.body.get("model") == challenger]
        for look in before[own[-1] :] if own else []:
            if look.body.get("model") == challenger or (problem, look.body.get("model")) in served:
                yield look.key, decision.key


def prediction_edges(known: Known) -> Iterator[Edge]:
    """From model, images and the change of champion to predictions, and on to verdicts on them."""
    verdicts = defaultdict(list)
    for entry in known.entries:
        if entry.kind == "verdict":
            problem = facts.problem_of(entry)
            verdicts[known.model(problem, str(entry.body.get("model", "")))].append(entry)
    for each in known.facts.predicted:
        node, model = facts.predicted_id(each), known.model(each.problem, each.version)
        yield model, node
        yield each.sample_id or each.window, node
        before = [
            change
            for change in known.changes
            if facts.problem_of(change) == each.problem and change.at <= each.first
        ]
        if before and known.model(each.problem, facts.new_champion(before[-1])) == model:
            yield facts.champion_id(before[-1]), node
        for verdict in verdicts[model]:
            if _is_judged(known, each, verdict):
                yield node, verdict.key


def _is_judged(known: Known, each: Predicted, verdict: Entry) -> bool:
    """Whether a verdict's window has these predictions: by name, or by its last days.

    Of those days drift leaves out what the model had for its training.
    """
    window = str(verdict.body.get("window", ""))
    days, until = verdict_log.days_of(window), verdict_log.until_of(verdict)
    if not days or each.first > until:
        return window == each.window and each.first <= verdict.at
    version = known.version(each.problem, each.version)
    trained = known.release_line(version.release) if version else set()
    return each.last >= until - timedelta(days=days) and each.window not in trained


def sample_edges(known: Known) -> Iterator[Edge]:
    """A label that came with the sample leads to it; a later one leads to the releases it made.

    The sample's own past does not come of a label that somebody gave it afterwards.
    """
    for each in known.facts.followed:
        yield facts.run_id(known, each.run_id), each.sample_id
        yield each.sample_id, each.entered
        for entry in known.entries:
            if entry.body.get("sha256") == each.sample_id:
                yield entry.key, each.sample_id
        for given in each.labels:
            label = facts.label_id(each, given)
            yield facts.run_id(known, given.run_id), label
            if given.run_id == each.run_id:
                yield label, each.sample_id
                continue
            yield each.sample_id, label
            for release in known.made_by[given.run_id]:
                yield label, release
