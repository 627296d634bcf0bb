"""What every view promises, whatever it shows: the same tests for each of them."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtTest import QTest

from attnviz_gui.session.document import Document
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.theme import DARK, LIGHT, PAPER
from tests.images import image_capture
from tests.samples import random_capture

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.record import Capture

FOLDER = "attnviz_gui.ui.views"
VIEWS = {
    "heatmap": "heatmap:HeatmapView",
    "scatter": "scatter:ScatterView",
    "embedding": "embedding:EmbeddingView",
    "dimensions": "dimensions:DimensionsView",
    "value_weighted": "value_weighted:ValueWeightedView",
    "rollout": "rollout:RolloutView",
    "text_lines": "text_lines:TextLinesView",
    "head_grid": "head_grid:HeadGridView",
    "position_pairs": "position_pairs:PositionPairsView",
    "other_projection": "other_projection:OtherProjectionView",
    "image_patches": "image_patches:ImagePatchesView",
}
SIZE = QSize(560, 420)


@pytest.fixture(params=VIEWS)
def kind(request: pytest.FixtureRequest):
    module, _, name = VIEWS[request.param].partition(":")
    return getattr(import_module(f"{FOLDER}.{module}"), name)


@pytest.fixture
def capture(kind, capybara: Capture) -> Capture:
    """What a view is to show: the first text, or a picture."""
    return image_capture(4) if kind.name == "image_patches" else capybara


def of_size(kind, n_tokens: int) -> Capture:
    """A capture of so many tokens, which are patches where a view shows these."""
    if kind.name != "image_patches":
        return random_capture(n_tokens, layers=1, heads=1)
    side = math.isqrt(n_tokens)
    return image_capture(side, leading=n_tokens - side**2)


def shown(qtbot: QtBot, kind, document: Document, theme=LIGHT):
    view = kind(document, theme)
    qtbot.addWidget(view, before_close_func=lambda view: view.stop())
    view.start()
    view.resize(SIZE)
    with qtbot.waitExposed(view):
        view.show()
    qtbot.wait(20)
    return view


def document_of(capture: Capture) -> Document:
    document = Document()
    document.open(capture)
    document.pin(0, 0)  # what a close view looks at
    return document


def pixels(view) -> np.ndarray:
    """What is painted, (height, width, 3)."""
    image = view.grab().toImage().convertToFormat(view.grab().toImage().Format.Format_RGB888)
    flat = np.frombuffer(image.constBits(), np.uint8)
    rows = flat.reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()]
    return rows.reshape(image.height(), image.width(), 3).copy()


def ink(picture: np.ndarray) -> float:
    """Share of the pixels that are not the ground, which stands in the corner."""
    return float((np.abs(picture.astype(int) - picture[1, 1]).max(axis=2) > 24).mean())


def test_it_has_a_name_for_screen_readers_and_for_code(qtbot: QtBot, kind, capture: Capture):
    view = shown(qtbot, kind, document_of(capture))
    assert view.objectName() == kind.name
    assert view.accessibleName() or view.title()
    assert view.focusPolicy() & Qt.FocusPolicy.TabFocus


def test_with_nothing_to_show_it_says_what_to_do(qtbot: QtBot, kind):
    view = shown(qtbot, kind, Document())
    assert view.numbers() == ""
    assert 0.0005 < ink(pixels(view)) < 0.2  # a sentence


@pytest.mark.parametrize("n_tokens", [1, 2, 12])
def test_few_tokens_are_drawn(qtbot: QtBot, kind, n_tokens: int):
    view = shown(qtbot, kind, document_of(of_size(kind, n_tokens)))
    assert view.title()
    assert ink(pixels(view)) > 0.0005


def test_two_thousand_tokens_are_drawn(qtbot: QtBot, kind):
    view = shown(qtbot, kind, document_of(of_size(kind, 2_000)))
    assert view.title()
    assert ink(pixels(view)) > 0.0005


def test_many_texts_one_or_together(qtbot: QtBot, kind):
    document = document_of(random_capture(9, texts=30))
    view = shown(qtbot, kind, document)
    first = pixels(view)
    document.show_head(text=7)
    document.pin(0, 0)
    qtbot.wait(20)
    if not getattr(kind, "of_all_texts", False) and kind.name != "image_patches":
        assert not np.array_equal(first, pixels(view))
    document.set_options(together=True)
    qtbot.wait(20)
    assert ink(pixels(view)) > 0.0005


def test_what_changed_while_nobody_looked_is_drawn_when_somebody_does(qtbot: QtBot, kind):
    document = document_of(random_capture(9, texts=5))
    view = shown(qtbot, kind, document)
    for turn in range(6):
        view.stop()
        if turn == 3:
            document.open(random_capture(4, layers=1, heads=2))
        elif turn == 4:
            document.open(random_capture(12, texts=3))
        else:
            document.set_options(together=turn % 2 == 0, color_by="position" if turn else "side")
            document.show_head(layer=turn % 2, head=1, text=turn % 3)
        document.pin(0, 0)
        view.retheme(DARK if turn % 2 else LIGHT)
        view.start()
        qtbot.wait(10)
        found = pixels(view)
        other = shown(qtbot, kind, document, view.theme)
        assert ink(found) > 0.0005
        assert np.abs(found.astype(int) - pixels(other)).mean() < 1
        other.stop()


def test_any_size_is_drawn(qtbot: QtBot, kind, capture: Capture):
    view = shown(qtbot, kind, document_of(capture))
    for width, height in ((90, 60), (1600, 300), (300, 1000), (1200, 900)):
        view.resize(width, height)
        qtbot.wait(10)
        pixels(view)
    assert ink(pixels(view)) > 0.0005


def test_it_takes_another_theme(qtbot: QtBot, kind, capture: Capture):
    view = shown(qtbot, kind, document_of(capture))
    light = pixels(view)
    view.retheme(DARK)
    qtbot.wait(10)
    dark = pixels(view)
    assert dark[1, 1].mean() < light[1, 1].mean() - 60  # the ground
    assert ink(dark) > 0.0005


def test_its_figure_is_on_white_with_title_and_caption(qtbot: QtBot, kind, capture: Capture):
    document = document_of(capture)
    image = draw_figure(kind, document, scale=2.0)
    assert image.devicePixelRatio() == 2.0
    assert image.pixelColor(1, 1) == PAPER.color("ground")
    assert image.width() >= 1000


def test_keys_it_does_not_know_reach_the_window(qtbot: QtBot, kind, capture: Capture):
    from PySide6.QtWidgets import QVBoxLayout, QWidget

    taken = []

    class Around(QWidget):
        def keyPressEvent(self, event) -> None:
            taken.append(event.key())

    around = Around()
    qtbot.addWidget(around)
    view = kind(document_of(capture), LIGHT)
    QVBoxLayout(around).addWidget(view)
    view.start()
    with qtbot.waitExposed(around):
        around.show()
    view.setFocus()
    for key in (Qt.Key.Key_PageDown, Qt.Key.Key_F12):
        QTest.keyClick(view, key)
    view.stop()
    assert Qt.Key.Key_F12 in taken


def test_after_stop_it_is_told_of_nothing(qtbot: QtBot, kind, capture: Capture):
    document = document_of(capture)
    view = shown(qtbot, kind, document)
    view.stop()
    with qtbot.assertNotEmitted(view.titled, wait=60):
        document.show_head(1, 2)
        document.set_options(color_scale="logarithmic", n_lines=3)
        document.move(t=0.3)
        document.pin(1, 2)
