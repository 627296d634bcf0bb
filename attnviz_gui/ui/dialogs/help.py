"""What a and c do, in a minute; and what this program is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout

import attnviz_gui

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

_NORMALISATION = """
<h3>What a and c do</h3>
<p>Attention depends on <b>dot products</b> of queries and keys; a picture shows <b>distances</b>.
Two vectors can have a large dot product and yet lie far apart, so a plane of raw queries and keys
says little about attention.</p>
<p>The attention stays exactly the same when every key is moved by one vector <b>a</b>, and when
queries are made <b>c</b> times as long and keys c times as short:</p>
<p style="margin-left: 20px">q′ = c·q &nbsp;&nbsp;&nbsp; k′ = (k + a) / c</p>
<p>since q′·k′ = q·k + q·a, and the softmax ignores what is the same along a row. So both can be
chosen freely to make distances tell what the attention does. The number <b>r</b> says how well they
do: at r = −1 a larger dot product always means a smaller distance.</p>
<p><b>Shift a</b> moves all keys together: drag it and watch r, the scatter and the plane.
<i>constant</i> adds one number to every coordinate, <i>centroid</i> moves the keys' centre towards
the queries', <i>locked</i> keeps both centres together while c moves.</p>
<p><b>Scale c</b> changes no dot product and no cosine distance. It decides whether the plane is
drawn along the queries' main axes (large c) or the keys' (small c).</p>
<p>A large a makes all keys point the same way: r comes near −1 while the picture collapses. Trust
a fit whose plane still shows a structure.</p>
"""

_ABOUT = f"""
<h3>AttnViz {attnviz_gui.__version__}</h3>
<p>Look inside a transformer's attention: on your own text and model, exact and offline.</p>
<p>The normalisation by a and c: Yeh et al., <i>AttentionViz: A Global View of Transformer
Attention</i>, 2023, section 5.1.1.</p>
<p>The bundled model is all-MiniLM-L6-v2 (Apache 2.0). AttnViz is under the MIT licence.</p>
"""


class HelpDialog(QDialog):
    """A page of text."""

    def __init__(self, title: str, page: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        text = QLabel(page)
        text.setTextFormat(Qt.TextFormat.RichText)
        text.setWordWrap(True)
        text.setMinimumWidth(520)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(text)
        column.addWidget(buttons)


def normalisation_help(parent: QWidget) -> HelpDialog:
    """Return the page about a and c."""
    return HelpDialog("What a and c do", _NORMALISATION, parent)


def about(parent: QWidget) -> HelpDialog:
    """Return the page about this program."""
    return HelpDialog("About AttnViz", _ABOUT, parent)
