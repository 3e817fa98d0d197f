"""The routes of the service; what each takes and gives stands in ``messages``."""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse

from deployments.service import explaining, messages, sign_in
from deployments.service import feedback as feedbacks
from deployments.service.body_limit import FORM
from deployments.service.config import MOST_FILES
from deployments.service.messages import (
    Answered,
    Case,
    Explained,
    Feedback,
    Kept,
    Map,
    Models,
    Predictions,
    ServedModel,
    Similar,
    Trouble,
)
from deployments.service.served_models import Served
from deployments.service.service import Caller, Service
from deployments.service.vetting import Upload
from neuro.features.feature_set import Choice
from neuro.lake.requests import Request as Line
from neuro.reports import image_maps
from tasks import similar as similar_cases
from tasks.similar import SearchConfig

_TROUBLES = {
    400: "no multipart form that can be read",
    401: "nobody known",
    403: "a role that may not ask this, or a page or name of another host",
    404: "no such problem or image",
    408: "the body did not arrive in time",
    409: "the release is not ready for this: the answer says what to run",
    413: "too large, or too many images",
    422: "no image that can be answered, or a field that is wrong",
    429: "too many requests",
    503: "nothing can answer now",
}
_TOLD: dict[int | str, dict[str, Any]] = {
    code: {"model": Trouble, "description": text} for code, text in _TROUBLES.items()
}

Images = Annotated[
    list[UploadFile], File(description="image files: JPEG, PNG, TIFF, DICOM ...; by content")
]
OneImage = Annotated[UploadFile, File(description="an image file")]
ProblemName = Annotated[
    str, Form(description="needed where several are served", max_length=64, examples=["brain"])
]


IsCase = Annotated[
    bool, Form(description="the images are of one patient or lesion: answer them together, too")
]


Forgets = Annotated[  # false where it is missing: FastAPI reads a form's bool as a checkbox
    bool, Form(description="nothing of the question and its answer is written down")
]


def needs(role: str) -> Any:
    """A dependency: the caller, who may do what a role may. 403 for another."""

    async def caller(request: Request) -> Caller:
        person = sign_in.person_of(request)
        if not person.may(role):
            raise HTTPException(403, f"{person.name} is a {person.role}; this needs a {role}")
        route = request.url.path.rpartition("/")[2]
        if request.headers.get("content-type", "").lower().startswith(FORM):
            known = {field.alias for field in request.scope["route"].dependant.body_params}
            if set(await request.form()) - known:  # a slip in `problem` would answer for another
                raise HTTPException(422, f"unknown field; known are {', '.join(sorted(known))}")
        started = request.scope["state"][sign_in.STARTED]
        return Caller(person=person, route=route, started=started)

    return Depends(caller)


def _serving(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_serving)]
Viewer = Annotated[Caller, needs("viewer")]
Reader = Annotated[Caller, needs("reader")]


V1 = APIRouter(  # what people and programs ask
    prefix="/v1", responses={code: _TOLD[code] for code in (401, 403, 429)}
)
HEALTH = APIRouter()  # what a supervisor asks, without a credential


def _pictures(field: str) -> dict[str, Any]:
    """What a field holds, for the OpenAPI page: FastAPI says of each file that it is any bytes."""
    kinds = {"encoding": {field: {"contentType": "image/*, application/dicom"}}}
    return {"requestBody": {"content": {"multipart/form-data": kinds}}}


@V1.post(
    "/predictions",
    response_model=Predictions,
    openapi_extra=_pictures("files"),
    responses=_TOLD,
)
async def predictions(
    service: Serving,
    files: Images,
    caller: Reader,
    problem: ProblemName = "",
    case: IsCase = False,
    forget: Forgets = False,
) -> Response:
    """Answer each image: a class, how sure, or that it cannot be told.

    An image that vetting refuses stands in the list with its reason; where all are refused, the
    answer is 422. With ``case`` there is one answer for all of them, too.
    """
    if not 1 <= len(files) <= MOST_FILES:
        raise HTTPException(413, f"1 to {MOST_FILES} images a request; send them in several")
    served = service.served(problem)
    if case:
        _require_rule(served)
        caller = replace(caller, route="case")
    found = await service.answer(served, [each.file for each in files], caller, writes=not forget)
    if all(upload is None for _, upload in found):
        reasons = dict.fromkeys(request.refusal for request, _ in found)
        body = {"detail": "; ".join(reasons), "predictions": _told(served, found)}
        return JSONResponse(body, 422)
    told = {"predictions": _told(served, found), "notice": messages.NOTICE}
    return JSONResponse(told | ({"case": _case(served, found)} if case else {}))


