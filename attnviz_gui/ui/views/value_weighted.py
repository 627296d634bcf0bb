"""Attention weighted by the length of what it brings, as a matrix beside the attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from attnviz_gui.analysis.value_weighted import value_norms
from attnviz_gui.session.words import number
from attnviz_gui.ui.views.other_matrix import OtherMatrix
from attnviz_gui.ui.views.painted import Choosable

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.other_matrix import FloatArray

DEFINITION = (
    "The length of what each key brings to each query: attention times the length of the key's "
    "value vector (Kobayashi et al. 2020). With the head's own value vectors; the output matrix "
    "W_O, which the paper multiplies them with, is not in it."
)


class ValueWeightedView(OtherMatrix):
    """The norm of a v for each pair, or each key's share of its row's norms."""

    name = "value_weighted"
    legend = "|a v|"
    choosable: ClassVar = (
        Choosable(
            "rows",
            "Rows",
            (
                ("norm", "lengths", "The length of attention times value vector, |a v|."),
                ("share", "shares of a row", "Each length over the sum of its row's lengths."),
            ),
        ),
    )

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Value-weighted attention")
        self.setToolTip(DEFINITION)
        self._of: Picture | None = None
        self._values: FloatArray | None = None
        self._norms: FloatArray | None = None
        self._lengths_of: Picture | None = None
        self._lengths: FloatArray = np.zeros(0, np.float32)  # of all keys, visible or not

    def chosen(self) -> None:
        """Compute anew."""
        self._of = None
        self.shares = self.choices["rows"] == "share"
        self.bar.title = "share of |a v|" if self.shares else "|a v|"

    def reason(self) -> str:
        """Several heads as one bring no values of their own; some have no lengths."""
        picture = self.document.picture
        if picture is None:
            return ""
        if picture.mix is not None:
            return f"A {picture.mix.how} of heads has no value vectors of its own; choose one head."
        if self._lengths_of is not picture:
            self._lengths, self._lengths_of = value_norms(picture.source), picture
        if not np.isfinite(self._lengths).all():
            return f"The value vectors of {picture.title} hold NaN or infinity, and so no length."
        return ""

    def values(self) -> FloatArray | None:
        """Return the norms among the visible tokens; shares are of the whole row."""
        picture = self.document.picture
        if picture is None or self.reason():
            return None
        if self._of is not picture:
            # Of the attention that the picture has computed already.
            norms = self._lengths
            self._norms = norms[picture.key_index]
            self._values = picture.attention * self._norms
            if self.choices["rows"] == "share":
                total = (picture.source.attention @ norms)[picture.query_index]
                total[total <= 0] = 1
                self._values /= total[:, None]
            self._of = picture
        return self._values

    def title(self) -> str:
        """Which head."""
        picture = self.document.picture
        name = "Value-weighted attention"
        return name if picture is None else f"{name}  {picture.title}"

    def numbers(self) -> str:
        """The largest entry; that W_O is not in it."""
        words = super().numbers()
        return f"{words} · without W_O" if words else ""

    def describe_pair(self, picture: Picture, query: int, key: int, value: float) -> list[str]:
        """Attention, the value vector's length, and their product."""
        assert self._norms is not None
        if not picture.mask[query, key]:
            return [f"masked: {picture.why_masked(query, key)}"]
        norm, attention = float(self._norms[key]), float(picture.attention[query, key])
        lines = [f"attention {number(attention)} × |v| {number(norm)} = {number(attention * norm)}"]
        if self.shares:
            lines.append(f"{number(100 * value)} % of its row's lengths")
        return lines
