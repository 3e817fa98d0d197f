"""The passport of a release as a page that a doctor can read: what it says, shows, and asks for."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from neuro.duplicates import near_pairs
from neuro.duplicates.pose_invariants import Vectors
from neuro.evaluation.labels_in_doubt import Known
from neuro.images import preview
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.passport.passport import TOLD
from neuro.reports import passport_text, render
from neuro.reports.passport_text import CONFOUNDS, SealedPassport, many
from neuro.sample import SPLITS

N_CLUSTERS = 8
N_OF_CLUSTER = 4
N_SUSPECTS = 20
N_NEIGHBOURS = 3
N_DOUBTED = 20  # of what each problem's folds doubt
MAX_PICTURES = 150

# What is said of a picture in each of the eight poses of ``near_pairs.poses``, in their order.
_POSES = (
    "same way round",
    "mirrored left to right",
    "turned by a quarter",
    "mirrored and turned by a quarter",
    "turned upside down",
    "mirrored top to bottom",
    "turned by a quarter",
    "mirrored and turned by a quarter",
)

Pictures = Mapping[str, bytes]  # by sample_id
_NONE_DOUBTED = Known()


def wanted(passport: SealedPassport, doubted: Known = _NONE_DOUBTED) -> list[str]:
    """The samples whose pictures the page shows, each once, at most MAX_PICTURES."""
    sample_ids = [
        member["sample_id"] for cluster in _clusters(passport) for member in cluster[:N_OF_CLUSTER]
    ]
    for suspect in _suspects(passport):
        sample_ids.append(suspect["sample_id"])
        sample_ids += [near["sample_id"] for near in suspect["neighbours"]]
    for found in doubted.lists:
        sample_ids += [label.sample_id for label in found.labels[:N_DOUBTED]]
    return list(dict.fromkeys(sample_ids))[:MAX_PICTURES]


def draw(lake: Lake, release: Release, doubted: Known = _NONE_DOUBTED) -> str:
    """The page, with the pictures that the lake has; ErasedError if some of them were erased.

    doubted: the labels that folds doubt, beside the passport.
    """
    undamaged = images.undamaged(lake, release, wanted(release.passport, doubted))
    pictures = {sample_id: preview.small(stored) for sample_id, stored in undamaged}
    return build(release, pictures, doubted)


def build(release: Release, pictures: Pictures, doubted: Known = _NONE_DOUBTED) -> str:
    """The page. pictures: what there is of ``wanted``."""
    passport = release.passport
    advices = passport_text.advise(passport)
    clusters = [_cluster(members, pictures) for members in _clusters(passport)]
    copies = [copy for cluster in clusters for copy in cluster["copies"]]
    poses = Counter(copy["pose"] for copy in copies if copy["pose"])
    splits = passport.get("splits") or {}
    return render.render(
        "passport.html",
        release=release,
        made=f"{release.created_at:%-d %B %Y}",
        passport=passport,
        is_synthetic=bool(passport.get("is_synthetic")),
        advices=advices,
        by_status=passport_text.by_status(advices),
        labels=dict(sorted((passport.get("labels") or {}).items())),
        splits={name: splits[name] for name in sorted(splits, key=_split_order)},
        clusters=clusters,
        poses=", ".join(f"{n} {pose}" for pose, n in poses.most_common()),
        suspects=[
            {**row, "doubted_by": _doubting(row["sample_id"], doubted)}
            for row in _suspects(passport)
        ],
        doubted=doubted,
        n_doubted=N_DOUBTED,
        suspect_ids=passport_text.suspect_ids(passport),
        metadata=[
            (row["column"], row["missing"], row["impossible"], row.get("values", ""))
            for row in passport.get("metadata") or []
        ],
        confound_names=CONFOUNDS,
        pictures=pictures,
    )


def _clusters(passport: SealedPassport) -> Sequence[Sequence[Mapping[str, str]]]:
    twins = passport.get("twins") or {}
    clusters: Sequence[Sequence[Mapping[str, str]]] = twins.get("examples") or []
    return clusters[:N_CLUSTERS]


def _suspects(passport: SealedPassport) -> list[dict[str, Any]]:
    suspects = (passport.get("label_suspects") or [])[:N_SUSPECTS]
    return [{**row, "neighbours": row.get("neighbours", [])[:N_NEIGHBOURS]} for row in suspects]


def _doubting(sample_id: str, doubted: Known) -> str:
    """Who doubts the label of a suspect, in words."""
    folds = [
        found.who
        for found in doubted.lists
        if sample_id in {label.sample_id for label in found.labels}
    ]
    return " and ".join(["the passport", *folds])


def _cluster(members: Sequence[Mapping[str, str]], pictures: Pictures) -> dict[str, Any]:
    """Some copies of one picture. pose: how one lies to the first, "" where unknown."""
    first = pictures.get(members[0]["sample_id"])
    copies = []
    for number, member in enumerate(members[:N_OF_CLUSTER]):
        picture = pictures.get(member["sample_id"])
        copies.append(
            {
                "sample_id": member["sample_id"],
                "label": member["label"] or "(no label)",
                "given_split": member.get("given_split", ""),
                "split": member.get("split", ""),
                "pose": pose_of_copy(first, picture) if number and first and picture else "",
            }
        )
    return {"headline": _headline(members), "copies": copies}


def pose_of_copy(first: bytes, other: bytes) -> str:
    """Which flip or rotation of ``other`` is most like ``first``; both PNG or JPEG, vetted."""
    still = _centred(first)
    scores = [float((pose * still).sum()) for pose in near_pairs.poses(_centred(other))]
    best = int(np.argmax(scores))
    # A symmetric picture is as like when mirrored: then nothing says that it was.
    return _POSES[best] if scores[best] > scores[0] * 1.01 else _POSES[0]


def _centred(raw: bytes) -> Vectors:
    """A picture's grey levels less their mean, (1, 1024)."""
    with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as opened:
        side = (THUMBNAIL_PX, THUMBNAIL_PX)
        small = opened.convert("L").resize(side, Image.Resampling.BOX)
    grey: Vectors = np.asarray(small, np.float32).reshape(1, -1)
    centred: Vectors = grey - grey.mean()
    return centred


def _headline(members: Sequence[Mapping[str, str]]) -> str:
    labels = {member["label"] for member in members if member["label"]}
    given_splits = {member["given_split"] for member in members}
    at_least = "at least " if len(members) == TOLD else ""  # a passport keeps no more of a cluster
    facts = [f"{at_least}{many(len(members), 'picture')}"]
    if {"train", "test"} <= given_splits or "train+test" in given_splits:
        facts.append("in the source's training part and in its test part")
    if len(labels) > 1:
        facts.append(f"under {len(labels)} labels")
    return ", ".join(facts)


def _split_order(name: str) -> tuple[int, str]:
    """Splits in the order in which they are used, others by the alphabet."""
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)
