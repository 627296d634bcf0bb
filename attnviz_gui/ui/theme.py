"""Colours, type and numbers: one place, so that the same thing looks the same everywhere.

Colour is for data, the frame is quiet. Data colours are those of Okabe and Ito, told apart by
people with any colour vision, and are the same in light, dark and on paper; only grounds, text and
the colours of quiet things change.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtGui import QColor, QFont

# The same colour means the same thing in every panel.
QUERY = "#0072B2"  # queries: blue, circles
KEY = "#E69F00"  # keys: orange, triangles
WATCHED = "#D0021B"  # watched pairs: red
AFTER = "#009E73"  # after the normalisation: green
FOUND = "#CC79A7"  # what a search has found: purple
FAMILIES = [
    "Noto Sans",
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "Yu Gothic UI",
    "Hiragino Sans",
    "Meiryo",
]
SMALL, NORMAL, LARGE = 9, 10, 12  # points: labels, text, titles


@dataclass(frozen=True)
class Theme:
    """The colours that differ between light, dark and paper."""

    name: str
    ground: str  # behind data
    window: str  # behind controls
    text: str
    muted: str  # secondary text, axes
    faint: str  # grid, borders
    before: str  # points before the normalisation
    query: str = QUERY
    key: str = KEY
    watched: str = WATCHED
    after: str = AFTER
    found: str = FOUND

    def color(self, role: str, alpha: float = 1.0) -> QColor:
        """Return the colour of a role (a field's name), with an opacity from 0 to 1."""
        color = QColor(getattr(self, role))
        color.setAlphaF(alpha)
        return color


LIGHT = Theme("light", "#FFFFFF", "#F5F5F6", "#1B1D20", "#5B6168", "#D9DCE0", "#9AA0A6")
DARK = Theme(
    "dark", "#1A1C1F", "#24272B", "#ECEEF0", "#A4ABB3", "#3B4046", "#7D848C",
    query="#56B4E9", watched="#FF5A5F", after="#2CC79A",
)  # fmt: skip
PAPER = Theme("paper", "#FFFFFF", "#FFFFFF", "#000000", "#333333", "#CCCCCC", "#9AA0A6")


def font(points: int = NORMAL, *, bold: bool = False) -> QFont:
    """Return the interface's one family, Japanese glyph forms before other Han ones."""
    face = QFont()
    face.setFamilies([*face.families(), *FAMILIES])
    face.setPointSizeF(points)
    face.setBold(bold)
    return face
