"""Draw a view for paper: white ground, nothing of the window in it, any size and resolution.

The view is made anew with the paper theme from the same document, so that a figure depends on
what is shown and never on the size or the colours of somebody's window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QBuffer,
    QByteArray,
    QEvent,
    QIODevice,
    QMargins,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QFontMetricsF, QImage, QImageWriter, QPainter
from PySide6.QtWidgets import QApplication

from attnviz_gui.errors import InputError
from attnviz_gui.export.caption import caption_of
from attnviz_gui.session.files import replace_file
from attnviz_gui.ui.theme import NORMAL, PAPER, SMALL, font

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.views.base import View

SIZES = {
    "heatmap": QSize(760, 700), "scatter": QSize(900, 520), "embedding": QSize(1100, 640),
    "other_projection": QSize(900, 700), "position_pairs": QSize(760, 700),
}  # fmt: skip
_MARGIN = 14


def draw_figure(
    kind: type[View], document: Document, *, scale: float = 1.0, size: QSize | None = None
) -> QImage:
    """Return a view of the document as a picture for paper.

    Parameters
    ----------
    kind
        The view's class.
    scale
        Pixels for each logical unit: 1 to 4 for a screen up to print.
    size
        Logical size of the whole figure; by default one that suits the view.
    """
    size = size or SIZES.get(kind.name, QSize(900, 600))
    view = kind(document, PAPER)
    view.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    try:
        view.start()
        facts = getattr(view, "facts", lambda: "")()  # parameters of its own
        heading = QFontMetricsF(font(NORMAL, bold=True)).height() + 6
        caption = caption_of(document, normalised=kind.normalised)
        caption += f", {facts}" if facts else ""
        footing = QFontMetricsF(font(SMALL)).height() + 6
        margins = QMargins(_MARGIN, round(_MARGIN + heading), _MARGIN, round(_MARGIN + footing))
        inner = QRect(0, 0, size.width(), size.height()).marginsRemoved(margins)
        view.resize(inner.size())
        view.show()
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)  # layouts take their sizes
        image = QImage(size * scale, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(scale)
        image.fill(Qt.GlobalColor.white)
        painter = QPainter(image)
        painter.setRenderHints(
            QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing
        )
        view.render(painter, QRectF(inner), view.viewport().rect())
        words = getattr(view, "paint_why_nothing", None)  # which no scene holds
        if words is not None:
            words(painter, QRectF(inner))
        _words(painter, size, view.title(), view.numbers(), caption)
        painter.end()
        return image
    finally:
        view.stop()
        view.hide()
        view.deleteLater()  # not close(): pyqtgraph's clears the scene under its own items
        QApplication.sendPostedEvents(view, QEvent.Type.DeferredDelete)


def png_bytes(image: QImage) -> bytes:
    """Return the picture as a PNG file's content."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QImageWriter(buffer, QByteArray(b"png"))
    if not writer.write(image):
        raise RuntimeError(f"the picture could not be made into a PNG: {writer.errorString()}")
    return bytes(buffer.data().data())


def write_png(image: QImage, target: Path) -> None:
    """Write the picture to a file, whole or not at all; the folder is made if missing.

    Raises
    ------
    InputError
        When the file cannot be written, with the reason.
    """
    try:
        replace_file(target, png_bytes(image))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{target} can't be written ({reason}); choose another folder or make room."
        ) from error


def _words(painter: QPainter, size: QSize, title: str, numbers: str, caption: str) -> None:
    """Write the title line above the view and the caption beneath it, in black."""
    painter.setPen(PAPER.color("text"))
    bold = font(NORMAL, bold=True)
    width = size.width() - 2 * _MARGIN
    line = QRectF(_MARGIN, _MARGIN, width, QFontMetricsF(bold).height())
    painter.setFont(bold)
    painter.drawText(line, Qt.AlignmentFlag.AlignLeft, title)
    painter.setFont(font(NORMAL))
    painter.drawText(line, Qt.AlignmentFlag.AlignRight, numbers)
    small = font(SMALL)
    height = QFontMetricsF(small).height()
    line = QRectF(_MARGIN, size.height() - _MARGIN - height, width, height)
    painter.setFont(small)
    painter.setPen(PAPER.color("muted"))
    # The end says which head and which a and c: it is the text that is shortened.
    text, mark, facts = caption.rpartition("  ·  ")
    metrics = QFontMetricsF(small)
    room = width - metrics.horizontalAdvance(mark + facts)
    text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room)
    painter.drawText(line, Qt.AlignmentFlag.AlignLeft, text + mark + facts)
