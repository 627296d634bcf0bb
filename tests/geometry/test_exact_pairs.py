"""Pairs to twice double precision, against fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from attnviz_gui.geometry.exact_pairs import ExactVectors, from_reference

ALL = slice(0, 7)


def drawn(d: int, power: int, seed: int) -> np.ndarray:
    """Vectors (7, d) whose coordinates are of very different sizes."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(7, d)) * 2.0 ** rng.integers(-30, 30, size=(7, d)) * 2.0**power


@pytest.mark.parametrize("d", [1, 2, 64, 300])
@pytest.mark.parametrize("power", [0, -300, 150])
def test_products_and_cosines_have_twice_the_digits(d, power):
    left, right = drawn(d, power, 1), drawn(d, -power, 2)
    right[1] = right[0] * (1 + 2.0**-50)  # nearly the same key
    a, b = ExactVectors(left), ExactVectors(right)
    dot, cosine = a.products(ALL, b, ALL), a.cosines(ALL, b, ALL)
    q, k = ([[Fraction(x) for x in row] for row in vectors.tolist()] for vectors in (left, right))
    for i in range(7):
        found = Fraction(float(a.squares[0][i])) + Fraction(float(a.squares[1][i]))
        true = sum(x * x for x in q[i])
        assert abs(found - true) <= true * Fraction(2) ** -80
        for j in range(7):
            true = sum((a * b for a, b in zip(q[i], k[j], strict=True)), Fraction())
            of_i, of_j = sum(a * a for a in q[i]), sum(b * b for b in k[j])
            found = Fraction(float(dot[0][i, j])) + Fraction(float(dot[1][i, j]))
            assert abs(found - true) ** 2 <= of_i * of_j * Fraction(2) ** -160
            # cosine² = dot² / (|q|² |k|²), without a square root
            found = Fraction(float(cosine[0][i, j])) + Fraction(float(cosine[1][i, j]))
            assert abs(found**2 - true**2 / (of_i * of_j)) < Fraction(2) ** -80


def test_what_double_precision_loses_is_kept():
    left, right = np.array([[1.0, 1.0]]), np.array([[1.0, 2.0**-60], [1.0, -(2.0**-58)]])
    dot = ExactVectors(left).products(slice(0, 1), ExactVectors(right), slice(0, 2))
    assert (left @ right.T).tolist() == [[1.0, 1.0]]
    assert from_reference(dot, 1.0).tolist() == [[2.0**-60, -(2.0**-58)]]


def test_a_zero_vector_has_products_of_zero():
    a, b = ExactVectors(np.ones((1, 3))), ExactVectors(np.zeros((2, 3)))
    every = slice(0, 1), b, slice(0, 2)
    for part in (*a.products(*every), *a.cosines(*every)):
        assert part.tolist() == [[0.0, 0.0]]
