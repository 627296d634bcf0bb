"""The close views, looked at by what they draw, in the window and alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QImage

from attnviz_gui.analysis.rollout import rollout
from attnviz_gui.analysis.value_weighted import value_weighted
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.mix import Mix
from attnviz_gui.session.selection import select_pairs, select_places
from attnviz_gui.session.watch import WatchedPair
from attnviz_gui.ui.explore.close_views import CloseViews
from attnviz_gui.ui.explore.view_panel import AsShown
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.theme import DARK, LIGHT, SMALL, font
from attnviz_gui.ui.views.anatomy.colors import masked_color
from attnviz_gui.ui.views.dimensions import Bars, DimensionsView, Table
from attnviz_gui.ui.views.rollout import RolloutView
from attnviz_gui.ui.views.text_lines import TextLinesView
from attnviz_gui.ui.views.value_weighted import ValueWeightedView
from tests.samples import random_capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.record import Capture

VIEWS = (DimensionsView, ValueWeightedView, RolloutView, TextLinesView)


@pytest.fixture
def shown(qtbot: QtBot) -> Iterator[Any]:
    """Make a view of a document, shown; it follows no longer afterwards."""
    made: list[Any] = []

    def show(kind: Any, document: Document, theme: Any = LIGHT, size: tuple[int, int] = (640, 420)):
        view = kind(document, theme)
        qtbot.addWidget(view)
        made.append(view)
        view.resize(*size)
        view.start()
        view.show()
        return view

    yield show
    for view in made:
        view.stop()


def on(capture: Capture, layer: int = 1, head: int = 1) -> Document:
    document = Document()
    document.open(capture)
    document.show_head(layer, head)
    return document


def colors(image: QImage) -> int:
    """How many different colours there are, of every third pixel."""
    return len(
        {image.pixel(x, y) for x in range(0, image.width(), 3) for y in range(0, image.height(), 3)}
    )


@pytest.mark.parametrize("kind", VIEWS)
def test_each_view_says_what_to_do_where_there_is_nothing(kind: Any, shown: Any) -> None:
    view = shown(kind, Document())
    assert colors(view.grab().toImage()) > 3  # the sentence
    assert view.title()
    assert view.numbers() == ""
    assert view.accessibleName()
    assert view.toolTip()


@pytest.mark.parametrize("n", [1, 2, 300])
@pytest.mark.parametrize("kind", VIEWS)
def test_each_view_draws_any_number_of_tokens(kind: Any, n: int, shown: Any) -> None:
    document = on(random_capture(n, causal=n == 300, texts=2))
    view = shown(kind, document, DARK, (420, 300))
    image = view.grab().toImage()
    assert colors(image) > 3
    assert image.pixelColor(1, 1) == DARK.color("ground")
    assert view.title()
    document.show_head(text=1)
    document.set_options(show_special=False)
    document.pin(0, 0)
    assert colors(view.grab().toImage()) > 3
    view.resize(60, 50)
    view.grab()
    view.retheme(LIGHT)
    document.move(t=0.5)


@pytest.mark.parametrize("kind", VIEWS)
def test_each_view_is_exported_as_it_is_shown(kind: Any, shown: Any, capybara: Capture) -> None:
    view = shown(kind, on(capybara))
    for choosable in view.choosable:
        view.choose(choosable.name, choosable.entries[-1][0])
    figure: Any = AsShown(view)
    image = draw_figure(figure, view.document, scale=2)
    assert image.width() == 2 * 900
    assert image.pixelColor(3, 3) == QColor("white")
    assert colors(image) > 10
    made = figure(view.document, LIGHT)
    assert made.choices == view.choices
    made.deleteLater()


@pytest.mark.parametrize("kind", VIEWS)
def test_shift_and_arrows_move_the_pair_and_others_are_left(
    kind: Any, shown: Any, qtbot: QtBot, capybara: Capture
) -> None:
    document = on(capybara)
    view = shown(kind, document)
    document.pin(2, 3)
    qtbot.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert document.pinned == Focus(3, 3)
    qtbot.keyClick(view, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert document.pinned == Focus(3, 2)
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert document.pinned == Focus(3, 2)


# -- dimensions ------------------------------------------------------------------------------


def test_bars_of_a_pair_sum_to_the_logit_and_follow_the_focus(
    shown: Any, capybara: Capture
) -> None:
    document = on(capybara, 1, 7)
    view = shown(DimensionsView, document)
    assert isinstance(view.shown, Bars)
    assert (view.shown.query, view.shown.key) == document.picture.strongest
    assert "the strongest pair" in view.title()
    document.hover(2, 4)
    bars = view.shown
    assert (bars.query, bars.key) == (2, 4)
    assert abs(bars.products.sum() - document.picture.logits[2, 4]) <= 1e-5
    assert "to within" in view.sum_in_words()
    assert "brown → ##y" in view.title()
    view.choose("order", "place")
    assert view.shown.order.tolist() == list(range(32))
    view.grab()
    # A bar's height is its product: the pixels of the largest one, above the line of 0.
    view.choose("order", "size")
    green = view.grab().toImage()
    plot = view._plot
    step = plot.width() / 32
    sign = 1 if bars.products[view.shown.order[0]] > 0 else -1
    at_bar = [
        green.pixelColor(int(plot.left() + step / 2), y)
        for y in range(int(plot.top()), int(plot.bottom()))
    ]
    bar = [c for c in at_bar if (c.green() - c.red()) * sign > 40]
    assert len(bar) > 0.3 * plot.height()


def test_a_query_alone_is_a_matrix_of_its_keys_and_a_click_opens_a_pair(
    shown: Any, qtbot: QtBot, capybara: Capture
) -> None:
    document = on(capybara, 1, 7)
    view = shown(DimensionsView, document)
    document.pin(2)
    table = view.shown
    assert isinstance(table, Table)
    assert table.products.shape == (11, 32)
    assert np.allclose(table.products.sum(axis=1), document.picture.logits[2], atol=1e-5)
    assert str(int(table.named[0])) in view.numbers()
    view.grab()
    plot = view._plot
    place = QPoint(int(plot.left() + 3), int(plot.top() + plot.height() * 4.5 / 11))
    row, dimension = view.cell_at(QPointF(place))
    assert (row, dimension) == (4, int(table.order[0]))
    lines, _ = view.describe(QPointF(place))
    assert lines[0].startswith(f"dimension {dimension}: ")
    assert lines[1] == "brown → ##y"
    qtbot.mouseMove(view.viewport(), place)
    assert document.focus == Focus(2)  # looking does not take the matrix away
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert document.pinned == Focus(2, 4)
    assert isinstance(view.shown, Bars)
    document.pin(None, 5)
    assert not view.shown.by_query
    assert np.allclose(view.shown.products.sum(axis=1), document.picture.logits[:, 5], atol=1e-5)


def test_before_rotation_the_sum_is_said_not_to_be_the_models(shown: Any) -> None:
    base, other = random_capture(5), random_capture(5, seed=1)
    records = tuple(
        tuple(replace(r, unrotated=(o.query, o.key)) for r, o in zip(rows, others, strict=True))
        for rows, others in zip(base.records, other.records, strict=True)
    )
    document = on(replace(base, records=records))
    view = shown(DimensionsView, document)
    document.pin(1, 2)
    after = view.shown.products
    assert "to within" in view.sum_in_words()
    view.choose("rotary", "before")
    assert not np.allclose(view.shown.products, after)
    assert "before rotation" in view.sum_in_words()


def test_a_masked_pair_and_a_capped_one_are_said_to_be(shown: Any) -> None:
    base = random_capture(5, causal=True)
    records = tuple(tuple(replace(r, softcap=2.0) for r in rows) for rows in base.records)
    document = on(replace(base, records=records))
    view = shown(DimensionsView, document)
    document.pin(1, 3)
    assert "masked: the key comes after the query" in view.sum_in_words()
    document.pin(3, 1)
    assert "capped at 2" in view.sum_in_words()


# -- matrices --------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["query", "key"])
def test_masked_rows_neither_order_the_dimensions_nor_take_their_colours(
    by: str, shown: Any
) -> None:
    document = on(random_capture(40, causal=True))
    view = shown(DimensionsView, document, size=(640, 700))
    document.pin(**{by: 5 if by == "query" else 34})
    table, head = view.shown, document.picture.source
    if by == "query":
        products = head.scaling * head.key[:6] * head.query[5]
    else:
        products = head.scaling * head.query[34:] * head.key[34]
    spread = [float(np.std(products[:, d].astype(float))) for d in range(32)]
    expected = sorted(range(32), key=lambda d: -spread[d])
    assert table.order.tolist() == expected
    assert table.named.tolist() == expected[:8]  # the first columns are those that are named
    assert table.limit == pytest.approx(np.abs(products).max())
    image, plot = view.grab().toImage(), view._plot
    row = plot.height() / 40
    masked = 20 if by == "query" else 10
    inside = [
        image.pixelColor(int(plot.left() + x), int(plot.top() + (masked + 0.5) * row))
        for x in range(3, int(plot.width()) - 3, 7)
    ]
    assert set(map(QColor.name, inside)) == {masked_color(LIGHT).name()}
    told = view.describe(QPointF(plot.left() + 9, plot.top() + (masked + 0.5) * row))
    assert told[0][-1].startswith("masked: ")


def test_titles_of_columns_are_whole_over_short_tokens(shown: Any) -> None:
    view = shown(TextLinesView, on(random_capture(1)), size=(420, 320))
    left, _, _ = view.columns(view.viewport().width())
    image = view.grab().toImage()
    top, ground = int(view.head_room) - 22, LIGHT.color("ground")
    written = [
        x for x in range(image.width()) for y in range(top, top + 20)
        if image.pixelColor(x, y) != ground
    ]  # fmt: skip
    words = QFontMetricsF(font(SMALL)).horizontalAdvance("queries")
    assert min(written) >= 2  # nothing is cut off at the edge
    assert left - min(written) > words


def test_value_weighted_attention_is_drawn_and_told(shown: Any, capybara: Capture) -> None:
    document = on(capybara, 2, 3)
    view = shown(ValueWeightedView, document)
    head = capybara.head(2, 3)
    assert np.allclose(view.matrix.image, value_weighted(head), atol=1e-6)
    assert "without W_O" in view.numbers()
    assert "W_O" in view.toolTip()
    document.pin(1, 2)
    norm = np.linalg.norm(head.value[2])
    assert f"|v| {norm:.2f}" in view.describe(Focus(1, 2))[1]
    view.choose("rows", "share")
    assert np.allclose(view.values().sum(axis=1), 1, atol=1e-5)
    document.set_options(show_special=False)
    assert view.values().shape == (9, 9)
    assert np.allclose(view.values(), value_weighted(head, share=True)[1:-1, 1:-1], atol=1e-6)


def test_rollout_is_drawn_and_its_definition_told(shown: Any, capybara: Capture) -> None:
    document = on(capybara, 3, 0)
    view = shown(RolloutView, document)
    assert np.allclose(view.matrix.image, rollout(capybara, 3), atol=1e-6)
    assert "layers 0–3" in view.title()
    assert "½ A + ½ I" in view.numbers()
    view.choose("through", "one")
    mean = np.mean([capybara.head(3, h).attention for h in range(12)], axis=0)
    assert np.allclose(view.matrix.image, mean, atol=1e-6)
    assert view.title() == "Mean attention of layer 3"


def test_rollout_says_where_it_has_no_meaning(shown: Any) -> None:
    base = random_capture(4)
    cross = tuple(replace(of, kind="cross") for of in base.layers)
    view = shown(RolloutView, on(replace(base, layers=cross)))
    assert "cross-attention" in view.why_nothing()
    assert view.values() is None
    assert colors(view.grab().toImage()) > 3


# -- text with lines -------------------------------------------------------------------------


def test_lines_are_those_of_the_head_and_faint_ones_are_counted(
    shown: Any, capybara: Capture
) -> None:
    document = on(capybara, 1, 7)
    view = shown(TextLinesView, document)
    (lines,), faint, over = view.lines(view.viewport().height())
    attention = document.picture.attention
    assert over == 0
    assert len(lines.weight) == int((attention >= 0.01).sum())
    assert faint == int(((attention > 0) & (attention < 0.01)).sum())
    assert np.array_equal(attention[lines.query, lines.key], lines.weight)
    assert f"{faint} below 0.01 not drawn" in view.numbers()
    view.choose("least", "0.2")
    (lines,), _, _ = view.lines(view.viewport().height())
    assert len(lines.weight) == int((attention >= 0.2).sum())


def test_a_token_under_the_mouse_shows_its_lines_alone(
    shown: Any, qtbot: QtBot, capybara: Capture
) -> None:
    document = on(capybara, 1, 7)
    view = shown(TextLinesView, document)
    left, right, _ = view.columns(view.viewport().width())
    place = QPoint(int(left - 10), int(view.row_y(2)))
    qtbot.mouseMove(view.viewport(), place)
    assert document.focus == Focus(query=2)
    (lines,), _, _ = view.lines(view.viewport().height())
    assert set(lines.query.tolist()) == {2}
    qtbot.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(int(right + 10), int(view.row_y(4)))
    )
    assert document.pinned == Focus(key=4)
    (lines,), _, _ = view.lines(view.viewport().height())
    assert set(lines.key.tolist()) == {4}
    assert view.describe(QPointF(place))[0][0] == "brown as query"


def test_a_line_leads_from_its_query_to_its_key(shown: Any, capybara: Capture) -> None:
    document = on(capybara, 1, 7)
    view = shown(TextLinesView, document)
    document.pin(2, 3)  # brown → cap: the strongest
    image = view.grab().toImage()
    left, right, _ = view.columns(view.viewport().width())
    middle = QPoint(int((left + right) / 2), int((view.row_y(2) + view.row_y(3)) / 2))
    color, ground = image.pixelColor(middle), LIGHT.color("ground")
    assert abs(color.blue() - ground.blue()) > 40
    elsewhere = image.pixelColor(middle.x(), int(view.row_y(8)))
    assert elsewhere == ground


def test_several_heads_have_colours_of_their_own(
    shown: Any, qtbot: QtBot, capybara: Capture
) -> None:
    document = on(capybara, 1, 7)
    view = shown(TextLinesView, document)
    view.grab()
    square = dict(view._squares)[3]
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=square.center().toPoint())
    assert view.heads == (3, 7)
    three, seven = view.lines(view.viewport().height())[0]
    attention = capybara.head(1, 3).attention
    assert np.allclose(attention[three.query, three.key], three.weight, atol=1e-6)
    assert seven.head == 7
    assert view.color_of(3) != view.color_of(7)
    color = view.color_of(7)
    view.toggle_head(5)
    assert view.color_of(7) == color
    view.toggle_head(7)
    assert view.heads == (3, 5)
    assert "heads 3, 5" in view.title()
    document.show_head(head=2)
    assert view.heads == (3, 5)
    document.open(replace(capybara))  # as a run of another text, layer and head stay
    assert view.heads == (3, 5)
    assert document.picture.head == 2
    document.show_head(layer=0)
    assert view.heads == (2,)


@pytest.mark.parametrize("heads", [32, 96])
def test_the_squares_of_many_heads_leave_room_for_the_lines(heads: int, shown: Any) -> None:
    document = on(random_capture(12, layers=1, heads=heads, head_dim=8), 0, 5)
    view = shown(TextLinesView, document, size=(250, 140))
    view.grab()
    assert view.head_room < 0.55 * view.viewport().height()
    assert [head for head, _ in view._squares] == [5]  # the others are in the panel's menu
    view.choose_heads(set(range(heads)))
    view.grab()
    assert view.head_room < 0.75 * view.viewport().height()
    view.resize(900, 700)
    view.grab()
    assert [head for head, _ in view._squares] == list(range(heads))


def test_watched_pairs_are_red(shown: Any, capybara: Capture) -> None:
    document = on(capybara, 1, 7)
    view = shown(TextLinesView, document)
    document.watch([WatchedPair("now", "brown")])
    ((i, j),) = document.watched_here
    left, right, _ = view.columns(view.viewport().width())
    y = (view.row_y(i) + view.row_y(j)) / 2
    image = view.grab().toImage()
    near = [image.pixelColor(int((left + right) / 2), int(y + d)) for d in (-1, 0, 1)]
    assert any(c.red() > 180 and c.green() < 110 and c.blue() < 110 for c in near)


def test_two_thousand_tokens_scroll_and_only_rows_in_view_are_computed(shown: Any) -> None:
    document = on(random_capture(2000, heads=2, head_dim=8))
    view = shown(TextLinesView, document)
    view.choose_heads({0, 1})
    assert view.verticalScrollBar().maximum() > 30_000
    view.verticalScrollBar().setValue(20_000)
    first, last = view.rows_in_view(view.viewport().height())
    assert first == 1000
    assert last - first < 30
    found, _, _ = view.lines(view.viewport().height())
    assert all(of.query.min() >= 1000 and of.query.max() < last for of in found)
    assert all(len(rows) < 30 for rows in view._rows_kept.values())
    assert len(view._rows_kept) >= 1
    document.pin(query=1500)
    view.setFocus()
    moved = view.move_focus(document.pinned, 1, 0)
    assert moved == Focus(query=1501)
    assert view.head_room <= view.row_y(1501) <= view.viewport().height()


# -- no picture of what was on show before ---------------------------------------------------


def shades(view: Any) -> int:
    """How many pixels have colours, of which words have none."""
    image = view.grab().toImage()
    return sum(
        image.pixelColor(x, y).saturation() > 60
        for x in range(0, image.width(), 4) for y in range(0, image.height(), 4)
    )  # fmt: skip


def test_a_layer_that_has_no_rollout_shows_none_of_the_layer_before(shown: Any) -> None:
    base = random_capture(6)
    layers = base.layers[0], replace(base.layers[1], kind="cross")
    document = on(replace(base, layers=layers), 0, 0)
    view = shown(RolloutView, document)
    assert shades(view) > 1000
    document.show_head(1, 0)
    assert "cross-attention" in view.why_nothing()
    assert shades(view) == 0
    assert not view.isEnabled()  # what is not there is not hovered
    document.show_head(0, 0)
    assert shades(view) > 1000 and view.isEnabled()


def test_what_is_being_computed_or_has_no_values_shows_no_other_picture(
    shown: Any, capybara: Capture
) -> None:
    document = on(capybara, 0, 0)
    rolled, weighted = shown(RolloutView, document), shown(ValueWeightedView, document)
    asked: list[Any] = []
    rolled.compute = lambda request, then: asked.append((request, then))
    document.show_head(3, 0)
    assert rolled.why_nothing() == "Being computed…"
    assert shades(rolled) == 0
    (request, then) = asked.pop()
    then(request(lambda *_: None, None))
    assert shades(rolled) > 1000
    document.show_head(4, 0)
    rolled.give_up()
    assert rolled.why_nothing().startswith("Cancelled")
    assert shades(rolled) == 0
    assert shades(weighted) > 1000
    document.show_mix(Mix(((1, 2), (1, 7)), "mean"))
    assert "no value vectors" in weighted.why_nothing()
    assert shades(weighted) == 0
    assert weighted.numbers() == ""


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_without_lengths_are_said(value: float, shown: Any) -> None:
    capture = random_capture(8)
    capture.records[0][1].value[1, 3, 2] = value
    document = on(capture, 0, 0)
    view = shown(ValueWeightedView, document)
    assert shades(view) > 1000
    document.show_head(1, 1)
    assert "NaN or infinity" in view.why_nothing()
    assert shades(view) == 0 and view.numbers() == ""
    view.choose("rows", "share")
    assert "NaN or infinity" in view.why_nothing()
    document.pin(3, 3)
    document.show_head(1, 0)
    assert view.why_nothing() == "" and shades(view) > 1000


# -- several heads as one --------------------------------------------------------------------


def test_of_several_heads_as_one_each_shows_what_it_can(shown: Any, capybara: Capture) -> None:
    document = on(capybara, 1, 7)
    views = [shown(kind, document) for kind in VIEWS]
    document.show_mix(Mix(((1, 2), (1, 7)), "mean"))
    dimensions, weighted, rolled, lines = views
    assert "no queries and keys" in dimensions.sentence()
    assert "no value vectors" in weighted.why_nothing()
    assert rolled.why_nothing() == ""
    mean = (capybara.head(1, 2).attention + capybara.head(1, 7).attention) / 2
    (drawn,) = lines.lines(lines.viewport().height())[0]
    assert np.allclose(mean[drawn.query, drawn.key], drawn.weight, atol=1e-6)
    assert document.picture.title in lines.title()
    document.hover(2)
    for view in views:
        assert colors(view.grab().toImage()) > 3
        view.numbers()
    lines.toggle_head(7)
    (drawn,) = lines.lines(lines.viewport().height())[0]
    own = capybara.head(1, 7).attention
    assert np.allclose(own[drawn.query, drawn.key], drawn.weight, atol=1e-6)


# -- the selection ---------------------------------------------------------------------------


def test_what_is_selected_is_marked_and_the_rest_fades(shown: Any, capybara: Capture) -> None:
    document = on(capybara, 1, 7)
    lines, dimensions = shown(TextLinesView, document), shown(DimensionsView, document)
    document.pin(2)
    before = lines.grab().toImage(), dimensions.grab().toImage()
    document.select(select_places(document.token_lists, (), [4]))
    assert document.marks.selected[1].tolist() == [i == 4 for i in range(11)]
    after = lines.grab().toImage(), dimensions.grab().toImage()
    assert before[0] != after[0]
    assert before[1] != after[1]
    _, right, column = lines.columns(lines.viewport().width())
    bar = after[0].pixelColor(int(right + column - 2), int(lines.row_y(4)))
    assert bar == LIGHT.color("text")
    other = after[0].pixelColor(int(right + column - 2), int(lines.row_y(5)))
    assert other != LIGHT.color("text")


def test_the_lines_are_counted_anew_where_other_rows_come_into_view(shown: Any) -> None:
    view = shown(TextLinesView, on(random_capture(60, causal=True)))
    said: list[str] = []
    view.titled.connect(lambda: said.append(view.numbers()))
    first = view.numbers()
    view.resize(view.width(), view.height() + 200)
    assert said[-1] == view.numbers() != first
    view.verticalScrollBar().setValue(300)
    assert said[-1] == view.numbers() != said[0]


@pytest.mark.parametrize("heads", [{7}, set(range(12))])
def test_lines_of_pairs_that_are_not_selected_fade(
    heads: set[int], shown: Any, capybara: Capture
) -> None:
    document = on(capybara, 1, 7)
    view = shown(TextLinesView, document)
    view.choose_heads(heads)

    def strength(query: int, key: int) -> int:
        """How far a line is from the ground, a third of the way along, where few others cross."""
        image = view.grab().toImage()
        left, right, _ = view.columns(view.viewport().width())
        x, y = ((2 * a + b) / 3 for a, b in ((left, right), (view.row_y(query), view.row_y(key))))
        return 255 - min(image.pixelColor(int(x), int(y) + d).blue() for d in (-1, 0, 1))

    lists, whole = document.token_lists, strength(2, 3)
    document.select(select_pairs(lists, [0], [2], [3]))  # brown → cap: the strongest
    assert strength(2, 3) > 0.7 * whole > 20
    document.select(select_places(lists, [9]))
    assert strength(2, 3) < 0.5 * whole


# -- in the window ---------------------------------------------------------------------------


def test_in_the_window_they_are_made_when_they_are_opened(qtbot: QtBot, capybara: Capture) -> None:
    window = MainWindow(capture=capybara)
    qtbot.addWidget(window)
    window.show()
    (part,) = [part for part in window.parts if isinstance(part, CloseViews)]
    assert part.panels == {}
    titles = [action.text() for action in window.explore_menu.actions()]
    assert "Attention rollout" in titles
    for name in ("dimensions", "value_weighted", "rollout", "text_lines"):
        part.docks[name].open()
        assert part.panels[name].view.isVisible()
    view = part.panels["rollout"].view
    part.docks["rollout"].open()
    qtbot.waitUntil(lambda: view.whole() is not None)
    assert "½ A + ½ I" in part.panels["rollout"].header.numbers.whole
    window.document.show_head(4, 2)
    qtbot.waitUntil(lambda: view.whole() is not None)
    assert "layers 0–4" in part.panels["rollout"].header.title.whole
    window.set_theme("dark")
    panel = part.panels["rollout"]
    panel.picks["through"].group.button(1).click()
    qtbot.waitUntil(lambda: view.whole() is not None)
    assert "Mean attention" in panel.header.title.whole
    panel.copy()
    part.docks["text_lines"].open()
    button = part.panels["text_lines"].options.findChild(object, "text_lines_heads")
    button.fill()
    button.menu().actions()[-1].trigger()
    assert part.panels["text_lines"].view.heads == (2, 11)
    window.close()


def test_a_rollout_is_cancelled(qtbot: QtBot) -> None:
    window = MainWindow(capture=random_capture(500, layers=12, heads=12))
    qtbot.addWidget(window)
    window.show()
    window.document.show_head(11, 0)
    (part,) = [part for part in window.parts if isinstance(part, CloseViews)]
    part.docks["rollout"].open()
    view = part.panels["rollout"].view
    assert view.why_nothing() == "Being computed…"
    assert part.rollout.button.isVisible()
    qtbot.mouseClick(part.rollout.button, Qt.MouseButton.LeftButton)
    assert view.why_nothing().startswith("Cancelled")
    assert view.whole() is None
    assert not part.rollout.button.isVisible()
    window.close()
