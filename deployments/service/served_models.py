"""The models that answer, one for each problem: followed by the journal, changed without a pause.

A request keeps the model that it began with: none is lost when another takes its place.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path

from deployments.service.config import ServiceConfig
from neuro.errors import (
    ConfigError,
    NeuroError,
    PackageError,
    ServerError,
    SignatureError,
    StorageError,
)
from neuro.lake.lake import Lake
from neuro.problems import problem as problem_files
from neuro.problems.problem import Problem
from tasks.load import engines, models, served
from tasks.load.models import Model
from tasks.record.registry import ModelVersion

JOURNAL_S, ALL_S = 2.0, 30.0  # how often the journal is looked at, and aliases and shadows
AGAIN_S = 10.0  # after a look that failed

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What answers a problem. file: its problem file, None where none is known here.

    trouble: why a newer version does not serve, "" where all is well.
    """

    problem: str
    model: Model
    since: datetime
    shadow: Model | None = None
    file: Problem | None = None
    trouble: str = ""

    @property
    def keeps_images(self) -> bool:
        """Whether the problem file allows that what is asked about is kept."""
        return self.file is not None and self.file.keep_requests


class ServedModels:
    """All that answers. trouble: which of lake and MLflow does not answer, "" where both do."""

    def __init__(self, config: ServiceConfig, lake: Lake) -> None:
        self._config, self._lake = config, lake
        self._files = [problem_files.load(name) for name in config.problems]
        self._all: Mapping[str, Served] = {}
        self._state, self._looked_at, self._again_at = -1, -ALL_S, 0.0
        self._lock = threading.Lock()
        self._has_warned = False
        self.trouble = ""

    def all(self) -> Mapping[str, Served]:
        """By problem."""
        return self._all

    def refresh(self) -> None:
        """Look whether another version serves; what cannot be opened leaves the last good one."""
        with self._lock:
            if self._config.models:
                if not self._all:
                    self._all = self._of_folders()
                return
            try:
                if self.trouble and time.monotonic() < self._again_at:
                    return
                state = served.state(self._lake)
                is_due = time.monotonic() - self._looked_at >= ALL_S
                if state != self._state or is_due or self.trouble:
                    self._follow()
                    self._state, self._looked_at = state, time.monotonic()
                self.trouble = ""
            except (NeuroError, OSError) as error:
                if not self.trouble:
                    _log.warning("what serves now cannot be looked up: %s", error)
                who = "MLflow" if isinstance(error, ServerError) else "the lake"
                self.trouble = f"{who} does not answer; what served last goes on"
                self._again_at = time.monotonic() + AGAIN_S
                if not self._all:
                    self._all = self._last_known()

    def _follow(self) -> None:
        found: dict[str, Served] = {}
        names = served.promoted(self._lake)
        for name in names:
            before = self._all.get(name)
            version = served.version(self._lake, name)
            if version is not None:
                kept = self._changed(version, before)
                if kept is not None:
                    found[name] = kept
            elif before is not None:
                _log.warning("no version of %s serves any more", name)
        self._all = found

    def _changed(self, version: ModelVersion, before: Served | None) -> Served | None:
        """The version that serves now or, where it cannot be opened, the last good one."""
        if before and (before.model.version, before.model.package.digest) == (
            version.version,
            version.digest,
        ):
            return replace(before, shadow=self._shadow_of(before), trouble="")
        try:
            opened = self._opened(version)
        except (NeuroError, OSError) as error:
            trouble = f"version {version.version} cannot serve: {_why(error)}"
            if before is None or before.trouble != trouble:
                _log.warning("%s: version %s: %s", version.problem, version.version, error)
            good = before or self._earlier(version.problem)
            return None if good is None else replace(good, trouble=trouble)
        served.remember(version)
        _log.info("%s: version %s answers", version.problem, version.version)
        return opened

    def _earlier(self, problem: str) -> Served | None:
        try:
            version = served.earlier(self._lake, problem)
            return None if version is None else self._opened(version)
        except (NeuroError, OSError) as error:
            _log.warning("%s: the version before cannot serve, either: %s", problem, error)
            return None

    def _opened(self, version: ModelVersion) -> Served:
        found = self._served(served.opened(self._lake, version, self._config.engine), None)
        return replace(found, shadow=self._shadow_of(found))

    def _shadow_of(self, champion: Served) -> Model | None:
        """What answers beside it now; one that cannot be opened keeps no champion from serving."""
        if not self._config.shadow:
            return None
        try:
            version = served.shadow(champion.problem, self._config.shadow, champion.model)
            if version is None:
                if not self._has_warned:
                    _log.warning(
                        "%s has no other version %s: nothing answers beside it until there is one",
                        *(champion.problem, self._config.shadow),
                    )
                self._has_warned = True
                return None
            known = champion.shadow
            if known is not None and known.package.digest == version.digest:
                return known
            opened = served.opened_shadow(version)
        except (NeuroError, OSError) as error:
            if not self._has_warned:
                _log.warning("nothing answers beside %s: %s", champion.problem, error)
            self._has_warned = True
            return None
        self._has_warned = False
        _log.info("%s: version %s answers beside it, unseen", champion.problem, opened.version)
        return opened

    def _served(self, model: Model, shadow: Model | None) -> Served:
        return Served(
            problem=model.package.card.problem,
            model=model,
            shadow=shadow,
            since=datetime.now(UTC),
            file=served.problem_of(model, self._files),
        )

    def _of_folders(self) -> dict[str, Served]:
        found: dict[str, Served] = {}
        shadow = models.of_folder(Path(self._config.shadow)) if self._config.shadow else None
        for folder in self._config.models:
            model = models.of_folder(folder)
            frames = served.examples(self._lake, model)
            model = engines.for_requests(model, self._config.engine, frames)
            name = model.package.card.problem
            if name in found:
                raise ConfigError(f"two packages answer problem {name}; give one of them")
            _log.info("%s: package %s answers", name, model.version[:16])
            is_its = shadow is not None and shadow.package.card.problem == name
            found[name] = self._served(model, shadow if is_its else None)
        return found

    def _last_known(self) -> dict[str, Served]:
        found: dict[str, Served] = {}
        for version in served.last_known():
            try:
                found[version.problem] = self._opened(version)
            except (NeuroError, OSError) as error:
                _log.warning("version %s of %s: %s", version.version, version.problem, error)
        if found:
            _log.warning("what served last on this machine answers: %s", ", ".join(found))
        return found


def _why(error: Exception) -> str:
    """In a sentence without a place of this machine; the log has all of it."""
    if isinstance(error, SignatureError):
        return "its package is not signed by a key that is believed here, or was altered since"
    if isinstance(error, PackageError):
        return "its package is damaged or was altered"
    if isinstance(error, ServerError | StorageError):
        return "its package cannot be fetched now"
    return "its package cannot be opened; the log of the service says why"
