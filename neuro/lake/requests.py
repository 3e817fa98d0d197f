"""What a service was asked and what it said: one row for each image of each request."""

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from neuro.lake.lake import Lake, among, quoted
from neuro.lake.table_schemas import SCHEMAS
from neuro.sample import REFUSED, Prediction

TABLE = "requests"


Floats = NDArray[np.float32]


def _nothing() -> Floats:
    return np.empty(0, np.float32)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Request:
    """One image that somebody asked about.

    id: of the request, and the number of the image in it. route: predictions, explanations ..., or
    case for predictions of images that are one case.
    prediction: None of a refused image, whose reason is ``refusal``. descriptors, embedding: what
    drift is measured by; empty where there are none. latency_s: from the first byte to the answer.
    image: clean bytes, b"" where they are not to be kept.
    """

    id: str
    at: datetime
    route: str
    who: str
    problem: str
    dataset: str
    sha256: str
    model_version: str = ""
    package: str = ""
    prediction: Prediction | None = None
    refusal: str = ""
    is_shadow: bool = False
    descriptors: Floats = field(default_factory=_nothing)
    embedding: Floats = field(default_factory=_nothing)
    latency_s: float = 0.0
    image: bytes = b""

    def to_line(self) -> bytes:
        """One line of JSON, with its end."""
        row = {name: getattr(self, name) for name in _FIELDS} | {
            "at": self.at.isoformat(),
            "prediction": self.prediction and asdict(self.prediction),
            "descriptors": _packed(self.descriptors),
            "embedding": _packed(self.embedding),
            "image": base64.b64encode(self.image).decode(),
        }
        return json.dumps(row, separators=(",", ":")).encode() + b"\n"

    def row(self) -> dict[str, Any]:
        """A row of the table."""
        said = self.prediction
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "preprocess_hash": said.preprocess_hash if said else "",
            "predicted": said.predicted if said else "",
            "decision": said.decision if said else REFUSED if self.refusal else "",
            "reason": said.reason if said else self.refusal,
            "probabilities": list(said.probabilities) if said else [],
            "conformal_set": list(said.conformal_set) if said else [],
            "ood_score": said.ood_score if said else None,
            "descriptors": self.descriptors,
            "embedding": self.embedding,
            "image": self.image or None,
        }


_PLAIN = (
    *("id", "at", "route", "who", "problem", "dataset", "sha256", "model_version", "package"),
    *("is_shadow", "latency_s"),
)


_FIELDS = tuple(each.name for each in fields(Request))


def parse(line: bytes) -> Request:
    """What ``to_line`` wrote. Raises ValueError for a line that was cut off or is another's."""
    try:
        row = json.loads(line)
        said = row["prediction"]
        if said is not None:
            lists = {name: tuple(said[name]) for name in ("probabilities", "conformal_set")}
            said = Prediction(**(said | lists))
        packed = {name: _unpacked(row[name]) for name in ("descriptors", "embedding")}
        image = base64.b64decode(row["image"])
        at = datetime.fromisoformat(row["at"])
        return Request(**(row | packed | {"prediction": said, "image": image, "at": at}))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no line of a request log ({error})") from error


def add(lake: Lake, requests: Sequence[Request]) -> int:
    """Append those that are not there yet; returns how many that were."""
    rows = pa.Table.from_pylist([request.row() for request in requests], SCHEMAS[TABLE])
    return lake.add(TABLE, rows)


def asked(lake: Lake, dataset: str, beginning: str) -> set[str]:
    """The digests that begin so and that a service was asked about."""
    where = f"dataset = {quoted(dataset)} AND starts_with(sha256, {quoted(beginning)})"
    return set(lake.read(TABLE, columns=["sha256"], where=where)["sha256"].to_pylist())


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenAnswer:
    """What was answered about an image, when, and by which version and package.

    prediction: plain JSON; probabilities in the order of the package's classes.
    """

    at: datetime
    version: str
    package: str
    prediction: Mapping[str, Any]


_ANSWER = ("predicted", "decision", "reason", "probabilities", "conformal_set", "ood_score")


def answers(
    lake: Lake,
    dataset: str,
    problem: str,
    model_version: str,
    since: datetime,
    until: datetime | None = None,
) -> pa.Table:
    """What a model has answered to who asked since then, oldest first, for whom it was no shadow.

    until: up to this second, None for all. Columns id, at, route, sha256, predicted, probabilities,
    descriptors and embedding.
    """
    columns = ["id", "at", "route", "sha256", "predicted", "probabilities"]
    columns += ["descriptors", "embedding"]
    where = f"{_answered(dataset, problem, model_version)} AND at >= {_time(since)}"
    if until is not None:
        where += f" AND at < {_time(until + timedelta(seconds=1))}"
    return lake.read(TABLE, columns=columns, where=where).sort_by("at")


def first_answer(lake: Lake, dataset: str, problem: str, model_version: str) -> datetime | None:
    """When a model first answered who asked, no shadow; None where it never did."""
    where = _answered(dataset, problem, model_version)
    at = lake.read(TABLE, columns=["at"], where=where)["at"]
    first: datetime | None = pc.min(at).as_py()
    return first


def _answered(dataset: str, problem: str, model_version: str) -> str:
    return (
        f"dataset = {quoted(dataset)} AND problem = {quoted(problem)} AND predicted != '' "
        f"AND model_version = {quoted(model_version)} AND NOT is_shadow"
    )


def _time(at: datetime) -> str:
    return f"timestamp {quoted(f'{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}')}"


def answered_by(lake: Lake, dataset: str, sample_id: str) -> GivenAnswer | None:
    """The last answer about an image; None where it never was answered."""
    columns = ["at", "model_version", "package", "is_shadow", *_ANSWER]
    where = f"dataset = {quoted(dataset)} AND sha256 = {quoted(sample_id)}"
    rows = lake.read(TABLE, columns=columns, where=where).to_pylist()
    said = [row for row in rows if row["decision"] not in ("", REFUSED) and not row["is_shadow"]]
    last = max(said, key=lambda row: row["at"], default=None)
    return _given(last) if last else None


def given_answer(request: Request) -> GivenAnswer:
    """A line as an answer. request: of an image that was answered."""
    return _given(request.row())


def _given(row: Mapping[str, Any]) -> GivenAnswer:
    return GivenAnswer(
        at=row["at"],
        version=row["model_version"],
        package=row["package"],
        prediction={name: row[name] for name in _ANSWER},
    )


def is_sample(lake: Lake, dataset: str, sample_id: str) -> bool:
    """Whether an image is in the lake."""
    where = f"dataset = {quoted(dataset)} AND sha256 = {quoted(sample_id)}"
    return bool(lake.read("samples", columns=["sha256"], where=where).num_rows)


def count(lake: Lake, sample_ids: Collection[str]) -> int:
    """How many rows are about these images."""
    return int(lake.read(TABLE, columns=["id"], where=among("sha256", sample_ids)).num_rows)


def images(lake: Lake, sample_ids: Collection[str]) -> set[bytes]:
    """The pictures that were kept of these."""
    where = among("sha256", sample_ids)
    kept = lake.read(TABLE, columns=["image"], where=where)["image"].to_pylist()
    return {image for image in kept if image}


def _packed(numbers: Floats) -> str:
    return base64.b64encode(numbers.astype("<f4").tobytes()).decode()


def _unpacked(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
