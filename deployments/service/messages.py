"""What a service takes and gives, with an example of each: the source of its OpenAPI page."""

import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuro.lake.requests import Request
from neuro.models.package import Package
from neuro.prediction import case_answers
from neuro.sample import Prediction

NOTICE = "Research use only; not a medical device."
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PROBABILITIES = {"glioma": 0.93, "meningioma": 0.05, "notumor": 0.01, "pituitary": 0.01}


class Message(BaseModel):
    """Fields that nobody has heard of are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answered(Message):
    """What a model says of one image; of one that was refused, why."""

    sample_id: str = Field(description="SHA-256 of the file as it was sent", examples=[_DIGEST])
    problem: str = Field(examples=["brain"])
    model_version: str = Field(description="of the registry, or a package's digest", examples=["7"])
    preprocess_hash: str = Field(examples=[_DIGEST])
    probabilities: dict[str, float] = Field(
        description="calibrated, by class in the problem's order; empty where refused",
        examples=[_PROBABILITIES],
    )
    predicted: str = Field(
        description="the likeliest class, also where the decision is another than to answer",
        examples=["glioma"],
    )
    conformal_set: list[str] = Field(
        description="classes that cannot be excluded", examples=[["glioma"]]
    )
    ood_score: float | None = Field(
        description="how unlike the training images; above 1 is out of scope", examples=[0.61]
    )
    decision: Literal["answer", "abstain", "out_of_scope", "refused"] = Field(examples=["answer"])
    reason: str = Field(examples=["Only glioma is not ruled out, by sets that miss 5%."])


class AnsweredCase(Message):
    """What a model says of several images of one patient or lesion together."""

    rule: str = Field(description="mean or most, of the problem file", examples=["mean"])
    images: int = Field(description="that were let in", examples=[3])
    in_scope: int = Field(description="of them; the others do not count", examples=[3])
    model_version: str = Field(examples=["7"])
    probabilities: dict[str, float] = Field(
        description="calibrated on cases, by class in the problem's order",
        examples=[_PROBABILITIES],
    )
    predicted: str = Field(examples=["glioma"])
    conformal_set: list[str] = Field(examples=[["glioma"]])
    decision: Literal["answer", "abstain", "out_of_scope"] = Field(examples=["answer"])
    reason: str = Field(examples=["Only glioma is not ruled out, by sets that miss 5%."])


class Predictions(Message):
    """One for each image, in the order they were sent. case: of all, where it was asked for."""

    predictions: list[Answered]
    case: AnsweredCase | None = None
    notice: str = NOTICE


class Map(Message):
    """Where the network looked."""

    shows: str = Field(description="the class that it speaks for", examples=["glioma"])
    against: str = Field(
        description='"" for all others, else the class it is held against', examples=["meningioma"]
    )
    method: str = Field(examples=["HiResCAM"])
    png: str = Field(description="the picture with the map over it, base64 of a PNG; may be empty")
    is_sane: bool = Field(description="whether it changes when the weights are shuffled")
    is_believed: bool = Field(description="whether it is sane and marks what decides")
    insertion: float = Field(description="area under the probability as marked places appear")
    deletion: float = Field(description="the same as they vanish; lower is better", examples=[0.21])


class Explained(Message):
    """An answer, and why."""

    prediction: Answered
    maps: list[Map] = Field(description="empty where the network keeps no places")
    said: str = Field(description="why there is no map, or how far to believe one")


class Case(Message):
    """A sample of the release that is alike."""

    sample_id: str = Field(examples=[_DIGEST])
    cosine: float = Field(examples=[0.97])
    label: str = Field(examples=["glioma"])
    split: str = Field(examples=["train"])
    group_id: str = Field(examples=[_DIGEST])


class Similar(Message):
    """The nearest cases, nearest first."""

    sample_id: str = Field(examples=[_DIGEST])
    release: str = Field(examples=["brain-0003-3f2a9c1b"])
    features: str = Field(description="the feature set they are compared by", examples=["thumb"])
    cases: list[Case]


class ServedModel(Message):
    """What answers a problem."""

    problem: str = Field(examples=["brain"])
    version: str = Field(examples=["7"])
    package: str = Field(description="its digest", examples=[_DIGEST])
    architecture: str = Field(examples=["resnet18"])
    engine: str = Field(examples=["openvino bf16"])
    classes: list[str] = Field(examples=[list(_PROBABILITIES)])
    intended_use: str = Field(examples=["Research on MRI slices of the head."])
    since: str = Field(examples=["2026-11-30T09:00:00+00:00"])
    trouble: str = Field(description='why a newer version does not serve, "" for none')


class Models(Message):
    """What answers, and how the log of requests stands."""

    models: list[ServedModel]
    following: str = Field(description='why the journal is not read now, "" where it is')
    log_waiting_bytes: int = Field(description="of requests that are not in the lake yet")
    log_trouble: str = Field(description='why the lake does not take them, "" where it does')
    notice: str = NOTICE


class Feedback(Message):
    """A label of an image, which no person has reviewed, or an incident with an answer."""

    sample_id: Annotated[str, Field(pattern="^[0-9a-f]{64}$", examples=[_DIGEST])]
    problem: Annotated[str, Field(pattern="^[a-z0-9_]{0,64}$")] = Field(
        "", description="needed where several are served", examples=["brain"]
    )
    label: Annotated[str, Field(max_length=200)] = Field("", examples=["meningioma"])
    incident: Annotated[str, Field(max_length=2000)] = Field(
        "", description="what went wrong, instead of a label", examples=[""]
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.label.strip()) == bool(self.incident.strip()):
            raise ValueError("give either a label or an incident")
        if any(map(_is_hidden, self.label + self.incident)):
            raise ValueError("label and incident are text without control characters")
        return self


def _is_hidden(letter: str) -> bool:
    """Whether it steers a terminal or turns the direction of a text; a new line does not."""
    return letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp", "Cs")


class Kept(Message):
    """What was kept of a feedback. is_new: false where the same was said before."""

    kept: Literal["label", "incident"]
    is_new: bool
    says: str = Field(examples=["waits for a review; no release has it before"])


class Trouble(Message):
    """Why nothing was answered."""

    detail: str = Field(examples=["at most 64 images a request; send them in several"])


def answered(request: Request, package: Package) -> Answered:
    """A line of the request log as it is answered."""
    said = request.prediction
    facts: dict[str, Any] = {
        "sample_id": request.sha256,
        "problem": request.problem,
        "model_version": request.model_version,
        "preprocess_hash": package.card.preprocess.sha256,
    }
    if said is None:
        return Answered(
            **facts,
            probabilities={},
            predicted="",
            conformal_set=[],
            ood_score=None,
            decision="refused",
            reason=request.refusal,
        )
    return Answered(**facts, **_of(said, package.card.classes))


def answered_case(images: Sequence[Prediction], package: Package) -> AnsweredCase:
    """The answer of the case that these images, one at least, show."""
    card = package.card
    row = case_answers.one(card, images)
    facts = {name: row[name] for name in AnsweredCase.model_fields if name in row}
    probabilities = {name: row[f"p_{name}"] for name in card.classes}
    return AnsweredCase(**facts, rule=card.cases.rule, probabilities=probabilities)


def _of(said: Prediction, classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "probabilities": dict(zip(classes, said.probabilities, strict=True)),
        "predicted": said.predicted,
        "conformal_set": list(said.conformal_set),
        "ood_score": said.ood_score,
        "decision": said.decision,
        "reason": said.reason,
    }
