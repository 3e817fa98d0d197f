"""The MLflow model registry: versions of a problem's model, champion and challenger."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from neuro.errors import ServerError, SignatureError, UnknownNameError
from neuro.models import package, package_manifest
from neuro.models.package import Package
from neuro.signing import Signature
from tasks.record import mlflow_model, signing_keys, tracking
from tasks.runtime import settings

Alias = Literal["champion", "challenger"]
_DIGEST = "package_digest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """A package, and the signature that this installation has put beside it."""

    digest: str
    signature: Signature


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelVersion:
    """One version of a problem's model. digest: of its package's manifest."""

    problem: str
    version: str
    digest: str
    run_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """A version with what the registry says of it. release: that it was trained on."""

    model: ModelVersion
    release: str
    at: datetime


def register(run_id: str, problem: str, found: Package) -> ModelVersion:
    """The version of the package that ``run_id`` has logged, a new one unless it has one."""
    from mlflow.exceptions import MlflowException

    for known in tracking.client().search_model_versions(f"run_id = '{run_id}'"):
        if known.tags[_DIGEST] == found.digest:
            return _described(problem, known)
    try:
        tracking.client().create_registered_model(_name(problem))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = tracking.client().create_model_version(
        _name(problem),
        source=mlflow_model.source(run_id),
        run_id=run_id,
        tags={
            _DIGEST: found.digest,
            "release": str(found.card.pin["release"]),
            "splitting": found.card.splitting,
            **({"leak": found.card.leak} if found.card.leak else {}),
        },
    )
    return _described(problem, version)


def set_alias(model: ModelVersion, alias: Alias) -> None:
    """Point an alias at this version."""
    tracking.client().set_registered_model_alias(_name(model.problem), alias, model.version)


def tag(model: ModelVersion, values: Mapping[str, str]) -> None:
    """Tags of a version, such as where its report lies."""
    for key, value in values.items():
        tracking.client().set_model_version_tag(_name(model.problem), model.version, key, value)


def champion(problem: str) -> ModelVersion | None:
    """The version that serves, or None before the first promotion and without a registry."""
    return _by_alias(problem, "champion") if settings.load().mlflow_tracking_uri else None


def find(problem: str, name: str) -> ModelVersion:
    """A version by number or alias. Raises UnknownNameError."""
    from mlflow.exceptions import MlflowException

    if name in ("champion", "challenger"):
        found = _by_alias(problem, name)
        if found is not None:
            return found
    else:
        try:
            return _described(problem, tracking.client().get_model_version(_name(problem), name))
        except MlflowException:
            pass
    raise UnknownNameError(
        f"problem {problem} has no model {name!r}; give champion, challenger or a version number, "
        "or train one with `neuro train`"
    )


def versions() -> list[Registered]:
    """Every version of every problem, the oldest first. Raises ServerError where MLflow refuses."""
    from mlflow.exceptions import MlflowException

    try:
        pages = tracking.every_page(tracking.client().search_model_versions)
    except MlflowException as error:
        raise ServerError(f"the MLflow server refuses to list models: {error.message}") from error
    found = [
        Registered(
            model=_described(each.name.removeprefix(_name("")), each),
            release=each.tags.get("release", ""),
            at=datetime.fromtimestamp(each.creation_timestamp / 1000, UTC),
        )
        for each in pages
        if each.name.startswith(_name("")) and _DIGEST in each.tags
    ]
    return sorted(found, key=lambda each: (each.at, each.model.problem, int(each.model.version)))


def fetch(model: ModelVersion) -> Package:
    """The package of a version: from this machine if it is whole here, else from the server.

    Raises SignatureError unless a key that is believed here has signed it: a registry is written to
    by whoever reaches it.
    """
    folder = _downloaded(model)
    try:
        signers = signing_keys.trusted()
        return package.open_verified(folder, expected=model.digest, signers=signers)
    except SignatureError as error:
        raise SignatureError(
            f"version {model.version} of {model.problem}: {error}. Once you know whose it is, "
            f"`neuro keys sign {model.version} --problem {model.problem}` vouches for it"
        ) from error


def copied(model: ModelVersion) -> Package:
    """The package of a version for a worker, which was told the digest by whoever fetched it."""
    return package.open_verified(_downloaded(model), expected=model.digest)


def sign(model: ModelVersion) -> Signed:
    """Vouch for a version: its files are verified, then signed here and on the server."""
    signing_keys.require()
    folder = _downloaded(model)
    found = package.open_verified(folder, expected=model.digest)
    signature = package_manifest.sign(folder, signing_keys.folder())
    place = mlflow_model.package_place(model.run_id)
    tracking.client().log_artifact(model.run_id, str(folder / package_manifest.SIGNATURE), place)
    return Signed(digest=found.digest, signature=signature)


def _downloaded(model: ModelVersion) -> Path:
    """The folder of a version on this machine, fetched where it is not there yet."""
    folder = packages() / model.digest[:16]
    if not folder.exists():
        from mlflow.artifacts import download_artifacts

        with _alone():
            if folder.exists():  # another process has fetched it meanwhile
                return folder
            fetched = download_artifacts(
                artifact_uri=mlflow_model.package_uri(model.run_id),
                dst_path=str(packages() / f".fetch-{model.digest[:16]}"),
                tracking_uri=settings.load().mlflow_tracking_uri,
            )
            package.open_verified(Path(fetched), expected=model.digest)
            Path(fetched).rename(folder)
    return folder


@contextmanager
def _alone() -> Iterator[None]:
    """Meanwhile no other process of this machine fetches a package; ends with the process."""
    packages().mkdir(parents=True, exist_ok=True)
    handle = os.open(packages(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def packages() -> Path:
    """Where packages lie on this machine, each in a folder named by its digest."""
    return settings.load().home / "packages"


def _by_alias(problem: str, alias: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        found = tracking.client().get_model_version_by_alias(_name(problem), alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return _described(problem, found)


def _described(problem: str, version: Any) -> ModelVersion:
    tags: Mapping[str, str] = version.tags
    return ModelVersion(
        problem=problem,
        version=str(version.version),
        digest=tags[_DIGEST],
        run_id=str(version.run_id),
    )


def _name(problem: str) -> str:
    return f"neuro-{problem}"
