"""One head made ready for a moving slider: everything that a frame draws, from one place.

`LiveHead` holds what does not depend on (a, c); `Frame` is one position of the sliders and
computes what it is asked for, once. All of it in float64: the figure that proves the attention
unchanged then shows the rounding of the recorded attention (float32), not of the proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_float64, as_vectors
from attnviz_gui.geometry.buffers import Buffers
from attnviz_gui.geometry.lines import strongest_keys, strongest_pairs, top_entries
from attnviz_gui.geometry.moments import PairMoments
from attnviz_gui.geometry.normalization import checked_scale
from attnviz_gui.geometry.pearson import pearson
from attnviz_gui.geometry.projection import JointPlane, Projection
from attnviz_gui.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.intp]

__all__ = ["Frame", "LiveHead", "strongest_keys", "strongest_pairs", "top_entries"]

# Numbers in a block of rows: what stays in a core's cache from one pass over it to the next.
BLOCK = 1 << 16


class LiveHead:
    """One head's visible tokens, from which frames are made.

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)
    attention : (T_q, T_k)
        The head's attention among these tokens; rows sum to less than 1 where keys are hidden.
    mask : (T_q, T_k) bool
    scaling : float
    bias : (T_q, T_k) or None
    softcap : float or None
        The scaled product x becomes softcap tanh(x / softcap) before the bias is added.
    """

    def __init__(
        self,
        query: npt.ArrayLike,
        key: npt.ArrayLike,
        attention: npt.NDArray[np.floating],
        mask: npt.NDArray[np.bool_],
        scaling: float,
        bias: npt.NDArray[np.floating] | None = None,
        softcap: float | None = None,
    ) -> None:
        self.query, self.key = as_vectors(query, key)
        self.attention = attention
        self.mask = mask
        self.scaling = scaling
        self.bias = bias
        self.softcap = softcap
        self.buffers = Buffers()
        self.query_mean: Float64 = self.query.mean(axis=0)
        self.key_mean: Float64 = self.key.mean(axis=0)

    def frame(self, shift: Float64, scale: float, *, near: Projection | None = None) -> Frame:
        """Return one position of the sliders.

        Parameters
        ----------
        shift : (d,)
            The vector a.
        scale
            The scale c > 0.
        near
            The earlier picture that the plane is turned to, see `project`.

        Raises
        ------
        InputError
            When the shift is not a vector of head_dim, or the scale is not above 0.
        """
        scale = checked_scale(scale)
        vector = as_float64(shift, "The shift").copy()  # the caller's may change; a frame never
        if vector.shape != self.key_mean.shape:
            raise InputError(
                f"The shift must have the shape {self.key_mean.shape}, not {vector.shape}."
            )
        return Frame(self, vector, scale, scale * self.query, (self.key + vector) / scale, near)

    @lazy
    def plane(self) -> JointPlane:
        """The moments that every frame's plane follows from."""
        return JointPlane(self.query, self.key)

    @lazy
    def pairs(self) -> PairMoments:
        """The moments that every frame's correlation follows from."""
        return PairMoments(self.query, self.key, self.mask)

    @lazy
    def all_allowed(self) -> bool:
        """True where the mask leaves nothing out."""
        return bool(self.mask.all())

    @lazy
    def added(self) -> npt.NDArray[np.floating] | None:
        """What the logits have beside the products: bias, minus infinity where masked; or None."""
        if self.all_allowed:
            return self.bias
        bias = np.float32(0) if self.bias is None else self.bias
        return np.where(self.mask, bias, np.float32(-np.inf))

    @lazy
    def share(self) -> Float64:
        """Share of each query's attention that falls on these keys, (T_q,); 1 if none is hidden."""
        share: Float64 = self.attention.sum(axis=1, dtype=np.float64)
        return share


