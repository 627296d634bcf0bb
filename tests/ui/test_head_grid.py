"""The grid of all heads, looked at by what it draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PySide6.QtCore import Qt

from attnviz_gui.analysis.mosaic import MASKED
from attnviz_gui.session.document import Document
from attnviz_gui.ui.theme import DARK, LIGHT
from attnviz_gui.ui.views.head_grid import LEFT, TOP, HeadGridView

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.record import Capture


def grid(qtbot: QtBot, capture: Capture, theme: Any = LIGHT) -> HeadGridView:
    document = Document()
    document.open(capture)
    view = HeadGridView(document, theme)
    qtbot.addWidget(view)
    view.resize(640, 480)
    view.start()
    view.show()
    return view


def test_each_cell_is_the_attention_of_its_head(qtbot: QtBot, capybara: Capture):
    view = grid(qtbot, capybara)
    view.grab()
    assert len(view.tiles) == sum(layer.n_heads for layer in capybara.layers)
    for (layer, head), tile in view.tiles.items():
        values = tile.values
        assert isinstance(values, np.ndarray)
        attention = capybara.head(layer, head).attention
        np.testing.assert_allclose(np.where(values == MASKED, 0, values), attention, atol=1e-5)
    view.stop()


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("mode", ["attention", "plane", "density"])
def test_each_mode_is_drawn_in_each_cell(qtbot: QtBot, capybara: Capture, mode: str, theme: Any):
    view = grid(qtbot, capybara, theme)
    view.choose("mode", mode)
    image = view.viewport().grab().toImage()
    for place in view._lattice.cells:
        rect = view.sight.rect(view._lattice, place).translated(LEFT, TOP)
        x, y, w = int(rect.x()) + 2, int(rect.y()) + 2, int(rect.width()) - 4
        seen = {image.pixel(x + i, y + j) for i in range(w) for j in range(w)}
        assert len(seen) > 1, place
    view.stop()


def test_arrows_and_enter_open_a_head(qtbot: QtBot, capybara: Capture):
    view = grid(qtbot, capybara)
    view.grab()
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Return):
        qtbot.keyClick(view, key)
    picture = view.document.picture
    assert picture is not None
    assert (picture.layer, picture.head) == (1, 1)
    view.stop()
