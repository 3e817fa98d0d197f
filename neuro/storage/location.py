"""Where a bucket is, how to reach it, and what its refusals mean."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from obstore import exceptions as refused

from neuro.errors import ConfigError, DeniedError, StorageError

DEADLINE_S = 90.0
_NAME = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")
# An answer that another try would not change; 408 and 429 ask for one.
_FINAL = re.compile(r"status(?: code)?: 4(?!08|29)\d\d")
_DENIED = "access denied; check the AWS credentials and the role's policy"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where objects lie. endpoint: None for AWS. deadline_s: of each call, retries included.

    Credentials are no part of it: they come from the usual AWS variables, profiles or roles.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    deadline_s: float = DEADLINE_S

    def __post_init__(self) -> None:
        if self.deadline_s <= 0:
            raise ConfigError(f"deadline_s must be above 0, got {self.deadline_s}")
        if self.endpoint is not None and not re.match(r"https?://[^/]", self.endpoint):
            raise ConfigError(f"endpoint {self.endpoint!r} is no http:// or https:// address")

    @property
    def uri(self) -> str:
        """As a person writes it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def named(self) -> str:
        """For messages: the address, and the server where it is not AWS."""
        return f"{self.uri} at {self.endpoint}" if self.endpoint else self.uri

    @property
    def attempt_s(self) -> float:
        """Seconds of a single try; three fit into the deadline."""
        return self.deadline_s / 3


def place(uri: str, endpoint: str | None = None, deadline_s: float = DEADLINE_S) -> Place:
    """Read an ``s3://bucket/prefix``. Raises ConfigError where it is none."""
    found = _NAME.fullmatch(uri)
    if found is None:
        raise ConfigError(f"{uri!r} is no s3://bucket/prefix")
    prefix = (found["prefix"] or "").strip("/")
    return Place(
        bucket=found["bucket"], prefix=prefix, endpoint=endpoint or None, deadline_s=deadline_s
    )


def session() -> Any:
    """A boto3 session: the one reading of AWS variables, profiles and roles."""
    import boto3  # half a second, and only buckets need it

    return boto3.Session()


def region(where: Any) -> str:
    """The session's region; servers that know none accept the default."""
    return where.region_name or "us-east-1"


def client(where: Place) -> Any:
    """A boto3 client for S3, with the place's limits of time."""
    held = (known := session()).get_credentials()
    keys = held.get_frozen_credentials() if held else None
    return _client(where.endpoint, where.attempt_s, region(known), keys)


@lru_cache(maxsize=8)  # making one costs a quarter of a second; other keys make another
def _client(endpoint: str | None, attempt_s: float, named: str, keys: object) -> Any:
    from botocore.config import Config  # as above

    limits = Config(
        connect_timeout=min(5.0, attempt_s),
        read_timeout=attempt_s,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    return session().client("s3", endpoint_url=endpoint, region_name=named, config=limits)


def why_final(error: BaseException) -> str | None:
    """Why another try would not help; None where it may."""
    text = str(error)
    if isinstance(error, FileNotFoundError) or "status code: 404" in text:
        if "NoSuchBucket" in text:
            return "there is no such bucket; make it with `neuro bucket create`"
        return "there is no such object"
    denied = (refused.PermissionDeniedError, refused.UnauthenticatedError)
    if isinstance(error, denied) or re.search(r"status code: 40[13]", text):
        return _DENIED
    final = (refused.InvalidPathError, refused.NotSupportedError)
    return first_line(error) if isinstance(error, final) or _FINAL.search(text) else None


def insist(where: Place, what: str, call: Callable[[], T]) -> T:
    """Repeat one harmless call until it is answered; what: the call and the object, for messages.

    Raises StorageError if another try would not help or the deadline has passed.
    """
    ends, pause = time.monotonic() + where.deadline_s, 0.05
    while True:
        try:
            return call()
        except (refused.AlreadyExistsError, refused.PreconditionError):
            raise
        except (refused.BaseError, FileNotFoundError) as error:
            reason = why_final(error)
            if reason is not None:
                raise refusal(what, reason) from error
            if time.monotonic() + pause + where.attempt_s > ends:
                raise StorageError(
                    f"{what}: no answer within {where.deadline_s:g} s ({first_line(error)})"
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def asked(call: Callable[[], T]) -> T:
    """The answer to a call of boto3; its errors are raised as obstore's, for ``insist``."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        return call()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = error.response["Error"].get("Code")
        raise refused.GenericError(f"status code: {status} {code}") from error
    except (BotoCoreError, ResponseParserError) as error:
        raise refused.GenericError(str(error)) from error


def refusal(what: str, reason: str) -> StorageError:
    """The error of a call that another try would not help. reason: of ``why_final``."""
    kind = DeniedError if reason == _DENIED else StorageError
    return kind(f"{what}: {reason}")


def first_line(error: BaseException) -> str:
    """The first line of a message, without the server's page or paths of a build machine."""
    return re.split(r"\n|: <\?xml|, /", str(error))[0][:300]
