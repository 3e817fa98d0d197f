"""Labels to look at by any vectors: the passport's ranking, on an embedding instead of thumbnails.

The passport itself is sealed with its release, and asks nothing that is not in the release. This
ranking is for a person who has an embedding, and changes nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from neuro.passport import label_errors
from neuro.passport.label_errors import Suspect

_CLOSEST = 24  # as many neighbours as the passport asks
_BLOCK = 1024  # rows that are compared with all others at once

Vectors = NDArray[np.float32]


def rank(vectors: Vectors, labels: NDArray[np.str_], groups: Sequence[str]) -> list[Suspect]:
    """The most suspicious labels, worst first, at most 100; none with fewer than two classes.

    vectors: (n, d), compared by cosine; labels, groups: n. Time grows with the square of n.
    """
    if len(np.unique(labels)) < 2:
        return []
    near = closest(vectors)
    return label_errors.worst(
        label_errors.supported_by(vectors, labels, groups, near), labels, near
    )


def closest(vectors: Vectors) -> NDArray[np.int64]:
    """The rows of highest cosine to each row, itself among them, nearest first: (n, at most 24)."""
    unit = normalize(vectors)
    rows = []
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit.T
        rows.append(np.argsort(-cosines, axis=1, kind="stable")[:, :_CLOSEST])
    return np.concatenate(rows)
