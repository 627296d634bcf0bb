"""The menus: every action has its words, its key and what it calls; no state of their own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QDir, QUrl
from PySide6.QtGui import QActionGroup, QDesktopServices, QKeySequence
from PySide6.QtWidgets import QMenu

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QAction

    from attnviz_gui.ui.main_window import MainWindow

Key = QKeySequence | QKeySequence.StandardKey | str | None


_LONGEST = 64  # characters of a path


def fill_menus(window: MainWindow) -> QMenu:
    """Fill the window's menu bar; returns the menu that the window's parts fill."""
    bar = window.menuBar()
    _file(window, bar.addMenu("&File"))
    _edit(window, bar.addMenu("&Edit"))
    _view(window, bar.addMenu("&View"))
    _head(window, bar.addMenu("&Head"))
    explore = bar.addMenu("E&xplore")
    _help(window, bar.addMenu("H&elp"))
    return explore


def entries_of_menus(window: MainWindow) -> list[QAction]:
    """Return the entries that open a menu, to be kept.

    Where Python holds none of them, whoever goes through the menus gets wrappers that, when they
    go, take those of the menus' own entries along.
    """
    return [menu.menuAction() for menu in window.findChildren(QMenu)]


def _add(menu: QMenu, words: str, call: Callable[[], object], key: Key = None) -> QAction:
    action = menu.addAction(words)
    if key is not None:
        action.setShortcut(key)
    action.triggered.connect(lambda _checked=False: call())
    return action


def _add_switch(
    menu: QMenu, words: str, switch: Callable[[bool], object], is_on: Callable[[], bool]
) -> None:
    """Add an entry with a tick; it asks where it stands whenever the menu opens."""
    action = menu.addAction(words)
    action.setCheckable(True)
    action.triggered.connect(switch)
    menu.aboutToShow.connect(lambda: action.setChecked(is_on()))


def _file(window: MainWindow, menu: QMenu) -> None:
    standard = QKeySequence.StandardKey
    _add(menu, "Open &text or capture…", window.actions_.choose_file, standard.Open)
    _add(menu, "Open &model folder…", window.actions_.choose_folder)
    _add(menu, "&Download a model…", window.actions_.choose_hub_model)
    for kind in ("captures", "texts", "models"):
        _recent(window, menu.addMenu(f"Recent {kind}"), kind)
    menu.addSeparator()
    _add(menu, "&Save capture as…", window.actions_.save_capture, standard.Save)
    _add(menu, "&Export figures…", window.actions_.export, "Ctrl+E")
    _add(menu, "Export &places of all heads…", window.actions_.export_places)
    menu.addSeparator()
    _add(menu, "&Quit", window.close, standard.Quit)


def _recent(window: MainWindow, menu: QMenu, kind: str) -> None:
    """Fill a menu with the recent files of a kind whenever it opens."""

    def clear() -> None:
        window.memory.clear(kind)
        if kind == "models":
            window.text_bar.set_models(())

    def fill() -> None:
        menu.clear()
        for path in window.memory.recent(kind):
            _add(menu, _short(path), partial(window.runs.open_recent, kind, path)).setToolTip(path)
        if menu.isEmpty():
            menu.addAction("None yet").setEnabled(False)
            return
        menu.addSeparator()
        _add(menu, "Clear this list", clear)

    menu.setObjectName(f"recent_{kind}")
    menu.setToolTipsVisible(True)
    menu.aboutToShow.connect(fill)


def _short(path: str) -> str:
    """Return a path as a menu shows it: from the home folder, its middle left out if long."""
    home = QDir.homePath()
    text = "~" + path[len(home) :] if path.startswith(home + "/") else path
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text.replace("&", "&&")  # one alone would mark a key


def _edit(window: MainWindow, menu: QMenu) -> None:
    for dock in window.docks:
        _add(menu, f"Copy {dock.windowTitle().lower()}", partial(window.actions_.copy, dock))
    menu.addSeparator()
    _add(menu, "&Watch the chosen pair", window.actions_.watch, "Ctrl+D")
    _add(menu, "&Let go", window.actions_.let_go, "Esc")


def _view(window: MainWindow, menu: QMenu) -> None:
    for dock in (*window.docks, window.workspace.honesty, window.anatomy_panel):
        menu.addAction(dock.toggleViewAction())
    _add(menu, "&Restore the layout", window.workspace.arrange)
    menu.addSeparator()
    d = window.document
    switches = {
        "&Logarithmic colour": (
            lambda on: d.set_options(color_scale="logarithmic" if on else "linear"),
            lambda: d.options.color_scale == "logarithmic",
        ),
        "&Special tokens": (
            lambda on: d.set_options(show_special=on),
            lambda: d.options.show_special,
        ),
        "&Glide between before and after": (
            lambda on: d.set_options(animate=on),
            lambda: d.options.animate,
        ),
    }
    for words, (switch, is_on) in switches.items():
        _add_switch(menu, words, switch, is_on)
    menu.addSeparator()
    themes = menu.addMenu("&Theme")
    group = QActionGroup(window)
    for setting, words in (("system", "As the desktop"), ("light", "Light"), ("dark", "Dark")):
        action = _add(themes, words, partial(window.set_theme, setting))
        action.setCheckable(True)
        action.setChecked(window.memory.settings.theme == setting)
        group.addAction(action)


def _head(window: MainWindow, menu: QMenu) -> None:
    _add(menu, "Next layer\tPage Down", lambda: window.actions_.step(layer=1))
    _add(menu, "Previous layer\tPage Up", lambda: window.actions_.step(layer=-1))
    _add(menu, "Next head\t→", lambda: window.actions_.step(head=1))
    _add(menu, "Previous head\t←", lambda: window.actions_.step(head=-1))
    menu.addSeparator()
    _add(menu, "&Fit a and c", window.fitting.fit, "Ctrl+F")
    _add(menu, "&Reset a and c", window.normalization_panel.bar.reset.click, "Ctrl+R")
    _add(menu, "&Table of fits…", window.fitting.show_table)


def _help(window: MainWindow, menu: QMenu) -> None:
    from attnviz_gui.ui.faults import log_file

    _add(menu, "What &a and c do", window.actions_.explain)
    _add(
        menu,
        "Open the &log folder",
        lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(log_file().parent))),
    )
    _add(menu, "A&bout AttnViz", window.actions_.about)
