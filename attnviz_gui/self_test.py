"""Check that this installation works: resources load, the model runs, every view draws."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attnviz_gui
from attnviz_gui.console import say
from attnviz_gui.errors import InputError
from attnviz_gui.session.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnviz_gui.capture.anatomy.record import Anatomy
    from attnviz_gui.capture.record import Capture

TEXT = "The brown capybara is sleeping now."
MOST_DIFFERENCE = 1e-6  # between the recomputed attention and the model's own


@dataclass(frozen=True)
class Check:
    """One check: what was looked at, whether it holds, and what was found."""

    name: str
    ok: bool
    found: str
    seconds: float


def run_self_test(report: str | None = None) -> bool:
    """Run every check, print a line for each, and return whether all hold.

    Parameters
    ----------
    report
        A JSON file to write the checks to.
    """
    checks: list[Check] = []
    capture: Capture | None = None

    def check(name: str, look: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        try:
            result, found, ok = look(), "", True
            if isinstance(result, tuple):
                result, found = result
        except Exception as error:  # noqa: BLE001 - whatever is broken is what is to be told
            result, found, ok = None, f"{type(error).__name__}: {error}", False
        checks.append(Check(name, ok, found, round(time.perf_counter() - start, 3)))
        say(f"{'ok  ' if ok else 'FAIL'} {name}{': ' if found else ''}{found}")
        return result

    check("resources", _look_at_resources)
    capture = check("bundled model", _run_model)
    if capture is not None:
        check("exactness", lambda: _look_at_exactness(capture))
        check("qt", _start_qt)
        for name in ("heatmap", "scatter", "embedding"):
            check(f"view {name}", partial(_draw, name, capture))
        check("steps of a head", lambda: _take_apart(capture))
        check("worked example", _run_worked_example)
        check("window", lambda: _open_window(capture))
    ok = all(item.ok for item in checks)
    if report is not None:
        _write(Path(report), ok, checks)
    return ok


def _look_at_resources() -> tuple[None, str]:
    from attnviz_gui.resources import bundled_model, resource

    icon = resource("icons/attnviz.svg")
    if not icon.read_bytes():
        raise ValueError(f"{icon} is empty")
    return None, f"{icon.parent.parent.name}, {bundled_model().name}"


def _run_model() -> tuple[Any, str]:
    from attnviz_gui.capture.models import load_model
    from attnviz_gui.capture.recorder import record

    capture = record(load_model("bundled", device="cpu"), TEXT)
    n_heads = sum(layer.n_heads for layer in capture.layers)
    return capture, f"{len(capture.tokens[0])} tokens, {n_heads} heads"


def _look_at_exactness(capture: Capture) -> tuple[None, str]:
    difference = capture.verify()
    if not difference <= MOST_DIFFERENCE:
        raise ValueError(f"attention differs from the model's own by {difference:.1e}")
    return None, f"largest difference {difference:.1e}"


def _start_qt() -> tuple[Any, str]:
    import PySide6

    from attnviz_gui.ui.application import start_offscreen

    return start_offscreen(), f"PySide6 {PySide6.__version__}"


def _draw(name: str, capture: Capture) -> tuple[None, str]:
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.figure import draw_figure
    from attnviz_gui.ui.views.catalogue import VIEWS

    document = Document()
    document.open(capture)
    document.move(mode="centroid", t=1.0)
    view = next(view for view in VIEWS if view.name == name)
    image = draw_figure(view, document)
    step = max(image.width() // 100, 1)
    seen = {
        image.pixel(x, y)
        for x in range(0, image.width(), step)
        for y in range(0, image.height(), step)
    }
    if len(seen) < 4:
        raise ValueError("the picture is empty")
    return None, f"{image.width()} × {image.height()}"


def _take_apart(capture: Capture) -> tuple[None, str]:
    from attnviz_gui.capture.anatomy.dissect import dissect

    return None, _equality(dissect(capture, 1, 7))


def _run_worked_example() -> tuple[None, str]:
    from threading import Event

    from attnviz_gui.capture.anatomy.dissect import dissect
    from attnviz_gui.jobs.examples import WorkedExampleRequest

    capture = WorkedExampleRequest()(lambda _done, _total: None, Event())
    return None, _equality(dissect(capture, 0, 0))


def _equality(anatomy: Anatomy) -> str:
    """Say that both ways of computing a head come to what the model did, or raise."""
    if anatomy.equality is None or not anatomy.equality.holds:
        raise ValueError(f"{anatomy.name} is not computed as the model does it")
    return f"{anatomy.name}: both ways equal the model's own"


def _open_window(capture: Capture) -> tuple[None, str]:
    from PySide6.QtCore import QEvent
    from PySide6.QtWidgets import QApplication

    from attnviz_gui.ui.main_window import MainWindow

    window = MainWindow(capture=capture)
    picture = window.grab()  # lays out and draws without being shown
    window.close()
    window.deleteLater()
    QApplication.sendPostedEvents(window, QEvent.Type.DeferredDelete)
    if picture.isNull():
        raise ValueError("the window draws nothing")
    return None, f"{picture.width()} × {picture.height()}"


def _write(report: Path, ok: bool, checks: list[Check]) -> None:
    content = {
        "version": attnviz_gui.__version__,
        "python": sys.version.split()[0],
        "ok": ok,
        "checks": [asdict(item) for item in checks],
    }
    try:
        replace_file(report, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise InputError(f"{report} can't be written ({error.strerror})") from error
