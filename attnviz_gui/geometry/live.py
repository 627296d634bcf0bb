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
from attnviz_gui.geometry.normalization import Normalization, checked_scale, shift_vector
from attnviz_gui.geometry.pearson import Sums, no_pairs, pearson
from attnviz_gui.geometry.projection import JointPlane, Projection
from attnviz_gui.geometry.transforms import balancing, transform_vectors
from attnviz_gui.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from attnviz_gui.geometry.normalization import ShiftMode

    Float64 = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.intp]

__all__ = ["Frame", "LiveHead", "strongest_keys", "strongest_pairs", "top_entries"]

# Numbers in a block of rows: what stays in a core's cache from one pass over it to the next.
BLOCK = 1 << 16
# What a float32 resolves, as a share: nearer than that is a tie.
TIE = 2.0**-23


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
        self.transform: Float64 | None = None  # from the head's own vectors to these
        self._other: LiveHead | None = None  # in the basis of another head's frame

    def at(
        self, mode: ShiftMode, t: float, scale: float, *, near: Projection | None = None
    ) -> Frame:
        """Return one position of the sliders in any mode.

        Cost: O(T d) for the vectors; the rest when it is asked for. The first frame in mode
        ``balanced`` also takes O(T d² + d³) for its transform.

        Parameters
        ----------
        mode, t, scale
            As `shift_vector` takes them. ``balanced`` shifts the transformed vectors,
            ``lifted`` appends a coordinate after the shift.
        near
            The earlier picture that the plane is turned to, see `project`.

        Raises
        ------
        InputError
            When there is no such mode, or the scale is not above 0.
        """
        if mode == "balanced":
            basis = self.balanced
            inner = shift_vector(mode, t, scale, basis.query_mean, basis.key_mean)
            return self._in_basis(basis, inner, checked_scale(scale), near)
        shift = shift_vector(mode, t, scale, self.query_mean, self.key_mean)
        return self.frame(shift, scale, near=near, lifted=mode == "lifted")

    def like(self, frame: Frame) -> Frame:
        """Return the same a, c, transform and lift for this head's tokens.

        The lift takes its R from these keys.
        """
        if frame.basis is None or frame.basis.transform is None:
            return self.frame(frame.shift, frame.scale, lifted=frame.lifted)
        return self._in_basis(
            self._in_coordinates(frame.basis.transform), frame.inner_shift, frame.scale, None
        )

    def placed(
        self, shift: Float64, scale: float, *, transform: Float64 | None = None,
        height: Float64 | None = None, near: Projection | None = None,
    ) -> Frame:  # fmt: skip
        """Return a frame whose a, c, M and R follow from other tokens than these, of many texts.

        Parameters
        ----------
        shift : (d,)
            The vector a, in the coordinates of the transform.
        transform : (d, d) or None
            M; always the same array while it is the same transform.
        height : (T_k,) or None
            What the lift appends to these keys' k + a; None where nothing is lifted.
        near
            As in `frame`.
        """
        if transform is not None:
            return self._in_basis(self._in_coordinates(transform), shift, scale, near)
        lifted = height is not None
        return Frame(self, shift, shift, scale, near, lifted=lifted, given_height=height)

    def _in_coordinates(self, transform: Float64) -> LiveHead:
        """Return the head in the coordinates of a transform; the last one is kept."""
        other = self._other  # a worker may come by at the same moment
        if other is None or other.transform is not transform:
            other = self._other = self._transformed(transform)
        return other

    def frame(
        self,
        shift: Float64,
        scale: float,
        *,
        near: Projection | None = None,
        lifted: bool = False,
    ) -> Frame:
        """Return the frame of a shift and a scale.

        Parameters
        ----------
        shift : (d,)
            The vector a.
        scale
            The scale c > 0.
        near
            The earlier picture that the plane is turned to, see `project`.
        lifted
            Append the coordinate that makes all keys equally long.

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
        return Frame(self, vector, vector, scale, near, lifted=lifted)

    def _in_basis(
        self, basis: LiveHead, inner: Float64, scale: float, near: Projection | None
    ) -> Frame:
        """Return a frame in a transformed basis, with the shift of its keys, (d,)."""
        assert basis.transform is not None
        return Frame(self, basis.transform.T @ inner, inner, scale, near, basis)

    def _transformed(self, transform: Float64) -> LiveHead:
        query, key = transform_vectors(self.query, self.key, transform)
        basis = LiveHead(query, key, self.attention, self.mask, self.scaling)
        basis.transform = transform
        return basis

    @lazy
    def balanced(self) -> LiveHead:
        """The same head in the coordinates of `transforms.balancing`."""
        return self._transformed(balancing(self.query, self.key))

    @lazy
    def rows(self) -> Float64:
        """Of each query's allowed products q.κ: count, mean, squares about it, (3, T_q).

        κ is the key about the keys' mean. A shift adds the same to all of a query's products, so
        the squares hold for every shift. Cost: O(T² d) once, in blocks.
        """
        rows = np.zeros((3, len(self.query)))
        if not rows.size or not len(self.key):
            return rows
        centred = self.key - self.key_mean
        for some in _row_blocks(self.mask):
            products = self.query[some] @ centred.T
            allowed = self.mask[some]
            count = allowed.sum(axis=1)
            mean = np.einsum("qk,qk->q", products, allowed) / np.maximum(count, 1)
            products -= mean[:, None]
            products *= allowed
            rows[:, some] = count, mean, np.einsum("qk,qk->q", products, products)
        return rows

    @lazy
    def directions(self) -> tuple[Float64, Float64]:
        """Unit queries about their mean, (T_q, d), and 1 / |q|, (T_q,), 0 for a zero query."""
        weight = np.nan_to_num(_inverse_norm(self.query), nan=0.0)
        unit = self.query * weight[:, None]
        some = weight > 0
        if some.any():
            unit[some] -= unit[some].mean(axis=0)
        return unit, weight

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
        The vector a that is added to the head's own keys.
    inner_shift : (d,)
        The same in the coordinates of `basis`.
    scale : float
    near : Projection or None
        What the plane was turned to.
    basis : LiveHead or None
        The head in the coordinates that are drawn, where a transform leads to them.
    lifted : bool
        Keys have one more coordinate, which makes them equally long.
    given_height : (T_k,) or None
        That coordinate before it is divided by c, where other keys than these have set R.
    """

    live: LiveHead
    shift: Float64
    inner_shift: Float64
    scale: float
    near: Projection | None = None
    basis: LiveHead | None = None
    lifted: bool = False
    given_height: Float64 | None = None

    @property
    def normalization(self) -> Normalization:
        """The frame's a, c, transform and lift, for any other vectors."""
        transform = None if self.basis is None else self.basis.transform
        return Normalization(self.shift, self.scale, transform, self.lifted)

    @property
    def unmoved(self) -> bool:
        """True where the vectors are as the model has them."""
        plain = self.basis is None and not self.lifted
        return plain and self.scale == 1 and not self.shift.any()

    @property
    def _head(self) -> LiveHead:
        """The head in the coordinates that are drawn."""
        return self.live if self.basis is None else self.basis

    @lazy
    def query(self) -> Float64:
        """Normalised queries c M q, (T_q, d), or (T_q, d + 1) where lifted."""
        query = self.scale * self._head.query
        return _with_column(query, np.zeros(len(query))) if self.lifted else query

    @lazy
    def key(self) -> Float64:
        """Normalised keys M⁻ᵀ(k + a) / c, (T_k, d), or (T_k, d + 1) where lifted."""
        key = (self._head.key + self.inner_shift) / self.scale
        return _with_column(key, self.height / self.scale) if self.lifted else key

    @property
    def size(self) -> float:
        """What no term of a coordinate of q' and k' exceeds: their rounding goes by it."""
        return self._head.plane.size(self.inner_shift, self.scale)

    @lazy
    def height(self) -> Float64:
        """The lifted keys' last coordinate before it is divided by c, (T_k,)."""
        if self.given_height is not None:
            return self.given_height
        return self._head.plane.height(self.inner_shift)

    @lazy
    def projection(self) -> Projection:
        """The joint plane of the normalised vectors."""
        height = self.height if self.lifted else None
        return self._head.plane.at(self.inner_shift, self.scale, near=self.near, height=height)

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
        outcome = pearson(
            self._sums_lifted() if self.lifted else self._head.pairs.at(self.inner_shift)
        )
        return -float(outcome.value[0]), outcome.reason[0]

    def _sums_lifted(self) -> Sums:
        """Return the sums of pairs where all keys have the length R, by queries alone: O(T d).

        The cosine of a pair is then its product over |q| R, so that squares and mean products of
        each query's row give all three sums. c plays no part. x_i below is a row's mean product,
        z_i its mean cosine, both but for a constant that is the same for all queries.
        """
        live = self._head
        unit, weight = live.directions
        centre = live.key_mean + self.inner_shift
        counted = (weight > 0) & (live.rows[0] > 0)
        count, mean, squares = live.rows[:, counted]
        if not len(count) or not len(self.height):
            return no_pairs(1)
        lowest = int(self.height.argmin())  # 0, where R is that of these keys
        own = float(np.linalg.norm(live.key[lowest] + self.inner_shift))
        longest = float(np.hypot(own, self.height[lowest]))
        if not longest:
            return no_pairs(1)
        total = count.sum()
        weight = weight[counted] / longest
        x = mean + (live.query - live.query_mean)[counted] @ centre
        z = mean * weight + unit[counted] @ (centre / longest)
        x, z = x - count @ x / total, z - count @ z / total
        size = 1 / float(weight.min())  # max |q| R, which no product exceeds
        table = [total, 0.0, 0.0]
        table += [squares.sum() + count @ x**2, squares @ weight + count @ (x * z)]
        table += [squares @ weight**2 + count @ z**2, size]
        return Sums(np.array(table)[:, None])

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

    @lazy
    def rank_disagreements(self) -> int:
        """How many queries do not rank their allowed keys alike by product and by distance.

        A query is counted where one key has the larger product q'.k' than another and yet lies
        further off, by |q' - k'|. Both differences must exceed the resolution of float32, in which
        models hand over their vectors: 2⁻²³ |q'| max |k'| in the product and in half the squared
        distance; what is nearer is a tie. Where lifted, all keys are equally long, the cosine
        distance ranks as this one does, and the number is 0. A bias of the model's is no function
        of q' and k' and is left out; scaling and softcap do not change an order.

        Cost: O(T² (d + log T)), in blocks of queries.
        """
        query, key = self.query, self.key
        if not len(query) or not len(key):
            return 0
        half = 0.5 * np.einsum("td,td->t", key, key)
        reach = np.sqrt(np.einsum("td,td->t", query, query)) * np.sqrt(2 * half.max())
        found = 0
        for rows in _row_blocks(self.live.mask):
            for dots, allowed, tie in zip(
                query[rows] @ key.T, self.live.mask[rows], TIE * reach[rows], strict=True
            ):
                found += _disagree(dots[allowed], (half - dots)[allowed], tie)
        return found

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


def _disagree(dots: Float64, distances: Float64, tie: float) -> bool:
    """Return whether some key has a larger product than another and yet the larger distance."""
    order = np.argsort(-dots)
    falling = -dots[order]  # rising
    farthest = np.maximum.accumulate(distances[order])
    # For each key the number of keys whose product is larger by more than a tie.
    above = np.searchsorted(falling, falling - tie, side="left")
    some = above > 0
    return bool((farthest[above[some] - 1] > distances[order][some] + tie).any())


def _with_column(vectors: Float64, column: Float64) -> Float64:
    return np.concatenate([vectors, column[:, None]], axis=1)


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
