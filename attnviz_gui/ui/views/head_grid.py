"""All heads of all layers at once, as one image: attention, planes, densities or one measure.

The cells are computed at the pixels that they have on the screen, away from the window's thread,
and appear as they are there; what is zoomed into is computed anew, down to the single entry. While
the picture is moved its last image is moved, and drawn sharp when it rests.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QKeyEvent, QPainter

from attnviz_gui.analysis.mosaic import MASKED
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.color_scale import ink_on
from attnviz_gui.ui.views.grid_cells import BAR
from attnviz_gui.ui.views.grid_image import (
    N_COLORS,
    masked_color,
    point_image,
    table,
    value_image,
    viridis,
)
from attnviz_gui.ui.views.grid_labels import paint_frames, paint_labels
from attnviz_gui.ui.views.grid_layout import Lattice, Sight
from attnviz_gui.ui.views.grid_marks import marks_key, marks_of_layers, veil
from attnviz_gui.ui.views.grid_words import HeadGridWords
from attnviz_gui.ui.views.painted import STEPS, STILL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtGui import QMouseEvent, QResizeEvent, QWheelEvent

    Place = tuple[int, int]  # layer, head

DIMMED = 0.82  # how much of a dimmed cell is ground


class HeadGridView(HeadGridWords):
    """Rows are layers, columns are heads."""

    # -- painting ----------------------------------------------------------------------------

    def paint(self, p: QPainter, area: QRectF) -> None:
        """Draw the image, and labels, frames and the legend over it."""
        device = p.device()
        dpr = 1.0 if device is None else float(device.devicePixelRatio())
        if dpr != self._dpr:
            self._dpr = dpr
            self._image = self._whole = None
        body, lattice = self.body(), self.lattice()
        self.sight = self.sight.kept(lattice, (body.width(), body.height()))
        moving = self._rest.isActive()
        if not moving:
            if self.at_once:
                self.ask()
            else:
                self._soon.start()
            self._compose()
        p.save()
        p.setClipRect(body.adjusted(-2, -2, 2, 2))
        p.translate(body.topLeft())
        if self._image is not None:
            _, sight, image = self._image
            if sight == self.sight:
                p.drawImage(QPointF(0, 0), image)
            else:
                if self._whole is not None:
                    self._draw_moved(p, Sight(), self._whole[1])
                self._draw_moved(p, sight, image)
        picture = self.document.picture
        assert picture is not None
        here = picture.layer, picture.head
        framed = (here,) if picture.mix is None else picture.mix.places
        cursor = None if self.cursor_ == here else self.cursor_
        paint_frames(p, lattice, self.sight, self.theme, framed, cursor)
        p.restore()
        paint_labels(p, body, lattice, self.sight, self.theme, here)
        self._paint_legend(p, body, lattice)

    def _draw_moved(self, p: QPainter, of: Sight, image: QImage) -> None:
        """Draw an image of another sight where its cells are now."""
        by = self.sight.scale / of.scale
        at = QPointF(of.x * by - self.sight.x, of.y * by - self.sight.y)
        size = image.deviceIndependentSize() * by
        p.drawImage(QRectF(at, size), image)

    def _look(self) -> tuple[Any, ...]:
        """All that the image depends on beside what is in sight."""
        body, options = self.body(), self.document.options
        return (
            self._version, self.kind, self.measure, self.limit, self.order, options.color_scale,
            body.width(), body.height(), self._dpr, self.theme.name,
            self.document.head_measures, *marks_key(self.document),
        )  # fmt: skip

    def _compose(self) -> None:
        look = self._look()
        stale = self._whole is None or self._whole[0] != look
        if self._whole is None or (stale and self.sight.scale == 1):
            self._whole = look, self._draw(Sight())
        if self.sight.scale == 1:
            self._image = look, Sight(), self._whole[1]
        elif self._image is None or self._image[0] != look or self._image[1] != self.sight:
            sight = Sight(*self.sight.key)
            self._image = look, sight, self._draw(sight)

    def _draw(self, sight: Sight) -> QImage:
        """Draw the cells in sight, and what belongs to them."""
        kind, body, lattice = self.kind, self.body(), self.lattice()
        rects = self.rects(sight)
        width = min(body.width(), lattice.width * sight.scale)
        height = min(body.height(), lattice.height * sight.scale)
        size = math.ceil(height * self._dpr), math.ceil(width * self._dpr)
        coarse = {} if kind is None else self._coarse.get(kind, {})
        marks = marks_of_layers(self.document)
        if kind is not None and kind.mode == "plane":
            image = point_image(rects, coarse, size, self._dpr, self.theme, marks)
        else:
            levels = [coarse] if sight.scale == 1 else [coarse, self._sharp]
            image = value_image(
                rects, levels, self._counts, size, self._dpr, self.scale(), table(self.theme)
            )
        p = QPainter(image)
        p.setRenderHints(QPainter.RenderHint.TextAntialiasing)
        if kind is None:
            self._paint_measure(p, rects)
        elif kind.mode == "attention" and marks:
            p.drawImage(0, 0, veil(rects, marks, size, self._dpr, self.theme))
        if dimmed := self.dimmed():
            ground = self.theme.color("ground", DIMMED)
            for place in dimmed & rects.keys():
                p.fillRect(rects[place], ground)
        p.end()
        return image

    def _paint_measure(self, p: QPainter, rects: Mapping[Place, QRectF]) -> None:
        values, scale, colors = self.values(), self.scale(), viridis()
        metrics = QFontMetricsF(font(SMALL))
        p.setFont(font(SMALL))
        for place, rect in rects.items():
            value = values.get(place, math.nan)
            if not math.isfinite(value):
                if values:
                    p.fillRect(rect, masked_color(self.theme))
                continue
            at = float(scale.place(np.array([value], np.float32))[0])
            color = self.theme.color("text")
            color.setRgb(*map(int, colors[round(at * (N_COLORS - 1))]))
            p.fillRect(rect, color)
            words = number(value, 2)
            if metrics.horizontalAdvance(words) + 4 <= rect.width() and rect.height() > 14:
                p.setPen(ink_on(color))
                p.drawText(rect, Qt.AlignmentFlag.AlignCenter, words)

    def _paint_legend(self, p: QPainter, body: QRectF, lattice: Lattice) -> None:
        """Draw the colours beside the cells, with what they stand for."""
        room = self._legend_width()
        if not room:
            return
        mode = self.choices["mode"]
        metrics = QFontMetricsF(font(SMALL))
        line = metrics.height()
        left = body.left() + min(lattice.width * self.sight.scale, body.width()) + 14
        wide = self.viewport().width() - left - 2
        text = self.theme.color("text")
        p.setPen(text)
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        if mode == "plane":
            for i, (role, words) in enumerate((("query", "queries"), ("key", "keys"))):
                y = body.top() + i * (line + 4)
                p.setBrush(self.theme.color(role))
                p.setPen(Qt.PenStyle.NoPen)
                p.drawEllipse(QRectF(left, y + line / 2 - 4, 8, 8))
                p.setPen(text)
                p.drawText(QRectF(left + 13, y, wide, line), flags, words)
            return
        title, ticks = mode, self.scale().ticks
        if mode == "density":
            title = "pairs"
            if self._chosen() is not None:
                title = "selected" if self.document.selection else "found"
            ticks = [(0.0, "0"), (1.0, "most")]
        elif mode == "measure":
            scale = self.scale()
            ends = scale.low, (scale.low + scale.high) / 2, scale.high
            ticks = [(i / 2, number(value, 2)) for i, value in enumerate(ends)]
            title = self.measure_title()
        title = metrics.elidedText(title, Qt.TextElideMode.ElideRight, wide)
        p.drawText(QRectF(left, body.top() - line - 2, wide, line), flags, title)
        high = min(max(min(lattice.height, body.height()) * 0.6, 60), 260, body.height() - 2 * line)
        if high < 30:
            return
        colors = np.ascontiguousarray(viridis()[::-1])
        bar = QImage(colors.data, 1, len(colors), 3, QImage.Format.Format_RGB888)
        p.drawImage(QRectF(left, body.top() + 2, BAR, high), bar)
        apart = math.ceil(1.1 * line * max(len(ticks) - 1, 1) / high)
        for at, words in ticks[:: -max(apart, 1)]:
            y = body.top() + 2 + (1 - at) * high
            p.setPen(self.theme.color("muted"))
            p.drawLine(QPointF(left + BAR, y), QPointF(left + BAR + 3, y))
            p.setPen(text)
            spot = min(max(y, body.top() + line / 2), body.top() + high + 2)
            p.drawText(QRectF(left + BAR + 6, spot - line / 2, wide - BAR, line), flags, words)
        if mode == "attention" and self._has_masked():
            y = body.top() + high + line + 4
            p.fillRect(QRectF(left, y, BAR, BAR), masked_color(self.theme))
            p.drawText(QRectF(left + BAR + 6, y + BAR / 2 - line / 2, wide, line), flags, "masked")

    def _has_masked(self) -> bool:
        kind = self.kind
        tiles = {} if kind is None else self._coarse.get(kind, {})
        return any(
            isinstance(tile.values, np.ndarray) and bool((tile.values == MASKED).any())
            for tile in tiles.values()
        )

    # -- mouse and keys ----------------------------------------------------------------------

    def click(self, position: QPointF) -> None:
        """Open the head that was clicked."""
        place = self.place_at(position)
        if place is not None:
            self.cursor_ = place
            self.open(place)

    def open(self, place: Place) -> None:
        """Show a head in all panels."""
        self.document.show_head(*place)
        self._repaint()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click, or a move of what is zoomed into."""
        super().mousePressEvent(event)
        self._held = self._pressed

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Take the second press like the first: two clicks that follow fast are two clicks."""
        self.mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move what is in sight while a button is held; else tell what is under the mouse."""
        if self._held is None or not event.buttons():
            self._held = None
            super().mouseMoveEvent(event)
            return
        at = event.position()
        if self._pressed is not None and (at - self._pressed).manhattanLength() <= STILL:
            return
        moved = at - self._held
        self._held = at
        self._move(Sight(self.sight.scale, self.sight.x - moved.x(), self.sight.y - moved.y()))
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a click or a move."""
        self._held = None
        super().mouseReleaseEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the mouse."""
        if self.document.picture is None or self.sentence():
            return
        steps = event.angleDelta().y() / 120
        self.zoom(1.25**steps, event.position() - self.body().topLeft())
        event.accept()

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom about a place of the cells; by default the middle of what is seen."""
        body = self.body()
        at = at or QPointF(body.width() / 2, body.height() / 2)
        self._move(self.sight.zoomed(factor, at, self.most_zoom()))

    def _move(self, sight: Sight) -> None:
        body = self.body()
        kept = sight.kept(self.lattice(), (body.width(), body.height()))
        if kept != self.sight:
            self.sight = kept
            self.readout.hide()
            self._rest.start()
            self._repaint()
            self.titled.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Move what there is into the new room, and draw it sharp when that rests."""
        super().resizeEvent(event)
        if not self.at_once:
            self._rest.start()
            self._image = None

    def event(self, event: QEvent) -> bool:
        """Keep the keys that are this view's own from being the window's shortcuts."""
        if event.type() == QEvent.Type.ShortcutOverride:
            assert isinstance(event, QKeyEvent)
            if self._action(event) is not None:
                event.accept()
                return True
        return super().event(event)

    def _action(self, event: QKeyEvent) -> Any:
        """Return what a key does here; None where nothing."""
        if self.document.picture is None or self.sentence():
            return None
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            return lambda: self.zoom(1.5)
        if plain != Qt.KeyboardModifier.NoModifier:
            return None
        if key in STEPS:
            return lambda: self.step(*STEPS[key])
        if key in (Qt.Key.Key_Home, Qt.Key.Key_End):
            return lambda: self.go(self.lattice().end(self.where(), last=key == Qt.Key.Key_End))
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            return lambda: self.open(self.where())
        if key == Qt.Key.Key_Minus:
            return lambda: self.zoom(1 / 1.5)
        if key == Qt.Key.Key_0:
            return lambda: self._move(Sight())
        return None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows, Home and End go to a cell, Enter opens it, + − 0 zoom; the rest is for others."""
        action = self._action(event)
        if action is None:
            super().keyPressEvent(event)
            return
        event.accept()
        action()

    def where(self) -> Place:
        """Return the cell that the keys are on: the head on show at first."""
        picture = self.document.picture
        assert picture is not None
        here = self.cursor_ or (picture.layer, picture.head)
        return here if here in self.lattice().cells else (picture.layer, picture.head)

    def step(self, down: int, across: int) -> None:
        """Go to the next cell."""
        self.go(self.lattice().near(self.where(), down, across))

    def go(self, place: Place) -> None:
        """Go to a cell, bring it into sight, and tell about it."""
        lattice, body = self.lattice(), self.body()
        self.cursor_ = place
        rect = self.sight.rect(lattice, self.cursor_)
        x, y = self.sight.x, self.sight.y
        x += min(rect.left(), 0.0) + max(rect.right() - max(body.width(), rect.width()), 0.0)
        y += min(rect.top(), 0.0) + max(rect.bottom() - max(body.height(), rect.height()), 0.0)
        self._move(Sight(self.sight.scale, x, y))
        rect = self.sight.rect(lattice, self.cursor_).translated(body.topLeft())
        lines = self.lines_about(self.cursor_)
        self.readout.say(lines, rect.toAlignedRect())
        self.setAccessibleDescription(", ".join(lines))
        self._repaint()
