"""Buckets: made, guarded and described through boto3, which knows what obstore does not."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from string import Template
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from neuro.errors import ConfigError, StorageError
from neuro.storage import location
from neuro.storage.location import Place

_GONE = {"NoSuchBucketPolicy", "NoSuchBucket"}
_THERE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
_EXPIRES = "neuro-expires-"


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
    twice changes nothing; statements of others in the policy stay, and so does the retention of
    other prefixes. Raises ConfigError for a retention where a lake lies or no prefix is given.
    """
    client = location.client(where)
    if retention_days:
        _require_no_lake(client, where)
    wanted: list[tuple[str, Callable[[], object]]] = [
        ("bucket", lambda: _make(client, where)),
        ("encryption at rest", lambda: _encrypt(client, where)),
        ("lifecycle", lambda: _age(client, where, keep_versions_days, retention_days)),
    ]
    if keep_versions_days:
        wanted.append(("versions", lambda: _keep_versions(client, where)))
    if rules:
        wanted.append(("policy", lambda: _guard(client, where, rules)))
    steps = []
    for name, act in wanted:
        try:
            act()
        except (ClientError, BotoCoreError) as error:
            if name in ("bucket", "policy"):  # without these nothing else has a meaning
                raise StorageError(f"{name} of {where.full_address}: {_said(error)}") from error
            steps.append(Step(step=name, is_done=False, detail=_said(error)))
        else:
            steps.append(Step(step=name, is_done=True, detail=""))
    return steps


def statements(where: Place, rules: list[Rule]) -> list[dict[str, Any]]:
    """The policy's statements for this prefix."""
    filled = []
    for rule in rules:
        if not rule.users:
            raise ConfigError(f"role {rule.role} has no user; give --role {rule.role}=NAME")
        names = {"bucket": where.bucket, "prefix": f"{where.prefix}/" if where.prefix else ""}
        principal = {"AWS": [_arn(user) for user in rule.users]}
        for number, statement in enumerate(json.loads(Template(rule.template).substitute(names))):
            sid = f"{_mark(where)}{rule.role}{number}"
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
        raise StorageError(_said(error)) from error
    return "ChecksumSHA256" in found


def list_versions(where: Place) -> str:
    """Whether versions are on; raises StorageError where they cannot be listed."""
    client = location.client(where)
    try:
        client.list_object_versions(Bucket=where.bucket, Prefix=where.prefix, MaxKeys=1)
        status = client.get_bucket_versioning(Bucket=where.bucket).get("Status", "off")
    except (ClientError, BotoCoreError) as error:
        raise StorageError(_said(error)) from error
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


def _encrypt(client: Any, where: Place) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    client.put_bucket_encryption(
        Bucket=where.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )


def _require_no_lake(client: Any, where: Place) -> None:
    if not where.prefix:
        raise ConfigError(f"a retention for all of {where.uri}? Give a prefix of its own")
    asked = {"Bucket": where.bucket, "Prefix": f"{where.prefix}/releases.lance/", "MaxKeys": 1}
    try:
        if client.list_objects_v2(**asked).get("KeyCount"):
            raise ConfigError(f"{where.uri} holds a lake, whose images would be removed by age")
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise StorageError(f"list {where.full_address}: {_said(error)}") from error


def _age(client: Any, where: Place, keep_versions_days: int, retention_days: int) -> None:
    everything = {"Filter": {"Prefix": ""}, "Status": "Enabled"}
    rules: list[Mapping[str, Any]] = [
        {
            **everything,
            "ID": "neuro-uploads",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
    ]
    if keep_versions_days:
        aged = {"NoncurrentDays": keep_versions_days}
        rules.append({**everything, "ID": "neuro-versions", "NoncurrentVersionExpiration": aged})
    own = f"{_EXPIRES}{_mark(where)}"
    if retention_days:
        about = {"Filter": {"Prefix": f"{where.prefix}/"}, "Status": "Enabled"}
        rules.append({**about, "ID": own, "Expiration": {"Days": retention_days}})
    rules += [rule for rule in _retentions(client, where) if rule["ID"] != own]
    client.put_bucket_lifecycle_configuration(
        Bucket=where.bucket, LifecycleConfiguration={"Rules": rules}
    )


def _retentions(client: Any, where: Place) -> list[Mapping[str, Any]]:
    """The rules of this bucket by which objects below some prefix go."""
    try:
        held = client.get_bucket_lifecycle_configuration(Bucket=where.bucket)["Rules"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return []
    return [rule for rule in held if str(rule.get("ID", "")).startswith(_EXPIRES)]


def _keep_versions(client: Any, where: Place) -> None:
    client.put_bucket_versioning(Bucket=where.bucket, VersioningConfiguration={"Status": "Enabled"})


def _guard(client: Any, where: Place, rules: list[Rule]) -> None:
    held: list[dict[str, Any]] = []
    try:
        held = json.loads(client.get_bucket_policy(Bucket=where.bucket)["Policy"])["Statement"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise
    others = [entry for entry in held if not str(entry.get("Sid", "")).startswith(_mark(where))]
    policy = {"Version": "2012-10-17", "Statement": others + statements(where, rules)}
    client.put_bucket_policy(Bucket=where.bucket, Policy=json.dumps(policy))


def _arn(user: str) -> str:
    return user if user.startswith("arn:") else f"arn:aws:iam:::user/{user}"  # Ceph's own form


def _mark(where: Place) -> str:
    return f"neuro{sha256(where.prefix.encode()).hexdigest()[:8]}"


def _said(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        return f"{error.response['Error'].get('Code', '')} {status}".strip()
    return str(error)
