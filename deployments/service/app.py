"""The application: routes, limits, sign-in and figures put together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata
from logging import getLogger
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_fastapi_instrumentator import Instrumentator

from deployments.service import routes
from deployments.service.body_limit import BodyLimit
from deployments.service.config import BODY_S, MOST_BYTES, TOGETHER_BYTES
from deployments.service.directory import Directory
from deployments.service.messages import Feedback
from deployments.service.service import Service
from deployments.service.sign_in import OPEN, SignIn
from deployments.stack.guard import Guard
from neuro.errors import (
    BadImageError,
    ConfigError,
    NeuroError,
    ServerError,
    StorageError,
    UnknownNameError,
)

_STATUS: tuple[tuple[type[NeuroError], int], ...] = (
    (BadImageError, 422),
    (UnknownNameError, 404),
    (ConfigError, 409),
    (StorageError, 503),
    (ServerError, 503),
)

_FIELDS = {"files", "file", "problem", "n", "case", "forget", *Feedback.model_fields}

_log = getLogger(__name__)


def routed(service: Service) -> FastAPI:
    """The routes by themselves, which anybody may ask: for the OpenAPI page."""

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="neuro",
        version=metadata.version("neuro"),
        description="Answers about medical images. Research use only; not a medical device.",
        lifespan=running,
        docs_url=None,  # it loads its program from elsewhere
        redoc_url=None,
    )
    app.openapi = partial(_described, app)  # type: ignore[method-assign]
    app.state.service = service
    app.include_router(routes.V1)
    app.include_router(routes.HEALTH)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NeuroError, _refused)
    app.add_exception_handler(Exception, _failed)
    registry = service.figures.registry
    Instrumentator(
        registry=registry, excluded_handlers=["/metrics", *OPEN], should_group_status_codes=False
    ).instrument(app)

    @app.get("/metrics", include_in_schema=False)
    async def metrics(caller: routes.Viewer) -> Response:
        """What Prometheus reads."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI page, with how one signs in: FastAPI knows nothing of what stands before it."""
    if app.openapi_schema is None:
        page = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemes = {name: {"type": "http", "scheme": name} for name in ("bearer", "basic")}
        page.setdefault("components", {})["securitySchemes"] = schemes
        for path, operations in page["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in OPEN else [{name: []} for name in schemes]
        app.openapi_schema = page
    return app.openapi_schema


def guarded(service: Service, directory: Directory, port: int) -> Guard:
    """The application as it is served: its own names, known people, bounded bodies."""
    limited = BodyLimit(routed(service), most=MOST_BYTES, together=TOGETHER_BYTES, seconds=BODY_S)
    refused = service.figures.refused

    def observe(status: int) -> None:
        refused.labels(str(status)).inc()

    return Guard(SignIn(limited, directory, service.config.limit, observe), port=port)


async def _invalid(request: Request, error: Exception) -> Response:
    """One sentence; what was sent is not repeated."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    said = [
        f"{_field(fault['loc'])}: {str(fault['msg']).removeprefix('Value error, ')}"[:200]
        for fault in faults[:3]
    ]
    return JSONResponse({"detail": "; ".join(said)}, 422)


def _field(place: Sequence[int | str]) -> str:
    """Where in a request; a name that is none of ours is not repeated."""
    named = [str(part) for part in place[1:] if part in _FIELDS]
    return ".".join(named) or str(place[0])


async def _refused(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 503)
    _log.warning("%s: %s", request.url.path, error)
    later = {"retry-after": "5"} if status == 503 else {}
    return JSONResponse({"detail": routes.plain(str(error))}, status, later)


async def _failed(request: Request, error: Exception) -> Response:
    _log.error("%s failed", request.url.path, exc_info=error)
    return JSONResponse({"detail": "this is a fault of the service; its log has it"}, 500)
