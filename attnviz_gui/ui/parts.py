"""What joins the window by itself: each part brings its panel, its menu entries and its worker.

The window knows none of them by name; it makes those of `PARTS`, hands them a new theme, and closes
them. A part reads the document and writes to it, and knows no other part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QDockWidget, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QShowEvent

    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme

# module:class, in the order of the menu.
PARTS: tuple[str, ...] = (
    "attnviz_gui.ui.explore.grid:HeadGridPart",
    "attnviz_gui.ui.explore.coloring:ColorWorker",
    "attnviz_gui.ui.explore.texts:TextsPart",
    "attnviz_gui.ui.explore.search:SearchPart",
    "attnviz_gui.ui.explore.selection:SelectionPart",
    "attnviz_gui.ui.explore.close_views:CloseViews",
    "attnviz_gui.ui.explore.positions:PositionsPart",
    "attnviz_gui.ui.explore.projections:ProjectionsPart",
    "attnviz_gui.ui.explore.images:Images",
    "attnviz_gui.ui.explore.gallery:GalleryPart",
    "attnviz_gui.ui.explore.mean_head:MeanHeadPart",
    "attnviz_gui.ui.explore.measures:MeasuresTable",
)


class Part(QObject):
    """Base of all parts; made when the window is, so nothing heavy belongs into ``__init__``."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.window = window
        self.document = window.document

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""

    def close(self) -> None:
        """Cancel what runs, wait for it, and follow the document no longer."""


class PartDock(QDockWidget):
    """A panel that is hidden at first, and made when it is shown for the first time.

    Parameters
    ----------
    title
        What stands in its title and in the menu.
    name
        Its objectName, by which the layout is remembered; `make`'s widget has one of its own.
    make : callable
        Makes its content.
    early : bool
        Made with the first picture already: programs look for its content by name.
    """

    def __init__(
        self, title: str, name: str, make: Callable[[], QWidget], *, early: bool = False
    ) -> None:
        super().__init__(title)
        self.setObjectName(name)
        self.early = early
        self._make: Callable[[], QWidget] | None = make
        self.setAllowedAreas(Qt.DockWidgetArea.AllDockWidgetAreas)

    def open(self) -> None:
        """Make it if need be, show it, and bring it to the front."""
        self.make()
        self.show()
        self.raise_()

    def make(self) -> None:
        """Make the content, once."""
        make, self._make = self._make, None
        if make is not None:
            self.setWidget(make())

    def showEvent(self, event: QShowEvent) -> None:
        """Have something to show."""
        self.make()
        super().showEvent(event)


def make_parts(window: MainWindow) -> tuple[Part, ...]:
    """Make all parts of a window."""
    parts = []
    for name in PARTS:
        module, _, kind = name.partition(":")
        part = getattr(import_module(module), kind)(window)
        assert isinstance(part, Part)
        parts.append(part)
    return tuple(parts)
