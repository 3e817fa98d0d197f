"""Buckets: made, guarded and described through boto3, which knows what obstore does not."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from string import Template
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from neuro.errors import ConfigError, StorageError
from neuro.storage import location
from neuro.storage.location import Place

_GONE = {"NoSuchBucketPolicy", "NoSuchBucket"}
_THERE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
_AES256 = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
_ENCRYPTED = {"ServerSideEncryptionConfiguration": {"Rules": [_AES256]}}
_VERSIONED = {"VersioningConfiguration": {"Status": "Enabled"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Who may do what below a prefix. template: a policy statement's JSON; users: names or ARNs."""

    role: str
    template: str
    users: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing done to a bucket. is_done False: the server refused it; detail says why."""

    step: str
    is_done: bool
    detail: str


def create(
    where: Place, rules: list[Rule], keep_versions_days: int = 0, retention_days: int = 0
) -> list[Step]:
    """Make a bucket if it is missing, then encryption, lifecycle, versions and the roles' policy.

    keep_versions_days: how long replaced and deleted objects stay; 0 keeps no versions.
    retention_days: after which objects below the prefix go by themselves; 0 keeps them. Running it
    twice changes nothing; what others have written into policy and lifecycle stays, and so do the
    retention of other prefixes and an earlier lifetime of versions. Raises ConfigError for a
    retention where a lake lies or no prefix is given.
    """
    client = location.client(where)
    bucket = {"Bucket": where.bucket}
    if retention_days:
        _require_no_lake(client, where)
    wanted: list[tuple[str, Callable[[], object]]] = [
        ("bucket", lambda: _make(client, where)),
        ("encryption at rest", partial(client.put_bucket_encryption, **_ENCRYPTED, **bucket)),
        ("lifecycle", lambda: _set_lifecycle(client, where, keep_versions_days, retention_days)),
    ]
    if keep_versions_days:
        wanted.append(("versions", partial(client.put_bucket_versioning, **_VERSIONED, **bucket)))
    if rules:
        wanted.append(("policy", lambda: _set_policy(client, where, rules)))
    steps = []
    for name, act in wanted:
        try:
            act()
        except (ClientError, BotoCoreError) as error:
            if name in ("bucket", "policy"):  # without these nothing else has a meaning
                raise StorageError(f"{name} of {where.full_address}: {_reason(error)}") from error
            steps.append(Step(step=name, is_done=False, detail=_reason(error)))
        else:
            steps.append(Step(step=name, is_done=True, detail=""))
    return steps


def _statements(where: Place, rules: list[Rule]) -> list[dict[str, Any]]:
    """The policy's statements for this prefix."""
    filled = []
    for rule in rules:
        if not rule.users:
            raise ConfigError(f"role {rule.role} has no user; give --role {rule.role}=NAME")
        names = {"bucket": where.bucket, "prefix": f"{where.prefix}/" if where.prefix else ""}
        principal = {
            # A bare name is a user's, in Ceph's own form.
            "AWS": [u if u.startswith("arn:") else f"arn:aws:iam:::user/{u}" for u in rule.users]
        }
        for number, statement in enumerate(json.loads(Template(rule.template).substitute(names))):
            sid = f"{_prefix_id(where)}{rule.role}{number}"
            filled.append({"Sid": sid, "Effect": "Allow", "Principal": principal, **statement})
    return filled


def keeps_checksum(where: Place, key: str) -> bool:
    """Whether the server stores the SHA-256 that it is given with an object."""
    client = location.client(where)
    name = f"{where.prefix}/{key}"
    try:
        client.put_object(Bucket=where.bucket, Key=name, Body=b"x", ChecksumAlgorithm="SHA256")
        found = client.head_object(Bucket=where.bucket, Key=name, ChecksumMode="ENABLED")
    except (ClientError, BotoCoreError) as error:
        raise StorageError(_reason(error)) from error
    return "ChecksumSHA256" in found


def list_versions(where: Place) -> str:
    """Whether versions are on; raises StorageError where they cannot be listed."""
    client = location.client(where)
    try:
        client.list_object_versions(Bucket=where.bucket, Prefix=where.prefix, MaxKeys=1)
        status = client.get_bucket_versioning(Bucket=where.bucket).get("Status", "off")
    except (ClientError, BotoCoreError) as error:
        raise StorageError(_reason(error)) from error
    return f"versions are {str(status).lower()} in this bucket"


def _make(client: Any, where: Place) -> None:
    region = location.region(location.session())
    # AWS refuses its own oldest region as a constraint, and demands one everywhere else.
    abroad = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    extra = abroad if region != "us-east-1" and where.endpoint is None else {}
    try:
        client.create_bucket(Bucket=where.bucket, **extra)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _THERE:
            raise
        client.head_bucket(Bucket=where.bucket)  # refused where it is a stranger's


def _require_no_lake(client: Any, where: Place) -> None:
    if not where.prefix:
        raise ConfigError(f"a retention for all of {where.uri}? Give a prefix of its own")
    table = f"{where.prefix}/releases.lance/"
    try:
        if client.list_objects_v2(Bucket=where.bucket, Prefix=table, MaxKeys=1).get("KeyCount"):
            raise ConfigError(f"{where.uri} holds a lake, whose images would be removed by age")
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise StorageError(f"list {where.full_address}: {_reason(error)}") from error


def _set_lifecycle(client: Any, where: Place, keep_versions_days: int, retention_days: int) -> None:
    """Put our rules beside those that are there: a bucket's rules are replaced as a whole."""

    def enabled(name: str, prefix: str, **what: Mapping[str, int]) -> Mapping[str, Any]:
        return {"ID": name, "Filter": {"Prefix": prefix}, "Status": "Enabled", **what}

    uploads = {"DaysAfterInitiation": 7}
    ours = [enabled("neuro-uploads", "", AbortIncompleteMultipartUpload=uploads)]
    if keep_versions_days:
        replaced = {"NoncurrentDays": keep_versions_days}
        ours.append(enabled("neuro-versions", "", NoncurrentVersionExpiration=replaced))
    retention = f"neuro-expires-{_prefix_id(where)}"
    if retention_days:
        ours.append(enabled(retention, f"{where.prefix}/", Expiration={"Days": retention_days}))
    superseded = {retention, *(rule["ID"] for rule in ours)}
    others = [rule for rule in _lifecycle(client, where) if rule.get("ID") not in superseded]
    client.put_bucket_lifecycle_configuration(
        Bucket=where.bucket, LifecycleConfiguration={"Rules": [*ours, *others]}
    )


def _lifecycle(client: Any, where: Place) -> list[Mapping[str, Any]]:
    """The rules that a bucket has."""
    try:
        rules: list[Mapping[str, Any]] = client.get_bucket_lifecycle_configuration(
            Bucket=where.bucket
        )["Rules"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return []
    return rules


def _set_policy(client: Any, where: Place, rules: list[Rule]) -> None:
    present: list[dict[str, Any]] = []
    try:
        present = json.loads(client.get_bucket_policy(Bucket=where.bucket)["Policy"])["Statement"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise
    others = [
        entry for entry in present if not str(entry.get("Sid", "")).startswith(_prefix_id(where))
    ]
    policy = {"Version": "2012-10-17", "Statement": others + _statements(where, rules)}
    client.put_bucket_policy(Bucket=where.bucket, Policy=json.dumps(policy))


def _prefix_id(where: Place) -> str:
    """Begins the names of rules and statements that are about this prefix."""
    return f"neuro{sha256(where.prefix.encode()).hexdigest()[:8]}"


def _reason(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        return f"{error.response['Error'].get('Code', '')} {status}".strip()
    return str(error)
