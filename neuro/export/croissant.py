"""A release as plain files: images, a manifest with digests, and a Croissant description."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from neuro import escaped_names
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.lake import images, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.sample import Sample
from neuro.storage import export_target
from neuro.storage.export_target import MANIFEST
from neuro.storage.store import Store

NO_LABEL = "unlabelled"
COLUMNS: tuple[str, ...] = (
    "file",
    "file_sha256",
    "sha256",
    "stored_sha256",
    "source_name",
    "label",
    "group_id",
    "split",
    "width",
    "height",
    "mode",
)
# As the specification asks for it to be written out.
_CONTEXT = resources.files("neuro.export") / "croissant_context.json"
_SUFFIX = {"image/png": ".png", "image/jpeg": ".jpg"}
_NOTICE = "Research use only; not a medical device."


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What was written. manifest_sha256: digest of the manifest, which has that of each file."""

    where: str
    n: int
    manifest_sha256: str


def export(
    lake: Lake,
    problem: Problem,
    release: Release,
    store: Store,
    spec: PreprocessSpec | None = None,
) -> Exported:
    """Write a release to a place that is empty or new; whole, or not at all.

    Files are ``split/label/sha256.png`` (or .jpg), the stored bytes as they are. With a spec they
    are .npy instead: (channels, size, size) float32, what a model of this preprocessing is given.
    Raises ConfigError for a place that holds something else, DamagedError for a damaged image.
    """
    samples = {sample.sample_id: sample for sample in releases.samples(lake, release)}
    facts = images.facts(lake, release)
    names = {}
    for sample_id, sample in samples.items():
        suffix = ".npy" if spec else _SUFFIX[facts[sample_id]["media_type"]]
        names[sample_id] = str(_folder_of(sample, problem) / f"{sample_id}{suffix}")

    def description(manifest_sha256: str) -> dict[str, Any]:
        return describe(problem, release, manifest_sha256, spec)

    with export_target.opened(store) as target:
        digest = target.digest_if_complete(names.values(), description)
        if digest is None:
            rows = []
            for sample_id, raw in images.stored_bytes(lake, release, samples):
                name = names[sample_id]
                content = raw if spec is None else _tensor(raw, spec)
                target.write(name, content)
                sha256 = hashlib.sha256(content).hexdigest()
                rows.append(_row(samples[sample_id], facts[sample_id], name, sha256))
            manifest = _manifest(sorted(rows, key=lambda row: str(row["file"])))
            digest = hashlib.sha256(manifest).hexdigest()
            text = json.dumps(description(digest), indent=1, ensure_ascii=False)
            target.finish(text.encode(), manifest)
    return Exported(where=store.uri, n=len(samples), manifest_sha256=digest)


def describe(
    problem: Problem, release: Release, manifest_sha256: str, spec: PreprocessSpec | None
) -> dict[str, Any]:
    """An export in Croissant 1.0 (docs.mlcommons.org/croissant), as JSON-LD."""
    kind = "preprocessed images" if spec else "images"
    about = f"{release.n} {kind} of release {release.name}. {problem.intended_use} {_NOTICE}"
    if spec is not None:
        about += f" Preprocessing {spec.sha256}: {spec.mode}, {spec.size_px} px, {spec.intensity}."
    return {
        "@context": json.loads(_CONTEXT.read_text(encoding="utf-8")),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": release.name,
        "description": about,
        "license": problem.licence,
        "citeAs": problem.citation,
        "url": f"urn:sha256:{release.content_hash}",
        "version": f"{int(release.name.rsplit('-', 2)[1])}.0.0",
        "datePublished": release.created_at.date().isoformat(),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": MANIFEST,
                "name": MANIFEST,
                "contentUrl": MANIFEST,
                "encodingFormat": "text/csv",
                "sha256": manifest_sha256,
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "key": {"@id": "samples/sha256"},
                "field": [_field(name) for name in COLUMNS],
            }
        ],
    }


def _field(name: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"samples/{name}",
        "name": name,
        "dataType": "sc:Integer" if name in ("width", "height") else "sc:Text",
        "source": {"fileObject": {"@id": MANIFEST}, "extract": {"column": name}},
    }


def _folder_of(sample: Sample, problem: Problem) -> PurePosixPath:
    """Split and label folders, named as the problem's own layout names them where it does.

    A label that cannot be a folder's name everywhere is escaped; the manifest has it as it is.
    """
    split_folders = {split: folder for folder, split in problem.layout.splits.items()}
    label = escaped_names.for_folder(sample.label, taken=(NO_LABEL,)) or NO_LABEL
    return PurePosixPath(split_folders.get(sample.split, sample.split), label)


def _tensor(raw: bytes, spec: PreprocessSpec) -> bytes:
    buffer = io.BytesIO()
    frames = preprocess.frame(raw, spec)[np.newaxis]
    np.save(buffer, preprocess.to_tensor(frames, spec)[0], allow_pickle=False)
    return buffer.getvalue()


def _row(sample: Sample, facts: Mapping[str, Any], file: str, digest: str) -> dict[str, Any]:
    row = {"file": file, "file_sha256": digest, "sha256": sample.sample_id, **facts}
    return {name: row[name] if name in row else getattr(sample, name) for name in COLUMNS}


def _manifest(rows: list[dict[str, Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
