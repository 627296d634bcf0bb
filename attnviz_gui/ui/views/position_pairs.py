"""Mean attention by position over all texts, as a matrix; computed away from the window's thread.

Rows and columns are places in a text, counted from 0, and no tokens of the text on show; a click
on a cell pins that pair of the text on show, where it has one. The view asks `compute` for what it
shows, and shows a sentence until it is there. What was computed is kept with the capture for as
long as somebody holds that, so that a figure need not compute it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPen

from attnviz_gui.analysis.positions import PositionMeans, mean_by_position
from attnviz_gui.session.document import Focus
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.color_bar import ColorBar
from attnviz_gui.ui.views.color_scale import ColorScale, color_scale, mix, round_up
from attnviz_gui.ui.views.matrix_item import shape_in_pixels, strongest
from attnviz_gui.ui.views.painted import Choosable, PaintedView

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from PySide6.QtCore import QPointF
    from PySide6.QtGui import QColor, QPainter
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.theme import Theme

    Compute = Callable[["PositionsRequest", Callable[[PositionMeans], None]], None]

KEPT = 4  # heads of one capture: going back and forth computes nothing
DEFINITION = (
    "How much the query at each position attends to the key at each position, as a mean over the "
    "texts of the capture that have such a pair. Positions are counted from 0 in the whole text."
)
SINGULAR = "1 text"
_GAP = 14.0  # between the matrix and its colours
_UNEVEN = 4  # times longer on one side: cells are no squares then
_NARROW = 220  # pixels, under which there is no room for the colours' scale

_kept: WeakKeyDictionary[Capture, dict[tuple[int, int, bool], PositionMeans]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class PositionsRequest:
    """All that the means need."""

    capture: Capture
    layer: int
    head: int
    with_special: bool

    @property
    def key(self) -> tuple[int, int, bool]:
        """What tells it apart from others of the same capture."""
        return self.layer, self.head, self.with_special

    def __call__(self, progress: Any, cancel: Any) -> PositionMeans:
        """Compute them; raises Cancelled."""

        def tell(done: int, total: int) -> None:
            progress(done, total, "Averaging…")

        return mean_by_position(
            self.capture, self.layer, self.head, with_special=self.with_special,
            progress=tell, cancel=cancel,
        )  # fmt: skip


def compute_here(request: PositionsRequest, then: Callable[[PositionMeans], None]) -> None:
    """Compute here and now, as a figure does."""
    then(request(lambda *_: None, None))


def texts_in_words(n: int) -> str:
    """Return how many texts there are: ``1 text``, ``1,000 texts``."""
    return SINGULAR if n == 1 else f"{n:,} texts"


class PositionPairsView(PaintedView):
    """A head's mean attention for each pair of positions, or how many texts have the pair."""

    name = "position_pairs"
    of_all_texts = True  # another text on show changes nothing but what is framed
    choosable: ClassVar = (
        Choosable(
            "show",
            "Colours",
            (
                ("mean", "mean attention", DEFINITION),
                ("count", "texts", "How many texts have the pair: what its mean rests on."),
            ),
        ),
    )

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Mean attention by position")
        self.setToolTip(f"{DEFINITION} A click keeps the pair of the text on show lit.")
        self.compute: Compute = compute_here
        self.stopped = False  # the user has cancelled what is shown next
        self._asked: PositionsRequest | None = None
        self._started = False
        self._under: tuple[int, int] | None = None  # the cell under the cursor
        self._image: tuple[Any, QImage] | None = None  # and what it was made of
        self.bar = ColorBar("mean", theme, lambda _: [])
        self.bar.masked_words = "no text"

    def start(self) -> None:
        """Draw for the first time, and follow the document from now on."""
        self._started = True
        super().start()

    def stop(self) -> None:
        """Follow the document no longer; the last picture stays."""
        self._started = False
        super().stop()

    # -- what is shown -----------------------------------------------------------------------

    def request(self) -> PositionsRequest | None:
        """Return what the document asks for; None without a picture, or with several heads."""
        picture = self.document.picture
        if picture is None or picture.mix is not None:
            return None
        special = self.document.options.show_special
        return PositionsRequest(picture.capture, picture.layer, picture.head, special)

    def means(self) -> PositionMeans | None:
        """Return what was computed of the head on show; None before."""
        request = self.request()
        return None if request is None else _kept.get(request.capture, {}).get(request.key)

    def values(self) -> npt.NDArray[np.float64] | None:
        """Return what the colours stand for, (P_q, P_k); None before it is computed."""
        means = self.means()
        if means is None:
            return None
        return means.mean if self.choices["show"] == "mean" else means.count.astype(np.float64)

    def sentence(self) -> str:
        """Say why there is nothing to see, or that it is being computed."""
        picture = self.document.picture
        if picture is None:
            return ""
        if picture.mix is not None:
            return f"Choose one head: a {picture.mix.how} of heads is shown for one text alone."
        means = self.means()
        if means is None:
            return (
                "Cancelled; choose another head and come back to begin anew."
                if self.stopped
                else f"Averaging over {texts_in_words(len(picture.capture.texts))}…"
            )
        if not means.count.any():
            return "No text has a token that the tokenizer did not add; show the special tokens."
        return ""

    def draw_picture(self) -> None:
        """Ask for what the document shows, unless it is there."""
        self._under = None
        request, asked = self.request(), self._asked
        if request is None or self.means() is not None:
            self._asked = None
            return
        if asked is not None and (asked.capture, asked.key) == (request.capture, request.key):
            return
        self._asked, self.stopped = request, False
        self.compute(request, partial(self.take, request))

    def take(self, request: PositionsRequest, means: PositionMeans) -> None:
        """Keep what was computed; it is drawn if it is what is asked for now."""
        kept = _kept.setdefault(request.capture, {})
        while len(kept) >= KEPT:
            del kept[next(iter(kept))]
        kept[request.key] = means
        if self._asked is request:
            self._asked = None
        if self._started:
            self._measure()
            self._repaint()
            self.titled.emit()

    def give_up(self) -> None:
        """What was asked for is not coming: it was cancelled."""
        if self._asked is not None:
            self.stopped = True
            self._repaint()
            self.titled.emit()

    # -- in words ----------------------------------------------------------------------------

    def title(self) -> str:
        """Which head, of how many texts."""
        picture = self.document.picture
        name = "Mean attention by position"
        if picture is None:
            return name
        return f"{name}  {picture.title} · {texts_in_words(len(picture.capture.texts))}"

    def numbers(self) -> str:
        """The pinned or lit pair, else the largest mean; how many texts reach how far."""
        means = self.means()
        if means is None or not means.count.any():
            return ""
        cell = self._chosen()
        if cell is None:
            i, j = divmod(int(means.mean.argmax()), means.mean.shape[1])
            return f"max {number(float(means.mean[i, j]), 2)} at {i} → {j}{self._reach()}"
        i, j = cell
        words = f"{number(float(means.mean[i, j]), 2)} at {i} → {j}"
        if means.n_texts == 1:
            return words
        return f"{words} · {means.count[i, j]:,} of {texts_in_words(means.n_texts)}"

    def _reach(self) -> str:
        """Say how many texts the last position rests on, where not all reach it."""
        means = self.means()
        assert means is not None
        last = means.count.max(axis=1)
        rows = np.flatnonzero(last)
        end = int(rows[-1])
        if last[end] == means.n_texts:
            return ""
        one = last[end] == 1
        return f" · {last[end]:,} reach{'es' if one else ''} position {end}"

    def facts(self) -> str:
        """What a figure's caption is to add."""
        picture = self.document.picture
        if picture is None:
            return ""
        words = f"mean over {texts_in_words(len(picture.capture.texts))}"
        return words if self.document.options.show_special else f"{words} without special tokens"

    def lines_of(self, query: int, key: int) -> list[str]:
        """Lines about a pair of positions; the first says which."""
        means = self.means()
        assert means is not None
        count = int(means.count[query, key])
        lines = [f"position {query} → {key}"]
        of = f"{count:,} of {texts_in_words(means.n_texts)}"
        if not count:
            lines.append("no text has this pair")
        else:
            lines.append(f"mean attention {number(float(means.mean[query, key]))}")
            lines.append(f"over {of} that {'has' if count == 1 else 'have'} this pair")
        focus = self._pair_here(query, key)
        picture = self.document.picture
        if focus is not None and picture is not None:
            i, j = focus
            here = number(float(picture.attention[i, j]))
            names = f"{_one_line(picture.query_tokens[i])} → {_one_line(picture.key_tokens[j])}"
            told = f"in text {picture.text + 1}: " if means.n_texts > 1 else ""
            lines.append(f"{told}{names} {here}")
        return lines

    # -- the text on show ----------------------------------------------------------------------

    def _pair_here(self, query: int, key: int) -> tuple[int, int] | None:
        """Return which visible query and key of the text on show stand at two positions."""
        picture = self.document.picture
        if picture is None:
            return None
        i = int(np.searchsorted(picture.query_index, query))
        j = int(np.searchsorted(picture.key_index, key))
        if i >= len(picture.query_index) or picture.query_index[i] != query:
            return None
        if j >= len(picture.key_index) or picture.key_index[j] != key:
            return None
        return i, j

    def _chosen(self) -> tuple[int, int] | None:
        """Return the cell under the cursor, else that of the pair that is lit everywhere."""
        if self._under is not None:
            return self._under
        picture, focus, means = self.document.picture, self.document.focus, self.means()
        if picture is None or means is None or focus.query is None or focus.key is None:
            return None
        i, j = int(picture.query_index[focus.query]), int(picture.key_index[focus.key])
        return (i, j) if i < means.mean.shape[0] and j < means.mean.shape[1] else None

    # -- where things are ----------------------------------------------------------------------

    def matrix_area(self, area: QRectF) -> QRectF:
        """Return where the matrix is drawn in an area."""
        values = self.values()
        if values is None:
            return QRectF()
        rows, columns = values.shape
        metrics = QFontMetricsF(font(SMALL))
        left = metrics.height() + metrics.horizontalAdvance(f"{rows}") + 14
        top = 2 * metrics.height() + 12
        right = self.bar.wide + _GAP + 4 if area.width() >= _NARROW else 10.0
        room = area.adjusted(left, top, -right, -10)
        wide, high = max(room.width(), 8.0), max(room.height(), 8.0)
        if max(rows, columns) <= _UNEVEN * min(rows, columns):
            cell = min(wide / columns, high / rows)
            wide, high = cell * columns, cell * rows
        return QRectF(room.left(), room.top(), wide, high)

    def cell_at(self, position: QPointF) -> tuple[int, int] | None:
        """Return the pair of positions under a place of the view."""
        area, values = self.matrix_area(QRectF(self.viewport().rect())), self.values()
        if values is None or not area.contains(position):
            return None
        rows, columns = values.shape
        i = math.floor((position.y() - area.top()) / area.height() * rows)
        j = math.floor((position.x() - area.left()) / area.width() * columns)
        return min(i, rows - 1), min(j, columns - 1)

    def cell_rect(self, area: QRectF, query: int, key: int) -> QRectF:
        """Return where a cell is within the matrix' area."""
        values = self.values()
        assert values is not None
        wide, high = area.width() / values.shape[1], area.height() / values.shape[0]
        return QRectF(area.left() + key * wide, area.top() + query * high, wide, high)

    def focus_at(self, position: QPointF) -> Focus:
        """Return the pair of the text on show at a place; nothing where it has none."""
        cell = self.cell_at(position)
        pair = None if cell is None else self._pair_here(*cell)
        return Focus() if pair is None else Focus(*pair)

    def point(self, position: QPointF) -> None:
        """Take the cursor to be at a place."""
        under = self.cell_at(position)
        if under != self._under:
            self._under = under
            self._repaint()
            self.titled.emit()
        super().point(position)

    def leaveEvent(self, event: Any) -> None:
        """Nothing is under the cursor."""
        self._under = None
        super().leaveEvent(event)
        self._repaint()
        if self._started:
            self.titled.emit()

    def describe(self, position: QPointF) -> tuple[list[str], QRectF] | None:
        """Return lines about the pair under a place."""
        cell = self.cell_at(position)
        if cell is None:
            return None
        rect = self.cell_rect(self.matrix_area(QRectF(self.viewport().rect())), *cell)
        spot = QRectF(position.x() - 10, position.y() - 10, 20, 20)
        return self.lines_of(*cell), rect.united(spot)

    # -- painting ------------------------------------------------------------------------------

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self.bar.set_theme(theme)
        super().retheme(theme)

    def scale(self) -> ColorScale:
        """Return how values become colours."""
        values = self.values()
        assert values is not None
        top = float(values.max(initial=0))
        if self.choices["show"] == "count":
            return ColorScale(0.0, round_up(top))
        return color_scale(self.document.options.color_scale, top, values.shape[1])

    def paint(self, p: QPainter, area: QRectF) -> None:
        """Draw the matrix, its axes and the scale of its colours."""
        values, means = self.values(), self.means()
        assert values is not None
        assert means is not None
        rect = self.matrix_area(area)
        p.drawImage(rect, self._drawn(values, means, rect, p))
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.setPen(QPen(self.theme.color("faint"), 1))
        p.drawRect(rect.adjusted(-0.5, -0.5, 0.5, 0.5))
        self._axes(p, rect, values.shape)
        cell = self._chosen()
        if cell is not None:
            frame = self.cell_rect(rect, *cell)
            grow = max(8 - min(frame.width(), frame.height()), 0) / 2
            frame.adjust(-grow, -grow, grow, grow)
            for color, width in (("ground", 4.0), ("text", 2.0)):
                pen = QPen(self.theme.color(color), width)
                pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
                p.setPen(pen)
                p.drawRect(frame)
        if area.width() >= _NARROW:
            self._scale_bar(p, rect)

    def _empty_color(self) -> QColor:
        return mix(self.theme.color("ground"), self.theme.color("faint"), 0.55)

    def _scale_bar(self, p: QPainter, rect: QRectF) -> None:
        bar, means = self.bar, self.means()
        assert means is not None
        whole = bool((means.count > 0).all())
        bar.title = "mean" if self.choices["show"] == "mean" else "texts"
        bar.set_colors(_colors())
        bar.set_scale(self.scale().ticks, None if whole else self._empty_color())
        bar.set_length(max(min(rect.height(), 320.0), 40.0), upright=True)
        p.save()
        p.translate(rect.right() + _GAP, rect.top())
        bar.paint(p)
        p.restore()

    def _drawn(
        self, values: npt.NDArray[np.float64], means: PositionMeans, rect: QRectF, p: QPainter
    ) -> QImage:
        """Return the matrix in colours; where cells share a pixel, it is the largest's."""
        ratio = math.hypot(p.deviceTransform().m11(), p.deviceTransform().m12())
        rows, columns = values.shape
        high, wide = rect.height() / rows * ratio, rect.width() / columns * ratio
        shape = shape_in_pixels(values.shape, high, wide)
        scale = self.scale()
        made_of = (means, self.choices["show"], scale, shape, self.theme.name)
        if self._image is not None and self._image[0] == made_of:
            return self._image[1]
        small = strongest(values.astype(np.float32), shape)
        there = strongest((means.count > 0).astype(np.float32), shape) > 0
        colors = _colors()
        level = np.rint(scale.place(small) * (len(colors) - 1)).astype(np.intp)
        rgb = colors[level]
        empty = self._empty_color()
        rgb[~there] = (empty.red(), empty.green(), empty.blue())
        # Each cell a whole number of pixels before Qt stretches it: edges stay sharp.
        rgb = np.ascontiguousarray(rgb)
        image = QImage(
            rgb.data, shape[1], shape[0], 3 * shape[1], QImage.Format.Format_RGB888
        ).convertToFormat(QImage.Format.Format_RGB32)
        self._image = made_of, image
        return image

    def _axes(self, p: QPainter, rect: QRectF, shape: tuple[int, ...]) -> None:
        """Write positions beside the rows and above the columns."""
        metrics = QFontMetricsF(font(SMALL))
        line = metrics.height()
        rows, columns = shape
        p.setPen(self.theme.color("text"))
        numbers_right = rect.left() - 6
        for i in _ticks(rows, line * 1.3 / (rect.height() / rows)):
            y = self.cell_rect(rect, i, 0).center().y()
            where = QRectF(numbers_right - 80, y - line / 2, 80, line)
            p.drawText(where, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{i}")
        widest = metrics.horizontalAdvance(f"{columns}") + 8
        for j in _ticks(columns, widest / (rect.width() / columns)):
            x = self.cell_rect(rect, 0, j).center().x()
            where = QRectF(x - 40, rect.top() - line - 3, 80, line)
            p.drawText(where, Qt.AlignmentFlag.AlignCenter, f"{j}")
        p.setPen(self.theme.color("key"))
        along = QRectF(rect.left(), rect.top() - 2 * line - 5, max(rect.width(), 90.0), line)
        p.drawText(
            along, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, "key position"
        )
        p.setPen(self.theme.color("query"))
        p.save()
        left = rect.left() - metrics.horizontalAdvance(f"{rows}") - 10 - line
        length = max(rect.height(), 100.0)
        p.translate(left, rect.top() + length)
        p.rotate(-90)
        p.drawText(
            QRectF(0, 0, length, line),
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
            "query position",
        )
        p.restore()


def _one_line(token: str) -> str:
    return " ".join(token.splitlines()) or "␣"


def _colors() -> npt.NDArray[np.uint8]:
    """Return viridis, (255, 3)."""
    table = pg.colormap.get("viridis").getLookupTable(nPts=255, alpha=False)
    return np.ascontiguousarray(table, dtype=np.uint8)


def _ticks(n: int, cells: float) -> range:
    """Return which of `n` positions are written when a number takes so many cells."""
    step = 1
    for power in range(7):
        for one in (1, 2, 5):
            step = one * 10**power
            if step >= cells:
                return range(0, n, step)
    return range(0, n, step)
