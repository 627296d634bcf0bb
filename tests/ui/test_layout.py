"""One panel fills the window, others are opened and closed meanwhile, the room is given back."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDockWidget, QTabBar, QWidget

from attnviz_gui.ui.main_window import MainWindow
from tests.samples import random_capture
from tests.ui.driving import LONG, child, opened

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from attnviz_gui.ui.layout import Workspace

FIRST = {"heatmap_panel", "embedding_panel", "scatter_panel", "honesty_panel"}


@pytest.fixture
def window(qtbot: QtBot):
    for window in opened(qtbot, MainWindow(capture=random_capture(12, layers=3, heads=4))):
        qtbot.waitUntil(lambda: bool(window.parts), timeout=LONG)  # noqa: B023
        window.resize(1280, 800)  # whatever an earlier window's was
        window.workspace.arrange()
        qtbot.wait(20)
        yield window
        window.workspace.arrange()


def seen(space: Workspace) -> set[str]:
    """Names of the panels that are open."""
    return {dock.objectName() for dock in space.panels if not dock.isHidden()}


def tabs(space: Workspace) -> list[tuple[list[str], str]]:
    """Titles of each bar of tabs that can be seen, and of the one in front."""
    bars = [bar for bar in space.findChildren(QTabBar) if bar.isVisible() and bar.x() >= 0]
    return [([b.tabText(i) for i in range(b.count())], b.tabText(b.currentIndex())) for b in bars]


@pytest.mark.parametrize("by_menu", [True, False])
def test_what_is_opened_beside_a_panel_that_fills_the_window_has_the_room_shared(
    qtbot: QtBot, window: MainWindow, by_menu: bool
) -> None:
    space = window.workspace
    weighted, lines, rollout = (
        child(space, f"{name}_panel") for name in ("value_weighted", "text_lines", "rollout")
    )
    weighted.open()
    lines.open()
    qtbot.wait(50)
    space.maximise(lines)
    qtbot.wait(50)
    assert seen(space) == {"text_lines_panel"}
    if by_menu:
        rollout.toggleViewAction().trigger()
    else:
        rollout.open()
    every = FIRST | {"value_weighted_panel", "text_lines_panel", "rollout_panel"}
    qtbot.waitUntil(lambda: seen(space) == every)
    qtbot.wait(50)
    ((titles, front),) = tabs(space)  # none is left over the scatter
    assert len(titles) == 4
    assert front == "Attention rollout"
    assert not space.restore()
    space.maximise(rollout)
    assert seen(space) == {"rollout_panel"}
    space.maximise(rollout)
    qtbot.wait(50)
    assert seen(space) == every
    assert len(tabs(space)) == 1


@pytest.mark.parametrize("by_menu", [True, False])
def test_a_panel_that_is_closed_while_it_fills_the_window_leaves_no_empty_window(
    qtbot: QtBot, window: MainWindow, by_menu: bool
) -> None:
    space = window.workspace
    lines = child(space, "text_lines_panel")
    lines.open()
    space.maximise(lines)
    qtbot.wait(50)
    if by_menu:
        lines.toggleViewAction().trigger()
    else:
        lines.close()
    qtbot.waitUntil(lambda: seen(space) == FIRST)
    qtbot.wait(50)
    assert tabs(space) == []
    assert not space.restore()


def test_another_panel_takes_the_room_of_one_that_fills_the_window(
    qtbot: QtBot, window: MainWindow
) -> None:
    space = window.workspace
    space.maximise(space.heatmap)
    qtbot.wait(50)
    space.maximise(space.scatter)
    qtbot.wait(50)
    assert seen(space) == {"scatter_panel"}
    space.maximise(space.scatter)
    assert seen(space) == FIRST


def test_who_gives_the_room_back_by_a_key_stays_where_he_was(
    qtbot: QtBot, window: MainWindow
) -> None:
    space = window.workspace
    window.activateWindow()
    space.maximise(space.heatmap)
    qtbot.wait(50)
    window.heatmap.setFocus()
    qtbot.keyClick(window.heatmap, Qt.Key.Key_Escape)
    qtbot.wait(50)
    assert seen(space) == FIRST
    assert space.focusWidget() is window.heatmap


@pytest.mark.qt_log_ignore("raise", extend=True)  # the offscreen screen has no windows in order
def test_a_panel_on_the_desktop_needs_no_room(qtbot: QtBot, window: MainWindow) -> None:
    space = window.workspace
    rollout: QDockWidget = child(space, "rollout_panel")
    rollout.setFloating(True)
    space.maximise(space.heatmap)
    rollout.show()
    qtbot.wait(50)
    assert seen(space) == {"heatmap_panel", "rollout_panel"}
    space.maximise(space.heatmap)
    assert seen(space) == FIRST | {"rollout_panel"}
    rollout.setFloating(False)


def test_the_first_layout_comes_back_and_the_window_keeps_its_size(
    qtbot: QtBot, window: MainWindow
) -> None:
    space, size = window.workspace, window.size()
    places = {panel: panel.geometry() for panel in space.panels if panel.isVisible()}
    assert len(places) == 4
    for panel in space.panels[len(FIRST) + 1 :]:  # all but the anatomy, which wants all the room
        panel.show()
    space.tabifyDockWidget(space.scatter, space.heatmap)
    qtbot.wait(50)
    assert window.size() == size
    space.arrange()
    qtbot.wait(50)
    assert window.size() == size
    assert tabs(space) == []
    assert seen(space) == FIRST
    for panel, place in places.items():
        now = panel.geometry()
        both = zip(now.getRect(), place.getRect(), strict=True)
        assert all(abs(a - b) <= 3 for a, b in both), (panel.objectName(), now, place)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_opened_closed_and_enlarged_no_tabs_lie_over_a_panel(
    qtbot: QtBot, window: MainWindow, seed: int
) -> None:
    space, draw = window.workspace, random.Random(seed)

    def enlarge(panel: QDockWidget) -> None:
        if not panel.isHidden():
            space.maximise(panel)

    acts = (
        lambda panel: panel.toggleViewAction().trigger(),
        lambda panel: panel.close(),
        enlarge,
        enlarge,
        lambda panel: space.restore(),
        lambda panel: space.arrange(),
        lambda panel: window.resize(draw.randint(900, 1600), draw.randint(600, 1000)),
        lambda panel: window.set_theme(draw.choice(("light", "dark"))),
    )
    for step in range(30):
        draw.choices(acts, (4, 1, 2, 2, 2, 1, 1, 1))[0](draw.choice(space.panels))
        qtbot.wait(draw.choice((0, 20, 100)))
        if step % 3:
            continue
        qtbot.wait(200)
        for bar in space.findChildren(QTabBar):
            if not bar.isVisible() or bar.x() < 0:
                continue
            assert bar.count() > 1
            for panel in space.panels:
                inside = panel.geometry().adjusted(1, 1, -1, -1)
                if panel.isVisible() and panel.x() >= 0 and not panel.isFloating():
                    assert not inside.intersects(bar.geometry()), panel.objectName()


def test_a_low_window_cuts_nothing_of_the_controls(qtbot: QtBot, window: MainWindow) -> None:
    """They are scrolled, and the bar takes no room of theirs, nor of the views'."""
    area = child(window, "controls_panel").widget()
    bar, width = area.verticalScrollBar(), child(window, "shift_mode").width()
    for height in (1000, window.minimumSizeHint().height()):
        window.resize(1280, height)
        qtbot.waitUntil(lambda: bar.isVisible() == (window.height() < 900))
        assert window.width() == 1280
        assert child(window, "shift_mode").width() == width
        for widget in area.widget().findChildren(QWidget):
            if widget.isVisible():
                right = widget.mapTo(area.widget(), widget.rect().topRight()).x()
                assert right < area.viewport().width(), widget.objectName()
