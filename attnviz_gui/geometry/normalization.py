"""Shift and scale: q' = c q, k' = (k + a) / c, which leave the attention unchanged.

The proof in one line: q'.k' = q.k + q.a, and the softmax over the keys ignores what is constant
along a row. Only keys may be shifted, and c must be positive: a negative c mirrors the picture.
The same holds for q' = c M q, k' = M⁻ᵀ(k + a) / c with any invertible matrix M, and for one more
coordinate that is 0 for every query; see `transforms`.

Source: Yeh et al., AttentionViz (2023), section 5.1.1; transform and lift are beyond it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_float64, as_vectors
from attnviz_gui.geometry.transforms import checked_transform, inverse_transposed, lift

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

ShiftMode = Literal["constant", "centroid", "locked", "balanced", "lifted"]
SHIFT_MODES: tuple[ShiftMode, ...] = ("constant", "centroid", "locked", "balanced", "lifted")
# The modes whose slider goes from no shift to centroids that lie together.
CENTROID_MODES = ("centroid", "balanced", "lifted")
SCALE_RANGE = (0.1, 10.0)
WIDEST_SCALES = (1e-3, 1e3)  # widened or typed

Number = TypeVar("Number", float, "Float64")


@dataclass(frozen=True, eq=False)
class Normalization:
    """A shift a and a scale c; where they are wanted, also a transform M and the lift.

    Two are equal when all four are: a number equals a number, an array an array. A number is
    never equal to an array of it, since a number fits every head dimension.

    Parameters
    ----------
    shift : float, "centroid" or (head_dim,) array
        The vector a that is added to every key: a number stands for that number in every
        coordinate, ``"centroid"`` for the shift that brings the centroids together at c = 1: mean
        query - mean key, with a transform MᵀM mean query - mean key. Arrays are copied.
    scale : float
        The positive number c that queries are multiplied by and keys divided by.
    transform : (head_dim, head_dim) array, optional
        The invertible matrix M that queries are multiplied by, and keys, after the shift, by
        M⁻ᵀ; without it the identity. Copied. See `transforms.balancing`.
    lifted : bool
        Append one coordinate, as `transforms.lift` does.

    Raises
    ------
    InputError
        When the shift is an unknown word, not finite or not a vector, the scale is not a finite
        number above 0, or the transform is no invertible matrix.
    """

    shift: float | str | Float64 = 0.0
    scale: float = 1.0
    transform: Float64 | None = None
    lifted: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shift", _checked_shift(self.shift))
        object.__setattr__(self, "scale", checked_scale(self.scale))
        if self.transform is not None:
            matrix = checked_transform(self.transform).copy()
            matrix.setflags(write=False)
            object.__setattr__(self, "transform", matrix)
        object.__setattr__(self, "lifted", bool(self.lifted))

    def vector(self, query: npt.ArrayLike, key: npt.ArrayLike) -> Float64:
        """Return the shift as the vector a, (head_dim,), for queries (T_q, d) and keys (T_k, d).

        Raises
        ------
        InputError
            When the shift is an array of another length than head_dim, or ``"centroid"`` with no
            query or no key to take a mean of.
        """
        q, k = as_vectors(query, key)
        if isinstance(self.shift, str):
            if not len(q) or not len(k):
                raise InputError("The shift “centroid” needs at least one query and one key.")
            mean: Float64 = q.mean(axis=0)
            if self.transform is not None:
                mean = self._fitting(self.transform, k) @ mean
                mean = self.transform.T @ mean
            centroid: Float64 = mean - k.mean(axis=0)
            return centroid
        if isinstance(self.shift, np.ndarray):
            if len(self.shift) != k.shape[1]:
                raise InputError(
                    f"The shift has {len(self.shift)} coordinates, "
                    f"but queries and keys have {k.shape[1]}."
                )
            return self.shift
        return np.full(k.shape[1], self.shift)

    def apply(self, query: npt.ArrayLike, key: npt.ArrayLike) -> tuple[Float64, Float64]:
        """Return q' and k' in float64: (T_q, d) and (T_k, d), or one coordinate more where lifted.

        Formula: q' = c q and k' = (k + a) / c; with a transform q' = c M q, k' = M⁻ᵀ(k + a) / c;
        lifted q' = (c q, 0), k' = (k + a, sqrt(R² - |k + a|²)) / c with R the largest |k + a|.
        Cost: O(T d), with a transform O(T d² + d³).

        Raises
        ------
        InputError
            When the shapes do not fit each other, the shift or the transform.
        """
        q, k = as_vectors(query, key)
        k = k + self.vector(q, k)
        if self.transform is not None:
            matrix = self._fitting(self.transform, k)
            q, k = q @ matrix.T, inverse_transposed(k, matrix)
        q, k = self.scale * q, k / self.scale
        return lift(q, k) if self.lifted else (q, k)

    @staticmethod
    def _fitting(transform: Float64, key: Float64) -> Float64:
        if len(transform) != key.shape[1]:
            raise InputError(
                f"The transform is for {len(transform)} coordinates, "
                f"but queries and keys have {key.shape[1]}."
            )
        return transform

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Normalization):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[object, ...]:
        shift = tuple(self.shift.tolist()) if isinstance(self.shift, np.ndarray) else self.shift
        matrix = None if self.transform is None else (self.transform + 0.0).tobytes()  # -0 is 0
        return (shift, self.scale, matrix, self.lifted)


def shift_vector(
    mode: ShiftMode, t: float, scale: float, query_mean: Float64, key_mean: Float64
) -> Float64:
    """Return the vector a, (d,), of a slider position.

    Parameters
    ----------
    mode
        ``constant``: a = t in every coordinate. ``centroid``: a = t (mean query - mean key).
        ``locked``: a = c² mean query - mean key, which keeps the centroids of q' and k' together
        at every c; `t` is ignored. ``balanced`` and ``lifted``: as ``centroid``; balanced vectors
        are transformed first (`transforms.transform_vectors`), so means and a are those of the
        transformed ones, and Mᵀa is the shift of the raw keys.
    t
        Position in raw units.
    scale
        The scale c; matters to ``locked`` alone.
    query_mean, key_mean : (d,)

    Raises
    ------
    InputError
        When there is no such mode.
    """
    base, direction = shift_line(mode, query_mean, key_mean)
    return base + line_position(mode, t, scale) * direction


def shift_line(mode: ShiftMode, query_mean: Float64, key_mean: Float64) -> tuple[Float64, Float64]:
    """Return the line a = base + s direction that a mode moves along: base (d,), direction (d,).

    The position s is t, and c² in mode ``locked``. For ``balanced`` the line and the means are
    those of the balanced vectors, see `shift_vector`.

    Raises
    ------
    InputError
        When there is no such mode.
    """
    if mode == "constant":
        return np.zeros(key_mean.shape), np.ones(key_mean.shape)
    if mode in CENTROID_MODES:
        return np.zeros(key_mean.shape), query_mean - key_mean
    if mode == "locked":
        return -key_mean, query_mean
    raise InputError(f"There is no shift mode “{mode}”; there are {', '.join(SHIFT_MODES)}.")


def line_position(mode: ShiftMode, t: Number, scale: Number) -> Number:
    """Return the position s on the line of `shift_line`."""
    return scale**2 if mode == "locked" else t


def shift_range(mode: ShiftMode, key: npt.ArrayLike) -> tuple[float, float]:
    """Return the lowest and highest t of a slider, in raw units.

    ``constant``: -r to r with r the mean absolute coordinate of the keys (T_k, d); 1 where that
    is 0, so that the slider is never without length. ``centroid``, ``balanced`` and ``lifted``:
    0 to 1, where 1 brings the centroids together. ``locked``: the range of c.

    Raises
    ------
    InputError
        When there is no such mode, or the keys are not finite.
    """
    if mode in CENTROID_MODES:
        return 0.0, 1.0
    if mode == "locked":
        return SCALE_RANGE
    if mode != "constant":
        raise InputError(f"There is no shift mode “{mode}”; there are {', '.join(SHIFT_MODES)}.")
    keys = as_float64(key, "The keys")
    reach = float(np.abs(keys).mean()) if keys.size else 0.0
    if not math.isfinite(reach):
        raise InputError("The keys hold NaN or infinity, so the shift has no range.")
    reach = reach or 1.0
    return -reach, reach


def scale_range(factor: float = 1.0) -> tuple[float, float]:
    """Return the lowest and highest c: those of `SCALE_RANGE`, so many times further from 1.

    Never beyond `WIDEST_SCALES`.

    Raises
    ------
    InputError
        When the factor is not a finite number of at least 1.
    """
    if checked_factor(factor) < 1:
        raise InputError(f"The range of c can only be widened: by a factor from 1, not {factor!r}.")
    low, high = SCALE_RANGE
    return max(low / factor, WIDEST_SCALES[0]), min(high * factor, WIDEST_SCALES[1])


def checked_factor(factor: float) -> float:
    """Return how many times a range is widened; InputError where that is no number above 0."""
    if not (math.isfinite(factor) and factor > 0):
        raise InputError(f"The range's factor must be above 0, not {factor!r}.")
    return factor


def checked_scale(scale: float) -> float:
    """Return the scale c as a float.

    Raises
    ------
    InputError
        When it is not a finite number above 0.
    """
    array = as_float64(scale, "The scale")
    if array.ndim or not np.isfinite(array) or array <= 0:
        raise InputError(f"The scale must be one finite number above 0, not {scale!r}.")
    return float(array)


def _checked_shift(shift: float | str | Float64) -> float | str | Float64:
    if isinstance(shift, str):
        if shift != "centroid":
            raise InputError(
                f"The shift must be a number, “centroid” or a vector of head_dim, not “{shift}”."
            )
        return shift
    array = as_float64(shift, "The shift")
    if array.ndim > 1:
        raise InputError(f"The shift must be one vector (head_dim,), not {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError("The shift must be finite: it holds NaN or infinity.")
    if array.ndim == 0:
        return float(array)
    array = array.copy()
    array.setflags(write=False)
    return array
