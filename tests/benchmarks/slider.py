"""A slider's frame and a change of head in the real window, from the call to painted panels.

The plain way beside it: refit scikit-learn's PCA, compute every pair's dot product and cosine
distance, and hand the points to pyqtgraph's items again. A second row has a plain way that draws
the whole picture of the window: lines and names too, before and after. For 50,000 tokens the plain
way draws the plane alone, without a pair.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, qInstallMessageHandler
from PySide6.QtWidgets import QHBoxLayout, QWidget

import attnviz_gui
from attnviz_gui.ui.application import start_on_screen
from attnviz_gui.ui.main_window import MainWindow
from tests.samples import random_capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PySide6.QtWidgets import QApplication

    from attnviz_gui.capture.record import Capture, Head

SENTENCE = "the brown dog is sleeping now under a big old tree by our house while it rains"
FRAMES, TURNS = 120, 4


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


def rest(app: QApplication) -> None:
    """Let a window that has just been opened come to rest, as it has when somebody drags in it."""
    until = time.perf_counter() + 1
    while time.perf_counter() < until:
        app.processEvents()
        time.sleep(0.005)


MOST_NAMES = 64  # tokens up to which the plain way writes a name at each point


class Plain(QWidget):
    """The same three panels from pyqtgraph's ready-made items, everything set anew each time."""

    def __init__(self, tokens: list[str]) -> None:
        super().__init__()
        self.setWindowTitle("plain")
        self.plots = [pg.PlotWidget() for _ in range(4)]
        row = QHBoxLayout(self)
        for plot in self.plots:
            row.addWidget(plot)
        heatmap, before, after, pairs = self.plots
        self.image = pg.ImageItem()
        heatmap.addItem(self.image)
        self.planes = [PlainPlane(plot, tokens) for plot in (before, after)]
        self.pairs = [pg.ScatterPlotItem(size=6, brush=brush) for brush in ("gray", "green")]
        self.lines = [pg.PlotDataItem(pen=pen) for pen in ("gray", "green")]
        for item in (*self.pairs, *self.lines):
            pairs.addItem(item)
        self.resize(1280, 500)

    def show_head(self, head: Head) -> None:
        self.image.setImage(head.attention)
        self.show_frame(head, 0.0, 1.0, 0)
        self.show_frame(head, 0.0, 1.0)

    def show_frame(self, head: Head, a: float, c: float, which: int = 1) -> None:
        """Draw one position of the sliders: after the normalisation (1), or before it (0)."""
        from sklearn.decomposition import PCA

        query, key = head.query * c, (head.key + a) / c
        xy = PCA(2).fit_transform(np.concatenate([query, key]))
        strongest = head.attention.argmax(axis=1)
        self.planes[which].show(xy[: len(query)], xy[len(query) :], strongest)
        dots = query @ key.T
        norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(key, axis=1)
        x, y = (1 - dots / norms).ravel(), dots.ravel()
        self.pairs[which].setData(x, y)
        slope, intercept = np.polyfit(x, y, 1)
        ends = np.array([x.min(), x.max()])
        self.lines[which].setData(ends, slope * ends + intercept)
        self.plots[3].setTitle(f"r {np.corrcoef(x, y)[0, 1]:.2f}")


class PlainPlane:
    """Queries, keys, lines to the most attended key, and the tokens' names."""

    def __init__(self, plot: pg.PlotWidget, tokens: list[str]) -> None:
        self.queries = pg.ScatterPlotItem(size=8, symbol="o", brush="orange")
        self.keys = pg.ScatterPlotItem(size=8, symbol="t1", brush="blue")
        self.lines = pg.PlotDataItem(pen="gray", connect="pairs")
        named = tokens if len(tokens) <= MOST_NAMES else []
        self.names = [pg.TextItem(token) for token in (*named, *named)]
        for item in (self.lines, self.queries, self.keys, *self.names):
            plot.addItem(item)

    def show(self, query_xy: np.ndarray, key_xy: np.ndarray, strongest: np.ndarray) -> None:
        self.queries.setData(*query_xy.T)
        self.keys.setData(*key_xy.T)
        ends = np.stack([query_xy, key_xy[strongest]], axis=1).reshape(-1, 2)
        self.lines.setData(*ends.T)
        for name, place in zip(self.names, np.concatenate([query_xy, key_xy]), strict=False):
            name.setPos(*place)


