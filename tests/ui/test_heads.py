"""Heads in the window: stacks, cross attention, vectors before rotation, sinks, and the badge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

import attnviz_gui
from attnviz_gui.capture.record import Capture, Layer, LayerRecord
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.views.heatmap import HeatmapView
from tests.capture.tiny import tiny_folder
from tests.samples import random_capture
from tests.ui.driving import LONG, child
from tests.ui.known import pixels

KINDS = [("encoder", "self")] * 2 + [("decoder", "self"), ("decoder", "cross")] * 2


def cross_capture() -> Capture:
    """Five queries and nine keys in the cross attention of a model with six layers."""
    rng = np.random.default_rng(3)
    words = {"q": tuple(f"q{i}" for i in range(5)), "k": tuple(f"k{j}" for j in range(9))}

    def record(queries: str, keys: str) -> LayerRecord:
        n = len(words[queries]), len(words[keys])
        q, k, v = (rng.normal(size=(3, size, 16)).astype(np.float32) for size in (*n, n[1]))
        return LayerRecord(
            q, k, v, 0.25, np.ones(n, dtype=bool),
            query_tokens=words["k"] if queries == "k" else None,
            key_tokens=words["k"] if keys == "k" else None,
        )  # fmt: skip

    sides = {("encoder", "self"): "kk", ("decoder", "self"): "qq", ("decoder", "cross"): "qk"}
    return Capture(
        texts=("five",),
        tokens=(list(words["q"]),),
        special=(np.array([True, False, False, False, True]),),
        layers=tuple(Layer(f"l{i}", kind, 3, 16, stack) for i, (stack, kind) in enumerate(KINDS)),
        records=(tuple(record(*sides[kind]) for kind in KINDS),),
        model_name="two stacks",
    )


def with_extras(**changes) -> Capture:
    """Random heads with a sink, a cap, a bias or vectors before rotation in every layer."""
    capture = random_capture(7, causal=True)
    records = tuple(replace(record, **changes) for record in capture.records[0])
    return replace(capture, records=(records,))


def unrotated() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    q, k = rng.normal(size=(2, 3, 7, 32)).astype(np.float32)
    return q, k


@pytest.fixture
def show(qtbot):
    """Open the window on a capture."""
    windows = []

    def make(capture: Capture) -> MainWindow:
        window = MainWindow(capture=capture)
        window.resize(1280, 800)  # wide enough for every head: none makes the window grow
        qtbot.addWidget(window)
        windows.append(window)
        with qtbot.waitExposed(window):
            window.show()
        QApplication.processEvents()
        return window

    yield make
    for window in windows:
        window.close()


def hover(view, point: QPoint) -> None:
    QTest.mouseMove(view.viewport(), QPoint(2, 2))  # where it is already, a mouse does not move
    QTest.mouseMove(view.viewport(), point)
    QApplication.processEvents()


def cell(window: MainWindow, row: int, column: int) -> QPoint:
    return window.heatmap.frames.rect(row, column).center().toPoint()


# -- stacks ----------------------------------------------------------------------------------


def test_a_stack_is_chosen_and_the_place_in_it_kept(show):
    window = show(cross_capture())
    box = child(window, "stack_select")
    assert box.isVisible() and box.accessibleName() and box.toolTip()
    assert [box.itemText(i) for i in range(box.count())] == [
        "encoder · 2 layers", "decoder, self · 2 layers", "decoder, cross · 2 layers",
    ]  # fmt: skip
    window.document.show_head(layer=1)
    box.setCurrentIndex(2)
    assert window.document.layer == 5
    assert window.heatmap.title() == "Attention  L5 H0 · decoder, cross"
    assert "L5 H0 · decoder, cross" in window.windowTitle()


def test_arrow_keys_walk_through_all_layers_and_the_stack_follows(show, qtbot):
    window = show(cross_capture())
    box = child(window, "stack_select")
    seen = []
    for layer in range(6):
        assert child(window, "layer_select").value() == layer
        seen.append(box.currentIndex())
        qtbot.keyClick(window, Qt.Key.Key_Down)
    assert seen == [0, 0, 1, 2, 1, 2]


def test_where_all_layers_are_alike_no_stack_is_asked_for(show):
    window = show(random_capture(6))
    assert not child(window, "stack_select").isVisible()
    assert not child(window, "rotary_switch").isVisible()
    assert window.heatmap.title() == "Attention  L0 H0"


# -- cross attention -------------------------------------------------------------------------


def test_queries_and_keys_have_a_strip_each_where_they_are_not_the_same(show):
    window = show(cross_capture())
    queries, keys = child(window, "token_strip"), child(window, "key_strip")
    assert not keys.isVisible()
    window.document.show_head(layer=3)
    QApplication.processEvents()
    assert keys.isVisible() and keys.y() >= queries.geometry().bottom()
    hover(keys, keys.chip(7).center().toPoint())
    assert window.document.focus == Focus(key=7)
    picture = window.document.picture
    np.testing.assert_allclose(
        queries.weights(), picture.attention[:, 7] / picture.attention[:, 7].max(), atol=1e-6
    )
    assert keys.weights() is None
    point = queries.chip(4).center().toPoint()
    QTest.mouseClick(queries.viewport(), Qt.MouseButton.LeftButton, pos=point)
    window.document.hover()
    assert window.document.pinned == Focus(query=4)
    assert len(keys.weights()) == 9 and queries.weights() is None
    assert "attention from q4" in keys.tip(8)
    window.document.show_head(layer=2)
    QApplication.processEvents()
    assert not keys.isVisible()


def test_the_keys_strip_moves_the_pinned_key(show, qtbot):
    window = show(cross_capture())
    window.document.show_head(layer=3)
    keys = child(window, "key_strip")
    window.document.pin(key=7)
    for _ in range(3):
        qtbot.keyClick(keys, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert window.document.pinned == Focus(key=8)


def test_every_view_links_a_query_and_a_key_beyond_the_last_query(show):
    window = show(cross_capture())
    window.document.show_head(layer=3)
    QApplication.processEvents()
    before = [pixels(view.grab().toImage()) for view in window.views]
    hover(window.heatmap, cell(window, 3, 8))
    assert window.document.focus == Focus(3, 8)
    assert window.heatmap.readout.lines[0] == "q3 → k8"
    window.document.toggle_watch(3, 8)
    assert window.document.watched_here == [(3, 8)]
    for view, old in zip(window.views, before, strict=True):
        assert (pixels(view.grab().toImage()) != old).any(), view.name


def test_hidden_special_tokens_leave_the_other_side_whole(show):
    window = show(cross_capture())
    window.document.show_head(layer=3)
    child(window, "special_tokens").click()
    QApplication.processEvents()
    picture = window.document.picture
    assert picture.query_tokens == ("q1", "q2", "q3")
    assert len(picture.key_tokens) == 9
    hover(window.heatmap, cell(window, 2, 8))
    assert window.heatmap.readout.lines[0] == "q3 → k8"


# -- before the rotary embedding -------------------------------------------------------------


def test_vectors_are_drawn_before_rotation_and_the_attention_stays(show):
    window = show(with_extras(unrotated=unrotated()))
    switch = child(window, "rotary_switch")
    assert switch.isVisible() and switch.isChecked() and switch.toolTip()
    attention = window.document.picture.attention
    planes = pixels(window.embedding.grab().toImage())
    switch.click()
    picture = window.document.picture
    np.testing.assert_array_equal(picture.attention, attention)
    np.testing.assert_allclose(picture.live.query, unrotated()[0][0])
    assert "before rotary embedding" in window.embedding.title()
    assert "before rotary embedding" in window.scatter.title()
    assert window.heatmap.title() == "Attention  L0 H0"
    assert (pixels(window.embedding.grab().toImage()) != planes).any()
    window.document.move(t=0.3)
    proof = child(window, "proof").text()
    assert proof.startswith("attention of these vectors unchanged")
    assert "The model's own attention also has the rotation" in proof
    switch.click()
    assert "rotary" not in window.embedding.title()


# -- sinks, caps and biases ------------------------------------------------------------------

SINK = np.array([1.0, 4.0, -2.0], dtype=np.float32)


def test_the_sink_is_a_column_of_its_own_and_says_its_share(show):
    window = show(with_extras(sink=SINK))
    view = window.heatmap
    assert view.sink_box.isVisible()
    assert view.sink_box.geometry().left() > view.box.geometry().right()
    hover(view, view.sink_frames.rect(3, 0).center().toPoint())
    picture = window.document.picture
    assert window.document.focus == Focus(query=3)
    share = 1 - float(picture.attention[3].sum())
    said = view.readout.lines[1]
    assert said.startswith("sink: ") and said.endswith(" of this row")
    assert float(said.split()[1]) == pytest.approx(share, rel=0.01)
    hover(view, cell(window, 3, 1))
    assert any(line.startswith("sink takes ") for line in view.readout.lines)
    assert "the sink's share held" in child(window, "proof").text()


def test_zooming_moves_the_sink_s_rows_with_the_matrix(show):
    window = show(with_extras(sink=SINK))
    view = window.heatmap
    view.box.setRange(xRange=(1, 5), yRange=(2, 6), padding=0)
    assert view.sink_box.viewRange()[1] == pytest.approx(view.box.viewRange()[1])
    assert view.sink_frames.rect(4, 0).top() == pytest.approx(view.frames.rect(4, 0).top())


def test_an_exported_figure_has_the_sink_s_column():
    """A sink that takes everything is the brightest column of the figure, right of the keys."""
    tallest = []
    for sink in (None, np.full(3, 50, dtype=np.float32)):
        document = Document()
        document.open(with_extras(sink=sink))
        figure = pixels(draw_figure(HeatmapView, document)).astype(int)
        yellow = np.abs(figure - (253, 231, 37)).max(axis=-1) < 8
        tallest.append(int(yellow.sum(axis=0).max()) / len(figure))
    assert tallest[1] > 0.5 > 0.2 > tallest[0]


def test_a_sink_comes_and_goes_with_its_layer(show):
    capture = with_extras(sink=SINK)
    records = (capture.records[0][0], replace(capture.records[0][1], sink=None))
    window = show(replace(capture, records=(records,)))
    view = window.heatmap
    narrow = view.box.geometry().width()
    window.document.show_head(layer=1)
    assert not view.sink_box.isVisible()
    assert view.box.geometry().width() >= narrow
    hover(view, cell(window, 3, 1))
    assert not any("sink" in line for line in view.readout.lines)


def test_the_logit_is_taken_apart_only_where_there_is_more_than_content(show):
    bias = np.random.default_rng(2).normal(size=(7, 7)).astype(np.float32)
    window = show(with_extras(bias=bias))
    hover(window.heatmap, cell(window, 4, 2))
    lines = window.heatmap.readout.lines
    assert any(line.startswith("logit ") and " + bias " in line for line in lines)
    window.document.open(random_capture(7))
    hover(window.heatmap, cell(window, 4, 3))
    assert len(window.heatmap.readout.lines) == 3


def test_the_proof_says_why_a_capped_head_changes(show):
    window = show(with_extras(softcap=1.0))
    proof = child(window, "proof")
    assert "unchanged" in proof.text()
    window.document.move(scale=2.0)
    assert "unchanged" in proof.text() and "caps" not in proof.text()
    window.document.move(t=0.8)
    assert "CHANGED" in proof.text()
    assert "caps its logits, so a is not free" in proof.text()
    hover(window.heatmap, cell(window, 4, 2))
    assert any(line.startswith("capped at 1.00: ") for line in window.heatmap.readout.lines)


# -- the badge -------------------------------------------------------------------------------


def settled(window: MainWindow) -> bool:
    return child(window, "badge").text() not in ("", "checking…")


def test_a_capture_without_its_model_is_not_verified(show):
    badge = child(show(random_capture(6)), "badge")
    assert badge.text() == "not verified" and badge.isVisible()
    assert "the model is not at hand" in badge.toolTip()


@pytest.fixture(scope="module")
def bart(tmp_path_factory):
    folder = tiny_folder(tmp_path_factory.mktemp("bart"), "bart")
    return attnviz_gui.capture(attnviz_gui.load_model(folder, device="cpu"), "The brown bird.")


def test_every_head_of_a_model_at_hand_is_checked_once(show, qtbot, bart):
    window = show(bart)
    badge = child(window, "badge")
    assert badge.text() == "checking…"
    qtbot.waitUntil(lambda: settled(window), timeout=LONG)
    assert badge.text() == "exact" and "largest difference is" in badge.toolTip()
    assert badge.accessibleName() == "Checked against the model: exact"
    window.document.show_head(layer=3, head=2)
    assert badge.text() == "exact"  # of every head at once: nothing is checked anew


def test_a_head_that_is_not_the_model_s_own_says_how_far_off_it_is(show, qtbot, bart):
    records = list(bart.records[0])
    wrong = records[0].query.copy()
    wrong[1] *= 1.5
    records[0] = replace(records[0], query=wrong)
    window = show(replace(bart, records=(tuple(records),)))
    qtbot.waitUntil(lambda: settled(window), timeout=LONG)
    assert child(window, "badge").text() == "exact"
    window.document.show_head(head=1)
    assert child(window, "badge").text().startswith("off by ")
    assert "with care" in child(window, "badge").toolTip()


def test_a_moving_slider_and_a_run_go_before_the_check(show, qtbot, bart):
    window = show(bart)
    check = window.verification._runner
    begun = []
    check.started.connect(lambda: begun.append(window.runner.running))
    window.verification._begin()
    assert check.running
    window.document.move(t=0.1)
    assert not check.running
    window.verification._begin()
    window.runner.submit(lambda _progress, _cancel: 0 / 1)
    assert not check.running
    window.verification._begin()
    assert not check.running  # not beside a run
    window.runner.cancel()
    qtbot.waitUntil(lambda: settled(window), timeout=LONG)
    assert child(window, "badge").text() == "exact" and True not in begun


def test_another_capture_forgets_the_check_before(show, qtbot, bart):
    window = show(bart)
    qtbot.waitUntil(lambda: settled(window), timeout=LONG)
    window.document.open(random_capture(6))
    assert child(window, "badge").text() == "not verified"
    window.document.open(replace(bart))
    assert child(window, "badge").text() == "checking…"
