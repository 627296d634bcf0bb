"""Many heads as small multiples: which, in what order, and what each cell shows, as arrays.

Draws nothing and knows no Qt: a cell is computed here, apart from any window, and drawn by whoever
has a painter. A head's attention is computed, made small and dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.geometry.sample import sample_pairs
from attnviz_gui.session.corpus import corpus_of, under
from attnviz_gui.session.picture import make_picture
from attnviz_gui.session.words import BEFORE_ROTARY, normalisation_in_words, number

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.session.document import Sliders
    from attnviz_gui.session.picture import Picture

    Float64 = npt.NDArray[np.float64]
    Uint8 = npt.NDArray[np.uint8]

Place = tuple[int, int]  # layer, head
Kind = Literal["heatmap", "embedding", "scatter"]
KINDS: dict[Kind, str] = {"heatmap": "attention", "embedding": "plane", "scatter": "scatter"}

SHADES = 255  # places among the colours
MASKED = SHADES  # beyond the last of them: no query may attend to the key
PAIRS = 20_000  # pairs of a cell's scatter that are drawn one by one
STRONGEST = 400  # lines of a cell's plane


@dataclass(frozen=True, eq=False)
class Half:
    """One side of a cell: before or after.

    Attributes
    ----------
    points : tuple of (n, 2)
        A plane's queries and keys; a scatter's pairs (cosine distance, dot product) and nothing.
    """

    points: tuple[Float64, Float64]


@dataclass(frozen=True, eq=False)
class Cell:
    """What a page shows of one head.

    Attributes
    ----------
    place : (layer, head)
    title, numbers : str
        ``L3 H7``, and the figure that matters.
    shades : (rows, columns) uint8 or None
        A heatmap's places among the colours, 0 to `SHADES` - 1, or `MASKED`; made as small as it
        is drawn.
    before, after : Half or None
    lines : (n, 2) int
        Query and most attended key, of a plane.
    fault : str
        Why there is nothing to draw; empty where there is.
    """

    place: Place
    title: str
    numbers: str = ""
    shades: Uint8 | None = None
    before: Half | None = None
    after: Half | None = None
    lines: npt.NDArray[np.intp] | None = None
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Which heads of a capture are shown, and how: of one text, one kind.

    Attributes
    ----------
    places
        The heads, in the order of the page.
    sliders
        Where heads without an entry in `own` stand.
    own
        Where each head stands that has a fit of its own.
    together
        A shift that follows means takes those of all texts.
    logarithmic
        The heatmap's colours.
    side : int
        Most pixels to a side of a cell's heatmap.
    """

    capture: Capture
    text: int
    places: Sequence[Place]
    kind: Kind
    sliders: Sliders
    own: Mapping[Place, Sliders]
    show_special: bool = True
    rotary: bool = True
    together: bool = False
    logarithmic: bool = False
    side: int = 300

    def __call__(
        self, progress: Callable[[int, int, str], object], cancel: threading.Event
    ) -> list[Cell]:
        """Return all cells.

        Raises
        ------
        Cancelled
            When `cancel` is set.
        """
        cells = []
        for n, place in enumerate(self.places):
            if cancel.is_set():
                raise Cancelled("cancelled")
            progress(n, len(self.places), f"Drawing L{place[0]} H{place[1]}")
            cells.append(self.cell(place))
        return cells

    def cell(self, place: Place) -> Cell:
        """Return one head's cell."""
        picture = self._picture(place)
        title = f"L{place[0]} H{place[1]}"
        try:
            return self._heatmap(picture, title) if self.kind == "heatmap" else self._pair(
                picture, place, title)  # fmt: skip
        except InputError as error:
            return Cell(place, title, fault=str(error))

    def levels(self) -> tuple[float, float]:
        """Return attention at the first and at the last colour: the same for all cells."""
        if not self.logarithmic:
            return 0.0, 1.0
        n_keys = max((len(self._picture(place).key_index) for place in self.places), default=1)
        return 10.0 ** -(1 + np.ceil(np.log10(max(n_keys, 1)))), 1.0

    def _picture(self, place: Place) -> Picture:
        return make_picture(
            self.capture, self.text, *place, show_special=self.show_special, rotary=self.rotary
        )

    def _heatmap(self, picture: Picture, title: str) -> Cell:
        attention = picture.attention
        most = float(attention.max(initial=0))
        rows, columns = (min(n, self.side) for n in attention.shape)
        small = _largest(_largest(attention, rows, 0), columns, 1)
        low, high = self.levels() if self.logarithmic else (0.0, 1.0)
        if self.logarithmic:
            small = np.log10(np.maximum(small, low))
            low, high = float(np.log10(low)), 0.0
        shades = np.clip((small - low) / (high - low), 0, 1) * (SHADES - 1)
        shades = shades.round().astype(np.uint8)
        if not picture.mask.all():
            allowed = picture.mask.astype(np.float32)
            shades[_largest(_largest(allowed, rows, 0), columns, 1) == 0] = MASKED
        place = (picture.layer, picture.head)
        return Cell(place, title, f"max {number(most, 2)}", shades)

    def _pair(self, picture: Picture, place: Place, title: str) -> Cell:
        sliders = self.own.get(place, self.sliders)
        before = picture.before
        texts = None
        if self.together and len(self.capture.texts) > 1 and sliders.mode != "constant":
            texts = corpus_of(
                self.capture, *place, show_special=self.show_special, rotary=self.rotary
            )
        after = under(picture, sliders, texts)
        if self.kind == "scatter":
            sides = [Half((_pairs(frame, picture), np.zeros((0, 2)))) for frame in (before, after)]
            told = [frame.correlation for frame in (before, after)]
            words = "r " + " → ".join(number(r) for r in told)
            if np.isnan(told).all():
                words = f"r {number(np.nan)}"
            return Cell(place, title, words, before=sides[0], after=sides[1])
        planes = [frame.projection for frame in (before, after)]
        sides = [Half((plane.query_xy, plane.key_xy)) for plane in planes]
        shares = [100 * float(plane.explained.sum()) for plane in planes]
        words = " → ".join(f"{share:.0f} %" for share in shares)
        attention = picture.attention
        keys = np.where(attention.any(axis=1), attention.argmax(axis=1), -1)
        queries = np.flatnonzero(keys >= 0)
        if len(queries) > STRONGEST:
            weight = attention[queries, keys[queries]]
            queries = np.sort(queries[np.argsort(-weight, kind="stable")[:STRONGEST]])
        lines = np.column_stack([queries, keys[queries]])
        return Cell(place, title, words, before=sides[0], after=sides[1], lines=lines)