MOST_PAIRS = 300_000  # more than these take pyqtgraph's items many seconds


class Points(QWidget):
    """No more than the points: PCA refitted, two clouds and the pairs handed to `setData`.

    All pairs are computed; of millions of them a part is drawn, as many as the window draws.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("points")
        self.plots = [pg.PlotWidget() for _ in range(2)]
        row = QHBoxLayout(self)
        for plot in self.plots:
            row.addWidget(plot)
        self.queries, self.keys, self.pairs = (pg.ScatterPlotItem(size=6) for _ in range(3))
        plane, pairs = self.plots
        plane.addItem(self.queries)
        plane.addItem(self.keys)
        pairs.addItem(self.pairs)
        self.resize(1280, 500)

    def show_frame(self, head: Head, a: float, c: float) -> None:
        from sklearn.decomposition import PCA

        query, key = head.query * c, (head.key + a) / c
        xy = PCA(2).fit_transform(np.concatenate([query, key]))
        self.queries.setData(*xy[: len(query)].T)
        self.keys.setData(*xy[len(query) :].T)
        dots = query @ key.T
        norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(key, axis=1)
        part = (
            slice(None) if dots.size <= MOST_PAIRS else slice(None, None, dots.size // MOST_PAIRS)
        )
        self.pairs.setData(dots.ravel()[part], (1 - dots / norms).ravel()[part])


class Clouds(QWidget):
    """The plane alone: PCA refitted, and both clouds handed to `setData`."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("clouds")
        self.plots = [pg.PlotWidget()]
        QHBoxLayout(self).addWidget(self.plots[0])
        self.queries, self.keys = (pg.ScatterPlotItem(size=3, pen=None) for _ in range(2))
        self.plots[0].addItem(self.queries)
        self.plots[0].addItem(self.keys)
        self.resize(640, 500)

    def show_frame(self, head: Head, a: float, c: float) -> None:
        from sklearn.decomposition import PCA

        query, key = head.query * c, (head.key + a) / c
        xy = PCA(2).fit_transform(np.concatenate([query, key]))
        self.queries.setData(*xy[: len(query)].T)
        self.keys.setData(*xy[len(query) :].T)


def text_of(n_tokens: int) -> str:
    """A text of so many tokens, [CLS] and [SEP] among them: each word is one token."""
    rng = np.random.default_rng(0)
    return " ".join(rng.choice(SENTENCE.split(), n_tokens - 2))


def median(times: list[float]) -> float:
    return float(np.median(times))


def p95(times: list[float]) -> float:
    return float(np.quantile(times, 0.95))


class Times(NamedTuple):
    """Seconds of each frame: ours, the whole picture drawn plainly, the points alone."""

    ours: list[float]
    picture: list[float]
    points: list[float]


