"""A slider's frame and a change of head in the real window, from the call to painted panels.

The plain way beside it: refit scikit-learn's PCA, compute every pair's dot product and cosine
distance, and hand it all to pyqtgraph's items again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, qInstallMessageHandler
from PySide6.QtWidgets import QHBoxLayout, QWidget

import attnviz_gui
from attnviz_gui.ui.application import start_on_screen
from attnviz_gui.ui.main_window import MainWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PySide6.QtWidgets import QApplication

    from attnviz_gui.capture.record import Capture, Head

SENTENCE = "the brown dog is sleeping now under a big old tree by our house while it rains"
FRAMES = 120


class Painted(QObject):
    """Knows which of the watched panels have been painted since it was last asked to wait."""

    def __init__(self, panels: Iterable[pg.GraphicsView]) -> None:
        super().__init__()
        self.ports = [panel.viewport() for panel in panels]
        self.waiting: set[QObject] = set()
        for port in self.ports:
            port.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.waiting.discard(watched)
        return False

    def time(self, app: QApplication, change: Callable[[], object]) -> float:
        """Seconds from the change until every panel has been painted."""
        app.processEvents()
        self.waiting = set(self.ports)
        start = time.perf_counter()
        change()
        while self.waiting:
            app.processEvents()
            if time.perf_counter() - start > 10:
                raise TimeoutError(f"{len(self.waiting)} panels were not painted")
        return time.perf_counter() - start


class Plain(QWidget):
    """A heatmap, a plane and the pairs, each drawn the plain way."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("plain")
        self.plots = [pg.PlotWidget() for _ in range(3)]
        row = QHBoxLayout(self)
        for plot in self.plots:
            row.addWidget(plot)
        self.image = pg.ImageItem()
        self.queries, self.keys, self.pairs = (pg.ScatterPlotItem(size=6) for _ in range(3))
        heatmap, plane, pairs = self.plots
        heatmap.addItem(self.image)
        plane.addItem(self.queries)
        plane.addItem(self.keys)
        pairs.addItem(self.pairs)
        self.resize(1280, 500)

    def show_head(self, head: Head) -> None:
        self.image.setImage(head.attention)
        self.show_frame(head, 0.0, 1.0)

    def show_frame(self, head: Head, a: float, c: float) -> None:
        from sklearn.decomposition import PCA

        query, key = head.query * c, (head.key + a) / c
        xy = PCA(2).fit_transform(np.concatenate([query, key]))
        self.queries.setData(*xy[: len(query)].T)
        self.keys.setData(*xy[len(query) :].T)
        dots = query @ key.T
        norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(key, axis=1)
        self.pairs.setData(dots.ravel(), (1 - dots / norms).ravel())


def text_of(n_tokens: int) -> str:
    """A text of so many tokens, [CLS] and [SEP] among them: each word is one token."""
    rng = np.random.default_rng(0)
    return " ".join(rng.choice(SENTENCE.split(), n_tokens - 2))


def p95(times: list[float]) -> float:
    return float(np.quantile(times, 0.95))


def frames(app: QApplication, capture: Capture) -> tuple[float, float]:
    """95th percentile of a slider's frame, ours and plain."""
    window = MainWindow(capture=capture)
    window.resize(1280, 800)
    window.show()
    painted = Painted([window.scatter, window.embedding])
    window.document.show_head(1, 7)
    window.document.begin_drag()
    values = np.sin(np.linspace(0.01, 6, FRAMES)) * 2  # no two in a row alike
    ours = [painted.time(app, lambda t=t: window.document.move(t=float(t))) for t in values]
    window.document.end_drag()
    window.close()

    plain = Plain()
    plain.show()
    head = capture.head(1, 7)
    painted = Painted(plain.plots[1:])
    n_plain = 40 if len(capture.tokens[0]) < 200 else 6  # the plain way takes its time
    theirs = [
        painted.time(app, lambda t=t: plain.show_frame(head, float(t), 1.0))
        for t in values[:n_plain]
    ]
    plain.close()
    return p95(ours[3:]), p95(theirs[1:])


def switches(app: QApplication, capture: Capture) -> tuple[list[float], list[float]]:
    """Seconds of each change of head, ours and plain."""
    heads = [(layer, head) for layer in range(4) for head in range(12)]
    window = MainWindow(capture=capture)
    window.resize(1280, 800)
    window.show()
    painted = Painted([window.heatmap, window.scatter, window.embedding])
    ours = [painted.time(app, lambda at=at: window.document.show_head(*at)) for at in heads[1:]]
    window.close()

    plain = Plain()
    plain.show()
    painted = Painted(plain.plots)
    theirs = [
        painted.time(app, lambda at=at: plain.show_head(capture.head(*at))) for at in heads[:6]
    ]
    plain.close()
    return ours[1:], theirs[1:]


def rows() -> list[tuple[str, float, float, str]]:
    qInstallMessageHandler(lambda *_: None)  # the offscreen platform remarks on size hints
    app = start_on_screen()
    model = attnviz_gui.load_model("bundled", device="cpu")
    table = []
    for n_tokens in (12, 128, 512):
        capture = attnviz_gui.capture(model, text_of(n_tokens))
        assert len(capture.tokens[0]) == n_tokens
        table.append((
            f"slider frame, {n_tokens} tokens, p95", *frames(app, capture),
            "≤ 16 ms, ≥ 5 × faster",
        ))  # fmt: skip
    ours, theirs = switches(app, capture)
    for what, of in (("median", np.median), ("p95", p95)):
        label = f"change of head, 512 tokens, {what}"
        table.append((label, float(of(ours)), float(of(theirs)), "≤ 50 ms"))
    return table
