"""Which model a step works with: a registered version, or a package folder."""

from dataclasses import dataclass, replace
from pathlib import Path

from neuro.errors import ConfigError, PackageError, UnknownNameError
from neuro.lake.lake import Lake
from neuro.models import package
from neuro.models.package import Package
from neuro.prediction import predict
from neuro.prediction.predict import Engine
from neuro.problems.problem import Problem
from neuro.splits import split_choice
from neuro.splits.split_choice import Splitting
from neuro.synthetic import strangers
from tasks.load import champions, release_data
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
        """The problem with the preprocess this model learnt from, which may be an older one."""
        return replace(problem, preprocess=self.package.card.preprocess)


@step(name="load model")
def load(problem: Problem, name: str = "champion", lake: Lake | None = None) -> Model:
    """Load a version by alias or number; a folder is a package and needs no registry.

    lake: whose journal says which is the champion; default, that of this installation.

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
        return by_version(problem, name, lake)
    return _checked(problem, found, registered)


def by_version(problem: Problem, name: str, lake: Lake | None = None) -> Model:
    """Load a registered version by alias or number. lake: as of ``load``."""
    if name == "champion":
        registered = champions.require(lake or release_data.open_lake(None), problem.name)
    else:
        registered = registry.find(problem.name, name)
    return _checked(problem, registry.fetch(registered), registered)


def champion(lake: Lake, problem: Problem) -> Model | None:
    """The serving model to compare with, or None before the first promotion.

    It may have learnt from another preprocess than the problem has now, and is compared on frames
    of its own: see ``problem_as_trained``. Raises PackageError where it has other classes.
    """
    serving = champions.serving_version(lake, problem.name)
    return None if serving is None else _as_trained(problem, serving)


def earlier(problem: Problem, version: str) -> Model:
    """A version that served once, to compare with like ``champion``; it raises what that does."""
    return _as_trained(problem, registry.find(problem.name, version))


def of_version(registered: ModelVersion) -> Model:
    """A registered version by itself, whatever the problem file says now; verified and opened."""
    return _opened(registry.fetch(registered), registered)


def of_folder(folder: Path) -> Model:
    """A package that lies in a folder, whatever the problem file says now; verified and opened."""
    return _opened(package.open_verified(folder), None)


def require_an_answer(model: Model) -> None:
    """Raise PackageError for a model that gives no finite answer."""
    spec = model.package.card.preprocess
    (pixels, *_) = strangers.draw(1, spec.size_px, spec.channels).values()
    predict.predict(model.engine, pixels, ["drawn"], model_version=model.version)


def _as_trained(problem: Problem, registered: ModelVersion) -> Model:
    found = registry.fetch(registered)
    _require_classes(problem, found)
    return _opened(found, registered)


def _checked(problem: Problem, found: Package, registered: ModelVersion | None) -> Model:
    """A model that can answer the problem as it is now."""
    _require_classes(problem, found)
    now = problem.preprocess
    spec = replace(found.card.preprocess, decoder=now.decoder)
    if found.card.training.get("size_px"):  # by its recipe, the side is the model's own
        spec = replace(spec, size_px=now.size_px)
    if spec != problem.preprocess:
        raise ConfigError(
            f"package {found.folder} was trained with another preprocess than problem "
            f"{problem.name} has now; train again, or restore the problem file"
        )
    return _opened(found, registered)


def _require_classes(problem: Problem, found: Package) -> None:
    if found.card.classes != problem.classes:
        raise PackageError(
            f"package {found.folder} answers {found.card.classes}, problem {problem.name} asks for "
            f"{problem.classes}; give the model of this problem, or give a problem of other "
            "classes a name of its own"
        )


def _opened(found: Package, registered: ModelVersion | None) -> Model:
    version = registered.version if registered else found.digest
    return Model(
        version=version, engine=predict.load(found, threads=THREADS), registered=registered
    )
