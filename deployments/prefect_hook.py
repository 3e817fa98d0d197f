"""Prefect start-up hook: find the running stack, accept bare deployment names, show our logs.

It also says what the deployment of a GPU waits for.

Runs inside ``import prefect``, before its command line reads sys.argv; imports nothing heavy.
"""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from prefect.plugins import HookContext, SetupResult, register_hook

from tasks.runtime import settings

VERBS_WITH_A_NAME = {"run", "inspect", "delete"}
GPU = "-gpu"  # ends the name of a flow's second deployment, for the pool of that name
NO_GPU_WORKER = (
    "the server knows no deployment {name}: it is made when the first GPU worker starts. On the "
    "machine with the GPU: neuro worker --pool gpu (docs/gpu.md)"
)
STACK_KEYS = ("prefect_api_url", "mlflow_tracking_uri", "home", "lake")


def full_name(argv: list[str]) -> list[str]:
    """`prefect deployment run retrain-gpu` -> `... retrain/retrain-gpu`; else unchanged."""
    is_named = argv[1:2] == ["deployment"] and len(argv) > 3 and argv[2] in VERBS_WITH_A_NAME
    if not is_named or argv[3].startswith("-") or "/" in argv[3]:
        return argv
    flow = argv[3].removesuffix(GPU)
    return [*argv[:3], f"{flow}/{argv[3]}", *argv[4:]]


def missing(environment: Mapping[str, str], stack: Mapping[str, Any]) -> dict[str, str]:
    """The variables to add: what is already set stays, and another server's address wins whole."""
    wanted = dict(settings.LOGGING_ENVIRONMENT)
    is_known = all(isinstance(stack.get(key), str) for key in STACK_KEYS)
    if is_known and "PREFECT_API_URL" not in environment:
        secret = f"{settings.USER}:{stack['secret']}" if stack.get("secret") else ""
        is_asked = any(name.startswith("MLFLOW_TRACKING_") for name in environment)
        wanted |= settings.flow_environment(
            **{key: stack[key] for key in STACK_KEYS},
            credentials=secret,
            mlflow_credentials="" if is_asked else secret,  # another server is not told it
        )
    added = {name: value for name, value in wanted.items() if name not in environment}
    return added | settings.around_proxy()


def names_unknown_gpu_deployment(argv: list[str], environment: Mapping[str, str]) -> bool:
    """Whether the command runs a GPU deployment that the server does not know.

    The first GPU worker makes it. Asks the server, for at most five seconds.
    """
    if argv[1:3] != ["deployment", "run"] or not argv[3:4] or not argv[3].endswith(GPU):
        return False
    api_url = environment.get("PREFECT_API_URL")
    if not api_url:
        return False
    user, _, secret = environment.get("PREFECT_API_AUTH_STRING", "").partition(":")
    auth = httpx.BasicAuth(user, secret) if secret else None
    try:
        os.environ.update(settings.around_proxy())
        answer = httpx.get(f"{api_url}/deployments/name/{argv[3]}", auth=auth, timeout=5.0)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False  # Prefect says itself that its server is not reached
    return answer.status_code == httpx.codes.NOT_FOUND


@register_hook
def setup_environment(*, ctx: HookContext) -> SetupResult:
    """Called by Prefect once per process, of a command or of a worker; a flow writes data."""
    os.umask(settings.PRIVATE)
    added = missing(os.environ, settings.read_stack_file(settings.STACK_FILE))
    if Path(sys.argv[0]).stem == "prefect":
        sys.argv[:] = full_name(sys.argv)
        if names_unknown_gpu_deployment(sys.argv, os.environ | added):
            sys.stderr.write(NO_GPU_WORKER.format(name=sys.argv[3]) + "\n")
    for name in settings.LOGGERS:
        # Prefect attaches its handler to these but leaves the root's level, which is WARNING.
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.INFO)
    return SetupResult(env=added)
