"""Maps of one image as pictures, each with what tells whether to believe it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.explanation import explain, faithfulness, sanity
from neuro.explanation.class_maps import Mapper
from neuro.prediction.predict import Engine
from neuro.reports import map_overlay

METHOD = "HiResCAM"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageMap:
    """shows: the class that it speaks for; against: "" for all others, else the one it is held to.

    png: the picture with the map over it, b"" where nothing speaks for the class. is_sane: whether
    it changes when the weights are shuffled. insertion, deletion: areas under the probability of
    the class as marked places appear, and as they vanish, 0 to 1.
    """

    shows: str
    against: str
    png: bytes
    is_sane: bool
    insertion: float
    deletion: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Picture:
    """frame: (1, side, side, channels) uint8 of a preprocess. small: as pages show it."""

    frame: NDArray[np.uint8]
    small: bytes


def draw(engine: Engine, mapper: Mapper, picture: Picture) -> tuple[ImageMap, ImageMap]:
    """What speaks for the called class, and what for it and not for the next likely one.

    mapper: of the package of the engine.
    """
    told = explain.explain(explain.answers_of(engine), mapper, picture.frame)
    classes = engine.package.card.classes
    called, other = int(told.called[0]), int(told.instead[0])
    one = np.eye(len(classes), dtype=np.float32)
    alone = one[[called]] - np.float32(1 / len(classes))
    return (
        _judged(engine, mapper, picture, told.maps, alone, called, ""),
        _judged(
            *(engine, mapper, picture, told.against, one[[called]] - one[[other]], called),
            classes[other],
        ),
    )


def _judged(
    engine: Engine,
    mapper: Mapper,
    picture: Picture,
    maps: NDArray[np.float32],
    weights: NDArray[np.float32],
    called: int,
    against: str,
) -> ImageMap:
    """maps: (1, grid, grid). weights: of the logits that it speaks for, (1, k)."""
    asked, card = explain.answers_of(engine), engine.package.card

    def score(frames: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return asked(frames)[np.arange(len(frames)), rows]

    enlarged = faithfulness.enlarged(maps, picture.frame.shape[1])
    faithful = faithfulness.judge(score, picture.frame, np.array([called]), enlarged)
    alike = float(sanity.correlation(mapper, picture.frame, weights, maps)[0])
    drawn = map_overlay.overlay(picture.small, maps[0], card.preprocess, mapper.cells, form="PNG")
    return ImageMap(
        shows=card.classes[called],
        against=against,
        png=drawn or b"",
        is_sane=alike < sanity.ALIKE,
        insertion=float(faithful.insertion[0]),
        deletion=float(faithful.deletion[0]),
    )
