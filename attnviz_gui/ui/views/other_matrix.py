"""Matrices of queries and keys that are no attention of one head, drawn as that one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from attnviz_gui.session.words import number
from attnviz_gui.ui.views.color_scale import ColorScale, color_scale, round_up
from attnviz_gui.ui.views.heatmap import HeatmapView, short
from attnviz_gui.ui.views.painted import first_choices

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.session.document import Document, Focus
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.painted import Choosable

    FloatArray = npt.NDArray[np.float32]


class OtherMatrix(HeatmapView):
    """A number for each pair of visible tokens: the attention's axes, zoom, focus and readout."""

    name = "matrix"
    legend = ""  # what the colours stand for
    choosable: ClassVar[tuple[Choosable, ...]] = ()
    shares = True  # the numbers lie between 0 and 1

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.choices = first_choices(self.choosable)
        self.bar.title = self.legend

    # -- for subclasses ----------------------------------------------------------------------

    def values(self) -> FloatArray | None:
        """Return the matrix among the visible tokens; None where there is none (yet)."""
        return None

    def reason(self) -> str:
        """Say why there is no matrix of the document's picture, or that one is on its way."""
        return ""

    def describe_pair(self, picture: Picture, query: int, key: int, value: float) -> list[str]:
        """Lines about a pair, after its name."""
        return [number(value)]

    def mask_of(self, picture: Picture) -> npt.NDArray[np.bool_]:
        """Return the pairs that have a number, (T_q, T_k)."""
        return picture.mask

    def why_nothing(self) -> str:
        """Why there is nothing to show; empty where there is."""
        return self.empty if self.document.picture is None else self.reason()

    # -- choices -----------------------------------------------------------------------------

    def choose(self, name: str, value: str) -> None:
        """Choose something about this view."""
        if self.choices[name] != value:
            self.choices[name] = value
            self.chosen()
            if self.document.picture is not None:
                self._picture_changed()

    def chosen(self) -> None:
        """Another choice was made."""

    def like(self, other: OtherMatrix) -> None:
        """Take the choices of another view of the same kind."""
        self.choices = dict(other.choices)
        self.chosen()

    # -- in words ----------------------------------------------------------------------------

    def numbers(self) -> str:
        """The largest entry."""
        picture = self.document.picture
        values = None if picture is None else self.values()
        if picture is None or values is None:
            return ""
        i, j = divmod(int(values.argmax()), values.shape[1])
        pair = f"{short(picture.query_tokens[i])} → {short(picture.key_tokens[j])}"
        return f"max {number(float(values[i, j]), 2)} {pair}"

    def describe(self, focus: Focus) -> list[str]:
        """Lines about a pair, a query or a key; the first says which."""
        picture = self.document.picture
        values = None if picture is None else self.values()
        if picture is None or values is None or not focus:
            return []
        i, j = focus.query, focus.key
        if i is not None and j is not None:
            pair = f"{short(picture.query_tokens[i])} → {short(picture.key_tokens[j])}"
            return [pair, *self.describe_pair(picture, i, j, float(values[i, j]))]
        if i is not None:
            top = int(values[i].argmax())
            most = f"most for {short(picture.key_tokens[top])}: {number(float(values[i, top]))}"
            return [f"{short(picture.query_tokens[i])} as query", most]
        assert j is not None
        top = int(values[:, j].argmax())
        most = f"most for {short(picture.query_tokens[top])}: {number(float(values[top, j]))}"
        return [f"{short(picture.key_tokens[j])} as key", most]

    # -- drawing -----------------------------------------------------------------------------

    def draw_picture(self) -> None:
        """Draw another head; a sink has no value and no place among tokens."""
        super().draw_picture()
        if self._has_sink:
            self._has_sink = False
            for item in self._sink_items:
                item.setVisible(False)
            self._arrange()
        self.viewport().update()

    def _draw_image(self) -> None:
        picture, values = self.document.picture, self.values()
        if picture is None or values is None:
            return
        scale = self.scale_of(values, len(picture.source.key))
        image = scale.image(values)
        low, high = scale.levels
        span = high - low
        mask = self.mask_of(picture)
        whole = bool(mask.all())
        if not whole:
            image = np.where(mask, image, np.float32(low - span))
        self.matrix.set_matrix(np.ascontiguousarray(image), (low - 1.5 * span / 254.5, high))
        self.bar.set_scale(scale.ticks, None if whole else self._masked_color())

    def scale_of(self, values: FloatArray, n_keys: int) -> ColorScale:
        """Return the colours' scale: the document's for shares, linear for lengths."""
        top = float(values.max(initial=0))
        if self.shares:
            return color_scale(self.document.options.color_scale, top, n_keys)
        return ColorScale(0.0, round_up(top))
