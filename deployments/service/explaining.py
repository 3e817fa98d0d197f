"""Maps of uploads, by the torch network of the package that answers."""

from deployments.service.vetting import Upload
from neuro.errors import ConfigError, PackageError
from neuro.explanation import class_maps, explain
from neuro.explanation.class_maps import Mapper
from neuro.images import preview
from neuro.reports import image_maps
from neuro.reports.image_maps import ImageMap, Picture
from tasks.load.models import Model

_KEPT = 4  # networks
_CELL = "The square in the corner is the least place that a map tells apart; it marks nothing."


class Explainer:
    """Keeps the networks of the packages it was asked about last; to be used by one thread."""

    def __init__(self) -> None:
        self._mappers: dict[str, Mapper] = {}

    def maps(self, model: Model, upload: Upload) -> tuple[tuple[ImageMap, ...], str]:
        """The maps, and a sentence on them; none of a network whose layers keep no places."""
        try:
            mapper = self._mapper(model)
        except (ConfigError, PackageError) as error:
            return (), f"No maps: {error}"
        picture = Picture(frame=upload.frame, small=preview.small(upload.stored))
        maps = image_maps.draw(model.engine, mapper, picture)
        return maps, f"{_judged(maps[0])} {_CELL}"

    def _mapper(self, model: Model) -> Mapper:
        digest = model.package.digest
        if digest not in self._mappers:
            while len(self._mappers) >= _KEPT:
                self._mappers.pop(next(iter(self._mappers)))
            self._mappers[digest] = class_maps.load(model.package)
        return self._mappers[digest]


def is_believed(shown: ImageMap) -> bool:
    """Whether a map changes with the weights, and what it marks decides."""
    return shown.is_sane and shown.insertion - shown.deletion >= explain.LEAST_GAP


def _judged(first: ImageMap) -> str:
    gap = first.insertion - first.deletion
    if not first.png:
        return "Nothing in the picture speaks for the class by itself."
    if is_believed(first):
        return f"The first map points at what decides: insertion less deletion is {gap:.2f}."
    return f"Do not believe the first map: insertion less deletion is {gap:.2f}."