@dataclass(frozen=True, eq=False)
class Frame:
    """One position of the sliders; all but the vectors is computed when first asked for.

    Attributes
    ----------
    live : LiveHead
    shift : (d,)
        The vector a.
    scale : float
    query : (T_q, d)
        Normalised queries c q.
    key : (T_k, d)
        Normalised keys (k + a) / c.
    near : Projection or None
        What the plane was turned to.
    """

    live: LiveHead
    shift: Float64
    scale: float
    query: Float64
    key: Float64
    near: Projection | None = None

    @lazy
    def projection(self) -> Projection:
        """The joint plane of the normalised vectors."""
        return self.live.plane.at(self.shift, self.scale, near=self.near)

    @property
    def correlation(self) -> float:
        """Pearson's r of dot product and cosine distance over allowed pairs; NaN if undefined."""
        return self._correlation[0]

    @property
    def why_undefined(self) -> str:
        """Why `correlation` is NaN; empty where it is not."""
        return self._correlation[1]

    @lazy
    def _correlation(self) -> tuple[float, str]:
        outcome = pearson(self.live.pairs.at(self.shift))
        return -float(outcome.value[0]), outcome.reason[0]

    @lazy
    def dots(self) -> Float64:
        """Dot products q'.k', (T_q, T_k)."""
        dots = self.live.buffers.take((len(self.query), len(self.key)))
        return np.matmul(self.query, self.key.T, out=dots)

    @lazy
    def distances(self) -> Float64:
        """Cosine distances, (T_q, T_k), 0 to 2.

        NaN for the pairs of a zero vector, which has no direction; `correlation` leaves them out.
        """
        distances = self.live.buffers.take(self.dots.shape)
        np.multiply(self.dots, -_inverse_norm(self.query)[:, None], out=distances)
        distances *= _inverse_norm(self.key)
        distances += 1
        return np.clip(distances, 0, 2, out=distances)

    @lazy
    def attention_difference(self) -> float:
        """Largest difference between the attention recomputed from q', k' and the head's own."""
        live, dots = self.live, self.dots
        if not dots.size:
            return 0.0
        worst = 0.0
        scratch = live.buffers.take((_rows_in_block(dots), dots.shape[1]))
        for rows in _row_blocks(dots):
            weights = np.multiply(dots[rows], live.scaling, out=scratch[: len(dots[rows])])
            if live.softcap is not None:
                weights /= live.softcap
                np.tanh(weights, out=weights)
                weights *= live.softcap
            if live.added is not None:
                weights += live.added[rows]
            top = weights.max(axis=1, keepdims=True)
            weights -= np.where(np.isfinite(top), top, 0)
            np.exp(weights, out=weights)
            total = weights.sum(axis=1)
            weights *= (live.share[rows] / np.where(total > 0, total, 1))[:, None]
            weights -= live.attention[rows]
            worst = np.maximum(worst, np.maximum(weights.max(), -weights.min()))
        return float(worst)

    def line_lengths(self, pairs: tuple[npt.ArrayLike, npt.ArrayLike]) -> Float64:
        """Return the distance in the drawn plane of each pair, (n,).

        Parameters
        ----------
        pairs
            Query indices (n,) and key indices (n,), as `strongest_pairs` and `top_entries` give.
        """
        queries, keys = (np.asarray(index, dtype=np.intp) for index in pairs)
        plane = self.projection
        ends = plane.query_xy[queries] - plane.key_xy[keys]
        lengths: Float64 = np.hypot(ends[:, 0], ends[:, 1])
        return lengths

    def mean_line_length(self, pairs: tuple[npt.ArrayLike, npt.ArrayLike]) -> float:
        """Return the mean of `line_lengths`; NaN without a pair."""
        lengths = self.line_lengths(pairs)
        return float(lengths.mean()) if lengths.size else float("nan")

    def relative_line_length(self, pairs: tuple[npt.ArrayLike, npt.ArrayLike]) -> float:
        """Return the mean line over the mean distance of all allowed pairs, which has no unit.

        1 says that lines are as long as any pair's; NaN without a pair, or where all points
        coincide.
        """
        reference = self.mean_pair_distance
        return self.mean_line_length(pairs) / reference if reference > 0 else float("nan")

    @lazy
    def mean_pair_distance(self) -> float:
        """Mean distance in the drawn plane over all allowed pairs; NaN where none is."""
        query_xy, key_xy = self.projection.query_xy, self.projection.key_xy
        mask = self.live.mask
        count = mask.size if self.live.all_allowed else int(np.count_nonzero(mask))
        if not count:
            return float("nan")
        total = 0.0
        shape = (_rows_in_block(mask), mask.shape[1])
        along_x, along_y = self.live.buffers.take(shape), self.live.buffers.take(shape)
        for rows in _row_blocks(mask):
            points = query_xy[rows]
            x, y = along_x[: len(points)], along_y[: len(points)]
            np.subtract.outer(points[:, 0], key_xy[:, 0], out=x)
            np.subtract.outer(points[:, 1], key_xy[:, 1], out=y)
            x *= x
            y *= y
            x += y
            np.sqrt(x, out=x)
            if not self.live.all_allowed:
                x *= mask[rows]
            total += float(x.sum())
        return total / count


def _inverse_norm(vectors: Float64) -> Float64:
    """Return 1 / length of each row, (n,); NaN for a zero vector."""
    norm = np.sqrt(np.einsum("td,td->t", vectors, vectors))
    inverse: Float64 = np.divide(1, norm, out=np.full(norm.shape, np.nan), where=norm > 0)
    return inverse


def _rows_in_block(matrix: npt.NDArray[np.generic]) -> int:
    """Return how many rows hold about `BLOCK` numbers, at least one."""
    n_rows, n_columns = len(matrix), matrix.shape[1]
    rows: int = min(max(1, BLOCK // max(n_columns, 1)), n_rows)
    return rows


def _row_blocks(matrix: npt.NDArray[np.generic]) -> Iterator[slice]:
    """Yield slices of rows that hold about `BLOCK` numbers each."""
    rows = max(_rows_in_block(matrix), 1)
    for start in range(0, matrix.shape[0], rows):
        yield slice(start, start + rows)
