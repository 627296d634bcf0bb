"""A selection of 10,000 points in the real window: from the call to all panels painted.

1,000 texts of 20 tokens together, so that the plane has 40,000 points and the scatter 400,000
pairs. A slider's frame without a selection and with one; a lasso around a third of all pairs; a
search of 100,000 tokens.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.session.search import Index, Search, found_tokens, search
from attnviz_gui.session.selection import Selection, TokenLists, select_places
from attnviz_gui.ui.application import start_on_screen
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.views.lit_pairs import pairs_inside
from attnviz_gui.ui.views.pair_sources import AllTexts
from attnviz_gui.ui.views.region import Region
from tests.benchmarks.slider import Painted
from tests.samples import random_capture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Row = tuple[str, float, float | None, str]
TIMES = 8


def rows() -> Iterable[Row]:
    app = start_on_screen()
    window = MainWindow(capture=random_capture(20, layers=1, heads=1, texts=1000))
    document = window.document
    document.set_options(together=True)
    window.show()
    end = time.monotonic() + 60
    while document.pending or document.corpus is None:
        app.processEvents()
        if time.monotonic() > end:
            raise TimeoutError("not all texts are shown")
    document.move(mode="centroid", t=0.6)
    settle(app)
    strip = window.token_strip
    painted = Painted([*window.views, strip])
    plane = Painted([window.embedding, window.scatter])
    lists, rng = document.token_lists, np.random.default_rng(0)
    steps = iter(np.linspace(0.3, 0.9, 1000))

    def moved() -> None:
        document.move(t=float(next(steps)))

    def frames() -> float:
        document.begin_drag()
        spent = sorted(plane.time(app, moved) for _ in range(TIMES))[TIMES // 2]
        document.end_drag()
        settle(app)
        return spent

    without = frames()
    selections = [
        select_places(lists, *(rng.choice(20_000, 5_000, replace=False) for _ in range(2)))
        for _ in range(TIMES)
    ]
    spent = []
    for chosen in selections:
        spent.append(painted.time(app, lambda chosen=chosen: document.select(chosen)))
        settle(app)
    yield "selection of 10,000 points, to all panels painted", median(spent), None, "≤ 50 ms"
    yield "a slider's frame with that selection (without it)", frames(), without, "about 1"
    spent.clear()
    for back in (True, False) * (TIMES // 2):
        spent.append(painted.time(app, document.undo if back else document.redo))
        settle(app)
    yield "the same undone or redone, to all panels painted", median(spent), None, ""
    document.select(Selection(lists))
    settle(app)
    spent.clear()
    for turn in range(TIMES):
        area, corpus, frame = window.scatter.after.area, document.corpus, document.corpus_frame
        assert area is not None and corpus is not None and frame is not None
        source = AllTexts(corpus, frame, 0)
        region = lasso(area.width / 2, area.height / 2, area.height / (3 + turn / 10))
        start = time.perf_counter()
        pairs_inside(source, region, area, lambda: True)
        spent.append(time.perf_counter() - start)
    yield "a lasso in 400,000 pairs: which are in it, exactly", median(spent), None, ""
    window.close()
    yield from searches()


def searches() -> Iterator[Row]:
    """A search of 100,000 tokens, its index known."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(9_000)] + [f"##p{i}" for i in range(1_000)])
    names = tuple(tuple(words[rng.integers(0, len(words), 100)].tolist()) for _ in range(1000))
    lists = TokenLists((names,), ((0, 0),))
    index = Index(lists, ("",) * len(names))
    for what in (Search("9p1"), Search("w12", "token"), Search(r"^w\d*7$", "regex")):
        search(index, what)
        spent = []
        for _ in range(3):
            start = time.perf_counter()
            found_tokens(lists, search(index, what))
            spent.append(time.perf_counter() - start)
        yield f"search of 100,000 tokens, {what.mode}", median(spent), None, ""


def median(spent: list[float]) -> float:
    return sorted(spent)[len(spent) // 2]


def settle(app: object) -> None:
    """Let everything come to rest."""
    end = time.monotonic() + 0.35
    while time.monotonic() < end:
        app.processEvents()  # type: ignore[attr-defined]


def lasso(x: float, y: float, size: float) -> Region:
    """A wavy outline of 200 corners."""
    turns = [2 * math.pi * i / 200 for i in range(200)]
    return Region(
        tuple(
            (x + size * (1 + 0.3 * math.sin(7 * a)) * math.cos(a), y + size * math.sin(a))
            for a in turns
        )
    )
