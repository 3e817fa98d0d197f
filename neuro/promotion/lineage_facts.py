"""What a lineage is made of, and the names of its nodes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from neuro.lake import tombstones
from neuro.lake.journal import Entry
from neuro.lake.releases import Release
from neuro.promotion.serving import ROLLBACK

# Fields of a journal line that name a model version of its problem.
_VERSIONS = ("model", "challenger", "champion", "version", "previous")


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """What is known of a model version; "" for what is not.

    version: the registry's, or the package's digest where no registry has it. starts_from: digest
    of the file its backbone started from. weights: digest of the file with its own weights.
    """

    problem: str
    version: str
    digest: str = ""
    release: str = ""
    run_id: str = ""
    at: datetime | None = None
    architecture: str = ""
    code_revision: str = ""
    starts_from: str = ""
    weights: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """What a run brought. labels: their number by who gave them."""

    run_id: str
    n_images: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Predicted:
    """The n predictions of a version for a window, or that of one sample."""

    problem: str
    version: str
    window: str
    n: int
    first: datetime
    last: datetime
    sample_id: str = ""
    says: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenLabel:
    """A label of a sample, and the run that brought it."""

    sequence: int
    label: str
    who: str
    at: datetime
    run_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """A sample that is followed by itself. entered: the release that it came with."""

    sample_id: str
    source_name: str
    split: str
    run_id: str
    entered: str
    at: datetime | None
    labels: Sequence[GivenLabel]


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All that a lineage is made of. erased: digests of images that may be named no more."""

    releases: Sequence[Release] = ()
    arrivals: Sequence[Arrival] = ()
    entries: Sequence[Entry] = ()
    versions: Sequence[Version] = ()
    predicted: Sequence[Predicted] = ()
    followed: Sequence[Followed] = ()
    erased: frozenset[str] = frozenset()


class Known:
    """The facts, and what is looked up in them again and again."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.releases = {release.name: release for release in facts.releases}
        self.made_by: dict[str, list[str]] = defaultdict(list)  # releases by the run that made them
        for release in facts.releases:
            self.made_by[release.creator].append(release.name)
        self.entries = [entry for entry in facts.entries if not _names_erased(entry, facts.erased)]
        self.keys = {entry.key for entry in self.entries}
        self.versions = {(each.problem, each.version): each for each in facts.versions}
        self.by_digest: dict[tuple[str, str], str] = {}
        for each in facts.versions:
            if each.digest:
                self.by_digest.setdefault((each.problem, each.digest), each.version)
        self.changes = [entry for entry in self.entries if _is_change(entry)]

    def model(self, problem: str, version: str) -> str:
        """The node of a version that may be told by its package's digest."""
        return model_id(problem, self.by_digest.get((problem, version), version))

    def version(self, problem: str, version: str) -> Version | None:
        """What is known of such a version."""
        return self.versions.get((problem, self.by_digest.get((problem, version), version)))

    def release_line(self, name: str) -> set[str]:
        """A release and all before it."""
        line: set[str] = set()
        while name in self.releases and name not in line:
            line.add(name)
            name = self.releases[name].parent
        return line


def versions(
    registered: Sequence[Version], sealed: Sequence[Version], entries: Sequence[Entry]
) -> list[Version]:
    """What a registry, packages at hand and the journal know of versions, together.

    sealed: packages, by digest. A look and a decision tell which package a version is, also without
    a registry.
    """
    cards = {each.digest: each for each in sealed}
    known = {(each.problem, each.version): each for each in registered}
    for entry in entries:
        problem, digest = problem_of(entry), entry.body.get("package")
        version = entry.body.get("model") or entry.body.get("challenger")
        if entry.kind in ("look", "decision") and problem and version and digest:
            looked_at = Version(problem=problem, version=version, digest=digest)
            known.setdefault((problem, version), looked_at)
    numbered = [each for each in known.values() if each.version != each.digest]
    named = {each.digest for each in numbered}
    return [_with_card(each, cards.get(each.digest)) for each in numbered] + [
        each for each in sealed if each.digest not in named
    ]


def _with_card(version: Version, card: Version | None) -> Version:
    """What the card of the package says beside what else is known."""
    if card is None:
        return version
    return replace(
        card,
        problem=version.problem,
        version=version.version,
        run_id=version.run_id,
        at=version.at,
    )


def model_id(problem: str, version: str) -> str:
    """The node of a model version."""
    return f"model/{problem}/{version}"


def prediction_id(problem: str, version: str, sample_id: str) -> str:
    """The node of the prediction of one sample."""
    return f"prediction/{problem}/{version}/{sample_id}"


def _names_erased(entry: Entry, erased: frozenset[str]) -> bool:
    """Whether a line names an erased image, and is not its tombstone."""
    digest = entry.body.get("sha256")
    return isinstance(digest, str) and digest in erased and entry.kind != tombstones.LIFT


def _is_change(entry: Entry) -> bool:
    """Whether another version served from then on: of a package in no registry none ever did."""
    moved = entry.kind == ROLLBACK or entry.body.get("is_promoted") is True
    return moved and new_champion(entry).isdigit()


def new_champion(entry: Entry) -> str:
    """The version that serves after a change of champion."""
    return str(entry.body.get("version") or entry.body.get("challenger") or "")


def problem_of(entry: Entry) -> str:
    """The problem that a line is about, "" for none."""
    return str(entry.body.get("problem", ""))


def mentioned(entry: Entry) -> Iterator[str]:
    """Every text of a body that may name something, and what such texts end with.

    Not the cause of what came of a verdict: that is tied to the verdict, which names the release.
    """
    for name, value in entry.body.items():
        is_told = name != "cause" or entry.kind == "verdict"
        for each in value if isinstance(value, list) else [value]:
            if is_told and isinstance(each, str):
                yield from (each, each.rpartition("/")[2])


def models_of(known: Known, entry: Entry) -> list[str]:
    """The nodes of the model versions that a line names."""
    versions = [entry.body.get(name) for name in _VERSIONS]
    named = [each for each in versions if isinstance(each, str) and each]
    return [known.model(problem_of(entry), each) for each in named] if problem_of(entry) else []


def training_id(version: Version) -> str:
    """The node of the training that made a version."""
    return f"training/{version.run_id or version.digest}"


def test_set_id(entry: Entry) -> str:
    """The test samples of a release, as a look names them; "" for a line that is none."""
    test_set, release = entry.body.get("test_set"), entry.body.get("release")
    return f"test-set/{release}/{str(test_set).rpartition('/')[2]}" if test_set and release else ""


def champion_id(change: Entry) -> str:
    """The node of a change of champion, by the line that tells it."""
    return f"champion/{change.key}"


def run_id(known: Known, run: str) -> str:
    """The node of a run; that of an erasure is its line of the journal."""
    erasure = f"{tombstones.KIND}/{run}"
    return erasure if erasure in known.keys else f"run/{run}"


def predicted_id(each: Predicted) -> str:
    """The node of some predictions, or of one."""
    if each.sample_id:
        return prediction_id(each.problem, each.version, each.sample_id)
    return f"predictions/{each.problem}/{each.version}/{each.window}"


def label_id(each: Followed, given: GivenLabel) -> str:
    """The node of one label of a sample."""
    return f"label/{each.sample_id}/{given.sequence}"
