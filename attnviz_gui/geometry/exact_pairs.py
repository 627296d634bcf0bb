"""Dot products and cosines of pairs to twice double precision, where double has too few digits.

Where all dot products of a head, or all its cosines, are nearly equal, what a correlation is made
of is the last digits of each: a spread of 1e-9 leaves seven of sixteen. Here each number is a sum
of two, `high + low`, and its distance from a common reference keeps every digit.

A matrix product is exact in double precision while all its terms are whole multiples of a unit and
no sum exceeds 2^53 of it. So vectors are cut into slices of so few bits that this holds of each
product of two slices (Ozaki, Ogita, Oishi & Rump, "Error-free transformations of matrix
multiplication by using fast routines of matrix multiplication and its applications", Numerical
Algorithms 59, 2012), and the products are added with their rounding kept (Knuth's sum, Dekker's
product). It costs ten matrix products and some hundred passes over the pairs.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]
    Double = tuple[Float64, Float64]  # high and low, whose sum is meant

# Slices of a vector: with 22 bits or more in each, 2^-88 of its largest coordinate is left out.
SLICES = 4
# Bits of a double; and 2^27 + 1, by which one is cut into two halves.
BITS = 53
SPLITTER = float((1 << 27) + 1)


class ExactVectors:
    """Vectors that are ready for products with others.

    Parameters
    ----------
    vectors : (n, d)
        Finite; a zero vector has products of 0 and no cosine.
    """

    def __init__(self, vectors: Float64) -> None:
        self._vectors = vectors
        largest = np.abs(vectors).max(axis=1)
        self._exponent = np.frexp(largest)[1]
        bits = (BITS - math.ceil(math.log2(max(vectors.shape[1], 2)))) // 2
        rest = np.ldexp(vectors, -self._exponent[:, None])
        self._slices = []
        for i in range(SLICES):
            # A double of this size ends at the slice's last bit: adding it rounds to that.
            round_to = 1.5 * 2.0 ** (BITS - 1 - bits * (i + 1))
            piece = (rest + round_to) - round_to
            rest = rest - piece
            self._slices.append(piece)
        high, low = np.zeros(len(vectors)), np.zeros(len(vectors))
        for i, j in _pairs_of_slices():
            term = np.einsum("td,td->t", self._slices[i], self._slices[j])
            high, low = _add(high, low, term)
        zero = largest == 0
        self._inverse = _inverse_root(np.where(zero, 1, high), np.where(zero, 0, low))
        self.squares: Double = (  # |v|², twice (n,)
            np.ldexp(high, 2 * self._exponent),
            np.ldexp(low, 2 * self._exponent),
        )

    def products(self, rows: slice, other: ExactVectors, keys: slice) -> Double:
        """Return dot products with `other`, twice (n_rows, n_keys)."""
        high, low = self._scaled_products(rows, other, keys)
        exponent = self._exponent[rows, None] + other._exponent[keys]
        return np.ldexp(high, exponent), np.ldexp(low, exponent)

    def cosines(self, rows: slice, other: ExactVectors, keys: slice) -> Double:
        """Return cosines with `other`, twice (n_rows, n_keys)."""
        (of_row, row_low), (of_key, key_low) = self._inverse, other._inverse
        inverse = times((of_row[rows, None], row_low[rows, None]), (of_key[keys], key_low[keys]))
        return times(self._scaled_products(rows, other, keys), inverse)

    def _scaled_products(self, rows: slice, other: ExactVectors, keys: slice) -> Double:
        high = np.zeros((rows.stop - rows.start, keys.stop - keys.start))
        low = np.zeros_like(high)
        for i, j in _pairs_of_slices():
            high, low = _add(high, low, self._slices[i][rows] @ other._slices[j][keys].T)
        return high, low


def from_reference(value: Double, reference: float) -> Float64:
    """Return value - reference, right to the last digit of the difference."""
    high, low = value
    out: Float64 = (high - reference) + low
    return out


def plus(a: Double, b: Double) -> Double:
    """Return a + b."""
    high, low = _add(a[0], a[1] + b[1], b[0])
    return high, low


def times(a: Double, b: Double) -> Double:
    """Return a b."""
    high, low = _product(a[0], b[0])
    low += a[0] * b[1] + a[1] * b[0]
    total = high + low
    return total, low - (total - high)


def doubled(number: Fraction) -> Double:
    """Return a number to twice double precision."""
    high = float(number)
    return np.array(high), np.array(float(number - Fraction(high)))


def _pairs_of_slices() -> list[tuple[int, int]]:
    """Which slices are multiplied, the smallest products first."""
    return [(i, order - i) for order in range(SLICES - 1, -1, -1) for i in range(order + 1)]


def _add(high: Float64, low: Float64, term: Float64) -> Double:
    total = high + term
    of_term = total - high
    return total, low + ((high - (total - of_term)) + (term - of_term))


def _product(a: Float64, b: Float64) -> Double:
    """Return a b and its rounding."""
    product = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: Float64) -> Double:
    spread = SPLITTER * a
    first = spread - (spread - a)
    return first, a - first


def _inverse_root(high: Float64, low: Float64) -> Double:
    """Return 1 / sqrt(high + low): one step of Newton from the double."""
    near = 1 / np.sqrt(high)
    square, square_low = _product(near, near)
    one, one_low = _product(high, square)
    missing = ((1 - one) - one_low) - high * square_low - low * square
    return near, 0.5 * near * missing
