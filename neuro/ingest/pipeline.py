"""Write, audit, publish: how a delivery becomes part of a release."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.dataset import contents
from neuro.dataset.contents import Held
from neuro.duplicates import near_duplicates
from neuro.duplicates.near_duplicates import NOBODY, Newcomers
from neuro.errors import AuditError, NeuroError
from neuro.images import thumbnail
from neuro.ingest import schemas, stage_rows, triage
from neuro.ingest.triage import CONFLICT, Arrived, Intake
from neuro.ingest.vet_new import New, Run, hash_files, refuse_erased, run_id, vet_new
from neuro.lake import releases, verify_images
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake
from neuro.lake.releases import Draft, Release
from neuro.lake.staging import Branch
from neuro.passport import confounds
from neuro.passport import passport as passports
from neuro.problems.problem import Problem
from neuro.sample import Finding
from neuro.splits import assign
from neuro.splits.assign import Assigned, Member

_GONE = {"stored_sha256": ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A delivery on its branch, invisible until it is published.

    new: what was vetted of each image that enters.
    """

    branch: Branch
    run: Run
    intake: Intake
    new: Mapping[str, New]
    findings: tuple[Finding, ...]
    is_synthetic: bool
    twins: Newcomers = NOBODY
    back: frozenset[str] = frozenset()  # held once, left out by a restore, and here again

    @property
    def problem(self) -> Problem:
        """The problem it was read with."""
        return self.run.problem


def stage(lake: Lake, run: Run) -> Staged:
    """Vet a delivery, sort it, give newcomers their group and split, and write the branch.

    Raises ManifestError, before anything is written, if the delivery breaks its schema, and
    StaleError if another process was done with it first.
    """
    schemas.check_manifest(run.delivery.items, run.problem).require()
    dataset, hashed = run.problem.dataset, hash_files(run.delivery.items)
    branch = Branch(lake, run_id(run, hashed))
    with branch.needed():
        left_out = releases.left_out(lake, dataset, branch.run_id)
        held = contents.read(lake, dataset)  # what is left out keeps its place all the same
        shown = contents.read(lake, dataset, left_out=left_out) if left_out.runs else held
        arrived, new = vet_new(branch, run, refuse_erased(lake, hashed), shown.newest_labels)
        sorted_in, ruled = _sort_out(branch, run, arrived, shown, new)
        accepted = {sha256: new[sha256] for _, sha256 in sorted_in.accepted}
        back = frozenset(accepted) & set(held.newest_labels)
        verify_images.withhold(branch, [s for s in new if new[s].is_written and s not in accepted])
        met = _compare(run.problem, sorted_in, held, accepted)
        placed = {s: p for s, p in _place(sorted_in, held, met) if s not in back}
        stage_rows.write_samples(branch, run, sorted_in, placed)
        stage_rows.write_labels(branch, run, sorted_in, ruled, left_out.showing(branch.run_id))
        stage_rows.quarantine_files(branch, run, sorted_in.quarantined)
        return Staged(
            branch=branch,
            run=run,
            intake=sorted_in,
            new=accepted,
            findings=_findings(placed),
            is_synthetic=run.delivery.is_synthetic or shown.is_synthetic,
            twins=met,
            back=back,
        )


def audit_branch(staged: Staged) -> Mapping[str, Any]:
    """Read the branch back, check it, and write the passport of the release to be.

    Raises AuditError, after removing the branch, if the counts do not add up, a table breaks its
    schema, a stored byte differs from its digest, a group stands in two splits, or a label is
    unknown.
    """
    branch, problem = staged.branch, staged.problem
    try:
        with branch.needed():
            _check_counts(staged)
            left_out = releases.left_out(branch.lake, problem.dataset, branch.run_id)
            shown = left_out.showing(branch.run_id, staged.back)
            if branch.is_empty and (passport := _passport_that_stands(branch, problem, shown)):
                return passport
            for table, columns in schemas.COLUMNS.items():
                schemas.check_table(table, branch.rows(table, list(columns)), problem)
            written = {s: n.stored_sha256 for s, n in staged.new.items() if n.is_written}
            verify_images.check_branch(branch, written)
            held = contents.read(branch.lake, problem.dataset, branch, shown)
        assign.check_no_overlap([m.group_id for m in held.members], [m.split for m in held.members])
        _require_known({m.label for m in held.members}, problem)
    except NeuroError:  # a store that fails says nothing of the branch; the next run replaces it
        branch.drop()
        raise
    return inspect(held, problem, staged.twins).as_dict()


def inspect(held: Held, problem: Problem, met: Newcomers = NOBODY) -> passports.Passport:
    """The passport of everything a dataset holds. met: the twins of those that came last."""
    vectors, cosine = near_duplicates.vectors(held.thumbnails), problem.groups.twin_cosine
    small = np.frombuffer(b"".join(held.thumbnails), np.uint8)
    side = thumbnail.THUMBNAIL_PX
    return passports.inspect(
        passports.Inspected(
            members=held.members,
            given_splits=held.given_splits,
            vectors=vectors,
            near=met.completed([m.sample_id for m in held.members], vectors, cosine),
            traits={**held.traits, **confounds.border(small.reshape(-1, side, side))},
            columns=problem.layout.metadata,
            about=problem.about,
        ),
        is_synthetic=held.is_synthetic,
    )


def publish(staged: Staged, passport: Mapping[str, Any]) -> Release:
    """Merge the branch into main, read a sample of it back, and make it the current release.

    Raises AuditError, and no release refers to what was merged, if the sample is not what was
    vetted.
    """
    run = staged.run
    with staged.branch.needed():
        staged.branch.publish()
    verify_images.check_sample(staged.branch.lake, verification_sample(staged))
    return releases.publish(
        staged.branch.lake,
        Draft(
            dataset=run.problem.dataset,
            passport=passport,
            creator=staged.branch.run_id,
            note=run.note,
            is_synthetic=staged.is_synthetic,
            now=run.now,
            back=staged.back,
        ),
    )


