"""The close views: dimensions of q·k, value-weighted attention, rollout, and text with lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QMenu, QToolButton

from attnviz_gui.ui.explore.computing import Computing
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.ui.explore.view_panel import ViewPanel
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.text_lines import TextLinesView


class CloseViews(Part):
    """Four panels that look at one head, or one layer, more closely."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.panels: dict[str, ViewPanel] = {}
        self.rollout: Computing | None = None
        self.docks: dict[str, PartDock] = {}
        for name, title, make in (
            ("dimensions", "Dimensions of q·k", self._dimensions),
            ("value_weighted", "Value-weighted attention", self._value_weighted),
            ("rollout", "Attention rollout", self._rollout),
            ("text_lines", "Text with lines", self._text_lines),
        ):
            dock = PartDock(title, f"{name}_panel", make)
            self.docks[name] = dock
            window.workspace.add(dock)
            window.explore_menu.addAction(dock.toggleViewAction())

    # -- making ------------------------------------------------------------------------------

    def _panel(self, view: Any, label: str) -> ViewPanel:
        from attnviz_gui.ui.explore.view_panel import ViewPanel

        panel = self.panels[view.name] = ViewPanel(self.window, view, label)
        return panel

    def _dimensions(self) -> QWidget:
        from attnviz_gui.ui.views.dimensions import DimensionsView

        view = DimensionsView(self.document, self.window.theme)
        panel = self._panel(view, "Dimensions of q·k")
        pick = panel.picks["rotary"]
        view.titled.connect(lambda: pick.setVisible(view.has_rotary))
        return panel

    def _value_weighted(self) -> QWidget:
        from attnviz_gui.ui.views.value_weighted import ValueWeightedView

        view = ValueWeightedView(self.document, self.window.theme)
        return self._panel(view, "Value-weighted attention")

    def _text_lines(self) -> QWidget:
        from attnviz_gui.ui.views.text_lines import TextLinesView

        view = TextLinesView(self.document, self.window.theme)
        panel = self._panel(view, "Text with lines")
        panel.add_option(HeadsButton(view))
        return panel

    def _rollout(self) -> QWidget:
        from attnviz_gui.ui.views.rollout import RolloutView

        view = RolloutView(self.document, self.window.theme)
        self.rollout = Computing(self.window, view, "rollout", "layers")
        panel = self._panel(view, "Attention rollout")
        self.rollout.join(panel)
        return panel

    # -- as a part ---------------------------------------------------------------------------

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        for panel in self.panels.values():
            panel.retheme(theme)

    def close(self) -> None:
        """Cancel what runs, wait for it, and follow the document no longer."""
        if self.rollout is not None:
            self.rollout.close()
        for panel in self.panels.values():
            panel.stop()


class HeadsButton(QToolButton):
    """Chooses by the keyboard, or all at once, what the squares choose by the mouse."""

    def __init__(self, view: TextLinesView) -> None:
        super().__init__()
        self.view = view
        self.setText("heads ▾")
        self.setObjectName("text_lines_heads")
        self.setAccessibleName("Heads whose lines are drawn")
        self.setToolTip("Which heads of the layer are drawn.")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setAutoRaise(True)
        menu = QMenu(self)
        self.setMenu(menu)
        menu.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """List the layer's heads."""
        menu, view = self.menu(), self.view
        menu.clear()
        picture = view.document.picture
        n = 0 if picture is None else picture.capture.layers[picture.layer].n_heads
        menu.addAction("The head on show").triggered.connect(lambda: view.choose_heads(set()))
        every = menu.addAction("All heads")
        every.triggered.connect(lambda: view.choose_heads(set(range(n))))
        menu.addSeparator()
        for head in range(n):
            action = menu.addAction(f"Head {head}")
            action.setCheckable(True)
            action.setChecked(head in view.heads)
            action.triggered.connect(lambda _=False, h=head: view.toggle_head(h))
