"""The menus: every action has its words, its key and what it calls; no state of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl
from PySide6.QtGui import QActionGroup, QDesktopServices, QKeySequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QAction
    from PySide6.QtWidgets import QMenu

    from attnviz_gui.ui.main_window import MainWindow

Key = QKeySequence | QKeySequence.StandardKey | str | None


def fill_menus(window: MainWindow) -> None:
    """Fill the window's menu bar."""
    bar = window.menuBar()
    _file(window, bar.addMenu("&File"))
    _edit(window, bar.addMenu("&Edit"))
    _view(window, bar.addMenu("&View"))
    _head(window, bar.addMenu("&Head"))
    _help(window, bar.addMenu("H&elp"))


def _add(menu: QMenu, words: str, call: Callable[[], object], key: Key = None) -> QAction:
    action = menu.addAction(words)
    if key is not None:
        action.setShortcut(key)
    action.triggered.connect(lambda _checked=False: call())
    return action


def _file(window: MainWindow, menu: QMenu) -> None:
    standard = QKeySequence.StandardKey
    _add(menu, "Open &text or capture…", window.choose_file, standard.Open)
    _add(menu, "Open &model folder…", window.choose_folder)
    menu.addSeparator()
    _add(menu, "&Export figures…", window.export, "Ctrl+E")
    menu.addSeparator()
    _add(menu, "&Quit", window.close, standard.Quit)


def _edit(window: MainWindow, menu: QMenu) -> None:
    for dock in window.docks:
        _add(menu, f"Copy {dock.windowTitle().lower()}", lambda d=dock: window.copy(d))
    menu.addSeparator()
    _add(menu, "&Watch the chosen pair", window.watch, "Ctrl+W")
    _add(menu, "&Let go", window.let_go, "Esc")


def _view(window: MainWindow, menu: QMenu) -> None:
    for dock in window.docks:
        menu.addAction(dock.toggleViewAction())
    _add(menu, "&Restore the layout", window.restore_layout)
    menu.addSeparator()
    window.log_action = menu.addAction("&Logarithmic colour")
    window.log_action.setCheckable(True)
    window.log_action.toggled.connect(
        lambda on: window.document.set_options(color_scale="logarithmic" if on else "linear")
    )
    window.special_action = menu.addAction("&Special tokens")
    window.special_action.setCheckable(True)
    window.special_action.toggled.connect(lambda on: window.document.set_options(show_special=on))
    window.animate_action = menu.addAction("&Glide between before and after")
    window.animate_action.setCheckable(True)
    window.animate_action.toggled.connect(lambda on: window.document.set_options(animate=on))
    menu.addSeparator()
    themes = menu.addMenu("&Theme")
    group = QActionGroup(window)
    for setting, words in (("system", "As the desktop"), ("light", "Light"), ("dark", "Dark")):
        action = _add(themes, words, lambda s=setting: window.set_theme(s))
        action.setCheckable(True)
        action.setChecked(window.settings.theme == setting)
        group.addAction(action)


def _head(window: MainWindow, menu: QMenu) -> None:
    _add(menu, "Next layer\tPage Down", lambda: window.step(layer=1))
    _add(menu, "Previous layer\tPage Up", lambda: window.step(layer=-1))
    _add(menu, "Next head\t→", lambda: window.step(head=1))
    _add(menu, "Previous head\t←", lambda: window.step(head=-1))
    menu.addSeparator()
    _add(menu, "&Fit a and c", window.fit, "Ctrl+F")
    _add(menu, "&Reset a and c", window.document.reset, "Ctrl+R")


def _help(window: MainWindow, menu: QMenu) -> None:
    from attnviz_gui.ui.faults import log_file

    _add(menu, "What &a and c do", window.explain)
    _add(
        menu,
        "Open the &log folder",
        lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(log_file().parent))),
    )
    _add(menu, "A&bout AttnViz", window.about)