def places_of(capture: Capture, layer: int | None, head: int | None) -> list[Place]:
    """Return all heads of a layer, a head in all layers, or (both None) every head.

    Raises
    ------
    InputError
        When there is no such layer or head.
    """
    layers = capture.layers
    if layer is not None and not 0 <= layer < len(layers):
        raise InputError(f"There is no layer {layer}; there are 0 to {len(layers) - 1}.")
    chosen = range(len(layers)) if layer is None else [layer]
    most = max(layers[i].n_heads for i in chosen)
    if head is not None and not 0 <= head < most:
        raise InputError(f"There is no head {head}; there are 0 to {most - 1}.")
    return [
        (i, h) for i in chosen for h in range(layers[i].n_heads) if head is None or h == head
    ]  # fmt: skip


def file_stem(capture: Capture, place: Place) -> str:
    """Return ``layer-03-head-07``: names sort as the heads do, in any model."""
    layer, head = place
    return f"layer-{_padded(layer, len(capture.layers))}-head-{_padded(head, _most_heads(capture))}"


def page_name(capture: Capture, layer: int | None, head: int | None, kind: Kind) -> str:
    """Return ``gallery-layer-03-embedding.png``, or of a head, or of all."""
    what = "all"
    if layer is not None:
        what = f"layer-{_padded(layer, len(capture.layers))}"
    if head is not None:
        what = f"{what}-head-{_padded(head, _most_heads(capture))}" if layer is not None else (
            f"head-{_padded(head, _most_heads(capture))}")  # fmt: skip
    return f"gallery-{what}-{kind}.png"


