"""Points in the colours of their classes: what is drawn, the legend, and its clicks."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor

from attnviz_gui.session.document import Document
from attnviz_gui.session.selection import select_places
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.theme import DARK, LIGHT
from attnviz_gui.ui.views.embedding import EmbeddingView
from attnviz_gui.ui.views.labels import contrast_of
from attnviz_gui.ui.views.region import Region
from attnviz_gui.ui.views.tones import CLASSES, class_color
from tests.samples import random_capture
from tests.ui.driving import child, opened

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from attnviz_gui.session.colors import Colors
    from attnviz_gui.ui.theme import Theme


@pytest.fixture
def view(qtbot: QtBot, capybara) -> EmbeddingView:
    return shown(qtbot, capybara)


def shown(qtbot: QtBot, capture, **options) -> EmbeddingView:
    """The plane of a capture, without lines."""
    document = Document()
    document.open(capture)
    document.set_options(lines="none", **options)
    view = EmbeddingView(document, LIGHT)
    qtbot.addWidget(view, before_close_func=lambda view: view.stop())
    view.start()
    view.resize(900, 520)
    with qtbot.waitExposed(view):
        view.show()
    return view


def pixels(image) -> np.ndarray:
    image = image.convertToFormat(image.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1, 4)
    return flat[:, : image.width(), 2::-1].astype(int)


def drawn(view, color: str) -> int:
    """How many pixels above the legend have a colour."""
    picture = pixels(view.grab().toImage())
    legend = view.mapFromScene(view.legend.mapToScene(0, 0)).y()
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture[: legend - 2] - rgb).max(axis=2) < 6).sum())


def test_each_class_is_drawn_in_its_colour(qtbot: QtBot, view):
    before = [drawn(view, color) for color in CLASSES[2:4]]
    view.document.set_options(color_by="kind")
    qtbot.wait(20)
    after = [drawn(view, color) for color in CLASSES[2:4]]
    assert before == [0, 0]
    assert min(after) > 20  # punctuation and special tokens
    view.document.set_options(color_by="side")
    qtbot.wait(20)
    assert [drawn(view, color) for color in CLASSES[2:4]] == [0, 0]


def test_a_click_in_the_legend_hides_a_class_and_says_so(qtbot: QtBot, view):
    view.document.set_options(color_by="kind")
    qtbot.wait(20)
    place, which = view.legend.places()[3]
    at = view.mapFromScene(view.legend.mapToScene(place.center()))
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(at))
    qtbot.wait(20)
    assert which == 3
    assert view.document.colors.hidden == {3}
    assert drawn(view, CLASSES[3]) == 0
    assert "4 of 22 points hidden" in view.numbers()
    hidden = view.right.drawing.pixels()[0]  # [CLS] as a query
    assert view.right.drawing.nearest(*hidden, 1.0) != 0
    everything = Region(((0.0, 0.0), (900.0, 520.0)), rectangle=True)
    assert sum(int(side.sum()) for side in view.right.drawing.inside(everything, crowd=False)) == 18
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(at))
    qtbot.wait(20)
    assert drawn(view, CLASSES[3]) > 20
    assert "hidden" not in view.numbers()


@pytest.mark.parametrize("color_by", ["side", "position"])
def test_a_click_on_query_or_key_hides_these(qtbot: QtBot, view, color_by: str):
    view.document.set_options(color_by=color_by)
    qtbot.wait(20)
    caption, colors = view.left.caption, view.document.colors
    (_, _, first), (place, _, second) = caption._entries()
    assert (first, second) == ("query", "key")
    at = view.mapFromScene(caption.mapToScene(place.center()))

    def click() -> None:
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(at))
        qtbot.wait(20)

    def inside() -> list[int]:
        everything = Region(((0.0, 0.0), (900.0, 520.0)), rectangle=True)
        return [int(side.sum()) for side in view.right.drawing.inside(everything, crowd=False)]

    assert inside() == [11, 11]
    click()
    assert colors.hidden_sides == {"key"}
    assert inside() == [11, 0]
    assert "11 of 22 points hidden" in view.numbers()
    if color_by == "side":
        key = view.theme.color("key").name()
        assert drawn(view, key) < 20 < drawn(view, view.theme.color("query").name())
    click()
    assert inside() == [11, 11]
    assert "hidden" not in view.numbers()
    colors.toggle_side("query")
    colors.toggle_side("key")  # nothing would be left
    assert colors.hidden_sides == frozenset()


@pytest.mark.parametrize("n_texts", [4, 120])
def test_the_keys_of_all_texts_are_hidden(qtbot: QtBot, n_texts: int):
    view = shown(qtbot, random_capture(20, texts=n_texts), together=True, animate=False)
    document = view.document
    key = LIGHT.color("key").name()
    before = drawn(view, key)
    document.colors.toggle_side("key")
    qtbot.wait(20)
    assert drawn(view, key) < min(20, before)
    assert f"{20 * n_texts:,} of {40 * n_texts:,} points hidden" in view.numbers()
    document.set_options(color_by="kind")
    qtbot.wait(20)
    assert f"{20 * n_texts:,} of {40 * n_texts:,} points hidden" in view.numbers()


@pytest.mark.parametrize("n_texts", [1, 4, 120])
def test_what_is_hidden_is_not_drawn_though_it_is_selected(qtbot: QtBot, n_texts: int):
    view = shown(qtbot, random_capture(20, texts=n_texts), together=True, animate=False)
    document, key, ring = view.document, LIGHT.color("key").name(), LIGHT.color("text").name()
    document.colors.toggle_side("key")
    qtbot.wait(20)
    before = drawn(view, ring)
    lists = document.token_lists
    document.select(select_places(lists, (), range(20 * n_texts)))
    qtbot.wait(20)
    assert drawn(view, key) < 20  # the sign in the caption
    assert drawn(view, ring) <= before  # no rings around nothing
    document.colors.toggle_side("key")
    qtbot.wait(20)
    assert drawn(view, key) > 20


@pytest.mark.parametrize("n_texts", [4, 120])
def test_what_is_selected_keeps_the_colour_of_its_class(qtbot: QtBot, n_texts: int):
    view = shown(qtbot, random_capture(20, texts=n_texts), together=True, animate=False)
    document = view.document
    document.set_options(color_by="kind")
    document.select(select_places(document.token_lists, range(20 * n_texts), ()))
    qtbot.wait(20)
    assert drawn(view, CLASSES[0]) > 20  # words
    document.colors.toggle(0)
    qtbot.wait(20)
    assert drawn(view, CLASSES[0]) == 0


def test_a_number_has_a_bar_with_its_ends(qtbot: QtBot, view):
    view.document.set_options(color_by="position")
    qtbot.wait(20)
    assert view.legend.places() == []
    assert view.legend.coloring.ends() == ("0", "10")
    assert view.legend.size().height() > 8
    first, last = (
        view.right.drawing.tones.colors[view.right.drawing.tones.level[i]] for i in (0, 10)
    )
    assert first.lightnessF() < 0.4 < last.lightnessF()
    view.retheme(DARK)
    qtbot.wait(20)
    assert view.right.drawing.tones.colors[0] != first


def test_a_figure_has_the_legend(view):
    plain = pixels(draw_figure(EmbeddingView, view.document))
    view.document.set_options(color_by="kind")
    colored = pixels(draw_figure(EmbeddingView, view.document))
    rgb = [int(CLASSES[2][i : i + 2], 16) for i in (1, 3, 5)]
    below = slice(int(0.87 * len(colored)), None)
    for picture, there in ((plain, False), (colored, True)):
        assert ((np.abs(picture[below] - rgb).max(axis=2) < 6).sum() > 40) == there


@pytest.mark.parametrize("n_texts", [4, 120])
def test_all_texts_together_are_coloured(qtbot: QtBot, n_texts: int):
    document = Document()
    document.open(random_capture(20, texts=n_texts))  # markers, and dots
    document.set_options(lines="none", together=True, plane="after")
    view = EmbeddingView(document, LIGHT)
    qtbot.addWidget(view, before_close_func=lambda view: view.stop())
    view.start()
    view.resize(700, 500)
    with qtbot.waitExposed(view):
        view.show()
    plain = pixels(view.grab().toImage())
    document.set_options(color_by="kind")
    qtbot.wait(20)
    colored = pixels(view.grab().toImage())
    assert (np.abs(plain - colored).max(axis=2) > 40).mean() > 0.002
    document.colors.toggle(0)
    qtbot.wait(20)
    fewer = pixels(view.grab().toImage())
    grounds = [(np.abs(p[40:400] - 255).max(axis=2) > 24).mean() for p in (colored, fewer)]
    assert grounds[1] < 0.7 * grounds[0]


def test_the_panel_chooses_colour_and_size(qtbot: QtBot, capybara):
    for window in opened(qtbot, MainWindow(capture=capybara)):
        select = child(window, "color_select")
        select.setCurrentIndex(select.findData("modulo"))
        assert window.document.options.color_by == "modulo"
        modulo = child(window, "modulo")
        assert modulo.isVisible()
        modulo.setValue(3)
        assert window.document.colors.coloring.classes == ("0", "1", "2")
        child(window, "size_by_norm").click()
        assert window.document.colors.sizes is not None
        select.setCurrentIndex(select.findData("cluster"))
        colors = window.document.colors
        wait_for(qtbot, colors)
        assert colors.coloring.name == "cluster"


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_it_is_seen_that_the_size_tells_the_norm(qtbot: QtBot, theme: Theme):
    for window in opened(qtbot, MainWindow(capture=random_capture(5))):
        window.set_theme(theme.name)
        button = child(window, "size_by_norm")
        spot = 3, button.height() // 2
        grounds = []
        for _ in range(2):
            grounds.append(button.grab().toImage().pixelColor(*spot))
            button.click()
        assert contrast_of(*grounds) > 2


def wait_for(qtbot: QtBot, colors: Colors) -> None:
    qtbot.waitUntil(lambda: colors.coloring is not None, timeout=20_000)


# What the red, green and blue of a screen, in linear light, are to those who lack one kind of
# cones: Machado, Oliveira & Fernandes, IEEE Transactions on Visualization and Computer Graphics
# 15(6), 2009, for a severity of 1.
SEEN = {
    "all cones": np.eye(3),
    "no red": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no green": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no blue": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
) / np.array([[0.95047], [1.0], [1.08883]])


def lab(color, seen: np.ndarray) -> np.ndarray:
    """CIELAB (1976) of a colour as it is seen."""
    light = np.array([color.redF(), color.greenF(), color.blueF()])
    light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(seen @ light, 0, 1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_no_two_classes_look_alike(theme, seen: str):
    places = [lab(class_color(i, theme), SEEN[seen]) for i in range(len(CLASSES))]
    for (i, one), (j, other) in combinations(enumerate(places), 2):
        assert np.linalg.norm(one - other) >= 12, (CLASSES[i], CLASSES[j])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_every_class_is_seen_on_its_ground(qtbot: QtBot, view, theme):
    """Yellow is hardly seen on white: its markers have a rim there."""
    view.retheme(theme)
    view.document.set_options(color_by="modulo", modulo=8, plane="after")
    qtbot.wait(20)
    picture = pixels(view.grab().toImage())
    ground = theme.color("ground")
    for point, (x, y) in enumerate(view.right.drawing.pixels().tolist()):
        place = view.right.box.mapToScene(QPointF(x, y))
        at = view.mapFromScene(place)
        reach = math.ceil(view.right.drawing.diameter / 2) + 1
        part = picture[at.y() - reach : at.y() + reach + 1, at.x() - reach : at.x() + reach + 1]
        inks = (QColor(*rgb) for rgb in np.unique(part.reshape(-1, 3), axis=0).tolist())
        assert max(contrast_of(ink, ground) for ink in inks) > 1.9, point
