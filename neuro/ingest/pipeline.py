"""Write, audit, publish: how a delivery becomes part of a release."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.dataset import contents
from neuro.dataset.contents import DatasetContents
from neuro.duplicates import twins as twin_search
from neuro.duplicates.twins import NOBODY, Newcomers
from neuro.errors import AuditError, NeuroError
from neuro.images import thumbnail
from neuro.ingest import file_kinds, schemas, stage_rows, triage, vet_new
from neuro.ingest.triage import CONFLICT, DeliveredFile, SortedFiles
from neuro.ingest.vet_new import IngestRun, NewImage
from neuro.lake import releases, verify_images
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake
from neuro.lake.releases import Draft, Release
from neuro.lake.staging import Branch
from neuro.passport import confounds
from neuro.passport import passport as passports
from neuro.problems.problem import Problem
from neuro.sample import Finding
from neuro.splits import draw_splits
from neuro.splits.draw_splits import Assigned, Member


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A delivery on its branch, invisible until it is published.

    new_images: what was vetted of each accepted image. twins: of the accepted images. returned:
    accepted images that the dataset had before a restore left them out; they keep their place.
    """

    branch: Branch
    run: IngestRun
    files: SortedFiles
    new_images: Mapping[str, NewImage]
    findings: tuple[Finding, ...]
    is_synthetic: bool
    twins: Newcomers = NOBODY
    returned: frozenset[str] = frozenset()

    @property
    def problem(self) -> Problem:
        """The problem it was read with."""
        return self.run.problem

    @property
    def delivered_images(self) -> set[str]:
        """Sample_ids of all images that were delivered and that the dataset has, new or not."""
        return {*self.new_images, *self.files.repeated}


