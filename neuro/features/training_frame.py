"""The training frame of a feature set: samples of a release with their vectors, as Parquet.

Also who made the vectors of a set, and how much of a release they cover.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from neuro.features.feature_set import Named
from neuro.lake import features, point_in_time
from neuro.lake.lake import Lake
from neuro.lake.point_in_time import Wanted
from neuro.lake.releases import Release
from neuro.models.package import NOTICE
from neuro.problems.problem import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A training frame to be written. about: what it was made of."""

    parts: Iterator[pa.Table]
    about: Mapping[str, str]

    def write(self, out: Path) -> dict[str, Any]:
        """Write it as Parquet; returns its path, rows and splits."""
        rows = point_in_time.write(self.parts, self.about, out)
        return {"frame": str(out), "rows": rows, "splits": self.about["splits"]}


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


def tables(
    lake: Lake, problem: Problem, release: Release, named: Named, splits: Sequence[str]
) -> Frame:
    """The samples of these splits with their vectors, as of the release.

    Reading raises ConfigError where a vector was made by something else or never.
    """
    wanted = Wanted(features=named.name, encoder_hash=named.digest, names=named.names)
    about = {
        "release": release.name,
        "content_hash": release.content_hash,
        "set": named.name,
        "encoder_hash": named.digest,
        "preprocess_hash": named.preprocess_hash,
        "splits": ", ".join(splits),
        "synthetic": str(release.is_synthetic).lower(),
        "notice": NOTICE,
    }
    parts = point_in_time.tables(lake, release, wanted, problem.class_of, splits)
    return Frame(parts=parts, about=about)
