"""Where the panels stand: controls at the left, the views beside them, all in docks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, Qt, QTimer
from PySide6.QtWidgets import QDockWidget, QMainWindow, QWidget

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

    from attnviz_gui.ui.panels.dock import PanelDock


class Workspace(QMainWindow):
    """The docks. A main window inside the main window, so that docks can fill all of it."""

    def __init__(
        self, controls: QWidget, heatmap: PanelDock, embedding: PanelDock, scatter: PanelDock,
        honesty: QWidget, anatomy: PanelDock,
    ) -> None:  # fmt: skip
        super().__init__()
        self.setWindowFlags(Qt.WindowType.Widget)
        self.setDockOptions(
            QMainWindow.DockOption.AllowNestedDocks | QMainWindow.DockOption.AllowTabbedDocks
        )
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.controls = QDockWidget("Controls")
        self.controls.setObjectName("controls_panel")
        self.controls.setTitleBarWidget(QWidget())
        self.controls.setFeatures(QDockWidget.DockWidgetFeature.NoDockWidgetFeatures)
        self.controls.setWidget(controls)
        self.heatmap, self.embedding, self.scatter = heatmap, embedding, scatter
        self.honesty = QDockWidget("What the picture keeps")
        self.honesty.setObjectName("honesty_panel")
        self.honesty.setWidget(honesty)
        self.anatomy = anatomy
        self.panels: tuple[QDockWidget, ...] = (heatmap, embedding, scatter, self.honesty, anatomy)
        self._own = self.panels
        self._behind: set[QDockWidget] = set()  # open, and another tab lies over them
        for panel in self.panels:
            self._follow(panel)
        self._filling: QDockWidget | None = None  # has all the room, which others made
        self._state = QByteArray()
        # After the events that Qt sends while it shows or hides a panel.
        self._later = QTimer(self, singleShot=True, interval=0)
        self._later.timeout.connect(self._share_again)
        self._arranged = False
        self.arrange()

    def arrange(self) -> None:
        """Put every panel where it stands at first."""
        self._filling = None
        self._clear()
        area = Qt.DockWidgetArea.LeftDockWidgetArea
        for dock in (self.controls, *self._own):
            _dock(dock)
            self.addDockWidget(area, dock)
        self.splitDockWidget(self.controls, self.heatmap, Qt.Orientation.Horizontal)
        self.splitDockWidget(self.heatmap, self.scatter, Qt.Orientation.Vertical)
        self.splitDockWidget(self.heatmap, self.embedding, Qt.Orientation.Horizontal)
        self.splitDockWidget(self.scatter, self.honesty, Qt.Orientation.Horizontal)
        self.splitDockWidget(self.honesty, self.anatomy, Qt.Orientation.Horizontal)
        for dock in self.panels[len(self._own) :]:
            self._place(dock)
        # Not before each has its place: one below the other they would make the window grow. The
        # anatomy wants all the room, and is there when it is asked for.
        for dock in (self.controls, *self._own):
            dock.setVisible(dock is not self.anatomy)
        self._share()

    def add(self, panel: QDockWidget) -> None:
        """Add a panel, hidden, that shares its room with the measures at the right."""
        self.panels = (*self.panels, panel)
        self._follow(panel)
        self._place(panel)

    def _follow(self, panel: QDockWidget) -> None:
        panel.visibilityChanged.connect(lambda seen: self._seen(panel, seen))
        panel.toggleViewAction().triggered.connect(lambda on: self._asked(panel, on))

    def _seen(self, panel: QDockWidget, seen: bool) -> None:
        if seen:
            self._behind.discard(panel)
        elif not panel.isHidden():
            self._behind.add(panel)
        if self._filling is not None:
            self._later.start()

    def _asked(self, panel: QDockWidget, on: bool) -> None:
        """Bring to the front what the menu opens, which Qt leaves behind another tab.

        One that is open behind another is not closed: nobody saw it, and nobody would now.
        """
        if on or panel in self._behind:
            panel.show()
            panel.raise_()
        self._share_again()

    @property
    def explored(self) -> bool:
        """Whether a panel that joined later is open."""
        return any(not panel.isHidden() for panel in self.panels[len(self._own) :])

    def _place(self, panel: QDockWidget) -> None:
        _dock(panel)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, panel)
        self.tabifyDockWidget(self.honesty, panel)
        panel.hide()

    def maximise(self, panel: QDockWidget) -> None:
        """Give one panel all the room, or give it back."""
        filling = self._filling
        if self.restore() and filling is panel:
            return
        self._state = self.saveState()
        _dock(panel)  # one on the desktop would leave the window empty
        others = [dock for dock in self.panels if dock is not panel and not dock.isHidden()]
        focus = self.focusWidget()
        self._clear()
        panel.show()
        _refocus(focus)
        self._filling = panel if others else None

    def restore(self) -> bool:
        """Bring back the panels that made room; False when there are none."""
        if self._filling is None:
            return False
        self._filling = None
        focus = self.focusWidget()
        apart = [dock for dock in self.panels if dock.isFloating() and not dock.isHidden()]
        self._clear()
        self.restoreState(self._state)
        _refocus(focus)
        for dock in apart:
            dock.show()
        return True

    def _clear(self) -> None:
        """Hide all panels: Qt leaves tabs behind, over others, if it never sees them gone."""
        for dock in self.panels:
            dock.hide()
        layout = self.layout()
        assert layout is not None
        layout.activate()

    def _share_again(self) -> None:
        """Give the room back where what filled it was closed, or something was opened beside it."""
        filling = self._filling
        if filling is None:
            return
        opened = [
            dock for dock in self.panels
            if dock is not filling and not dock.isHidden() and not dock.isFloating()
        ]  # fmt: skip
        closed = filling.isHidden()
        if not opened and not closed:
            return
        self.restore()
        if closed:
            filling.hide()
        for dock in opened:
            dock.show()
            dock.raise_()

    def showEvent(self, event: QShowEvent) -> None:
        """Share the room for the first time, now that there is some."""
        super().showEvent(event)
        if not self._arranged:
            self._arranged = True
            self._share()

    def _share(self) -> None:
        across, down = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
        self.resizeDocks([self.heatmap, self.embedding], [400, 600], across)
        self.resizeDocks([self.scatter, self.honesty], [600, 400], across)
        self.resizeDocks([self.heatmap, self.scatter], [600, 300], down)


def _refocus(widget: QWidget | None) -> None:
    """Give back the keys to who had them before everything was hidden."""
    if widget is not None and widget.isVisible():
        widget.setFocus()


def _dock(panel: QDockWidget) -> None:
    """Take a panel back from the desktop, where it may be once it has a parent."""
    if panel.parent() is not None and panel.isFloating():
        panel.setFloating(False)
