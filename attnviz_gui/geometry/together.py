"""One head on many texts at once, made ready for a moving slider.

`LiveTexts` holds what does not depend on (a, c), `TextsFrame` is one position of the sliders; the
mean vectors that the shift modes use are those over all texts. Pairs are those within each text.
No array has a row per token and a column per token, of all texts or of one: pairs are gone through
in blocks.

The plane is that of `projection`. Positions come from centred float32 vectors, a hundredth of a
pixel from the exact ones at most, in a quarter of the time that float64 takes. What a shift adds
to products and lengths is taken once for a line of shifts. Correlations are of the closed form, in
float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_vectors, in_range
from attnviz_gui.geometry.masks import TextPairs
from attnviz_gui.geometry.moments import PairMoments
from attnviz_gui.geometry.normalization import checked_scale, line_position, shift_line
from attnviz_gui.geometry.pearson import Sums, no_pairs, pearson
from attnviz_gui.geometry.projection import ROUNDING, Projection, _first_two, _nearest_turn
from attnviz_gui.geometry.sample import PairSample, sample_pairs
from attnviz_gui.geometry.transforms import balancing, transform_vectors
from attnviz_gui.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.live import Frame, LiveHead
    from attnviz_gui.geometry.normalization import ShiftMode

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    BoolArray = npt.NDArray[np.bool_]
    IndexArray = npt.NDArray[np.intp]

# |k + a|² below this share of its terms is taken anew from the vectors: float32 would have lost it.
CANCELLED = 1e-3
BLOCK = 1 << 19  # pairs at once where all of them are gone through


class LiveTexts:
    """One head's visible tokens of all texts, from which frames are made.

    Parameters
    ----------
    query, key : (N_q, d), (N_k, d)
        Of all texts, one after the other.
    query_start, key_start : (n_texts + 1,) int
        Where each text begins, and where the last one ends.
    masks
        For each text its allowed pairs (T_q, T_k) bool; None for all.

    Raises
    ------
    InputError
        When the vectors are not queries and keys of one head, or hold NaN or infinity.
    """

    def __init__(
        self, query: npt.ArrayLike, key: npt.ArrayLike, query_start: npt.ArrayLike,
        key_start: npt.ArrayLike, masks: Sequence[BoolArray | None],
    ) -> None:  # fmt: skip
        self.query, self.key = as_vectors(query, key)
        if not in_range(self.query, self.key):
            raise InputError(
                "The queries or keys hold NaN or infinity (or numbers beyond 1e60), "
                "so they have no plane."
            )
        self.query_start = np.asarray(query_start, dtype=np.intp)
        self.key_start = np.asarray(key_start, dtype=np.intp)
        self.masks = tuple(None if mask is None or mask.all() else mask for mask in masks)
        self.query_mean: Float64 = self.query.mean(axis=0)
        self.key_mean: Float64 = self.key.mean(axis=0)
        centred_query, centred_key = self.query - self.query_mean, self.key - self.key_mean
        self.query_scatter: Float64 = centred_query.T @ centred_query
        self.key_scatter: Float64 = centred_key.T @ centred_key
        self.key_square: Float64 = np.einsum("td,td->t", centred_key, centred_key)
        # Coordinates as rows: the product with a few axes then has each of them in one piece.
        self.query_rows: Float32 = np.ascontiguousarray(centred_query.T, dtype=np.float32)
        self.key_rows: Float32 = np.ascontiguousarray(centred_key.T, dtype=np.float32)
        norm = np.sqrt(np.einsum("td,td->t", self.query, self.query))
        self.query_norm: Float64 = norm
        self.query_weight = _inverse(norm)
        self.transform: Float64 | None = None  # from the head's own vectors to these
        self._line: tuple[tuple[bytes, bytes], Float64, Float64] | None = None

    @property
    def n_texts(self) -> int:
        """How many texts there are."""
        return len(self.masks)

    @lazy
    def n_pairs(self) -> int:
        """The pairs that the masks allow, of all texts."""
        sizes = np.diff(self.query_start) * np.diff(self.key_start)
        return int(
            sum(
                int(size) if mask is None else int(np.count_nonzero(mask))
                for size, mask in zip(sizes, self.masks, strict=True)
            )
        )

    def queries(self, text: int) -> slice:
        """Return where a text's queries stand."""
        return slice(int(self.query_start[text]), int(self.query_start[text + 1]))

    def keys(self, text: int) -> slice:
        """Return where a text's keys stand."""
        return slice(int(self.key_start[text]), int(self.key_start[text + 1]))

    def row_blocks(self, text: int) -> Iterator[slice]:
        """Yield slices of a text's queries, counted in the text, that hold `BLOCK` pairs each."""
        queries, keys = self.queries(text), self.keys(text)
        n = queries.stop - queries.start
        rows = max(BLOCK // max(keys.stop - keys.start, 1), 1)
        for start in range(0, n, rows):
            yield slice(start, min(start + rows, n))

    def at(
        self, mode: ShiftMode, t: float, scale: float, *, near: Projection | None = None
    ) -> TextsFrame:
        """Return one position of the sliders.

        Parameters
        ----------
        mode, t, scale
            As `shift_vector` takes them, with the means over all texts.
        near
            The earlier picture that the plane is turned to, see `project`.
        """
        live = self.balanced if mode == "balanced" else self
        line = *shift_line(mode, live.query_mean, live.key_mean), line_position(mode, t, scale)
        shift = line[0] + line[2] * line[1]
        return TextsFrame(live, shift, checked_scale(scale), near, mode == "lifted", line)

    @lazy
    def balanced(self) -> LiveTexts:
        """The same in balanced coordinates, M and means those of all texts; see `transforms`."""
        transform = balancing(self.query, self.key)
        vectors = transform_vectors(self.query, self.key, transform)
        balanced = LiveTexts(*vectors, self.query_start, self.key_start, self.masks)
        balanced.transform = transform
        return balanced

    def ready(self, mode: ShiftMode) -> bool:
        """Return whether a mode's frames need nothing more that takes a second."""
        if mode == "balanced":
            return "balanced" in self.__dict__ and "pairs" in self.balanced.__dict__
        return mode != "lifted" or "rows" in self.__dict__

    def prepare(self, mode: ShiftMode) -> None:
        """Compute what a mode's frames need, see `ready`."""
        if mode == "balanced":
            _ = self.balanced.pairs
        elif mode == "lifted":
            _ = self.rows

    def sample(self, most: int) -> PairSample:
        """Return at most `most` of the allowed pairs, drawn at random, the same ones each time."""
        return sample_pairs(
            self.query, self.key, self.masks, most,
            self.query_start.tolist(), self.key_start.tolist(),
        )  # fmt: skip

    @lazy
    def pairs(self) -> PairMoments:
        """The moments that every frame's correlation follows from."""
        return PairMoments(self.query, self.key, self.allowed)

    @lazy
    def allowed(self) -> TextPairs:
        """The pairs that the masks allow; none joins two texts."""
        return TextPairs(
            [(self.queries(t), self.keys(t), mask) for t, mask in enumerate(self.masks)]
        )

    def on_line(self, base: Float64, direction: Float64) -> tuple[Float64, Float64]:
        """Return what a line of shifts needs of the vectors; that of the last line is kept.

        Returns
        -------
        query : (2, N_q)
            q.base and q.direction.
        key : (2, N_k)
            κ.(mean(k) + base) and κ.direction, with κ the key about the keys' mean.
        """
        line = base.tobytes(), direction.tobytes()
        kept = self._line
        if kept is None or kept[0] != line:
            of_key = np.stack([self.key_mean + base, direction])
            moved = of_key @ self.key.T - (of_key @ self.key_mean)[:, None]
            kept = self._line = line, np.stack([base, direction]) @ self.query.T, moved
        return kept[1], kept[2]

    @lazy
    def rows(self) -> Float64:
        """Of each query's allowed products q.k: their number, mean and squares about it, (3, N_q).

        A shift adds the same to all of a query's products, so the squares hold for each.
        """
        rows = np.zeros((3, len(self.query)))
        for text, part in ((t, part) for t in range(self.n_texts) for part in self.row_blocks(t)):
            start, mask = self.queries(text).start, self.masks[text]
            queries = slice(start + part.start, start + part.stop)
            products = self.query[queries] @ self.key[self.keys(text)].T
            allowed = np.ones(products.shape, dtype=bool) if mask is None else mask[part]
            count = allowed.sum(axis=1)
            mean = np.where(allowed, products, 0).sum(axis=1) / np.maximum(count, 1)
            products -= mean[:, None]
            products *= allowed
            rows[:, queries] = count, mean, np.einsum("qk,qk->q", products, products)
        return rows


@dataclass(frozen=True, eq=False)
class TextsFrame:
    """One position of the sliders for all texts; everything is computed when first asked for.

    Attributes
    ----------
    live : LiveTexts
    shift : (d,)
        The vector a.
    scale : float
        The scale c.
    near : Projection or None
        What the plane was turned to.
    lifted : bool
        Keys have one more coordinate, which makes them equally long; see `transforms.lift`.
    line : base (d,), direction (d,), position
        The line of shifts that the slider moves along, and where it stands.
    """

    live: LiveTexts
    shift: Float64
    scale: float
    near: Projection | None
    lifted: bool
    line: tuple[Float64, Float64, float]

    # -- the plane ---------------------------------------------------------------------------

    @lazy
    def projection(self) -> Projection:
        """The joint plane of all texts."""
        live, c = self.live, self.scale
        n_q, n_k = len(live.query), len(live.key)
        n = max(n_q + n_k, 1)
        moved = live.key_mean + self.shift
        gap = c * live.query_mean - moved / c
        scatter = c**2 * live.query_scatter + live.key_scatter / c**2
        lift = None
        if self.lifted:
            height = self._height / c
            gap, lift = np.append(gap, -height.mean()), height - height.mean()
            along = live.key_rows @ lift.astype(np.float32) / c
            scatter = np.block([[scatter, along[:, None]], [along, lift @ lift]])
        scatter += (n_q * n_k / n) * np.outer(gap, gap)
        total = float(np.trace(scatter))
        size = c * float(np.sqrt(live.query_norm @ live.query_norm / max(n_q, 1)))
        size += float(np.sqrt(live.key_square.mean() + moved @ moved)) / c
        spread, axes = np.zeros(2), np.eye(len(gap), 2)
        if total > n * len(gap) * (ROUNDING * size) ** 2:
            spread, axes = _first_two(scatter)
            spread = spread / total
        drawn = axes[: len(moved)] * bool(spread.any())
        query_xy = ((drawn * c).astype(np.float32).T @ live.query_rows).astype(np.float64)
        key_xy = ((drawn / c).astype(np.float32).T @ live.key_rows).astype(np.float64)  # (2, N_k)
        if lift is not None:
            key_xy += np.outer(axes[-1], lift)
        if spread.any():
            origin = gap @ axes / n
            query_xy += n_k * origin[:, None]
            key_xy -= n_q * origin[:, None]
        if self.near is not None:
            turn = _nearest_turn(query_xy.T, key_xy.T, self.near)
            query_xy, key_xy = turn.T @ query_xy, turn.T @ key_xy
            axes, spread = axes @ turn, spread @ turn**2
        return Projection(query_xy.T, key_xy.T, spread, axes)

    @property
    def vectors(self) -> tuple[Float64, Float64]:
        """Normalised queries (N_q, d) and keys (N_k, d), d + 1 where lifted; as `Frame`'s."""
        query, key = self.scale * self.live.query, (self.live.key + self.shift) / self.scale
        if self.lifted:
            query = np.column_stack([query, np.zeros(len(query))])
            key = np.column_stack([key, self._height / self.scale])
        return query, key

    # -- pairs -------------------------------------------------------------------------------

    @lazy
    def query_part(self) -> Float32:
        """q.a of each query, (N_q,): what the shift adds to its products."""
        base, direction, position = self.line
        along = self.live.on_line(base, direction)[0]
        part: Float32 = (along[0] + position * along[1]).astype(np.float32)
        return part

    @lazy
    def _key_square(self) -> Float64:
        """|k + a|² of each key, (N_k,)."""
        live = self.live
        moved = live.key_mean + self.shift
        terms = live.key_square + float(moved @ moved)
        base, direction, position = self.line
        along = live.on_line(base, direction)[1]
        square: Float64 = terms + 2 * (along[0] + position * along[1])
        close = np.flatnonzero(square <= CANCELLED * terms)
        if close.size:
            exact = live.key[close] + self.shift
            square[close] = np.einsum("td,td->t", exact, exact)
        return square

    @lazy
    def _height(self) -> Float64:
        """What the lift appends to k + a, (N_k,)."""
        height: Float64 = np.sqrt(self._key_square.max() - self._key_square)
        return height

    @lazy
    def key_weight(self) -> Float64:
        """1 / length of k + a, lifted where it is, (N_k,); NaN where that is zero."""
        square = self._key_square
        if self.lifted:
            square = np.full(square.shape, square.max())
        return _inverse(np.sqrt(square))

    def points(self, sample: PairSample) -> tuple[Float32, Float32]:
        """Return cosine distance and dot product of a sample's pairs, (n,) each.

        The distance is NaN for pairs of a vector of zeros, which has no direction.
        """
        dots = self.query_part.take(sample.query)
        dots += sample.product
        distances = dots * self.live.query_weight.astype(np.float32).take(sample.query)
        distances *= self.key_weight.astype(np.float32).take(sample.key)
        np.subtract(1, distances, out=distances)
        return np.clip(distances, 0, 2, out=distances), dots

    def block(self, text: int, rows: slice = slice(None)) -> tuple[Float32, Float32]:
        """Return cosine distances and dot products of one text's pairs, (T_q, T_k) each.

        As `points`: NaN where there is no direction. What the mask forbids is in it too.
        `rows`: of some of the text's queries alone.
        """
        live = self.live
        whole, keys = live.queries(text), live.keys(text)
        first, last, _ = rows.indices(whole.stop - whole.start)
        queries = slice(whole.start + first, whole.start + last)
        dots = live.query[queries].astype(np.float32) @ live.key[keys].astype(np.float32).T
        dots += self.query_part[queries, None]
        distances = dots * live.query_weight[queries, None].astype(np.float32)
        distances *= self.key_weight[keys].astype(np.float32)
        np.subtract(1, distances, out=distances)
        return np.clip(distances, 0, 2, out=distances), dots

    def values(self, query: IndexArray, key: IndexArray) -> tuple[Float64, Float64]:
        """Return cosine distance and dot product of a few pairs, (n,) each, in float64."""
        q, k = self.live.query[query], self.live.key[key] + self.shift
        dots: Float64 = np.einsum("nd,nd->n", q, k)
        length = np.sqrt(np.einsum("nd,nd->n", k, k))
        weight = self.key_weight[key] if self.lifted else _inverse(length)
        distances: Float64 = np.clip(1 - dots * self.live.query_weight[query] * weight, 0, 2)
        return distances, dots

    @lazy
    def sums(self) -> Sums:
        """What Pearson's r of dot product and cosine needs, over the allowed pairs of all texts."""
        if self.lifted:
            return self._sums_of_rows()
        base, direction, position = self.line
        return self.live.pairs.along(base, direction, np.array([position]))

    def _sums_of_rows(self) -> Sums:
        """`sums` where all keys are equally long, R: the cosine is the product over |q| R."""
        live = self.live
        counted = np.isfinite(live.query_weight) & (live.rows[0] > 0)
        count, mean, squares = live.rows[:, counted]
        longest = float(np.sqrt(self._key_square.max()))
        total = count.sum()
        if not total or not longest:
            return no_pairs(1)
        weight = live.query_weight[counted] / longest
        mean_x = mean + live.query[counted] @ self.shift
        mean_z = mean_x * weight
        x, z = count @ mean_x / total, count @ mean_z / total
        apart_x, apart_z = mean_x - x, mean_z - z
        xx = squares.sum() + count @ apart_x**2
        xz = squares @ weight + count @ (apart_x * apart_z)
        zz = squares @ weight**2 + count @ apart_z**2
        size = float(live.query_norm.max()) * longest
        return Sums(np.array([[total], [x], [z], [xx], [xz], [zz], [size]]))

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
        outcome = pearson(self.sums)
        return -float(outcome.value[0]), outcome.reason[0]

    def text(self, text: int) -> TextPart:
        """Return one text's part of the frame."""
        return TextPart(self, text)

    def alone(self, text: int, live: LiveHead, *, near: Projection | None = None) -> Frame:
        """Return one text in a plane of its own, under this a, c, transform and R.

        Parameters
        ----------
        live
            The same visible tokens of that text.
        near
            What its plane is turned to.
        """
        height = self._height[self.live.keys(text)] if self.lifted else None
        return live.placed(
            self.shift, self.scale, transform=self.live.transform, height=height, near=near
        )


@dataclass(frozen=True, eq=False)
class TextPart:
    """One text's part of a frame of many: the same plane, the same a and c.

    Attributes
    ----------
    whole : TextsFrame
    text : int
    """

    whole: TextsFrame
    text: int

    @property
    def shift(self) -> Float64:
        """The vector a, (d,)."""
        return self.whole.shift

    @property
    def scale(self) -> float:
        """The scale c."""
        return self.whole.scale

    @property
    def correlation(self) -> float:
        """That of all texts."""
        return self.whole.correlation

    @lazy
    def projection(self) -> Projection:
        """The text's queries and keys in the plane of all texts."""
        live, plane = self.whole.live, self.whole.projection
        return Projection(
            plane.query_xy[live.queries(self.text)].astype(np.float64),
            plane.key_xy[live.keys(self.text)].astype(np.float64),
            plane.explained,
            plane.axes,
        )

    def line_lengths(self, pairs: tuple[npt.ArrayLike, npt.ArrayLike]) -> Float64:
        """Return the distance in the plane of each pair of the text, (n,); see `Frame`."""
        queries, keys = (np.asarray(index, dtype=np.intp) for index in pairs)
        ends = self.projection.query_xy[queries] - self.projection.key_xy[keys]
        lengths: Float64 = np.hypot(ends[:, 0], ends[:, 1])
        return lengths

    def mean_line_length(self, pairs: tuple[npt.ArrayLike, npt.ArrayLike]) -> float:
        """Return the mean of `line_lengths`; NaN without a pair."""
        lengths = self.line_lengths(pairs)
        return float(lengths.mean()) if lengths.size else float("nan")

    def values(self, query: npt.ArrayLike, key: npt.ArrayLike) -> tuple[Float64, Float64]:
        """Return cosine distance and dot product of pairs of the text, (n,) each."""
        live = self.whole.live
        return self.whole.values(
            np.asarray(query, dtype=np.intp) + live.query_start[self.text],
            np.asarray(key, dtype=np.intp) + live.key_start[self.text],
        )


def _inverse(norm: Float64) -> Float64:
    inverse: Float64 = np.divide(1, norm, out=np.full(norm.shape, np.nan), where=norm > 0)
    return inverse
