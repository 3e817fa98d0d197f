"""Which model a step works with: a registered version, or a package folder."""

from dataclasses import dataclass, replace
from pathlib import Path

from neuro.errors import ConfigError, PackageError, UnknownNameError
from neuro.models import package
from neuro.models.package import Package
from neuro.prediction import predict
from neuro.prediction.predict import Engine
from neuro.problems.problem import Problem
from neuro.splits import split_choice
from neuro.splits.split_choice import Splitting
from tasks.record import artifacts, registry
from tasks.record.registry import ModelVersion
from tasks.runtime.steps import step

THREADS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A loaded model. version: the registry's, or the package's digest without one."""

    version: str
    engine: Engine
    registered: ModelVersion | None

    @property
    def package(self) -> Package:
        """The verified package behind the engine."""
        return self.engine.package

    @property
    def splitting(self) -> Splitting:
        """The splits it was trained on, and is scored on."""
        return split_choice.parse(self.package.card.splitting)

    def problem_as_trained(self, problem: Problem) -> Problem:
        """The problem with the decoder this model learnt from, which may be an older one."""
        return replace(problem, preprocess=self.package.card.preprocess)


@step(name="load model")
def load(problem: Problem, name: str = "champion") -> Model:
    """Load a version by alias or number; a folder is a package and needs no registry.

    Raises UnknownNameError for a version or folder that is not there, PackageError for one that
    was altered or answers another problem.
    """
    if Path(name).is_dir():
        registered, found = None, package.open_verified(Path(name))
    elif artifacts.flow_run_id() is None:
        raise UnknownNameError(
            f"no package folder {name!r}; without servers give the folder that `neuro train` "
            "printed as package"
        )
    else:
        return by_version(problem, name)
    return _checked(problem, found, registered)


def by_version(problem: Problem, name: str) -> Model:
    """Load a registered version by alias or number."""
    registered = registry.find(problem.name, name)
    return _checked(problem, registry.fetch(registered), registered)


def champion(problem: Problem) -> Model | None:
    """The serving model, or None before the first promotion."""
    serving = registry.champion(problem.name)
    return _checked(problem, registry.fetch(serving), serving) if serving else None


def _checked(problem: Problem, found: Package, registered: ModelVersion | None) -> Model:
    if found.card.classes != problem.classes:
        raise PackageError(
            f"package {found.folder} answers {found.card.classes}, problem {problem.name} asks for "
            f"{problem.classes}; give the model of this problem"
        )
    spec = replace(found.card.preprocess, decoder=problem.preprocess.decoder)
    if spec != problem.preprocess:
        raise ConfigError(
            f"package {found.folder} was trained with another preprocess than problem "
            f"{problem.name} has now; train again, or restore the problem file"
        )
    version = registered.version if registered else found.digest
    return Model(
        version=version, engine=predict.load(found, threads=THREADS), registered=registered
    )
