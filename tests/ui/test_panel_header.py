"""A panel's line of numbers, in less and less room."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from attnviz_gui.session.document import Document
from attnviz_gui.ui.panels.dock import ElidedLabel
from attnviz_gui.ui.panels.view_options import PlaneOptions
from tests.samples import random_capture

WHOLE = "42 → 37 % of variance · mean distance 3.57 → 3.86"


def test_numbers_are_said_shorter_before_any_is_cut(qtbot):
    label = ElidedLabel(Qt.AlignmentFlag.AlignRight, shortest=6)
    qtbot.addWidget(label)
    label.say(WHOLE)
    seen = []
    for width in range(label.sizeHint().width(), label.minimumSizeHint().width(), -1):
        label.resize(width, 20)
        if label.text() not in seen:
            seen.append(label.text())
    assert seen[:6] == [
        WHOLE,
        "42 → 37 % var. · mean distance 3.57 → 3.86",
        "42 → 37 % var. · distance 3.57 → 3.86",
        "42→37 % var. · distance 3.57→3.86",
        "42→37 % · distance 3.57→3.86",
        "42→37 % · dist. 3.57→3.86",
    ]
    assert all(text.endswith("…") for text in seen[6:])
    assert label.whole == label.accessibleName() == WHOLE
    label.grab()
    assert label.toolTip() == WHOLE


def test_without_room_for_it_the_number_of_pairs_stays_in_the_tooltip(qtbot):
    label = ElidedLabel(Qt.AlignmentFlag.AlignRight, shortest=6)
    qtbot.addWidget(label)
    whole = "r −0.984 → −0.979 · 262,144 pairs as density"
    label.say(whole)
    label.resize(label.fontMetrics().horizontalAdvance("r −0.984→−0.979") + 2, 20)
    assert label.text() == "r −0.984→−0.979"
    label.grab()
    assert label.toolTip() == whole
    told = "r −0.984 → −0.979 · 900 of 18,769 pairs while moving"
    label.say(told)
    assert label.text().endswith("…")


@pytest.mark.parametrize("lines", ["each query", "top entries"])
@pytest.mark.parametrize("width", [270, 400, 480, 520, 700])
def test_no_button_of_the_plane_is_cut_however_narrow_its_panel(qtbot, width, lines):
    document = Document()
    document.open(random_capture(12))
    document.set_options(lines=lines)
    panel = QWidget()
    qtbot.addWidget(panel)
    panel.setMinimumSize(260, 180)  # as a dock: smaller than what is in it asks for
    options = PlaneOptions(document)
    QVBoxLayout(panel).addWidget(options)
    panel.layout().setContentsMargins(0, 0, 0, 0)
    panel.resize(width, 200)
    with qtbot.waitExposed(panel):
        panel.show()
    assert options.width() == width
    for button in (*options.plane.group.buttons(), options.norm):
        assert button.width() >= button.sizeHint().width(), button.text()
        assert button.mapTo(options, button.rect().topRight()).x() < width, button.text()
    assert options.lines.mapTo(options, options.lines.rect().topRight()).x() < width
    beside = abs(options.plane.y() - options.lines.y()) < options.plane.height() / 2
    assert beside if width == 700 else width > 400 or not beside
    options.stop()
