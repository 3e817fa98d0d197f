"""Ask a prediction service from Python.

client = Client("http://127.0.0.1:8000", token)
for answer in client.predict("scan.dcm"):
print(answer.decision, answer.predicted, answer.reason)
"""

import base64
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from neuro.errors import ConfigError, ServerError

Image = str | Path | bytes  # a file, or its bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a service says of one image.

    sample_id: SHA-256 of its file. probabilities: calibrated, by class; empty where the decision is
    "refused". ood_score: above 1 is out of scope; None where refused. decision: answer, abstain,
    out_of_scope or refused, for which reason says why.
    """

    sample_id: str
    problem: str
    model_version: str
    preprocess_hash: str
    probabilities: Mapping[str, float]
    predicted: str
    conformal_set: tuple[str, ...]
    ood_score: float | None
    decision: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseAnswer:
    """What a service says of several images of one patient or lesion together.

    rule: by which, of the problem file. images: that were let in; in_scope: those that count. The
    rest is as of an image, calibrated on cases.
    """

    rule: str
    images: int
    in_scope: int
    model_version: str
    probabilities: Mapping[str, float]
    predicted: str
    conformal_set: tuple[str, ...]
    decision: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Map:
    """Where the network looked; see the service's OpenAPI page. png: b"" where there is none."""

    shows: str
    against: str
    method: str
    png: bytes
    is_sane: bool
    is_believed: bool
    insertion: float
    deletion: float


class Client:
    """A service at an address, with the token that `neuro users token NAME` printed.

    person: in whose name an admin's program asks; "" for its own.

    Each call raises ServerError where the service is not reached or cannot answer now, ConfigError
    for what it refuses; the message is the service's own.
    """

    def __init__(
        self, address: str, token: str, *, person: str = "", timeout_s: float = 60.0
    ) -> None:
        token = token.strip()
        if not token.isascii() or not token.isprintable():
            raise ConfigError("a token is plain letters, as `neuro users token` prints it")
        is_here = httpx.URL(address).host in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(
            base_url=address.rstrip("/"),
            headers={"authorization": f"Bearer {token}"}
            | ({"x-neuro-person": person} if person else {}),
            timeout=timeout_s,
            trust_env=not is_here,  # no proxy is asked for this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def predict(self, *images: Image, problem: str = "", forget: bool = False) -> list[Answer]:
        """One answer for each image, in their order; of one that was refused, the reason.

        problem: needed where several are served. forget: here and below, the service writes
        nothing of it down.
        """
        fields = {"problem": problem, "forget": str(forget)}
        found = self._sent("/v1/predictions", "files", images, fields)
        return [_answer(each) for each in found["predictions"]]

    def predict_case(
        self, *images: Image, problem: str = "", forget: bool = False
    ) -> tuple[CaseAnswer, list[Answer]]:
        """One answer for images of one patient or lesion, and one for each of them.

        Raises ConfigError for a problem without a rule, and where no image can be answered.
        """
        fields = {"problem": problem, "case": "true", "forget": str(forget)}
        found = self._sent("/v1/predictions", "files", images, fields)
        answers = [_answer(each) for each in found["predictions"]]
        if "case" not in found:
            raise ConfigError(f"no image of the case can be answered: {answers[0].reason}")
        case = found["case"]
        return CaseAnswer(**{**case, "conformal_set": tuple(case["conformal_set"])}), answers

    def explain(
        self, image: Image, problem: str = "", *, forget: bool = False
    ) -> tuple[Answer, list[Map]]:
        """An answer, and where the network looked."""
        found = self._explained(image, problem, forget=forget)
        return _answer(found["prediction"]), _maps(found)

    def maps(
        self, image: Image, problem: str = "", *, forget: bool = False
    ) -> tuple[list[Map], str]:
        """Where the network looked, and a sentence on how far to believe it."""
        found = self._explained(image, problem, forget=forget)
        return _maps(found), str(found["said"])

    def similar(
        self, image: Image, n: int = 8, problem: str = "", *, forget: bool = False
    ) -> list[dict[str, Any]]:
        """The n nearest cases of the release, nearest first: sample_id, cosine, label, split ..."""
        fields = {"problem": problem, "n": str(n), "forget": str(forget)}
        cases: list[dict[str, Any]] = self._sent("/v1/similar", "file", [image], fields)["cases"]
        return cases

    def models(self) -> list[dict[str, Any]]:
        """What answers each problem."""
        models: list[dict[str, Any]] = self._asked("GET", "/v1/models")["models"]
        return models

    def label(self, sample_id: str, label: str, problem: str = "") -> bool:
        """Say what an image is; it waits for a review. False where the same was said before."""
        said = {"sample_id": sample_id, "label": label, "problem": problem}
        return bool(self._asked("POST", "/v1/feedback", json=said)["is_new"])

    def report(self, sample_id: str, incident: str, problem: str = "") -> bool:
        """Say what went wrong with an answer; it stands in the journal."""
        said = {"sample_id": sample_id, "incident": incident, "problem": problem}
        return bool(self._asked("POST", "/v1/feedback", json=said)["is_new"])

    def _explained(self, image: Image, problem: str, *, forget: bool) -> dict[str, Any]:
        fields = {"problem": problem, "forget": str(forget)}
        return self._sent("/v1/explanations", "file", [image], fields)

    def _sent(
        self, path: str, field: str, images: Sequence[Image], fields: Mapping[str, str]
    ) -> dict[str, Any]:
        with ExitStack() as opened:
            files = []
            for number, image in enumerate(images):
                # Under a number: names of files can be names of patients.
                raw = image if isinstance(image, bytes) else opened.enter_context(_open(image))
                files.append((field, (str(number), raw, "application/octet-stream")))
            return self._asked("POST", path, files=files, data=dict(fields))

    def _asked(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise ServerError(
                f"the service at {self._http.base_url} is not reached: {error}"
            ) from error
        try:
            found: dict[str, Any] = answer.json()
            if answer.is_success or "predictions" in found:
                return found
            said = str(found["detail"])
        except (ValueError, KeyError, TypeError):
            said = answer.text[:200].strip()
        kind = ServerError if answer.status_code in (429, 500, 503) else ConfigError
        raise kind(f"the service answers {answer.status_code}: {said}")


def _open(image: str | Path) -> Any:
    try:
        return Path(image).open("rb")
    except OSError as error:
        raise ConfigError(f"{image} cannot be read ({error.strerror}); check its name") from error


def _maps(found: Mapping[str, Any]) -> list[Map]:
    return [Map(**{**each, "png": base64.b64decode(each["png"])}) for each in found["maps"]]


def _answer(found: Mapping[str, Any]) -> Answer:
    return Answer(**{**found, "conformal_set": tuple(found["conformal_set"])})
