"""Start Qt, with or without a display, and the window. Imported only once either is wanted."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PySide6
import shiboken6
from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.garbage import COLLECTOR
from attnviz_gui.resources import resource
from attnviz_gui.session.files import is_there

if TYPE_CHECKING:
    from collections.abc import Sequence

_OURS = "started by attnviz"  # a property of the application
_open_windows: list[Any] = []  # of `show`: nobody else holds them

_WITHOUT = 'use "attnviz-gui render --text TEXT --out DIR" to write pictures without one'

# The Debian packages of the libraries that Qt's X11 plugin loads.
_PACKAGES = {
    "libEGL": "libegl1",
    "libGL": "libgl1",
    "libdbus-1": "libdbus-1-3",
    "libxkbcommon-x11": "libxkbcommon-x11-0",
    "libxkbcommon": "libxkbcommon0",
    "libxcb-cursor": "libxcb-cursor0",
    "libxcb-icccm": "libxcb-icccm4",
    "libxcb-image": "libxcb-image0",
    "libxcb-keysyms": "libxcb-keysyms1",
    "libxcb-randr": "libxcb-randr0",
    "libxcb-render-util": "libxcb-render-util0",
    "libxcb-xinerama": "libxcb-xinerama0",
    "libxcb-xkb": "libxcb-xkb1",
    "libxcb-shape": "libxcb-shape0",
}


def start_offscreen() -> QApplication:
    """Return the running application, or start one that needs no display."""
    running = QApplication.instance()
    if isinstance(running, QApplication):
        return running
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    return _start()


def start_on_screen() -> QApplication:
    """Return the running application, or start one on the user's display.

    Raises
    ------
    InputError
        When there is no display, or a library is missing that Qt would abort without.
    """
    running = QApplication.instance()
    if isinstance(running, QApplication):
        return running
    if sys.platform.startswith("linux"):
        _look_for_display()
    app = _start()
    # What a window imports and makes stays: the collector would go through all of it time and
    # again, an eighth of the time to a visible window.
    COLLECTOR.hold()
    QTimer.singleShot(0, COLLECTOR.release)
    return app


def show(capture_or_model: Any) -> None:
    """Open the window on a capture, a loaded model or a module; returns when it is closed.

    Where somebody else has started Qt (a notebook's ``%gui qt``), their event loop runs the
    window, and the call returns at once.

    Raises
    ------
    InputError
        When it is neither, or too large for the memory; or there is no display, or a thread
        other than the main one calls.
    """
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.jobs.room import refuse_without_room
    from attnviz_gui.ui.main_window import MainWindow

    # A loaded model is known by what the window asks of it: its class would bring torch with it.
    if not (
        isinstance(capture_or_model, Capture)
        or hasattr(capture_or_model, "tokenizer")
        or _is_module(capture_or_model)
    ):
        raise InputError(
            f"show() takes what capture(), open_capture() or load_model() has returned, or a "
            f"module of PyTorch, not {type(capture_or_model).__name__}."
        )
    if threading.current_thread() is not threading.main_thread():
        raise InputError("A window is opened by the program's main thread: call show() there.")
    if isinstance(capture_or_model, Capture):
        refuse_without_room(capture_or_model)  # before there is a window
    app = start_on_screen()
    if isinstance(capture_or_model, Capture):
        window = MainWindow(capture=capture_or_model)
    else:
        window = MainWindow(model=capture_or_model)
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    window.show()
    _open_windows.append(window)
    window.destroyed.connect(lambda: _open_windows.remove(window))
    if app.property(_OURS):
        app.exec()


def _is_module(thing: object) -> bool:
    """Return whether something is a module of PyTorch, which is never imported to find out."""
    nn = sys.modules.get("torch.nn")
    return nn is not None and isinstance(thing, nn.Module)


def run_window(files: Sequence[str] = (), *, quit_when_ready: bool = False) -> int:
    """Open the window on the given files and run until it is closed; returns the exit code."""
    from attnviz_gui.ui.faults import Faults
    from attnviz_gui.ui.main_window import MainWindow

    paths = [Path(file) for file in files]
    for path in paths:
        if not is_there(path):
            raise InputError(f"there is no file or folder {path}")
    started_here = QApplication.instance() is None
    app = start_on_screen()
    faults = Faults()
    faults.install()
    try:
        window = MainWindow(faults=faults, files=paths)
        window.show()
        if quit_when_ready:
            window.ready.connect(window.close)
            window.runner.failed.connect(lambda _fault: app.exit(1))
        code = app.exec()
        window.deleteLater()
        del window
    finally:
        faults.remove()
    if started_here:
        take_down(app)
    return code


def take_down(app: QApplication) -> None:
    """Destroy the application, and all windows before it, while Python is whole.

    Left to the interpreter's exit, the binding goes through every object that it knows, in no
    order, and meets some that are gone.
    """
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    shiboken6.delete(app)


def _start() -> QApplication:
    QApplication.setApplicationName("AttnViz")
    QApplication.setOrganizationName("AttnViz")
    QApplication.setDesktopFileName("attnviz-gui")
    app = QApplication(sys.argv[:1])
    app.setProperty(_OURS, True)
    app.setWindowIcon(QIcon(str(resource("icons/attnviz.svg"))))
    return app


def _look_for_display() -> None:
    """Raise where Qt would abort: without a display, or a library to draw on it."""
    platform = os.environ.get("QT_QPA_PLATFORM", "")
    if platform not in ("", "xcb"):
        return  # somebody knows better
    x, wayland = os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY", "")
    if not x and not wayland:
        raise InputError(f"there is no display for a window; {_WITHOUT}")
    if wayland and not platform and _wayland_answers(wayland):
        return
    if x:
        _look_for_libraries()
    if not x or not _x_answers():
        raise InputError(f"the display {x or wayland} for a window does not answer; {_WITHOUT}")


def _wayland_answers(name: str) -> bool:
    import socket  # not where it is not needed: a window waits for what is imported

    path = Path(os.environ.get("XDG_RUNTIME_DIR", "/")) / name
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except OSError:
            return False
    return True


def _x_answers() -> bool:
    """Ask by the library that Qt asks by; True where there is none to ask by."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True
    xcb.xcb_connect.restype = ctypes.c_void_p
    line = ctypes.c_void_p(xcb.xcb_connect(None, None))
    refused = xcb.xcb_connection_has_error(line)
    xcb.xcb_disconnect(line)
    return not refused


def _look_for_libraries() -> None:
    """Load Qt's X11 plugin by hand: where that fails, the loader names what is missing."""
    plugin = Path(PySide6.__file__).parent / "Qt" / "plugins" / "platforms" / "libqxcb.so"
    if not plugin.exists():
        return
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        library = str(error).split(":")[0]
        package = _PACKAGES.get(library.split(".so")[0], "")
        hint = f"install it, on Debian with: apt install {package}" if package else "install it"
        raise InputError(f"a window needs the library {library}; {hint}") from error
