"""Cosine transforms of thumbnails, split by what a flip or a rotation does to them.

The eight poses of a square only change signs and exchange rows with columns of its cosine
transform. Split by these symmetries (the irreducible parts of the dihedral group D4), the cosine
in the best of eight poses needs the work of one and a half (``best_cosines``), and magnitudes give
numbers that no pose changes (``invariants``), whose product bounds that cosine from above.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from neuro.images.thumbnail import THUMBNAIL_PX

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

_SIDE = THUMBNAIL_PX


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Coefficients of n pictures, low frequencies first in each part.

    even, odd: of even and of odd number in both directions, each as a pair of the part that an
    exchange of rows and columns keeps and the part whose sign it changes. mixed: even in one
    direction and odd in the other; the exchange swaps the two. rest: (n, 1), length of what is left
    out.
    """

    even: tuple[Vectors, Vectors]
    odd: tuple[Vectors, Vectors]
    mixed: tuple[Vectors, Vectors]
    rest: Vectors

    def __getitem__(self, rows: "slice | NDArray[np.int64]") -> "Parts":
        """Some of the pictures."""
        return Parts(
            even=(self.even[0][rows], self.even[1][rows]),
            odd=(self.odd[0][rows], self.odd[1][rows]),
            mixed=(self.mixed[0][rows], self.mixed[1][rows]),
            rest=self.rest[rows],
        )

    def __len__(self) -> int:
        return len(self.rest)


def split(rows: Vectors, radius: float = 2 * _SIDE) -> Parts:
    """Parts of (n, 1024) pictures, of frequencies below a radius; the default leaves none out."""
    waves = np.asarray(dct(np.eye(_SIDE), norm="ortho", axis=0), np.float32)
    pictures = rows.reshape(-1, _SIDE, _SIDE)
    ways = np.ascontiguousarray((waves @ pictures).swapaxes(1, 2))
    turned = (waves @ ways).reshape(-1, _SIDE**2)  # [v, u]; which is which does not matter
    kept = np.zeros(len(rows), np.float32)
    parts: list[Vectors] = []
    for first, second, sign in _pairs(radius):
        parts.append(_combined(turned, first, second, sign) if sign else turned[:, first])
        kept += np.einsum("ij,ij->i", parts[-1], parts[-1])
    whole = np.einsum("ij,ij->i", rows, rows)
    rest = np.sqrt(np.maximum(whole - kept, 0))[:, None]
    return Parts(
        even=(parts[0], parts[1]), odd=(parts[2], parts[3]), mixed=(parts[4], parts[5]), rest=rest
    )


def best_cosines(left: Parts, right: Parts) -> Vectors:
    """Upper bounds of the cosine of each left with each right picture in its best pose, (n, m).

    Exact where nothing is left out; else by Cauchy and Schwarz for what is.
    """
    kept, changed = (a @ b.T for a, b in zip(left.even, right.even, strict=True))
    kept += left.rest * right.rest.T
    odd_kept, odd_changed = (a @ b.T for a, b in zip(left.odd, right.odd, strict=True))
    (e, f), (g, h) = left.mixed, right.mixed
    upright = _flipped(odd_kept + odd_changed, e @ g.T, f @ h.T)
    upright += kept
    upright += changed
    turned = _flipped(odd_kept - odd_changed, e @ h.T, f @ g.T)
    turned += kept
    turned -= changed
    best: Vectors = np.maximum(upright, turned, out=upright)
    return best


def paired_cosines(left: Parts, right: Parts) -> Vectors:
    """The same for the n-th left with the n-th right picture, (n,)."""

    def dot(a: Vectors, b: Vectors) -> Vectors:
        found: Vectors = np.einsum("ij,ij->i", a, b)
        return found

    kept, changed = (dot(a, b) for a, b in zip(left.even, right.even, strict=True))
    kept += dot(left.rest, right.rest)
    odd_kept, odd_changed = (dot(a, b) for a, b in zip(left.odd, right.odd, strict=True))
    (e, f), (g, h) = left.mixed, right.mixed
    upright = _flipped(odd_kept + odd_changed, dot(e, g), dot(f, h)) + changed
    turned = _flipped(odd_kept - odd_changed, dot(e, h), dot(f, g)) - changed
    found: Vectors = np.maximum(upright, turned) + kept
    return found


def invariants(parts: Parts) -> Vectors:
    """Numbers of each picture that no pose changes, (n, d), as long as the picture is.

    Their dot product is at least the cosine in the best pose: each is a distance's contraction, as
    | |a| - |b| | <= |a - b|, and two numbers in order are no farther apart than in any other order.
    """
    e, f = (np.abs(part) for part in parts.mixed)
    folded = [np.abs(part) for part in (parts.even[1], *parts.odd)]
    mixed = [np.maximum(e, f), np.minimum(e, f)]
    return np.concatenate([parts.even[0], *folded, *mixed, parts.rest], axis=1)


def _flipped(odd: Vectors, first: Vectors, second: Vectors) -> Vectors:
    """The best of the four flips: each direction's sign is free, and odd ones take both."""
    together = np.abs(first + second)
    together += odd
    first -= second
    apart = np.abs(first, out=first)
    apart -= odd
    best: Vectors = np.maximum(together, apart, out=together)
    return best


def _combined(
    turned: Vectors, first: NDArray[np.int64], second: NDArray[np.int64], sign: int
) -> Vectors:
    """Coefficients across the diagonal, joined; on it they stay as they are."""
    part: Vectors = turned[:, first]
    other = turned[:, second]
    part += other if sign > 0 else -other
    part *= np.where(first == second, np.float32(0.5), np.float32(0.5**0.5))
    return part


@lru_cache(maxsize=8)
def _pairs(radius: float) -> list[tuple[Places, Places, int]]:
    """For each part: flat places, their mirror places, and the sign that joins them; 0 for none."""
    u, v = np.indices((_SIDE, _SIDE))
    distance = u**2 + v**2
    low = (distance < radius**2) & (u + v > 0)  # no mean: it was removed

    def places(chosen: NDArray[np.bool_]) -> tuple[Places, Places]:
        order = np.argsort(distance[chosen], kind="stable")
        rows, columns = u[chosen][order], v[chosen][order]
        return rows * _SIDE + columns, columns * _SIDE + rows

    found = []
    for parity in (0, 1):
        same = low & (u % 2 == parity) & (v % 2 == parity)
        found.append((*places(same & (u <= v)), 1))
        found.append((*places(same & (u < v)), -1))
    first, second = places(low & (u % 2 == 0) & (v % 2 == 1))
    return [*found, (first, first, 0), (second, second, 0)]
