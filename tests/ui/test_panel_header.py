"""A panel's line of numbers, in less and less room."""

from __future__ import annotations

from PySide6.QtCore import Qt

from attnviz_gui.ui.panels.dock import ElidedLabel

WHOLE = "42 → 37 % of variance · mean distance 3.57 → 3.86"


def test_numbers_are_said_shorter_before_any_is_cut(qtbot):
    label = ElidedLabel(Qt.AlignmentFlag.AlignRight, shortest=6)
    qtbot.addWidget(label)
    label.say(WHOLE)
    seen = []
    for width in range(label.sizeHint().width(), 10, -1):
        label.resize(width, 20)
        if label.text() not in seen:
            seen.append(label.text())
    assert seen[:4] == [
        WHOLE,
        "42 → 37 % var. · mean distance 3.57 → 3.86",
        "42 → 37 % var. · distance 3.57 → 3.86",
        "42→37 % var. · distance 3.57→3.86",
    ]
    assert all(text.endswith("…") for text in seen[4:])
    assert label.whole == label.accessibleName() == WHOLE
    label.grab()
    assert label.toolTip() == WHOLE