def heading(capture: Capture, layer: int | None, head: int | None, kind: Kind) -> str:
    """Return what a page shows: ``Layer 3, 12 heads: plane before | after``."""
    n = len(places_of(capture, layer, head))
    if layer is not None:
        what = f"Layer {layer}, {n} heads" if n != 1 else f"Layer {layer}"
    elif head is not None:
        what = f"Head {head} in {n} layers"
    else:
        what = f"{len(capture.layers)} layers, {n} heads"
    shown = {
        "heatmap": "attention, queries down, keys across",
        "embedding": "plane, before | after; share of the variance",
        "scatter": "dot product over cosine distance, before and after",
    }[kind]
    return f"{what}: {shown}"


def caption(gallery: Gallery) -> str:
    """Return what a page was made from: text, model, a and c."""
    capture = gallery.capture
    text = " ".join(capture.texts[gallery.text].split())
    facts = [capture.model_name]
    if len(capture.texts) > 1:
        facts.append(f"text {gallery.text + 1} of {len(capture.texts):,}")
    if gallery.kind != "heatmap":
        stands = {gallery.own.get(place, gallery.sliders) for place in gallery.places}
        fitted = sum(place in gallery.own for place in gallery.places)
        if len(stands) == 1:
            facts.append(normalisation_in_words(stands.pop()))
        elif fitted == len(gallery.places):
            facts.append("each head under its own a and c")
        else:
            words = normalisation_in_words(gallery.sliders)
            some = "1 head under its" if fitted == 1 else f"{fitted} heads under their"
            facts.append(f"{some} own a and c, the others {words}")
        if not gallery.rotary and any(of.unrotated for of in capture.records[gallery.text]):
            facts.append(BEFORE_ROTARY)
    if not gallery.show_special and capture.special[gallery.text].any():
        facts.append("special tokens hidden")
    told = ", ".join(facts)
    return f"“{text}”  ·  {told}" if text else told


def rows_and_columns(places: Sequence[Place], shape: float, page: float = 1.25) -> tuple[int, int]:
    """Return how many cells stand below and beside each other.

    Where several layers have equally many heads, each layer is a row; else as many columns as make
    a page `page` times as wide as high, of cells `shape` times as wide as high.
    """
    layers = [layer for layer, _ in places]
    heads = {layers.count(layer) for layer in set(layers)}
    n_layers = len(set(layers))
    if n_layers > 1 and len(heads) == 1 and heads != {1}:
        return n_layers, heads.pop()
    n = len(places)
    columns = int(np.clip(np.ceil((n * page / shape) ** 0.5), 1, max(n, 1)))
    return -(-n // columns), columns


def _pairs(frame: Frame, picture: Picture) -> Float64:
    """Return cosine distance and dot product of the allowed pairs, or a fixed part of very many."""
    if picture.n_pairs > PAIRS:
        part = sample_pairs(picture.live.query, picture.live.key, [picture.mask], PAIRS)
        queries, keys = part.query, part.key
    else:
        queries, keys = np.nonzero(picture.mask)
    q, k = frame.query[queries], frame.key[keys]
    dots = np.einsum("nd,nd->n", q, k)
    size = np.sqrt(np.einsum("nd,nd->n", q, q) * np.einsum("nd,nd->n", k, k))
    some = size > 0
    return np.column_stack([1 - dots[some] / size[some], dots[some]])


def _largest(
    matrix: npt.NDArray[np.float32], few: int, axis: int
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Return fewer rows (axis 0) or columns (1), each the largest of those that fall into it."""
    n = matrix.shape[axis]
    if n <= few:
        return matrix
    found: npt.NDArray[np.float32] = np.maximum.reduceat(
        matrix, np.arange(few) * n // few, axis=axis
    )
    return found


def _most_heads(capture: Capture) -> int:
    return max(layer.n_heads for layer in capture.layers)


def _padded(number_: int, count: int) -> str:
    return f"{number_:0{max(2, len(str(count - 1)))}d}"
