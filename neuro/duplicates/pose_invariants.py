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


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Coefficients of n pictures by symmetry, low frequencies first.

    A flip changes the sign of the coefficients of odd number in its direction; a quarter turn also
    exchanges rows with columns. even, odd: coefficients whose two numbers are both even or both
    odd, as (what an exchange keeps, what an exchange negates). mixed: coefficients with one even
    and one odd number, as (even first, odd first); an exchange swaps the two. rest: (n, 1), length
    of the high frequencies, which are left out.
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
    coefficients = _transformed(rows)
    even_places, odd_places, mixed_places = _places(radius)
    even = _by_exchange(coefficients, even_places)
    odd = _by_exchange(coefficients, odd_places)
    mixed = (coefficients[:, mixed_places], coefficients[:, _mirrored(mixed_places)])
    kept = sum(_squares(part) for part in (*even, *odd, *mixed))
    rest = np.sqrt(np.maximum(_squares(rows) - kept, 0))[:, None]
    return Parts(even=even, odd=odd, mixed=mixed, rest=rest)


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
    even_kept, even_negated = parts.even
    first, second = (np.abs(part) for part in parts.mixed)
    changing_sign = [np.abs(part) for part in (even_negated, *parts.odd)]
    in_order = [np.maximum(first, second), np.minimum(first, second)]
    return np.concatenate([even_kept, *changing_sign, *in_order, parts.rest], axis=1)


def _in_best_pose(left: Parts, right: Parts, product: Product) -> Vectors:
    """Cosines in the best pose.

    product: of two matrices of coefficients, for all pairs or row by row. Sums are made in place:
    with fewer large arrays this is a third faster.
    """
    # The length of what is left out adds to the cosine at most as one more coefficient would.
    left_kept, right_kept = (
        np.concatenate([parts.even[0], parts.rest], axis=1) for parts in (left, right)
    )
    upright, turned = _sum_and_difference(
        product(left_kept, right_kept), product(left.even[1], right.even[1])
    )
    odd_upright, odd_turned = _sum_and_difference(
        product(left.odd[0], right.odd[0]), product(left.odd[1], right.odd[1])
    )
    (left_even, left_odd), (right_even, right_odd) = left.mixed, right.mixed
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
