"""Parts join the window by themselves: made late, themed, and closed with it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from PySide6.QtWidgets import QDockWidget, QLabel, QMenu, QWidget

from attnviz_gui.ui import parts
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.record import Capture


class Greeting(Part):
    """A part that remembers what has happened to it."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.happened: list[str] = []
        self.dock = PartDock("Greeting", "greeting_panel", self.make)
        window.workspace.add(self.dock)
        window.explore_menu.addAction(self.dock.toggleViewAction())

    def make(self) -> QWidget:
        self.happened.append("made")
        return QLabel("Hello")

    def set_theme(self, theme: object) -> None:
        self.happened.append("themed")

    def close(self) -> None:
        self.happened.append("closed")


def test_a_part_is_made_late_themed_and_closed(
    qtbot: QtBot, capybara: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PARTS", ("tests.ui.test_parts:Greeting",))
    window = MainWindow(capture=capybara)
    qtbot.addWidget(window)
    window.show()
    (part,) = window.parts
    assert isinstance(part, Greeting)
    assert part.dock.isHidden()
    assert part.happened == []
    assert "Greeting" in [action.text() for action in window.explore_menu.actions()]
    part.dock.open()
    assert part.happened == ["made"]
    assert part.dock.widget().text() == "Hello"
    part.dock.hide()
    part.dock.open()
    assert part.happened == ["made"]
    window.set_theme("dark")
    assert part.happened == ["made", "themed"]
    window.workspace.arrange()
    assert part.dock.isHidden()
    window.close()
    assert part.happened[-1] == "closed"


def test_every_panel_that_is_closed_comes_back_from_a_menu(qtbot: QtBot, capybara: Capture) -> None:
    window = MainWindow(capture=capybara)
    qtbot.addWidget(window)
    window.show()
    closable = [
        dock
        for dock in window.findChildren(QDockWidget)
        if dock.features() & QDockWidget.DockWidgetFeature.DockWidgetClosable
    ]
    assert {"What the picture keeps", "Attention"} <= {dock.windowTitle() for dock in closable}
    for dock in closable:
        entry = dock.toggleViewAction()
        assert any(isinstance(holder, QMenu) for holder in entry.associatedObjects())
        dock.close()
        assert dock.isHidden()
        entry.trigger()
        assert not dock.isHidden(), dock.windowTitle()


def test_whoever_goes_through_the_menus_takes_nothing_along(
    qtbot: QtBot, capybara: Capture
) -> None:
    window = MainWindow(capture=capybara)
    qtbot.addWidget(window)
    window.show()
    for entry in window.menuBar().actions():
        assert all(action.text() or action.isSeparator() for action in entry.menu().actions())
    gc.collect()
    window.document.show_head(1, 7)  # the Edit menu's entries follow the picture
    assert all(entry.menu().actions() for entry in window.menuBar().actions())


def test__the_menu_brings_a_panel_to_the_front(qtbot: QtBot, capybara: Capture) -> None:
    window = MainWindow(capture=capybara)
    qtbot.addWidget(window)
    with qtbot.waitExposed(window):
        window.show()
    actions = {action.text(): action for action in window.explore_menu.actions()}
    docks = {dock.windowTitle(): dock for dock in window.workspace.panels}
    for title in ("All heads", "Mean of heads"):
        actions[title].trigger()
        qtbot.waitUntil(lambda: not docks[title].visibleRegion().isEmpty())  # noqa: B023
    # One that lies behind another tab comes forward, and closes only where it can be seen.
    assert docks["All heads"].visibleRegion().isEmpty()
    actions["All heads"].trigger()
    qtbot.waitUntil(lambda: not docks["All heads"].visibleRegion().isEmpty())
    actions["All heads"].trigger()
    qtbot.waitUntil(docks["All heads"].isHidden)
    assert not actions["All heads"].isChecked()


@pytest.mark.qt_log_ignore("does not support raise", extend=True)
def test_a_panel_fills_the_window_and_gives_the_room_back(qtbot: QtBot, capybara: Capture) -> None:
    window = MainWindow(capture=capybara)
    qtbot.addWidget(window)
    with qtbot.waitExposed(window):
        window.show()
    dock = next(d for d in window.workspace.panels if d.windowTitle() == "All heads")
    dock.toggleViewAction().trigger()
    qtbot.waitUntil(lambda: not dock.visibleRegion().isEmpty())
    small = dock.size()
    panel = dock.widget()
    for act in (panel.header.doubled.emit, panel.menu.actions()[0].trigger):
        act()
        qtbot.waitUntil(lambda: dock.width() > 1.5 * small.width())
        assert dock.height() > 1.5 * small.height()
        assert not window.heatmap.isVisible()
        act()
        qtbot.waitUntil(lambda: dock.width() < 1.1 * small.width())
        assert window.heatmap.isVisible()
    dock.setFloating(True)
    panel.header.doubled.emit()  # where it stands on the desktop, too
    assert not dock.isFloating() and not dock.isHidden()
    panel.header.doubled.emit()
    assert dock.isFloating() and not window.heatmap.isHidden()
    window.close()
