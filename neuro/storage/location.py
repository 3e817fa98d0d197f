"""Where a bucket is, how to reach it, and what its refusals mean."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from obstore import exceptions as s3_errors

from neuro.errors import ConfigError, DeniedError, StorageError

DEADLINE_S = 90.0
THREADS = 16  # requests at once
_NAME = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")
# An answer that another try would not change; 408 and 429 ask for one.
_PERMANENT = re.compile(r"status(?: code)?: 4(?!08|29)\d\d")
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
    def full_address(self) -> str:
        """For messages: the address, and the server where it is not AWS."""
        return f"{self.uri} at {self.endpoint}" if self.endpoint else self.uri

    @property
    def attempt_s(self) -> float:
        """Seconds of a single try; three fit into the deadline."""
        return self.deadline_s / 3


def parse(uri: str, endpoint: str | None = None, deadline_s: float = DEADLINE_S) -> Place:
    """Read an ``s3://bucket/prefix``. Raises ConfigError where it is none."""
    parts = _NAME.fullmatch(uri)
    if parts is None:
        raise ConfigError(f"{uri!r} is no s3://bucket/prefix")
    prefix = (parts["prefix"] or "").strip("/")
    return Place(
        bucket=parts["bucket"], prefix=prefix, endpoint=endpoint or None, deadline_s=deadline_s
    )


def session() -> Any:
    """A boto3 session: the one reading of AWS variables, profiles and roles."""
    import boto3  # half a second, and only buckets need it

    return boto3.Session()


def region(aws: Any) -> str:
    """The region of a boto3 session; servers that know none accept the default."""
    return aws.region_name or "us-east-1"


def client(where: Place) -> Any:
    """A boto3 client for S3, with the place's limits of time."""
    aws = session()
    credentials = aws.get_credentials()
    keys = credentials.get_frozen_credentials() if credentials else None
    return _client(where.endpoint, where.attempt_s, region(aws), keys)


@lru_cache(maxsize=8)  # making one costs a quarter of a second; other keys make another
def _client(endpoint: str | None, attempt_s: float, region_name: str, keys: object) -> Any:
    from botocore.config import Config  # as above

    limits = Config(
        connect_timeout=min(5.0, attempt_s),
        read_timeout=attempt_s,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    return session().client("s3", endpoint_url=endpoint, region_name=region_name, config=limits)


def permanent_reason(error: BaseException) -> str | None:
    """Why another try would not help; None where it may."""
    text = str(error)
    if isinstance(error, FileNotFoundError) or "status code: 404" in text:
        if "NoSuchBucket" in text:
            return "there is no such bucket; make it with `neuro bucket create`"
        return "there is no such object"
    denied = (s3_errors.PermissionDeniedError, s3_errors.UnauthenticatedError)
    if isinstance(error, denied) or re.search(r"status code: 40[13]", text):
        return _DENIED
    permanent = (s3_errors.InvalidPathError, s3_errors.NotSupportedError)
    if isinstance(error, permanent) or _PERMANENT.search(text):
        return first_line(error)
    return None


def retry(where: Place, what: str, call: Callable[[], T]) -> T:
    """Repeat one harmless call until it is answered; what: the call and the object, for messages.

    Raises StorageError if another try would not help or the deadline has passed.
    """
    ends, pause = time.monotonic() + where.deadline_s, 0.05
    while True:
        try:
            return call()
        except (s3_errors.AlreadyExistsError, s3_errors.PreconditionError):
            raise
        except (s3_errors.BaseError, FileNotFoundError) as error:
            reason = permanent_reason(error)
            if reason is not None:
                raise permanent_error(what, reason) from error
            if time.monotonic() + pause + where.attempt_s > ends:
                raise StorageError(
                    f"{what}: no answer within {where.deadline_s:g} s ({first_line(error)})"
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def call_boto3(call: Callable[[], T]) -> T:
    """The answer to a call of boto3; its errors are raised as obstore's, for ``retry``."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        return call()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = error.response["Error"].get("Code")
        raise s3_errors.GenericError(f"status code: {status} {code}") from error
    except (BotoCoreError, ResponseParserError) as error:
        raise s3_errors.GenericError(str(error)) from error


def permanent_error(what: str, reason: str) -> StorageError:
    """The error of a call that another try would not help. reason: of ``permanent_reason``."""
    kind = DeniedError if reason == _DENIED else StorageError
    return kind(f"{what}: {reason}")


def first_line(error: BaseException) -> str:
    """The first line of a message, without the server's page or paths of a build machine."""
    return re.split(r"\n|: <\?xml|, /", str(error))[0][:300]
