"""Where things are. The only reading of the environment, beside the Prefect start-up hook."""

import hashlib
import json
import os
import pwd
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from neuro.errors import ConfigError, ServerError
from neuro.storage.location import DEADLINE_S

PROJECT = Path(__file__).resolve().parents[2]
STACK_FILE = Path(".neuro/stack.json")  # under the project's folder, where the user types commands
LOGGERS = ("neuro", "monitoring", "tasks", "flows")
# The loggers above reach the run's page; a plain call outside a run is no reason to warn.
LOGGING_ENVIRONMENT = {
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(LOGGERS),
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}
ENDPOINTS = ("NEURO_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
RUNNER = re.compile(r"threads|(ray|dask)(://[^/\s]+:\d+)?")
_HOST = r"(https://[a-z0-9][a-z0-9.-]*|http://(127\.0\.0\.1|localhost))"
ORIGIN = re.compile(rf"{_HOST}(:[1-9]\d{{0,4}})?")
PRIVATE = 0o077  # umask: what may hold an image, a name or a secret is for its owner alone
# In the home.
PEOPLE, SERVICE_TOKEN, OIDC, NOTIFY = "people.json", "service.token", "oidc.toml", "notify.txt"
HEARTBEAT_S = 30  # between two signs of life of a flow run; Prefect takes no less
USER = "neuro"  # of both servers of a stack
FLOW_RUN_TAG = "prefect.flow_run_id"  # of an MLflow run: the flow run that records it
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Places and servers of this process.

    ``lake``, ``inbox`` and ``landing`` (where originals are copied to, "" for nowhere) are folders
    or s3:// addresses; ``s3_endpoint`` is their server's
    address, None for AWS; ``is_alone`` says that nobody else writes to the lake. Credentials are
    not here: the clients read the usual AWS variables, profiles and roles themselves. A file of the
    inbox is read once it was left alone for ``inbox_settle_s`` seconds. The Prefect and
    MLflow addresses are None when no stack is known; ``credentials`` are ``user:secret`` of
    Prefect, ``mlflow_credentials`` of MLflow, "" for a server that asks for none. ``revision`` is
    the git commit or "unknown"; ``lock_hash`` is empty without a lock. ``runner`` says where the
    shards of a run are worked on: threads, ray, ray://host:port, dask or dask://host:port;
    ``shard`` is the images in each. ``hub_endpoint`` is the address that weights are fetched from,
    None for the Hugging Face hub. ``service_url`` is where images are answered, "" for nowhere
    known; ``room_public_url`` is what browsers call the proxy before the reading room, "" for none.
    """

    home: Path
    lake: str
    inbox: str
    landing: str
    inbox_settle_s: float
    prefect_api_url: str | None
    mlflow_tracking_uri: str | None
    revision: str
    lock_hash: str
    credentials: str = ""
    mlflow_credentials: str = ""
    s3_endpoint: str | None = None
    is_alone: bool = False
    s3_deadline_s: float = DEADLINE_S
    runner: str = "threads"
    shard: int = 512
    hub_endpoint: str | None = None
    service_url: str = ""
    room_public_url: str = ""


def load(folder: Path = Path()) -> Settings:
    """The environment first, then the stack that runs in a folder, then the defaults.

    A lake belongs to a home: where NEURO_HOME is another one than the stack's, so is the lake.
    """
    stack = read_stack_file(folder / STACK_FILE)
    if given_home := os.environ.get("NEURO_HOME"):
        stack.pop("lake", None)
    home = Path(given_home or stack.get("home") or folder / ".neuro").resolve()
    return Settings(
        home=home,
        lake=os.environ.get("NEURO_LAKE") or stack.get("lake") or str(home / "lake"),
        landing=os.environ.get("NEURO_LANDING", ""),
        inbox=os.environ.get("NEURO_INBOX") or str(home / "inbox"),
        inbox_settle_s=_seconds("NEURO_INBOX_SETTLE_S", 60.0),
        prefect_api_url=os.environ.get("PREFECT_API_URL") or stack.get("prefect_api_url"),
        mlflow_tracking_uri=os.environ.get("MLFLOW_TRACKING_URI")
        or stack.get("mlflow_tracking_uri"),
        revision=code_revision(),
        lock_hash=lock_hash(),
        credentials=_credentials(stack),
        mlflow_credentials=_mlflow_credentials(stack),
        s3_endpoint=next(filter(None, map(os.environ.get, ENDPOINTS)), stack.get("s3_endpoint")),
        s3_deadline_s=_seconds("NEURO_S3_DEADLINE_S", DEADLINE_S),
        is_alone=os.environ.get("NEURO_S3_ALONE", "") not in ("", "0"),
        runner=_runner(),
        shard=_count("NEURO_SHARD", 512),
        hub_endpoint=os.environ.get("HF_ENDPOINT") or None,
        service_url=os.environ.get("NEURO_SERVICE_URL") or stack.get("service_url", ""),
        room_public_url=_address("NEURO_ROOM_PUBLIC_URL"),
    )


def _credentials(stack: Mapping[str, Any]) -> str:
    """Those of the given server, or of the stack here where none is given."""
    if os.environ.get("PREFECT_API_URL"):
        return os.environ.get("PREFECT_API_AUTH_STRING", "")
    return f"{USER}:{stack['secret']}" if stack.get("secret") else ""


def _mlflow_credentials(stack: Mapping[str, Any]) -> str:
    """Those that a person has given, or Prefect's where both servers are on one host."""
    given = [os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD")]
    if address := os.environ.get("MLFLOW_TRACKING_URI"):
        if any((*given, os.environ.get("MLFLOW_TRACKING_TOKEN"))):
            return ":".join(given) if all(given) else ""
        beside = os.environ.get("PREFECT_API_URL") or str(stack.get("prefect_api_url", ""))
        if urlsplit(address).hostname != urlsplit(beside).hostname:
            return ""
    return _credentials(stack)


def _runner() -> str:
    text = os.environ.get("NEURO_RUNNER") or "threads"
    if not RUNNER.fullmatch(text):
        raise ConfigError(
            f"NEURO_RUNNER must be threads, ray, ray://HOST:PORT, dask or dask://HOST:PORT, "
            f"got {text!r}"
        )
    return text


def _address(name: str) -> str:
    """What a browser calls the origin of a page, "" where none is given."""
    text = os.environ.get(name, "").rstrip("/").lower()
    if text and not ORIGIN.fullmatch(text):
        raise ConfigError(
            f"{name} must be like https://reading.example or https://reading.example:8443, plain "
            f"letters (xn--... for others), got {text!r}"
        )
    usual = ":443" if text.startswith("https") else ":80"  # which a browser leaves out
    return text.removesuffix(usual)


def _count(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{name} must be a whole number, 1 or more, got {text!r}")
    return int(text)


def _seconds(name: str, default: float) -> float:
    text = os.environ.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = -1.0
    if not 0 <= value < inf:
        raise ConfigError(f"{name} must be a number of seconds, 0 or more, got {text!r}")
    return value


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_ray_here() -> None:
    """A Ray cluster that this process starts reports to nobody and listens on loopback alone.

    To be called before Ray is imported: it reads RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER once, then, and
    takes 127.0.0.1 for the address of this machine where that is 0.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def worker_environment() -> dict[str, str]:
    """What of this environment a worker on another machine needs: no path, no secret of storage."""
    named = ["PREFECT_API_URL", "PREFECT_API_AUTH_STRING", *LOGGING_ENVIRONMENT, "DO_NOT_TRACK"]
    if os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http"):  # packages are fetched there
        named += [f"MLFLOW_TRACKING_{name}" for name in ("URI", "USERNAME", "PASSWORD", "TOKEN")]
    return {name: os.environ[name] for name in named if name in os.environ}


def user() -> str:
    """The account that this process runs as."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container whose account has no name
        return f"uid {os.getuid()}"


def read_stack_file(path: Path) -> dict[str, Any]:
    """What the running stack wrote down; empty when there is none or it is unreadable.

    A file of another account, for another folder or of servers elsewhere is none: it came with
    somebody's delivery, or lies in a folder that all may write to.
    """
    try:
        content = json.loads(path.read_text())
        owner = path.stat().st_uid
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or owner != os.getuid():
        return {}
    addresses = [content.get(name) for name in ("prefect_api_url", "mlflow_tracking_uri")]
    is_here = all(isinstance(url, str) and urlsplit(url).hostname in LOOPBACK for url in addresses)
    project = content.get("project")
    # Not resolved as a whole: .neuro may be a link to a larger disk.
    folder = path.absolute().parent.parent.resolve()
    is_own = isinstance(project, str) and Path(project) == folder
    return content if is_here and is_own else {}


@cache
def code_revision() -> str:
    """The git commit of this checkout; else NEURO_REVISION, which an image has; else "unknown"."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("NEURO_REVISION") or "unknown"
    return done.stdout.strip()


@cache
def lock_hash() -> str:
    """SHA-256 of requirements/core.lock in hex, or empty when it is not shipped."""
    lock = PROJECT / "requirements" / "core.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""


def flow_environment(
    *,
    prefect_api_url: str,
    mlflow_tracking_uri: str,
    home: str,
    lake: str,
    credentials: str = "",
    mlflow_credentials: str = "",
    s3_endpoint: str | None = None,
) -> dict[str, str]:
    """The variables a process needs to run a flow against a stack; telemetry is off."""
    return {
        **({"PREFECT_API_AUTH_STRING": credentials} if credentials else {}),
        **mlflow_secrets(mlflow_credentials),
        "PREFECT_API_URL": prefect_api_url,
        "PREFECT_HOME": str(Path(home) / "prefect"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "MLFLOW_TRACKING_URI": mlflow_tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "NEURO_HOME": home,
        "NEURO_LAKE": lake,
        **({"NEURO_S3_ENDPOINT": s3_endpoint} if s3_endpoint else {}),
        **LOGGING_ENVIRONMENT,
    }


def mlflow_secrets(credentials: str) -> dict[str, str]:
    """The variables by which MLflow's client knows ``user:secret``; none for ""."""
    user, _, secret = credentials.partition(":")
    named = {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": secret}
    return named if credentials else {}


def flow_environment_of(here: Settings) -> dict[str, str]:
    """The same for the servers and the lake of these settings."""
    return flow_environment(
        prefect_api_url=str(here.prefect_api_url),
        mlflow_tracking_uri=str(here.mlflow_tracking_uri),
        home=str(here.home),
        lake=here.lake,
        credentials=here.credentials,
        mlflow_credentials=here.mlflow_credentials,
        s3_endpoint=here.s3_endpoint,
    )


def inherited(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with ``changes``, for a program it starts.

    A proxy, if any, is not used for loopback addresses.
    """
    return {**os.environ, **around_proxy(), **changes}


def around_proxy() -> dict[str, str]:
    """The variables by which no client asks a proxy for this machine, and tells it our secret."""
    names = [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), *LOOPBACK]
    no_proxy = ",".join(filter(None, names))
    return {"NO_PROXY": no_proxy, "no_proxy": no_proxy}


def reachable(url: str, page: str = "health") -> bool:
    """Whether the server at ``url`` answers its health page within 3 s."""
    import httpx  # slow to import, and most processes never ask

    is_local = urlsplit(url).hostname in LOOPBACK
    try:
        answer = httpx.get(f"{url.rstrip('/')}/{page}", timeout=3.0, trust_env=not is_local)
    except httpx.HTTPError:
        return False
    return answer.is_success


def require_servers(
    settings: Settings, remedy: str = "start it with `neuro up`, or add --local"
) -> None:
    """Raise ServerError unless both servers answer. An MLflow address that is no URL needs none."""
    servers = {
        "Prefect server": settings.prefect_api_url,
        "MLflow server": settings.mlflow_tracking_uri,
    }
    for name, url in servers.items():
        if not url:
            raise ServerError(f"no {name} is known in this folder; {remedy}")
        if url.startswith("http") and not reachable(url):
            raise ServerError(f"the {name} at {url} is not reached; {remedy}")
