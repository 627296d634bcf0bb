"""What a and c do, in a few minutes and two pictures; and what this program is.

The pictures are taken from the window's own views by ``python -m tests.pictures --help-page``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPalette, QPixmap
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

import attnviz_gui
from attnviz_gui.geometry.correlation import OBJECTIVES
from attnviz_gui.resources import resource

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

WIDTH = 680  # of text and pictures

_WHY = """
<h3>What a and c do</h3>
<p>Attention depends on <b>dot products</b> of queries and keys; a picture shows <b>distances</b>.
Two vectors can have a large dot product and yet lie far apart, so a plane of raw queries and keys
says little about attention.</p>
<p>The attention stays exactly the same when every key is moved by one vector <b>a</b>, and when
queries are made <b>c</b> times as long and keys c times as short:</p>
<p style="margin-left: 20px">q′ = c·q &nbsp;&nbsp;&nbsp; k′ = (k + a) / c</p>
<p>since q′·k′ = q·k + q·a, and the softmax ignores what is the same along a row. So both can be
chosen freely to make distances tell what the attention does.</p>
"""

_PLANE = (
    "Layer 1, head 8 of the bundled model on “The brown capybara is sleeping now.” Most of its "
    "queries look at the token that follows. A line joins each query (circle) with the key "
    "(triangle) that it attends to most. Left, as the model has them; right, the keys moved 0.4 of "
    "the way to the queries. The lines go from 0.66 to 0.36 of the mean distance of all pairs; the "
    "attention is the same."
)
_SCATTER = (
    "The same head, a point for each pair of tokens: where it works, a high dot product (up) has a "
    "small distance (left). Grey before, green after. The number r says how well they agree: at "
    "−1 a larger dot product always means a smaller distance. Here it only goes from −0.971 to "
    "−0.978: a small step of r can be a large one in the plane, so look at both."
)

_MODES = {
    "constant": "adds the number a to every coordinate of every key: the article's search.",
    "centroid": "moves the keys' centre towards the queries' centre; at t = 1 they are the same. "
    "The paper's choice.",
    "locked": "keeps both centres together while c moves: a follows c.",
    "balanced": "first changes the axes so that queries and keys spread alike in every direction, "
    "then moves the centres together as centroid does. Products stay as they are.",
    "lifted": "moves the centres together, then gives the keys one more coordinate that makes all "
    "of them equally long. Distance and attention then rank the keys of each query exactly alike.",
}

_SLIDERS = """
<h3>Shift a and scale c</h3>
<p><b>Shift a</b> moves all keys together: drag it and watch r, the scatter and the plane. Only keys
may be shifted: shifting the queries would change the attention.</p>
<p><b>Scale c</b> changes no dot product and no cosine distance, so objectives made of these two do
not depend on it. It decides what the plane and the Euclidean distance see: the queries' main axes
(large c) or the keys' (small c).</p>
<h3>Five modes of a</h3>
<p>{modes}</p>
<h3>What to look for: the objective</h3>
<p>Fit searches the a (and where it matters the c) that makes the chosen objective largest. The
curve shows it over the whole range; its green point can be dragged.</p>
<p>{objectives}</p>
<h3>When not to trust it</h3>
<p><b>Collapse.</b> A large a makes all keys point the same way: r comes near −1 while the picture
shrinks to a line or a point. The measures say so: they count over how many directions the points
still spread. Trust a fit whose plane still shows a structure.</p>
<p><b>Edge.</b> A best value at the end of its range, marked by a filled diamond, is only the best
of that range: a wider one (↔ beside the slider) may hold a better one, or lead into collapse.</p>
<p><b>The question itself.</b> “Do pairs with high attention come closer?” is answered in numbers,
for this head, its layer and the model, before and after. Often the honest answer is no.</p>
"""

_ABOUT = f"""
<h3>AttnViz {attnviz_gui.__version__}</h3>
<p>Look inside a transformer's attention: on your own text and model, exact and offline.</p>
<p>The normalisation by a and c: Yeh et al., <i>AttentionViz: A Global View of Transformer
Attention</i>, 2023, section 5.1.1.</p>
<p>The bundled model is all-MiniLM-L6-v2 (Apache 2.0). AttnViz is under the MIT licence.</p>
"""


class HelpPicture(QWidget):
    """A picture in two versions, for a light window and a dark one; as wide as the page."""

    def __init__(self, name: str, words: str) -> None:
        """`name`: of the files; `words`: what can be seen, for who cannot see it."""
        super().__init__()
        self._name = name
        self._dark: bool | None = None
        self._pixmap = QPixmap()
        self.setObjectName(name)
        self.setAccessibleName(words)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._load()

    def sizeHint(self) -> QSize:
        """As wide as the page."""
        ratio = self._pixmap.height() / max(self._pixmap.width(), 1)
        return QSize(WIDTH, round(WIDTH * ratio))

    @property
    def dark(self) -> bool:
        """True where the version for a dark window is shown."""
        return bool(self._dark)

    def _load(self) -> None:
        dark = self.palette().color(QPalette.ColorRole.Window).lightness() < 128
        if dark != self._dark:
            self._dark = dark
            version = "dark" if dark else "light"
            self._pixmap = QPixmap(str(resource(f"pictures/{self._name}-{version}.png")))
            self.update()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the window from light to dark."""
        if event.type() == QEvent.Type.PaletteChange:
            self._load()
        super().changeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the picture, scaled to the widget."""
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        p.drawPixmap(QRectF(self.rect()), self._pixmap, QRectF(self._pixmap.rect()))
        p.end()


class HelpDialog(QDialog):
    """A page of text and pictures, which scrolls where it is longer than the screen."""

    def __init__(
        self, title: str, page: list[QWidget], parent: QWidget | None = None, *, width: int = 520
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        inner = QWidget()
        rows = QVBoxLayout(inner)
        rows.setContentsMargins(16, 4, 16, 8)
        for part in page:
            part.setFixedWidth(width)
            rows.addWidget(part)
        rows.addStretch(1)
        self.area = QScrollArea()
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidgetResizable(True)
        self.area.setWidget(inner)
        self.area.setMinimumWidth(width + 32 + self.area.verticalScrollBar().sizeHint().width())
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        foot = QVBoxLayout()
        foot.setContentsMargins(12, 0, 12, 0)
        foot.addWidget(buttons)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 8)
        column.addWidget(self.area, 1)
        column.addLayout(foot)
        self._inner = inner

    def sizeHint(self) -> QSize:
        """The whole page, as far as the screen has room."""
        wanted = super().sizeHint()
        height = self._inner.sizeHint().height() + 60
        return QSize(
            wanted.width(), min(height, round(0.85 * self.screen().availableSize().height()))
        )


def _text(page: str) -> QLabel:
    label = QLabel(page)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    return label


def _caption(words: str) -> QLabel:
    label = _text(words)
    label.setProperty("quiet", True)
    return label


def normalisation_page() -> list[QWidget]:
    """Return the page about a and c."""
    modes = "<br>".join(f"<b>{mode}</b> {words}" for mode, words in _MODES.items())
    objectives = "<br>".join(
        f"<b>{each.name}</b> rewards {each.rewards}." for each in OBJECTIVES.values()
    )
    return [
        _text(_WHY),
        HelpPicture("help-plane", _PLANE),
        _caption(_PLANE),
        HelpPicture("help-scatter", _SCATTER),
        _caption(_SCATTER),
        _text(_SLIDERS.format(modes=modes, objectives=objectives)),
    ]


def normalisation_help(parent: QWidget) -> HelpDialog:
    """Return the dialog about a and c."""
    return HelpDialog("What a and c do", normalisation_page(), parent, width=WIDTH)


def about(parent: QWidget) -> HelpDialog:
    """Return the dialog about this program."""
    return HelpDialog("About AttnViz", [_text(_ABOUT)], parent)
