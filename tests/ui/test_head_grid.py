"""The grid of all heads: what its cells show, its keys, its order, its filter, its worker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest

from attnviz_gui.analysis.mosaic import MASKED, Density, Part, pooled_attention, visible
from attnviz_gui.jobs.mosaic import Tile
from attnviz_gui.session.document import Document
from attnviz_gui.session.mix import Mix
from attnviz_gui.session.selection import Marks, select_places
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.theme import LIGHT
from attnviz_gui.ui.views.color_scale import ColorScale
from attnviz_gui.ui.views.grid_image import codes_of
from attnviz_gui.ui.views.grid_layout import order_of
from attnviz_gui.ui.views.grid_marks import lit_pixels, marks_of_layers
from attnviz_gui.ui.views.head_grid import HeadGridView
from tests.samples import random_capture

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.record import Capture


def grid(qtbot: QtBot, capture: Capture, size: tuple[int, int] = (700, 500)) -> HeadGridView:
    document = Document()
    document.open(capture)
    view = HeadGridView(document, LIGHT)
    qtbot.addWidget(view, before_close_func=lambda view: view.stop())
    view.resize(*size)
    view.start()
    with qtbot.waitExposed(view):
        view.show()
    view.grab()
    return view


def known(n: int = 8) -> Capture:
    """Head 0 attends to itself, head 1 to the first token, head 2 to all alike."""
    capture = random_capture(n, layers=1, heads=3, head_dim=n)
    record = capture.records[0][0]
    query = np.zeros((3, n, n), np.float32)
    query[0] = 40 * np.eye(n)
    query[1, :, 0] = 40
    key = np.broadcast_to(np.eye(n, dtype=np.float32), (3, n, n)).copy()
    record = replace(record, query=query, key=key, scaling=1.0)
    return replace(capture, records=((record,),))


def color_at(view: HeadGridView, place: tuple[int, int], down: float, across: float):
    image = view.grab().toImage()
    rect = view.sight.rect(view.lattice(), place).translated(view.body().topLeft())
    at = QPointF(rect.left() + across * rect.width(), rect.top() + down * rect.height())
    return image.pixelColor(at.toPoint())


@pytest.mark.parametrize("pool", ["maximum", "mean"])
@pytest.mark.parametrize("causal", [False, True])
def test_pooling_leaves_no_entry_out(pool, causal: bool) -> None:
    capture = random_capture(37, causal=causal)
    queries, keys = visible(capture, 0, 0, show_special=False)
    part = Part((3, 33), (0, 35), 7, 9)
    found = pooled_attention(capture.records[0][0], 1, queries, keys, part, pool)
    whole, mask = capture.head(0, 1).attention[1:-1, 1:-1], capture.head(0, 1).mask[1:-1, 1:-1]
    for r in range(7):
        for c in range(9):
            rows = slice(3 + r * 30 // 7, 3 + (r + 1) * 30 // 7)
            columns = slice(c * 35 // 9, (c + 1) * 35 // 9)
            allowed = whole[rows, columns][mask[rows, columns]]
            if not allowed.size:
                assert found[r, c] == MASKED
                continue
            wanted = allowed.max() if pool == "maximum" else allowed.mean()
            assert found[r, c] == pytest.approx(wanted, rel=1e-4)


def test_cells_show_their_heads(qtbot: QtBot) -> None:
    view = grid(qtbot, known())
    self_on, self_off = color_at(view, (0, 0), 0.55, 0.55), color_at(view, (0, 0), 0.55, 0.05)
    first_on, first_off = color_at(view, (0, 1), 0.55, 0.05), color_at(view, (0, 1), 0.55, 0.55)
    assert self_on == first_on
    assert self_off == first_off
    assert self_on.lightness() > self_off.lightness() + 60  # yellow and violet
    assert color_at(view, (0, 2), 0.2, 0.8) == color_at(view, (0, 2), 0.8, 0.3)


def test_arrows_and_enter_and_a_click_open_heads(qtbot: QtBot) -> None:
    view = grid(qtbot, random_capture(6))
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Return):
        QTest.keyClick(view, key)
    assert (view.document.layer, view.document.head) == (1, 1)
    rect = view.sight.rect(view.lattice(), (0, 2)).translated(view.body().topLeft())
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=rect.center().toPoint())
    assert (view.document.layer, view.document.head) == (0, 2)


def test_the_heads_on_show_are_framed(qtbot: QtBot) -> None:
    view = grid(qtbot, random_capture(6, layers=2, heads=3))
    watched = LIGHT.color("watched")

    def framed() -> set[tuple[int, int]]:
        image, found = view.grab().toImage(), set()
        for place in view.lattice().cells:
            rect = view.sight.rect(view.lattice(), place).translated(view.body().topLeft())
            y = round(rect.center().y())
            left = {image.pixelColor(round(rect.left()) + x, y).rgb() for x in (-2, -1, 0)}
            found |= {place} if watched.rgb() in left else set()
        return found

    view.document.show_head(1, 0)
    assert framed() == {(1, 0)}
    view.document.show_mix(Mix(((0, 0), (0, 2), (1, 1))))
    assert framed() == {(0, 0), (0, 2), (1, 1)}
    view.document.show_head(0, 1)
    assert framed() == {(0, 1)}


def test_sorted_and_dimmed_by_a_measure(qtbot: QtBot) -> None:
    from attnviz_gui.analysis.heads import measure_heads

    capture = known()
    view = grid(qtbot, capture)
    view.document.keep_head_measures(measure_heads(capture, 0))
    before = color_at(view, (0, 0), 0.55, 0.05)
    view.choose_order("heads")
    assert view.lattice().rows[0][1][0] == 2  # uniform: the largest entropy
    view.choose_limit(1.0)
    assert view.dimmed() == {(0, 0), (0, 1)}
    assert color_at(view, (0, 0), 0.55, 0.05).lightness() > before.lightness() + 40


def test_other_modes_are_drawn(qtbot: QtBot) -> None:
    view = grid(qtbot, random_capture(30))
    seen = [view.grab().toImage()]
    for mode in ("plane", "density"):
        view.choose("mode", mode)
        seen.append(view.grab().toImage())
        assert seen[-1] != seen[-2]


def test_one_pair_looks_alike_where_no_pixel_has_two() -> None:
    part = Part((0, 1), (0, 2), 1, 2)
    few, more = (
        codes_of(
            Tile((0, 0), part, Density(np.array([counts], np.float32), (0.0, 1.0), (0.0, 1.0))),
            ColorScale(0, 1),
        )
        for counts in ((0, 1), (2, 1))
    )
    assert few[0, 1] == more[0, 1] < more[0, 0]


def test_layers_of_other_widths_and_many_heads(qtbot: QtBot) -> None:
    small = random_capture(5, layers=2, heads=2)
    wide = random_capture(5, layers=1, heads=5)
    both = replace(
        small,
        layers=(*small.layers, *wide.layers),
        records=((*small.records[0], *wide.records[0]),),
    )
    assert [len([h for h in heads if h is not None]) for _, heads in order_of(
        both.layers).groups[0][1]] == [2, 2, 5]  # fmt: skip
    assert "9 heads" in grid(qtbot, both).numbers()
    many = grid(qtbot, random_capture(4, layers=32, heads=32, head_dim=4))
    assert len(many.rects()) == 1024
    assert len(many._coarse[many.kind]) == 1024


def test_zoomed_it_shows_every_entry(qtbot: QtBot) -> None:
    view = grid(qtbot, random_capture(600), (420, 320))
    assert "largest of up to" in view.title()
    view.zoom(1e9)
    view._rest.stop()
    view.grab()
    assert "every entry" in view.title()


def test_in_the_window_cells_come_from_a_worker(qtbot: QtBot, capybara: Capture) -> None:
    window = MainWindow(capture=capybara)
    qtbot.addWidget(window)
    window.show()
    part = next(p for p in window.parts if type(p).__name__ == "HeadGridPart")
    part.dock.open()
    n = sum(layer.n_heads for layer in capybara.layers)
    qtbot.waitUntil(lambda: len(part.view._coarse.get(part.view.kind, {})) == n, timeout=10_000)
    qtbot.waitUntil(lambda: not part.runner.running)
    window.document.open(random_capture(9))
    qtbot.waitUntil(lambda: len(part.view._coarse.get(part.view.kind, {})) == 6, timeout=10_000)
    window.close()


@pytest.mark.parametrize("shape", [(11, 7), (23, 30), (11, 30)])
def test_a_pixel_is_lit_where_one_of_its_pairs_is(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    query, key = rng.random(19) < 0.1, rng.random(17) < 0.1
    pairs = np.array([3 * 17 + 5, 12 * 17 + 16])
    marks = Marks((query, key), (query, key), (query & False, key & False), pairs)
    entries = marks.lit_pairs(np.ones((19, 17), bool))
    found = lit_pixels(marks, np.arange(shape[0]), np.arange(shape[1]), shape)

    def of(pixel: int, length: int, n: int) -> slice:
        if length < n:
            return slice(pixel * n // length, (pixel + 1) * n // length)
        at = int((pixel + 0.5) * n / length)
        return slice(at, at + 1)

    for r in range(shape[0]):
        for c in range(shape[1]):
            assert found[r, c] == entries[of(r, shape[0], 19), of(c, shape[1], 17)].any()
    part = lit_pixels(marks, np.arange(2, 9), np.arange(4, 7), shape)
    assert np.array_equal(part, found[2:9, 4:7])


def test_what_is_selected_or_found_is_lit_in_all_cells(qtbot: QtBot) -> None:
    view = grid(qtbot, known())
    document = view.document
    before = {place: color_at(view, place, 0.55, 0.55) for place in ((0, 0), (0, 2))}
    document.select(select_places(document.token_lists, [4], []))
    for place, color in before.items():
        assert color_at(view, place, 0.55, 0.55) == color  # the row of the fifth query
        assert color_at(view, place, 0.05, 0.55).lightness() > color.lightness()
    document.undo()
    document.find(select_places(document.token_lists, [], [0]))
    assert color_at(view, (0, 0), 0.55, 0.55).lightness() > before[0, 0].lightness()
    view.choose("mode", "plane")
    lit = view.grab().toImage()
    document.find(select_places(document.token_lists))
    assert view.grab().toImage() != lit


def test_layers_that_count_other_tokens_have_their_own_marks(qtbot: QtBot) -> None:
    capture = random_capture(6)
    own = replace(capture.records[0][1], key_tokens=tuple("abcdef"))
    document = Document()
    document.open(replace(capture, records=((capture.records[0][0], own),)))
    keys = document.token_lists.of_layer[1][1]
    document.select(select_places(document.token_lists, [], [2], (0, keys)))
    marks = marks_of_layers(document)
    assert not marks[0]
    assert np.flatnonzero(marks[1].selected[1]).tolist() == [2]


def test_home_and_end_go_to_the_ends_of_a_row(qtbot: QtBot) -> None:
    view = grid(qtbot, random_capture(6, heads=5))
    for key in (Qt.Key.Key_Down, Qt.Key.Key_End):
        QTest.keyClick(view, key)
    assert view.cursor_ == (1, 4)
    QTest.keyClick(view, Qt.Key.Key_Home)
    assert view.cursor_ == (1, 0)


def test_what_is_asked_for_fits_the_tokens_that_the_options_show(qtbot: QtBot) -> None:
    view = grid(qtbot, random_capture(12))
    asked = []
    view.document.options_changed.connect(lambda: asked.append((view.kind, view.missing())))
    view.document.set_options(show_special=False)
    kind, missing = asked[0]
    assert not kind.show_special
    assert {part.rows for _, part in missing} == {(0, 10)}


def test_asking_paints_nothing_amid_a_painting(qtbot: QtBot) -> None:
    window = MainWindow(capture=random_capture(700, layers=4, heads=8))
    qtbot.addWidget(window)
    window.show()
    part = next(p for p in window.parts if type(p).__name__ == "HeadGridPart")
    part.dock.open()
    qtbot.waitUntil(lambda: bool(part.view._coarse))
    for mode in ("density", "attention", "density"):
        part.view._coarse.clear()
        part.view.choose("mode", mode)
        qtbot.waitUntil(lambda: part.bar.value() > 4 and part.runner.running)
        qtbot.wait(5)  # the bar is painted; painting it anew amid another painting would warn
    window.document.open(random_capture(9))
    qtbot.waitUntil(lambda: len(part.view._coarse.get(part.view.kind, {})) == 6, timeout=10_000)
    window.close()


def test_densities_show_the_selected_pairs_over_all_of_them(qtbot: QtBot) -> None:
    capture = random_capture(30)
    view = grid(qtbot, capture)
    view.choose("mode", "density")
    plain = view.grab().toImage()
    document = view.document
    document.select(select_places(document.token_lists, [4], []))
    shown = view.grab().toImage()
    tile = view._coarse[view.kind][0, 1].values
    record = capture.records[0][0]
    assert tile.lit.sum() == record.mask[4].sum()
    assert (tile.lit <= tile.counts).all()
    rect = view.sight.rect(view.lattice(), (0, 1)).translated(view.body().topLeft())
    left, top = round(rect.left()), round(rect.top())
    rows, columns = np.nonzero(tile.counts)
    for row, column in zip(rows[:60], columns[:60], strict=True):
        color = shown.pixelColor(left + int(column), top + int(row))
        before = plain.pixelColor(left + int(column), top + int(row))
        if not tile.lit[row, column]:
            assert color != before
            assert color.saturation() < 60  # grey
    lit = shown.pixelColor(left + int(np.nonzero(tile.lit)[1][0]), top + int(
        np.nonzero(tile.lit)[0][0]))  # fmt: skip
    assert lit.saturation() > 120
    assert "selected" in view.title()
    document.undo()
    assert view.grab().toImage() == plain
    assert "selected" not in view.title()


def test_a_measure_says_that_it_is_of_whole_heads(qtbot: QtBot) -> None:
    view = grid(qtbot, random_capture(6))
    view.choose("mode", "measure")
    assert "whole heads" not in view.title()
    with qtbot.waitSignal(view.titled):
        view.document.select(select_places(view.document.token_lists, [2], []))
    assert "of whole heads, not of the selection" in view.title()


def test_it_says_which_text_it_shows_while_others_show_all(qtbot: QtBot) -> None:
    one = random_capture(6)
    capture = replace(
        one,
        texts=one.texts * 3,
        tokens=one.tokens * 3,
        special=one.special * 3,
        records=one.records * 3,
    )
    view = grid(qtbot, capture)
    assert "text 1" not in view.title()
    view.document.set_options(together=True)
    assert "text 1 of 3" in view.title()


@pytest.mark.parametrize("width", [300, 500, 900])
def test_no_word_above_the_cells_is_cut_short(qtbot: QtBot, width: int) -> None:
    window = MainWindow(capture=random_capture(6))
    qtbot.addWidget(window)
    window.show()
    part = next(p for p in window.parts if type(p).__name__ == "HeadGridPart")
    part.dock.open()
    panel = part.panel
    panel.setParent(None)
    qtbot.addWidget(panel)
    panel.resize(width, 420)
    panel.show()
    for mode in ("attention", "plane", "density", "measure"):
        panel.view.choose("mode", mode)
        qtbot.wait(20)
        assert panel.width() == width
        for pick in panel.picks.values():
            for button in pick.group.buttons():
                if button.isVisible():
                    assert button.width() >= button.sizeHint().width()
                    right = button.mapTo(panel, button.rect().topRight()).x()
                    assert right < width
    window.close()


def test_cells_can_be_chosen_before_there_is_anything_to_show(qtbot: QtBot) -> None:
    view = HeadGridView(Document(), LIGHT)
    qtbot.addWidget(view, before_close_func=lambda view: view.stop())
    view.start()
    view.choose("mode", "plane")
    view.document.open(random_capture(6))
    view.grab()
    assert len(view._coarse[view.kind]) == 6
    assert view.kind.mode == "plane"
