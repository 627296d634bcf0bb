"""What the window remembers from one start to the next: options, recent models, its layout."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QByteArray, QSettings

from attnviz_gui.session.settings import (
    Settings,
    load_settings,
    save_settings,
    with_recent,
    without,
)
from attnviz_gui.ui.faults import log

if TYPE_CHECKING:
    from PySide6.QtWidgets import QMainWindow

    from attnviz_gui.session.document import Document

LAYOUT = 3  # of the panels: raised when panels come or go, so that an old layout is not taken
_OPTIONS = ("color_scale", "lines", "n_lines", "plane", "animate")


class Memory:
    """The settings file, and Qt's own store for where windows and panels stood."""

    def __init__(self) -> None:
        self.settings: Settings = load_settings()

    def change(self, **changes: Any) -> None:
        """Change settings by name; written by `save`."""
        self.settings = replace(self.settings, **changes)

    def add_model(self, folder: str) -> bool:
        """Put a model folder in front of the recent ones; False where it is there already."""
        recent = with_recent(self.settings.recent_models, folder)
        new = recent != self.settings.recent_models
        self.change(recent_models=recent)
        return new

    def add_file(self, kind: str, path: str) -> None:
        """Put a file in front of the recent ones; `kind`: ``captures`` or ``texts``."""
        name = f"recent_{kind}"
        self.change(**{name: with_recent(getattr(self.settings, name), path)})

    def recent(self, kind: str) -> tuple[str, ...]:
        """Return the recent ``models``, ``captures`` or ``texts``, the newest first."""
        found: tuple[str, ...] = getattr(self.settings, f"recent_{kind}")
        return found

    def forget(self, kind: str, path: str) -> None:
        """Take an entry off the recent ones."""
        self.change(**{f"recent_{kind}": without(self.recent(kind), path)})

    def clear(self, kind: str) -> None:
        """Forget all recent entries of a kind."""
        self.change(**{f"recent_{kind}": ()})

    def restore(self, document: Document, window: QMainWindow, panels: QMainWindow) -> None:
        """Bring back the options and the layout."""
        document.set_options(**{name: getattr(self.settings, name) for name in _OPTIONS})
        stored = QSettings("AttnViz", "AttnViz")
        restore_panels = partial(panels.restoreState, version=LAYOUT)
        for target, name in ((window.restoreGeometry, "geometry"), (restore_panels, "panels")):
            value = stored.value(name)
            if isinstance(value, QByteArray):  # anything else is no state that Qt has written
                target(value)

    def save(self, document: Document, window: QMainWindow, panels: QMainWindow) -> None:
        """Write down the settings, the options and the layout; a full disk stops nobody."""
        stored = QSettings("AttnViz", "AttnViz")
        stored.setValue("geometry", window.saveGeometry())
        stored.setValue("panels", panels.saveState(LAYOUT))
        self.change(**{name: getattr(document.options, name) for name in _OPTIONS})
        try:
            save_settings(self.settings)
        except OSError as error:
            log.warning("the settings could not be written: %s", error)