def verification_sample(staged: Staged) -> dict[str, str]:
    """Digest of the clean bytes of some images that arrived and are held; drawn by the run's id."""
    arrived = sorted({*staged.new, *staged.intake.repeated})
    rng = np.random.default_rng(int(staged.branch.run_id, 16))
    size = min(len(arrived), staged.run.n_verified)
    chosen = {arrived[n] for n in rng.choice(len(arrived), size, replace=False)}
    known = verify_images.facts(staged.branch.lake, chosen - set(staged.new))
    return {  # a held image that is gone has no digest, and fails the check
        s: staged.new[s].stored_sha256 if s in staged.new else known.get(s, _GONE)["stored_sha256"]
        for s in sorted(chosen)
    }


def receipt(staged: Staged, release: Release) -> dict[str, Any]:
    """What an ingest did; seen = accepted + repeated + quarantined."""
    sorted_in = staged.intake
    arrived = {*staged.new, *sorted_in.repeated}
    return {
        "run_id": staged.branch.run_id,
        "release": release.name,
        "content_hash": release.content_hash,
        "seen": len(staged.run.delivery.items),
        "accepted": len(sorted_in.accepted),
        "repeated": len(sorted_in.repeated),
        "quarantined": len(sorted_in.quarantined),
        "conflicts": sorted_in.reasons.get(CONFLICT, 0),
        "reasons": sorted_in.reasons,
        "findings": len(staged.findings),
        "found": dict(Counter(finding.code for finding in staged.findings)),
        "verified": min(len(arrived), staged.run.n_verified),
    }


def _sort_out(
    branch: Branch, run: Run, arrived: Sequence[Arrived], held: Held, new: Mapping[str, New]
) -> tuple[Intake, dict[str, str]]:
    """The intake, and the held samples whose label a person's ruling replaces."""
    known = held.newest_labels
    thumbnails = {m.sample_id: t for m, t in zip(held.members, held.thumbnails, strict=True)}
    thumbnails |= {sha256: one.thumbnail for sha256, one in new.items()}
    alike = triage.look_alikes(arrived, known, thumbnails)
    read = ((s, triage.pixel_digest(raw)) for s, raw in verify_images.stored(branch, alike))
    pixels = {s: digest for s, digest in read if digest}
    ruled = {pixels.get(s, s): label for s, label in run.rulings.items()}
    replaced = {
        s: ruled[pixels.get(s, s)]
        for s in {*alike, *run.rulings} & set(known)
        if pixels.get(s, s) in ruled
    }
    return triage.sort_out(arrived, known | replaced, pixels), replaced


def _compare(
    problem: Problem, sorted_in: Intake, held: Held, accepted: Mapping[str, New]
) -> Newcomers:
    """Find the twins of each accepted image, among all that is held and the others."""
    newcomers = [sha256 for _, sha256 in sorted_in.accepted]
    cosine, pairs = problem.groups.twin_cosine, np.empty((0, 2), np.int64)
    if newcomers:
        small = [*held.thumbnails, *(accepted[sha256].thumbnail for sha256 in newcomers)]
        pairs = near_duplicates.find(near_duplicates.vectors(small), len(held.thumbnails), cosine)
    ids = (*(m.sample_id for m in held.members), *newcomers)
    return Newcomers(ids=ids, first=len(held.members), pairs=pairs)


def _place(sorted_in: Intake, held: Held, met: Newcomers) -> list[tuple[str, Assigned]]:
    """Group and split of each accepted image, in their order."""
    newcomers = [
        Member(sample_id=sha256, label=item.label, group_key=item.group_key)
        for item, sha256 in sorted_in.accepted
    ]
    placed = assign.assign(held.members, newcomers, met.pairs, assign.SplitConfig())
    return [(sha256, place) for (_, sha256), place in zip(sorted_in.accepted, placed, strict=True)]


def _findings(placed: Mapping[str, Assigned]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            sample_id=sha256,
            code="bridges_splits",
            message="its twins lie in two splits, so it belongs to none",
        )
        for sha256, place in placed.items()
        if place.bridges
    )


def _check_counts(staged: Staged) -> None:
    """Every file that was seen is in one place, and what was accepted is on the branch."""
    seen, placed = len(staged.run.delivery.items), staged.intake.placed
    # Of a run that was cut short while it published, main holds some rows already.
    written = set(staged.branch.rows("samples", ["sha256"])["sha256"].to_pylist())
    lost = {sha256 for _, sha256 in staged.intake.accepted} - written - staged.back
    if placed != seen or lost:
        raise AuditError(
            f"the counts do not add up: {seen} files seen, {placed} accepted, repeated or "
            f"quarantined; {len(lost)} accepted are not on the branch. Nothing was published; run "
            "the same command again, and report this if it stays"
        )


def _passport_that_stands(
    branch: Branch, problem: Problem, shown: LeftOut
) -> Mapping[str, Any] | None:
    """The current release's, where a run without rows would make the same; comparing is slow."""
    parent = releases.current(branch.lake, problem.dataset)
    if parent is None or parent.left_out != shown:
        return None
    _require_known(parent.passport["labels"], problem)
    return parent.passport


def _require_known(labels: Iterable[str], problem: Problem) -> None:
    if unknown := {*labels} - {"", *problem.labels}:
        raise AuditError(
            f"labels unknown to problem {problem.name}: {sorted(unknown)[:5]}; map them under "
            "[labels], or ingest with the problem they belong to"
        )