def stage(lake: Lake, run: IngestRun) -> Staged:
    """Vet a delivery, sort it, give new images their group and split, and write the branch.

    Raises ManifestError, before anything is written, if the delivery breaks its schema, and
    StaleError if another process was done with it first.
    """
    manifest = run.manifest or schemas.check_manifest(run.delivery.items, run.problem)
    manifest.require()
    dataset = run.problem.dataset
    files = vet_new.hash_files(run.delivery.items)
    branch = Branch(lake, vet_new.run_id(run, files))
    with branch.needed():
        left_out = releases.left_out(lake, dataset, branch.run_id)
        # Samples that a restore left out keep their group and split, but may be delivered again.
        everything = contents.read(lake, dataset)
        current = contents.read(lake, dataset, left_out=left_out) if left_out.runs else everything

        files = vet_new.refuse_erased(lake, files)
        files, vetted = vet_new.vet_new(branch, run, files, current.newest_labels)
        pixel_digests = _pixel_digests(branch, files, current, vetted)
        decided = _decided_labels(run.decided_labels, pixel_digests, current.newest_labels)
        sorted_files = triage.sort_out(files, current.newest_labels | decided, pixel_digests)

        new_images = {file.sha256: vetted[file.sha256] for file in sorted_files.accepted}
        written = {sha256 for sha256, image in vetted.items() if image.is_written}
        verify_images.withhold(branch, written - new_images.keys())
        returned = frozenset(new_images) & frozenset(everything.newest_labels)
        twins = _twins(run.problem, sorted_files, everything, new_images)
        places = _places(sorted_files, everything, twins)
        for sample_id in returned:
            del places[sample_id]

        stage_rows.write_samples(branch, run, sorted_files, places)
        shown = left_out.showing(branch.run_id)
        stage_rows.write_labels(branch, run, sorted_files, decided, shown)
        stage_rows.quarantine_files(branch, run, sorted_files.quarantined)
        return Staged(
            branch=branch,
            run=run,
            files=sorted_files,
            new_images=new_images,
            findings=tuple(
                Finding(
                    sample_id=sample_id,
                    code="bridges_splits",
                    message="its twins lie in two splits, so it belongs to none",
                )
                for sample_id, place in places.items()
                if place.bridges
            ),
            is_synthetic=run.delivery.is_synthetic or current.is_synthetic,
            twins=twins,
            returned=returned,
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
            shown = left_out.showing(branch.run_id, staged.returned)
            if branch.is_empty:
                passport = _unchanged_passport(branch.lake, problem, shown)
                if passport is not None:
                    return passport
            for table, columns in schemas.tables(problem).items():
                schemas.check_table(table, branch.rows(table, list(columns)), columns)
            written = {
                sample_id: image.stored_sha256
                for sample_id, image in staged.new_images.items()
                if image.is_written
            }
            verify_images.check_branch(branch, written)
            held = contents.read(branch.lake, problem.dataset, branch, shown)
        draw_splits.check_no_overlap(
            [m.group_id for m in held.members], [m.split for m in held.members]
        )
        _require_known({m.label for m in held.members}, problem)
    except NeuroError:  # a store that fails says nothing of the branch; the next run replaces it
        branch.drop()
        raise
    return inspect(held, problem, staged.twins).as_dict()


def inspect(
    held: DatasetContents, problem: Problem, twins: Newcomers = NOBODY
) -> passports.Passport:
    """The passport of everything a dataset holds. twins: those of the images that came last."""
    vectors = twin_search.vectors(held.thumbnails)
    side = thumbnail.THUMBNAIL_PX
    pictures = np.frombuffer(b"".join(held.thumbnails), np.uint8).reshape(-1, side, side)
    sample_ids = [member.sample_id for member in held.members]
    return passports.inspect(
        passports.Inspected(
            members=held.members,
            given_splits=held.given_splits,
            vectors=vectors,
            near=twins.completed(sample_ids, vectors, problem.groups.twin_cosine),
            traits={**held.traits, **confounds.border(pictures)},
            columns=problem.layout.metadata,
            about=problem.about,
        ),
        is_synthetic=held.is_synthetic,
    )


def publish(staged: Staged, passport: Mapping[str, Any]) -> Release:
    """Merge the branch into main, read a sample of it back, and make it the current release.

    Raises StaleError where another run was first, and AuditError, and no release refers to what was
    merged, if the sample is not what was vetted.
    """
    run, main = staged.run, staged.branch.lake
    with staged.branch.needed():
        staged.branch.publish()
    verify_images.check_sample(main, verification_sample(staged))
    return releases.publish(
        main,
        Draft(
            dataset=run.problem.dataset,
            passport=passport,
            creator=staged.branch.run_id,
            note=run.note,
            is_synthetic=staged.is_synthetic,
            now=run.now,
            back=staged.returned,
        ),
    )


def verification_sample(staged: Staged) -> dict[str, str]:
    """Digest of the clean bytes of some delivered images, drawn by the run's id.

    "" for an image that the dataset should have and the lake has not: it fails the check.
    """
    images = sorted(staged.delivered_images)
    rng = np.random.default_rng(int(staged.branch.run_id, 16))
    size = min(len(images), staged.run.n_verified)
    chosen = sorted(images[n] for n in rng.choice(len(images), size, replace=False))
    digests = dict.fromkeys(chosen, "")
    for sample_id, row in verify_images.facts(staged.branch.lake, chosen).items():
        digests[sample_id] = row["stored_sha256"]
    for sample_id in staged.new_images.keys() & digests.keys():
        digests[sample_id] = staged.new_images[sample_id].stored_sha256
    return digests


def holds_nothing(staged: Staged) -> bool:
    """Whether there is nothing to release: no image was delivered, and the dataset had none."""
    dataset = staged.problem.dataset
    return not staged.delivered_images and releases.current(staged.branch.lake, dataset) is None


def receipt(staged: Staged, release: Release | None) -> dict[str, Any]:
    """What an ingest did; seen = accepted + repeated + quarantined.

    release: None where nothing could be released. What was skipped is not among what was seen.
    unlabelled: how many of the accepted came without a label. remarks: how the table fits.
    """
    files = staged.files
    return {
        "run_id": staged.branch.run_id,
        "release": release.name if release else None,
        "content_hash": release.content_hash if release else None,
        "seen": len(staged.run.delivery.items),
        "accepted": len(files.accepted),
        "repeated": len(files.repeated),
        "quarantined": len(files.quarantined),
        "unlabelled": sum(not file.item.label for file in files.accepted),
        "conflicts": files.reasons.get(CONFLICT, 0),
        "reasons": files.reasons,
        "findings": len(staged.findings),
        "found": dict(Counter(finding.code for finding in staged.findings)),
        "verified": min(len(staged.delivered_images), staged.run.n_verified),
        "remarks": list(staged.run.delivery.remarks),
        **file_kinds.skipped_counts(staged.run.delivery.skipped),
    }


def _pixel_digests(
    branch: Branch,
    files: Sequence[DeliveredFile],
    held: DatasetContents,
    new: Mapping[str, NewImage],
) -> dict[str, str]:
    """Digest of the pixels of those samples that may show one picture under two labels."""
    thumbnails = {
        member.sample_id: small for member, small in zip(held.members, held.thumbnails, strict=True)
    }
    thumbnails |= {sha256: image.thumbnail for sha256, image in new.items()}
    alike = triage.look_alikes(files, held.newest_labels, thumbnails)
    return {
        sample_id: digest
        for sample_id, stored in verify_images.stored(branch, alike)
        if (digest := triage.pixel_digest(stored))
    }


def _decided_labels(
    decided: Mapping[str, str], pixel_digests: Mapping[str, str], known: Collection[str]
) -> dict[str, str]:
    """Labels that a person's decision gives to samples of the dataset.

    decided: sample_id -> label. The decision holds for every sample that has the same pixels.
    """

    def picture(sample_id: str) -> str:
        return pixel_digests.get(sample_id, sample_id)

    label_of_picture = {picture(sample_id): label for sample_id, label in decided.items()}
    concerned = {*pixel_digests, *decided} & {*known}
    return {
        sample_id: label_of_picture[picture(sample_id)]
        for sample_id in concerned
        if picture(sample_id) in label_of_picture
    }


def _twins(
    problem: Problem, files: SortedFiles, held: DatasetContents, new_images: Mapping[str, NewImage]
) -> Newcomers:
    """The twins of each accepted image, among all that the dataset has and the other ones."""
    accepted = [file.sha256 for file in files.accepted]
    pairs = np.empty((0, 2), np.int64)
    if accepted:
        thumbnails = [*held.thumbnails, *(new_images[sha256].thumbnail for sha256 in accepted)]
        vectors = twin_search.vectors(thumbnails)
        cosine = problem.groups.twin_cosine
        pairs = twin_search.find(vectors, len(held.thumbnails), cosine)
    ids = (*(member.sample_id for member in held.members), *accepted)
    return Newcomers(ids=ids, first=len(held.members), pairs=pairs)


def _places(files: SortedFiles, held: DatasetContents, twins: Newcomers) -> dict[str, Assigned]:
    """Group and split of each accepted image."""
    members = [
        Member(sample_id=file.sha256, label=file.item.label, group_key=file.item.group_key)
        for file in files.accepted
    ]
    assigned = draw_splits.assign(held.members, members, twins.pairs)
    return {member.sample_id: place for member, place in zip(members, assigned, strict=True)}


def _check_counts(staged: Staged) -> None:
    """Every file that was seen is in one place, and what was accepted is on the branch."""
    seen, sorted_files = len(staged.run.delivery.items), staged.files.count
    # Of a run that was cut short while it published, main has some rows already.
    written = set(staged.branch.rows("samples", ["sha256"])["sha256"].to_pylist())
    lost = {file.sha256 for file in staged.files.accepted} - written - staged.returned
    if sorted_files != seen or lost:
        raise AuditError(
            f"the counts do not add up: {seen} files seen, {sorted_files} accepted, repeated or "
            f"quarantined; {len(lost)} accepted are not on the branch. Nothing was published; run "
            "the same command again, and report this if it stays"
        )


def _unchanged_passport(lake: Lake, problem: Problem, shown: LeftOut) -> Mapping[str, Any] | None:
    """The current release's, which a run without rows would write again; None if it shows others.

    Writing it takes long: all images are compared.
    """
    parent = releases.current(lake, problem.dataset)
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
