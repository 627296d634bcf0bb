"""The frame around the data: one palette and one short style sheet for a theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QStyleFactory

from attnviz_gui.ui.theme import DARK, LIGHT, font

if TYPE_CHECKING:
    from attnviz_gui.ui.theme import Theme


def chosen_theme(setting: str) -> Theme:
    """Return the theme of a setting: ``light``, ``dark``, or ``system`` for the desktop's own."""
    if setting == "system":
        scheme = QGuiApplication.styleHints().colorScheme()
        setting = "dark" if scheme == Qt.ColorScheme.Dark else "light"
    return DARK if setting == "dark" else LIGHT


def dress(app: QApplication, theme: Theme) -> None:
    """Give the application another theme's palette and style sheet."""
    paint(app, theme)
    put_on_sheet(app, theme)
    for label in app.allWidgets():
        if isinstance(label, QLabel) and "href=" in label.text():
            words = label.text()  # whose links keep the colour that they had when it was set
            label.clear()
            label.setText(words)


def put_on_sheet(app: QApplication, theme: Theme) -> None:
    """Give the application the theme's style sheet."""
    app.setStyleSheet(_sheet(theme))


def paint(app: QApplication, theme: Theme) -> None:
    """Give the application the theme's palette alone; the sheet is to come.

    A sheet is gone through anew whenever a widget is given to another one, so that a window is put
    together before it has one: half of the time goes into that otherwise.

    An own palette, since asking Qt for a colour scheme does nothing on bare X11 or offscreen.
    """
    app.setStyle(QStyleFactory.create("Fusion"))
    app.setFont(font())
    palette = QPalette()
    role = QPalette.ColorRole
    for which, color in {
        role.Window: theme.color("window"),
        role.WindowText: theme.color("text"),
        role.Base: theme.color("ground"),
        role.AlternateBase: theme.color("window"),
        role.Text: theme.color("text"),
        role.PlaceholderText: theme.color("muted"),
        role.Button: theme.color("window"),
        role.ButtonText: theme.color("text"),
        role.ToolTipBase: theme.color("ground"),
        role.ToolTipText: theme.color("text"),
        role.Highlight: theme.color("query"),
        role.HighlightedText: theme.color("ground"),
        role.Link: theme.color("query"),
        role.Mid: theme.color("faint"),
        role.Accent: theme.color("query"),
    }.items():
        palette.setColor(which, color)
    off = QPalette.ColorGroup.Disabled
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(off, which, theme.color("muted", 0.7))
    app.setPalette(palette)
    # Fusion draws the edge of a box to be ticked darker than the window: in the dark, not at all.
    boxes = QPalette(palette)
    if theme is DARK:
        boxes.setColor(role.Window, theme.color("muted"))
    for kind in ("QCheckBox", "QRadioButton"):
        app.setPalette(boxes, kind)  # type: ignore[arg-type]  # PySide takes text, and no bytes


def _sheet(theme: Theme) -> str:
    return f"""
    QLabel[quiet="true"] {{ color: {theme.muted}; }}
    QToolTip {{ color: {theme.text}; background: {theme.ground}; border: 1px solid {theme.faint}; }}
    QFrame#banner {{ background: {theme.ground}; border: 1px solid {theme.key};
                     border-radius: 4px; margin: 0 8px 4px 8px; }}
    QFrame#banner[fault="true"] {{ border-color: {theme.watched}; }}
    QGroupBox {{ border: none; margin-top: 20px; padding: 0; }}
    QGroupBox::title {{ subcontrol-origin: margin; left: 2px; top: 2px; font-weight: bold; }}
    QToolButton[segment="true"] {{ border: 1px solid {theme.faint}; padding: 1px 7px;
                                   background: {theme.ground}; color: {theme.muted}; }}
    QToolButton[segment="true"]:checked {{ background: {theme.query}; color: {theme.ground};
                                           border-color: {theme.query}; }}
    QToolButton::menu-indicator {{ image: none; }}
    QMainWindow::separator {{ background: {theme.faint}; width: 3px; height: 3px; }}
    QPlainTextEdit#text_input {{ border: 1px solid {theme.faint}; border-radius: 4px;
                                 background: {theme.ground}; color: {theme.text}; }}
    QPlainTextEdit#text_input:focus {{ border-color: {theme.query}; }}
    """
