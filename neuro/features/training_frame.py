"""The training frame of a feature set: samples of a release with their vectors, as Parquet.

Also who made the vectors of a set, and how much of a release they cover.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuro.features import feature_set
from neuro.features.encoders import Encoder, Fitting
from neuro.lake import features, point_in_time
from neuro.lake.lake import Lake
from neuro.lake.point_in_time import Wanted
from neuro.lake.releases import Release
from neuro.models.package import NOTICE
from neuro.problems.problem import Problem


def coverage(
    lake: Lake, sample_ids: Sequence[str], name: str, current: str | None
) -> list[dict[str, Any]]:
    """Each encoder that made vectors of a set, and how many samples it covers.

    current: digest of the encoder that this program has; ``is_current`` is None where it is.
    Raises UnknownNameError with near misses.
    """
    rows = []
    for one in features.find(lake, name):
        missing = features.missing(lake, one.name, one.encoder_hash, sample_ids)
        rows.append(
            {
                "encoder_hash": one.encoder_hash,
                "preprocess_hash": one.preprocess_hash,
                "width": one.width,
                "images": one.n,
                "covered": len(sample_ids) - len(missing),
                "is_current": None if current is None else one.encoder_hash == current,
                "code_revisions": list(one.code_revisions),
            }
        )
    return rows


def write(
    lake: Lake,
    problem: Problem,
    release: Release,
    encoder: Encoder | Fitting,
    splits: Sequence[str],
    out: Path,
) -> dict[str, Any]:
    """Write the samples of these splits with their vectors, as of the release, as Parquet.

    Returns its path, rows and splits. Raises ConfigError where a vector was made by something else
    or never.
    """
    names = feature_set.column_names(encoder.name)
    wanted = Wanted(features=encoder.name, encoder_hash=encoder.digest, names=names)
    about = {
        "release": release.name,
        "content_hash": release.content_hash,
        "set": encoder.name,
        "encoder_hash": encoder.digest,
        "preprocess_hash": encoder.preprocess_hash,
        "splits": ", ".join(splits),
        "synthetic": str(release.is_synthetic).lower(),
        "notice": NOTICE,
    }
    parts = point_in_time.tables(lake, release, wanted, problem.class_of, splits)
    rows = point_in_time.write(parts, about, out)
    return {"frame": str(out), "rows": rows, "splits": about["splits"]}