def frames(app: QApplication, capture: Capture) -> Times:
    """Time whole drags in our window, and frames of the plain ways between them.

    They take turns, so that a machine that slows down slows all three. The first turn fills
    everybody's caches and is not counted; of every other drag each frame is.
    """
    window = MainWindow(capture=capture)
    window.resize(1280, 800)
    window.show()
    painted = Painted([window.scatter, window.embedding])
    document, head = window.document, capture.head(1, 7)
    document.show_head(1, 7)
    others = Plain(capture.tokens[0]), Points()
    others[0].show_head(head)
    for other in others:
        other.show()
    theirs = [Painted(other.plots[-2:]) for other in others]
    rest(app)
    values = np.sin(np.linspace(0.01, 6, FRAMES)) * 2  # no two in a row alike
    n_plain = 30 if len(capture.tokens[0]) < 100 else 4  # the plain way takes its time
    times = Times([], [], [])
    for turn in range(TURNS):
        document.begin_drag()
        ours = [painted.time(app, lambda t=t: document.move(t=float(t))) for t in values]
        document.end_drag()
        found = [ours]
        for other, of in zip(others, theirs, strict=True):
            some = values[:: FRAMES // n_plain]
            found.append([
                of.time(app, lambda t=t, other=other: other.show_frame(head, float(t), 1.0))
                for t in some
            ])  # fmt: skip
        if turn:
            for own, new in zip(times, found, strict=True):
                own.extend(new)
    window.close()
    for other in others:
        other.close()
    return times


def many(app: QApplication, capture: Capture, *, together: bool) -> tuple[float, float]:
    """95th percentile of a slider's frame of very many pairs, ours and plain."""
    window = MainWindow(capture=capture)
    window.resize(1280, 800)
    window.show()
    document, scatter = window.document, window.scatter
    document.set_options(together=together)
    while document.pending or document.picture is None or "while" in scatter.numbers():
        app.processEvents()
    while "so far" in scatter.numbers():  # all pairs are there, the worker rests
        app.processEvents()
    painted = Painted([scatter, window.embedding])
    document.begin_drag()
    values = np.sin(np.linspace(0.01, 6, FRAMES)) * 0.5
    ours = [painted.time(app, lambda t=t: document.move(t=float(t))) for t in values]
    document.end_drag()
    window.close()

    heads = [capture.head(0, 0, text) for text in range(len(capture.texts))]
    head = replace(
        heads[0],
        query=np.concatenate([each.query for each in heads]),
        key=np.concatenate([each.key for each in heads]),
    )
    plain = time_plain(app, Clouds() if together else Points(), head, values[:6])
    return p95(ours[3:]), plain


def time_plain(
    app: QApplication, plain: Plain | Points | Clouds, head: Head, values: np.ndarray
) -> float:
    """95th percentile of a frame drawn the plain way; its panels that move are waited for."""
    plain.show()
    rest(app)
    painted = Painted(plain.plots[-2:])
    times = [
        painted.time(app, lambda t=t: plain.show_frame(head, float(t), 1.0)) for t in values
    ]  # fmt: skip
    plain.close()
    return p95(times[1:])


def switches(app: QApplication, capture: Capture) -> tuple[list[float], list[float]]:
    """Seconds of each change of head, ours and plain."""
    heads = [(layer, head) for layer in range(4) for head in range(12)]
    window = MainWindow(capture=capture)
    window.resize(1280, 800)
    window.show()
    painted = Painted([window.heatmap, window.scatter, window.embedding])
    ours = [painted.time(app, lambda at=at: window.document.show_head(*at)) for at in heads[1:]]
    window.close()

    plain = Plain(capture.tokens[0])
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
        times, goal = frames(app, capture), "≤ 16 ms, ≥ 5 × faster"
        for how, of in (("p95", p95), ("median", median)):
            what, ours = f"slider frame, {n_tokens} tokens, {how}", of(times.ours)
            table.append((what, ours, of(times.points), goal))
            table.append((f"{what}; plain: whole picture", ours, of(times.picture), goal))
    sizes = {"layers": 1, "heads": 2, "head_dim": 64}
    ours, plain = many(app, random_capture(2_000, **sizes), together=False)
    table.append(("slider frame, 2,000 tokens, p95", ours, plain, "≤ 20 ms"))
    ours, plain = many(app, random_capture(500, texts=100, **sizes), together=True)
    what = "slider frame, 50,000 tokens of 100 texts, p95; plain: plane alone"
    table.append((what, ours, plain, "≤ 33 ms, ≥ 10 × faster"))
    ours, theirs = switches(app, capture)
    for what, of in (("median", median), ("p95", p95)):
        label = f"change of head, 512 tokens, {what}"
        table.append((label, of(ours), of(theirs), "≤ 50 ms"))
    return table
