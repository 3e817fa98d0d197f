"""Feature sets: vectors keyed by image digest and by the hash of what made them.

A table holds vectors of one width. A set whose width has changed goes on in a table of its own,
``features_<set>-<width>``; readers look through all of them.
"""

import difflib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from neuro.errors import ConfigError, UnknownNameError
from neuro.lake import scans
from neuro.lake.lake import Lake, among, quoted
from neuro.lake.table_schemas import feature_schema

Vector = NDArray[np.float32] | NDArray[np.float64]

_PREFIX = "features_"
_FEW = 256  # digests that a filter may list
_MADE_BY = ("encoder_hash", "preprocess_hash", "code_revision")


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSet:
    """The vectors that one encoder made. n: images; width: numbers of each.

    code_revisions: of the programs that computed them, sorted; the encoder's hash says whether
    that made a difference.
    """

    name: str
    encoder_hash: str
    preprocess_hash: str
    width: int
    n: int
    code_revisions: tuple[str, ...]


def sets(lake: Lake) -> list[FeatureSet]:
    """Everything that was ever computed and not erased, by name and encoder."""
    return [made for name in sorted(_tables(lake)) for made in _made(lake, name)]


def find(lake: Lake, name: str) -> list[FeatureSet]:
    """The encoders that made vectors of a set. Raises UnknownNameError with near misses."""
    known = _tables(lake)
    if name in known:
        return _made(lake, name)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownNameError(
        f"no feature set {name!r} in {lake.uri}: {hint}`neuro features list` lists all; "
        f"{_command(name)} makes one"
    )


def encoders(lake: Lake, name: str) -> Counter[str]:
    """How many vectors of a set each encoder made, by its hash; none where there is no set."""
    counted: Counter[str] = Counter()
    for made in _made(lake, name):
        counted[made.encoder_hash] += made.n
    return counted


def missing(lake: Lake, name: str, encoder_hash: str, wanted: Sequence[str]) -> list[str]:
    """Which of the wanted images have no vector of this encoder yet, in the order given."""
    known: set[str] = set()
    for rows in _rows_of(lake, name, encoder_hash, ["sha256"], wanted):
        known |= set(rows["sha256"].to_pylist())
    return [sample_id for sample_id in wanted if sample_id not in known]


def add(lake: Lake, name: str, vectors: Mapping[str, Vector], made_by: Mapping[str, str]) -> int:
    """Store vectors by image digest, in one commit; returns how many were new.

    vectors: all of one width. made_by: encoder_hash, preprocess_hash and code_revision.
    """
    if not vectors:
        return 0
    block = np.stack([np.asarray(vector, np.float32) for vector in vectors.values()])
    if not np.isfinite(block).all():
        raise ConfigError(f"feature set {name}: a vector holds NaN or infinity; nothing is stored")
    width = block.shape[1]
    columns: dict[str, pa.Array] = {
        "sha256": pa.array(vectors, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), width),
    }
    columns |= {key: pa.array([made_by[key]] * len(block), pa.string()) for key in _MADE_BY}
    rows = pa.table(columns).cast(feature_schema(width))
    return lake.add(_table_of(lake, name, width), rows)


def read(lake: Lake, name: str, encoder_hash: str, wanted: Sequence[str]) -> NDArray[np.float64]:
    """Vectors of the wanted images, (n, d) float64 in their order.

    Raises ConfigError naming the remedy where one was never computed by this encoder.
    """
    order = pa.array(wanted, pa.string())
    for rows in _rows_of(lake, name, encoder_hash, ["sha256", "vector"], wanted):
        place = pc.index_in(order, value_set=rows["sha256"])
        if not place.null_count:
            vectors = rows["vector"].combine_chunks()
            matrix = vectors.flatten().to_numpy().reshape(len(vectors), -1)
            return np.asarray(matrix[place.to_numpy()], np.float64)
    require(lake, name, encoder_hash, wanted)
    return np.empty((0, 0))


def require(lake: Lake, name: str, encoder_hash: str, wanted: Sequence[str]) -> None:
    """Raise what ``read`` raises, without reading a vector."""
    lacking = len(missing(lake, name, encoder_hash, wanted))
    if not lacking:
        return
    made = _made(lake, name)
    remedy = f"run {_command(name)}"
    if made and not any(one.encoder_hash == encoder_hash for one in made):
        others = ", ".join(one.encoder_hash[:12] for one in made)
        raise ConfigError(
            f"feature set {name} was made by {others}, not by {encoder_hash[:12]}: other code, "
            f"weights, preprocess or fit; {remedy} to compute it anew, or name the weights that "
            "made it"
        )
    raise ConfigError(f"feature set {name} lacks {lacking} images; {remedy}")


def _command(name: str) -> str:
    """What makes a set; the name of an embedding alone would make it of random weights."""
    options = " with the same --model, --pretrained or --weights"
    return f"`neuro featurize --set {name}`{options if name.startswith('embedding_') else ''}"


def _made(lake: Lake, name: str) -> list[FeatureSet]:
    counted: Counter[tuple[str, str, int]] = Counter()
    revisions: dict[str, set[str]] = {}
    for table in _tables(lake).get(name, ()):
        dataset = lake.open(table)
        width = dataset.schema.field("vector").type.list_size
        for batch in scans.batches(dataset, list(_MADE_BY)):
            same = (
                pa.Table.from_batches([batch])
                .group_by(list(_MADE_BY))
                .aggregate([([], "count_all")])
            )
            for row in same.to_pylist():
                key = (row["encoder_hash"], row["preprocess_hash"], width)
                counted[key] += row["count_all"]
                revisions.setdefault(row["encoder_hash"], set()).add(row["code_revision"])
    return [
        FeatureSet(
            name=name,
            encoder_hash=encoder_hash,
            preprocess_hash=preprocess_hash,
            width=width,
            n=n,
            code_revisions=tuple(sorted(revisions[encoder_hash])),
        )
        for (encoder_hash, preprocess_hash, width), n in sorted(counted.items())
    ]


def _rows_of(
    lake: Lake, name: str, encoder_hash: str, columns: list[str], wanted: Collection[str]
) -> Iterator[pa.Table]:
    """An encoder's rows in each table of the set: those wanted, and others where many are wanted.

    Many are cheaper to read as all between the first digest and the last.
    """
    where = f"encoder_hash = {quoted(encoder_hash)}"
    if len(wanted) <= _FEW:
        where += f" AND {among('sha256', wanted)}"
    else:
        where += f" AND sha256 >= {quoted(min(wanted))} AND sha256 <= {quoted(max(wanted))}"
    for table in _tables(lake).get(name, ()):
        yield lake.read(table, columns=columns, where=where)


def _tables(lake: Lake) -> dict[str, list[str]]:
    """The tables of each set."""
    found: dict[str, list[str]] = {}
    for table in lake.tables():
        if table.startswith(_PREFIX):
            found.setdefault(table.removeprefix(_PREFIX).partition("-")[0], []).append(table)
    return found


def _table_of(lake: Lake, name: str, width: int) -> str:
    """The table that takes vectors of this width."""
    first = f"{_PREFIX}{name}"
    if not lake.has(first):
        return first
    is_same = lake.open(first).schema.field("vector").type.list_size == width
    return first if is_same else f"{first}-{width}"