@V1.post("/explanations", openapi_extra=_pictures("file"), responses=_TOLD)
async def explanations(
    service: Serving,
    file: OneImage,
    caller: Reader,
    problem: ProblemName = "",
    forget: Forgets = False,
) -> Explained:
    """Answer one image, and show where the network looked."""
    served = service.served(problem)
    answer, upload = await _one(service, served, file, caller, writes=not forget)
    maps, said = await service.slowly(lambda: service.explainer.maps(served.model, upload))
    return Explained(
        prediction=answer,
        maps=[
            Map(
                shows=each.shows,
                against=each.against,
                method=image_maps.METHOD,
                png=base64.b64encode(each.png).decode(),
                is_sane=each.is_sane,
                is_believed=explaining.is_believed(each),
                insertion=each.insertion,
                deletion=each.deletion,
            )
            for each in maps
        ],
        said=said,
    )


@V1.post("/similar", openapi_extra=_pictures("file"), responses=_TOLD)
async def similar(
    service: Serving,
    file: OneImage,
    caller: Reader,
    problem: ProblemName = "",
    n: Annotated[int, Form(ge=1, le=similar_cases.MOST)] = 8,
    forget: Forgets = False,
) -> Similar:
    """The cases of the release that are nearest to an image."""
    served = service.served(problem)
    _, upload = await _one(service, served, file, caller, writes=not forget)
    if served.file is None:
        raise HTTPException(404, "the problem's file is not known here: start with --problem")
    config, file_ = SearchConfig(choice=Choice(features=""), n=n), served.file
    found = await service.in_lake(
        lambda: similar_cases.near(service.lake, file_, upload.sha256, upload.stored, config)
    )
    return Similar(
        sample_id=upload.sha256,
        release=found.release.name,
        features=found.encoder.name,
        cases=[
            Case(
                sample_id=case.sample.sample_id,
                cosine=round(case.cosine, 6),
                label=case.sample.label,
                split=case.sample.split,
                group_id=case.sample.group_id,
            )
            for case in found.cases
        ],
    )


@V1.get("/models")
async def models(service: Serving, caller: Viewer) -> Models:
    """What answers each problem, and how the log of requests stands."""
    return Models(
        models=[_described(each) for each in service.models.all().values()],
        following=service.models.trouble,
        log_waiting_bytes=service.log.waiting(),
        log_trouble=_LOG_TROUBLE if service.log.trouble else "",
    )


@V1.post("/feedback", responses=_TOLD)
async def feedback(service: Serving, said: Feedback, caller: Reader) -> Kept:
    """Keep a label of an image, or an incident with an answer; both wait for a person."""
    served = service.served(said.problem)
    kept = await service.in_lake(
        lambda: feedbacks.keep(service, served, said, caller, datetime.now(UTC))
    )
    await service.write([service.line(served, said.sample_id, caller)])
    return kept


@HEALTH.get("/healthz")
async def healthz() -> dict[str, bool]:
    """Whether the process answers at all."""
    return {"alive": True}


@HEALTH.get("/readyz", responses={503: {"description": "nothing is served"}})
async def readyz(service: Serving, response: Response) -> dict[str, bool | str]:
    """Whether an image would be answered."""
    why = ""
    if not service.log.is_writable:
        why = "requests cannot be written down"
    elif not service.models.all():
        why = "no problem has a champion" if service.is_loaded else "starting"
    response.status_code = 503 if why else 200
    return {"ready": not why} | ({"why": why} if why else {})


def plain(message: str) -> str:
    """A message without the paths and addresses of this machine."""
    return " ".join("..." if _PLACE.search(word) else word for word in message.split())


_PLACE = re.compile(r"[/\\~]|host=|port=|\d+\.\d+\.\d+\.\d+")
_LOG_TROUBLE = "the lake does not take requests now; they wait on this machine"


async def _one(
    service: Service, served: Served, file: UploadFile, caller: Caller, *, writes: bool
) -> tuple[Answered, Upload]:
    ((request, upload),) = await service.answer(
        served, [file.file], caller, keeps_stored=True, writes=writes
    )
    if upload is None:
        raise HTTPException(422, request.refusal)
    return messages.answered(request, served.model.package), upload


def _told(served: Served, found: Sequence[tuple[Line, Upload | None]]) -> list[dict[str, Any]]:
    """As plain values: FastAPI would check again what has just been made."""
    package = served.model.package
    return [messages.answered(request, package).model_dump() for request, _ in found]


def _require_rule(served: Served) -> None:
    if not served.model.package.card.cases.rule:
        raise HTTPException(
            422,
            f"the model of {served.problem} has no rule for cases: state [cases] in the problem "
            "file and train again, or leave `case` out",
        )


def _case(served: Served, found: Sequence[tuple[Line, Upload | None]]) -> dict[str, Any]:
    said = [request.prediction for request, _ in found if request.prediction is not None]
    return messages.answered_case(said, served.model.package).model_dump()


def _described(served: Served) -> ServedModel:
    package = served.model.package
    return ServedModel(
        problem=served.problem,
        version=served.model.version,
        package=package.digest,
        architecture=package.card.architecture,
        engine=str(served.model.engine.runtime),
        classes=list(package.card.classes),
        intended_use=served.file.intended_use if served.file else "",
        since=served.since.isoformat(timespec="seconds"),
        trouble=plain(served.trouble),
    )
