"""Mean attention by position: what is drawn, what is said, and that nothing late appears."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QColor

from attnviz_gui.analysis.positions import mean_by_position
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.mix import Mix
from attnviz_gui.ui.explore.positions import PositionsPart
from attnviz_gui.ui.explore.view_panel import AsShown
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.theme import LIGHT
from attnviz_gui.ui.views.position_pairs import PositionPairsView
from tests.samples import random_capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.record import Capture

LENGTHS = (3, 7, 5, 1)


def of_many_lengths(*, causal: bool = False) -> Capture:
    parts = [random_capture(n, seed=n, causal=causal) for n in LENGTHS]
    return replace(
        parts[0],
        texts=tuple(t for p in parts for t in p.texts),
        tokens=tuple(t for p in parts for t in p.tokens),
        special=tuple(t for p in parts for t in p.special),
        records=tuple(t for p in parts for t in p.records),
    )


def on(capture: Capture) -> Document:
    document = Document()
    document.open(capture)
    return document


@pytest.fixture
def shown(qtbot: QtBot) -> Iterator[Any]:
    made: list[PositionPairsView] = []

    def show(document: Document, size: tuple[int, int] = (600, 460)) -> PositionPairsView:
        view = PositionPairsView(document, LIGHT)
        qtbot.addWidget(view)
        made.append(view)
        view.resize(*size)
        view.start()
        view.show()
        return view

    yield show
    for view in made:
        view.stop()


def center(view: PositionPairsView, query: int, key: int) -> QPointF:
    area = view.matrix_area(QRectF(view.viewport().rect()))
    return view.cell_rect(area, query, key).center()


def color_at(view: PositionPairsView, query: int, key: int) -> QColor:
    return QColor(view.viewport().grab().toImage().pixel(center(view, query, key).toPoint()))


def light(color: QColor) -> int:
    return color.red() + color.green()  # rises along viridis


def test_the_strongest_pair_is_brightest_and_what_no_text_has_is_grey(shown: Any) -> None:
    capture = of_many_lengths(causal=True)
    view = shown(on(capture))
    means = mean_by_position(capture, 0, 0).mean
    i, j = np.unravel_index(means.argmax(), means.shape)
    low = np.where(mean_by_position(capture, 0, 0).count > 0, means, 2)
    k, m = np.unravel_index(low.argmin(), low.shape)
    assert light(color_at(view, int(i), int(j))) > light(color_at(view, int(k), int(m))) + 40
    empty = color_at(view, 0, 6)  # after its query
    assert max(empty.red(), empty.green(), empty.blue()) - min(
        empty.red(), empty.green(), empty.blue()
    ) < 12  # fmt: skip


def test_what_is_hovered_says_its_mean_and_how_many_texts_it_rests_on(shown: Any) -> None:
    capture = of_many_lengths()
    document = on(capture)
    view = shown(document)
    found = mean_by_position(capture, 0, 0)
    view.point(center(view, 4, 2))
    lines = " · ".join(view.readout.lines)
    assert lines.startswith("position 4 → 2")
    assert f"{found.mean[4, 2]:.3f}" in lines
    assert "over 2 of 4 texts" in lines
    assert document.focus == Focus()  # the text on show has three tokens
    view.point(center(view, 2, 0))
    assert "in text 1" in " · ".join(view.readout.lines)
    assert document.focus == Focus(2, 0)
    assert "3 of 4 texts" in view.numbers()


def test_it_says_how_many_texts_reach_the_last_position(shown: Any) -> None:
    view = shown(on(of_many_lengths()))
    assert "4 texts" in view.title()
    assert "1 reaches position 6" in view.numbers()
    alike = shown(on(random_capture(5, texts=3)))
    assert "reach" not in alike.numbers()


def test_without_special_tokens_others_alone_take_part(shown: Any) -> None:
    document = on(random_capture(6, texts=3))
    view = shown(document)
    assert view.means().count[0, 0] == 3
    document.set_options(show_special=False)
    assert view.means().count[0].sum() == view.means().count[:, 5].sum() == 0
    assert view.means().count[1, 1] == 3
    assert "without special" in view.facts()
    document.open(random_capture(2, texts=2))  # none is special there
    assert view.sentence() == ""


def test_texts_in_place_of_means_and_logarithmic_colours(shown: Any) -> None:
    document = on(of_many_lengths())
    view = shown(document)
    linear = view.viewport().grab().toImage()
    document.set_options(color_scale="logarithmic")
    assert view.viewport().grab().toImage() != linear
    view.choose("show", "count")
    assert light(color_at(view, 0, 0)) > light(color_at(view, 6, 6)) + 100


def test_several_heads_as_one_are_refused_in_words(shown: Any) -> None:
    document = on(random_capture(5, texts=2))
    view = shown(document)
    document.show_mix(Mix(((0, 0), (0, 1)), "mean"))
    assert "Choose one head" in view.sentence()
    view.viewport().grab()


def test_its_figure_says_over_how_many_texts(shown: Any) -> None:
    document = on(of_many_lengths())
    view = shown(document)
    view.choose("show", "count")
    kind: Any = AsShown(view)
    assert kind(document, LIGHT).choices["show"] == "count"
    image = draw_figure(kind, document)
    assert len({image.pixel(x, y) for x in range(60, 600, 7) for y in range(60, 500, 7)}) > 4
    assert view.facts() == "mean over 4 texts"


@pytest.fixture
def window(qtbot: QtBot, capybara: Capture) -> MainWindow:
    window = MainWindow(capture=capybara)
    qtbot.addWidget(window)
    window.show()
    return window


def part_of(window: MainWindow) -> PositionsPart:
    return next(part for part in window.parts if isinstance(part, PositionsPart))


def test_in_the_window_a_worker_computes_it_and_a_click_pins(
    qtbot: QtBot, window: MainWindow
) -> None:
    part = part_of(window)
    window.document.open(random_capture(9, texts=20))
    part.dock.open()
    qtbot.waitUntil(lambda: part.view.means() is not None)
    qtbot.waitUntil(lambda: not part.averaging.button.isVisible())
    place = center(part.view, 3, 2).toPoint()
    qtbot.mouseClick(part.view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place))
    assert window.document.pinned == Focus(3, 2)
    assert "20 texts" in part.panel.header.title.whole


def test_what_is_cancelled_or_late_never_appears(qtbot: QtBot, window: MainWindow) -> None:
    part = part_of(window)
    window.document.open(random_capture(60, texts=300, layers=1, heads=2))
    part.dock.open()
    part.averaging.cancel()
    assert "Cancelled" in part.view.sentence()
    window.document.show_head(0, 1)
    qtbot.waitUntil(lambda: part.view.means() is not None, timeout=20_000)
    assert part.view.sentence() == ""
    window.document.show_head(0, 0)
    shown = part.view.means()
    assert shown is None  # the cancelled one has left nothing
    qtbot.waitUntil(lambda: part.view.means() is not None, timeout=20_000)
