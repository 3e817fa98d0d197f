"""Cosine transforms of thumbnails, split by what a flip or a rotation does to them.

A pose is one of the eight flips and rotations of a square. On the cosine transform of a picture a
pose only changes signs and exchanges rows with columns. The transform is therefore split into parts
that each react to a pose in one simple way (the irreducible parts of the dihedral group D4). With
them, the cosine in the best of eight poses costs as much as one and a half plain cosines
(``best_cosines``), and absolute values give numbers that no pose changes (``invariants``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from neuro.images.thumbnail import THUMBNAIL_PX

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]
Product = Callable[[Vectors, Vectors], Vectors]

_SIDE = THUMBNAIL_PX
_HALF, _ROOT_HALF = np.float32(0.5), np.float32(0.5**0.5)


@dataclass(frozen=True, slots=True)
class Parts:
    """Cosine coefficients of n pictures by symmetry.

    coefficients: six matrices (n, ...), low frequencies first. A flip changes the sign of the
    coefficients of odd number in its direction; a quarter turn also exchanges rows with columns.

    * of those whose two numbers are both even: what an exchange keeps, and what it negates;
    * of those whose two numbers are both odd: the same;
    * those with an even and an odd number, and those with an odd and an even one: an exchange
      swaps the two.

    rest: (n, 1), length of the high frequencies, which are left out.
    """

    coefficients: tuple[Vectors, ...]
    rest: Vectors

    def __getitem__(self, rows: "slice | NDArray[np.int64]") -> "Parts":
        """Some of the pictures."""
        return Parts(tuple(part[rows] for part in self.coefficients), self.rest[rows])

    def __len__(self) -> int:
        return len(self.rest)


def split(rows: Vectors, radius: float = 2 * _SIDE) -> Parts:
    """Parts of (n, 1024) pictures, of frequencies below a radius; the default leaves none out."""
    coefficients = _transformed(rows)
    even, odd, mixed = _places(radius)
    parts = (
        *_by_exchange(coefficients, even),
        *_by_exchange(coefficients, odd),
        coefficients[:, mixed],
        coefficients[:, _mirrored(mixed)],
    )
    rest = np.sqrt(np.maximum(_squares(rows) - sum(map(_squares, parts)), 0))[:, None]
    return Parts(parts, rest)


def best_cosines(left: Parts, right: Parts) -> Vectors:
    """Upper bounds of the cosine of each left with each right picture in its best pose, (n, m).

    Exact where no frequency is left out; else by the inequality of Cauchy and Schwarz for the rest.
    """
    return _in_best_pose(left, right, lambda a, b: a @ b.T)


def paired_cosines(left: Parts, right: Parts) -> Vectors:
    """The same for the n-th left with the n-th right picture, (n,)."""

    def product(a: Vectors, b: Vectors) -> Vectors:
        products: Vectors = np.einsum("ij,ij->i", a, b)
        return products

    return _in_best_pose(left, right, product)


def invariants(parts: Parts) -> Vectors:
    """Numbers of each picture that no pose changes, (n, d), as long as the picture is.

    Their dot product is at least the cosine in the best pose: taking absolute values, and putting
    two numbers in order, never moves two pictures apart (| |a| - |b| | <= |a - b|).
    """
    even_kept, *changing_sign = parts.coefficients
    *unmixed, first, second = map(np.abs, changing_sign)
    in_order = [np.maximum(first, second), np.minimum(first, second)]
    return np.concatenate([even_kept, *unmixed, *in_order, parts.rest], axis=1)


def _in_best_pose(left: Parts, right: Parts, product: Product) -> Vectors:
    """Cosines in the best pose.

    product: of two matrices of coefficients, for all pairs or row by row. Sums are made in place:
    with fewer large arrays this is a third faster.
    """
    # The length of what is left out adds to the cosine at most as one more coefficient would.
    left_kept, right_kept = (
        np.concatenate([parts.coefficients[0], parts.rest], axis=1) for parts in (left, right)
    )
    _, *left_parts, left_even, left_odd = left.coefficients
    _, *right_parts, right_even, right_odd = right.coefficients
    even_negated, odd_kept, odd_negated = map(product, left_parts, right_parts)
    upright, turned = _sum_and_difference(product(left_kept, right_kept), even_negated)
    odd_upright, odd_turned = _sum_and_difference(odd_kept, odd_negated)
    upright += _best_flip(odd_upright, product(left_even, right_even), product(left_odd, right_odd))
    turned += _best_flip(odd_turned, product(left_even, right_odd), product(left_odd, right_even))
    best: Vectors = np.maximum(upright, turned, out=upright)
    return best


def _sum_and_difference(first: Vectors, second: Vectors) -> tuple[Vectors, Vectors]:
    """The sum, in a new array, and the difference, in the first one."""
    total = first + second
    first -= second
    return total, first


def _best_flip(odd: Vectors, even_first: Vectors, odd_first: Vectors) -> Vectors:
    """The largest sum of three products in any of the four flips; may use even_first's memory.

    A flip top to bottom negates one mixed product and the odd one, a flip left to right the other
    mixed product and the odd one, and both flips negate the two mixed ones.
    """
    none_or_both, only_one = _sum_and_difference(even_first, odd_first)
    np.abs(none_or_both, out=none_or_both)
    none_or_both += odd
    np.abs(only_one, out=only_one)
    only_one -= odd
    best: Vectors = np.maximum(none_or_both, only_one, out=none_or_both)
    return best


def _transformed(rows: Vectors) -> Vectors:
    """Cosine transforms of (n, 1024) pictures, (n, 1024), with rows and columns exchanged.

    The exchange is a pose, and saves a copy.
    """
    waves = np.asarray(dct(np.eye(_SIDE), norm="ortho", axis=0), np.float32)
    pictures = rows.reshape(-1, _SIDE, _SIDE)
    one_way = np.ascontiguousarray((waves @ pictures).swapaxes(1, 2))
    coefficients: Vectors = (waves @ one_way).reshape(-1, _SIDE**2)
    return coefficients


def _by_exchange(coefficients: Vectors, places: Places) -> tuple[Vectors, Vectors]:
    """What an exchange of rows and columns keeps of these coefficients, and what it negates.

    places: on the diagonal or above it. Both parts together are as long as the coefficients.
    """
    above, below = coefficients[:, places], coefficients[:, _mirrored(places)]
    is_diagonal = places == _mirrored(places)
    kept = (above + below) * np.where(is_diagonal, _HALF, _ROOT_HALF)
    negated = (above - below)[:, ~is_diagonal] * _ROOT_HALF
    return kept, negated


@lru_cache(maxsize=8)
def _places(radius: float) -> tuple[Places, Places, Places]:
    """Places of even, odd and mixed coefficients, low frequencies first.

    Of even and odd ones only those on the diagonal or above it, of mixed ones those whose row
    number is even: the others are their mirror images.
    """
    u, v = np.indices((_SIDE, _SIDE))
    distance = u**2 + v**2
    is_low = (distance < radius**2) & (u + v > 0)  # not the mean: it was removed

    def by_frequency(chosen: NDArray[np.bool_]) -> Places:
        places = np.flatnonzero(is_low & chosen)
        return places[np.argsort(distance.ravel()[places], kind="stable")]

    even = by_frequency((u % 2 == 0) & (v % 2 == 0) & (u <= v))
    odd = by_frequency((u % 2 == 1) & (v % 2 == 1) & (u <= v))
    mixed = by_frequency((u % 2 == 0) & (v % 2 == 1))
    return even, odd, mixed


def _mirrored(places: Places) -> Places:
    """The places on the other side of the diagonal."""
    return places % _SIDE * _SIDE + places // _SIDE


def _squares(rows: Vectors) -> Vectors:
    squares: Vectors = np.einsum("ij,ij->i", rows, rows)
    return squares
