"""Pictures: the patches under attention and in the plane, and opening one in the window."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from attnviz_gui.errors import InputError
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.selection import select_places
from attnviz_gui.session.watch import WatchedPair
from attnviz_gui.ui.explore.images import Images, read_pixels
from attnviz_gui.ui.explore.view_panel import AsShown, Folding
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.panels.view_options import Choice
from attnviz_gui.ui.theme import DARK, LIGHT
from attnviz_gui.ui.views.image_patches import ImagePatchesView
from tests.images import image_capture, landscape, save_tiny_vit
from tests.samples import random_capture
from tests.ui.driving import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.record import Capture


@pytest.fixture
def shown(qtbot: QtBot) -> Iterator[Any]:
    """Make a view of a capture, shown; it follows no longer afterwards."""
    made: list[Any] = []

    def show(capture: Capture | None, theme: Any = LIGHT, size: tuple[int, int] = (760, 420)):
        document = Document()
        if capture is not None:
            document.open(capture)
        view = ImagePatchesView(document, theme)
        qtbot.addWidget(view)
        made.append(view)
        view.resize(*size)
        view.start()
        view.show()
        return view

    yield show
    for view in made:
        view.stop()


def attending(side: int, query: int, key: int, leading: int = 1) -> Capture:
    """A capture in which one query gives all its attention to one key."""
    capture = image_capture(side, leading=leading)
    n = len(capture.tokens[0])
    records = []
    for record in capture.records[0]:
        queries, keys = np.zeros((2, 3, n, 32), np.float32)
        queries[:, query, 0], keys[:, key, 0] = 100, 100
        records.append(replace(record, query=queries, key=keys))
    return replace(capture, records=(tuple(records),))


@pytest.mark.parametrize("size", [(260, 90), (260, 60), (180, 130)])
def test_the_sentence_of_a_small_panel_is_whole(shown: Any, size: tuple[int, int]) -> None:
    view = shown(random_capture(3), size=size)
    image = view.grab().toImage()
    written = [
        y for y in range(image.height())
        if any(image.pixelColor(x, y) != LIGHT.color("ground") for x in range(image.width()))
    ]  # fmt: skip
    assert written[0] >= 4 and written[-1] <= image.height() - 5  # nothing is cut off
    lines = 1 + sum(b - a > 1 for a, b in itertools.pairwise(written))
    assert lines >= 3


def test_without_a_picture_it_says_how_to_open_one(shown: Any) -> None:
    for capture in (None, random_capture(3)):
        view = shown(capture)
        view.grab()
        assert view.title() == "Image and patches"
        assert view.numbers() == ""
    assert "Open a picture" in view.sentence()
    merged = image_capture(3)
    names = ("0,0", "0,1")
    small = replace(random_capture(2).records[0][0], query_tokens=names, key_tokens=names)
    other = replace(merged, records=((small, merged.records[0][1]),))
    assert "not the 3 × 3 patches" in shown(other).sentence()


def test_what_is_attended_to_keeps_its_light(shown: Any) -> None:
    view = shown(attending(4, query=6, key=11))
    view.choose("arrows", "0")
    view.document.pin(query=6)
    bright = view.grab().toImage()
    lit = view.patch_rect(10).center().toPoint()  # key 11 is patch 10, after [CLS]
    dark = view.patch_rect(0).center().toPoint()
    view.choose("over", "none")
    plain = view.grab().toImage()
    assert bright.pixelColor(lit) == plain.pixelColor(lit)
    assert bright.pixelColor(dark).lightness() < 0.3 * plain.pixelColor(dark).lightness()
    view.choose("over", "colors")
    colored = view.grab().toImage()
    yellow, purple = colored.pixelColor(lit), colored.pixelColor(dark)
    assert yellow.green() > 1.5 * purple.green()
    assert "max 1.0 2,2" in view.numbers()
    assert view.title().endswith("1,1 attends to")


def test_an_arrow_leads_to_the_strongest_patch(shown: Any) -> None:
    view = shown(attending(4, query=6, key=16))
    view.document.pin(query=6)
    view.choose("over", "none")
    with_arrow = view.grab().toImage()
    view.choose("arrows", "0")
    without = view.grab().toImage()
    start, end = view.patch_rect(5).center(), view.patch_rect(15).center()
    middle = ((start + end) / 2).toPoint()
    assert with_arrow.pixelColor(middle) != without.pixelColor(middle)
    away = view.patch_rect(12).center().toPoint()
    assert with_arrow.pixelColor(away) == without.pixelColor(away)


def test_pointing_at_a_patch_chooses_a_query_and_a_click_keeps_it(shown: Any, qtbot: QtBot) -> None:
    view = shown(image_capture(4, leading=2))
    view.grab()
    document = view.document
    place = view.patch_rect(5).center().toPoint()
    qtbot.mouseMove(view.viewport(), place)
    assert document.focus == Focus(query=7)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert document.pinned == Focus(query=7)
    other = view.patch_rect(9).center().toPoint()
    qtbot.mouseMove(view.viewport(), other)
    assert document.focus == Focus(7, 11)  # the pair that it makes with the pinned one
    lines, _ = view.describe(QPointF(other))
    assert lines[0] == "1,1 → 2,1"
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert document.pinned == Focus()
    chip = {focus.query: chip for focus, chip in view._chips}
    assert sorted(chip) == [0, 1]
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=chip[1].center().toPoint())
    assert document.pinned == Focus(query=1)
    for key, expected in ((Qt.Key.Key_Down, 2), (Qt.Key.Key_Down, 6), (Qt.Key.Key_Right, 7)):
        qtbot.keyClick(view, key, Qt.KeyboardModifier.ShiftModifier)
        assert document.pinned == Focus(query=expected)


def test_patches_lie_in_the_plane_and_follow_the_sliders(shown: Any, qtbot: QtBot) -> None:
    view = shown(image_capture(4))
    view.grab()
    document = view.document
    queries, keys, _ = view._spots
    xy = document.frame.projection.query_xy
    scale = (queries[3, 0] - queries[8, 0]) / (xy[3, 0] - xy[8, 0])
    down = (queries[3, 1] - queries[8, 1]) / (xy[3, 1] - xy[8, 1])
    assert scale > 0
    assert down == pytest.approx(-scale)  # both axes alike
    # A patch that lies alone shows its colours there.
    both = np.concatenate([queries, keys])
    apart = np.linalg.norm(both[:, None] - both, axis=-1) + 1e9 * np.eye(len(both))
    lonely = max(range(1, 17), key=lambda i: apart[i].min())
    image = view.grab().toImage()
    at = QPoint(*(round(v) for v in queries[lonely]))
    seen = image.pixelColor(at)
    drawn = document.capture.image().pixels
    row, column = divmod(lonely - 1, 4)
    patch = drawn[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].reshape(-1, 3)
    near = np.abs(patch - np.array([seen.red(), seen.green(), seen.blue()], int)).max(axis=1)
    assert near.min() <= 12
    focus = view.token_at(QPointF(*queries[lonely]))
    assert focus == Focus(query=lonely)
    document.move(mode="centroid", t=1.0)
    view.grab()
    assert not np.allclose(view._spots[0], queries)


def test_a_key_alone_shows_who_attends_to_it(shown: Any) -> None:
    view = shown(attending(4, query=6, key=11), DARK, (420, 600))
    view.document.pin(key=11)
    assert view.title().endswith("2,2 is attended by")
    view.choose("arrows", "0")
    image = view.grab().toImage()
    lit, dark = (view.patch_rect(p).center().toPoint() for p in (5, 0))
    assert image.pixelColor(lit).lightness() > 2 * image.pixelColor(dark).lightness()


def test_special_tokens_may_be_hidden_and_pairs_watched(shown: Any) -> None:
    view = shown(attending(4, query=6, key=11))
    view.document.set_options(show_special=False)
    view.document.pin(query=5)
    assert "max 1.0 2,2" in view.numbers()
    assert "[CLS]" not in view.numbers()
    view.choose("over", "none")
    view.choose("arrows", "0")
    view.document.watch([WatchedPair("0,0", "0,3")])
    image = view.grab().toImage()
    middle = ((view.patch_rect(0).center() + view.patch_rect(3).center()) / 2).toPoint()
    near = [image.pixelColor(middle + QPoint(0, d)) for d in (-1, 0, 1)]
    assert any(c.red() > 150 and c.blue() < 110 for c in near)


def test_selected_patches_are_framed(shown: Any) -> None:
    view = shown(image_capture(4))
    view.choose("arrows", "0")
    view.choose("over", "none")
    before = view.grab().toImage()
    view.document.select(select_places(view.document.token_lists, [11]))
    after = view.grab().toImage()
    lit, other = view.patch_rect(10).toRect(), view.patch_rect(5).toRect()
    assert before.copy(lit) != after.copy(lit)
    inner = other.adjusted(1, 1, -1, -1)
    assert before.copy(inner) == after.copy(inner)


def test_what_is_selected_stays_lit_in_the_plane_and_the_rest_fades(shown: Any) -> None:
    view = shown(image_capture(4))
    view.choose("arrows", "0")
    before = view.grab().toImage()
    queries, keys, size = view._spots
    both = np.concatenate([queries, keys])
    apart = np.linalg.norm(both[:, None] - both, axis=-1) + 1e9 * np.eye(len(both))
    alone, other = sorted(range(1, 17), key=lambda i: -apart[i].min())[:2]
    view.document.select(select_places(view.document.token_lists, [alone]))
    after = view.grab().toImage()
    middle, faded = (QPoint(*(round(v) for v in queries[i])) for i in (alone, other))
    assert before.pixelColor(middle) == after.pixelColor(middle)
    assert after.pixelColor(faded).lightness() > before.pixelColor(faded).lightness() + 10
    x, y = queries[alone]  # its frame
    near = after.copy(round(x - size / 2 - 4), round(y) - 1, 5, 3)
    assert min(near.pixelColor(i, 1).lightness() for i in range(5)) < 60


@pytest.mark.parametrize("side", [1, 14])
def test_any_number_of_patches_any_size_and_a_figure(shown: Any, side: int) -> None:
    view = shown(image_capture(side, leading=0 if side == 1 else 5), DARK, (300, 220))
    view.grab()
    view.document.pin(query=0)
    view.resize(60, 45)
    view.grab()
    kind: Any = AsShown(view)
    figure = draw_figure(kind, view.document, scale=1)
    assert figure.pixelColor(3, 3) == QColor("white")
    seen = {figure.pixel(x, y) for x in range(0, 900, 5) for y in range(0, 600, 5)}
    assert len(seen) > 10


# -- opening ---------------------------------------------------------------------------------


def picture(path: Path, height: int = 48, width: int = 64) -> Path:
    pixels = landscape(height, width)
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    assert image.save(str(path), path.suffix[1:].upper())
    return path


def test_a_file_is_read_as_colours(tmp_path: Path) -> None:
    assert np.array_equal(read_pixels(picture(tmp_path / "a.png", 47, 61)), landscape(47, 61))
    jpeg = read_pixels(picture(tmp_path / "a.jpg"))
    assert np.abs(jpeg.astype(int) - landscape()).mean() < 6
    glass = QImage(4, 3, QImage.Format.Format_ARGB32)
    glass.fill(Qt.GlobalColor.transparent)
    assert glass.save(str(tmp_path / "glass.png"))
    assert read_pixels(tmp_path / "glass.png").min() == 255
    (tmp_path / "words.png").write_text("no picture")
    for name in ("words.png", "missing.png"):
        with pytest.raises(InputError, match="no picture that can be read"):
            read_pixels(tmp_path / name)


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[MainWindow]:
    yield from opened(qtbot, MainWindow(capture=random_capture(4)))


def images_of(window: MainWindow) -> Images:
    (part,) = [part for part in window.parts if isinstance(part, Images)]
    return part


def test_in_the_window_a_picture_is_opened_with_a_model_from_a_folder(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    part = images_of(window)
    part.open_picture(tmp_path / "missing.png")
    assert "no picture that can be read" in window.banner.message.text()
    path = picture(tmp_path / "landscape.png")
    part.open_picture(path)  # no model yet: it is asked for
    (dialog,) = window.findChildren(QFileDialog)
    dialog.reject()
    assert "choose the folder of an image model first" in window.banner.message.text()
    folder = save_tiny_vit(tmp_path / "tiny-vit")
    part.set_model(str(folder))
    assert "tiny-vit" in part.model_button.text()
    part.open_picture(path)
    qtbot.waitUntil(lambda: window.document.capture.model_name == "tiny-vit", timeout=20_000)
    assert window.document.capture.texts == ("landscape.png",)
    view = part.panel.view
    assert view.isVisible()
    assert view.sentence() == ""
    assert "[CLS] attends to" in part.panel.header.title.whole
    window.set_theme("dark")
    window.document.show_head(0, 2)
    assert "L0 H2" in part.panel.header.title.whole
    # Dropped on the window: a picture alone, or with its model.
    other = picture(tmp_path / "other.PNG", 40, 40)
    window.runs.open(other)
    qtbot.waitUntil(lambda: window.document.capture.texts == ("other.PNG",), timeout=20_000)
    part.source = None
    window.runs.open_all([folder, path])
    qtbot.waitUntil(lambda: window.document.capture.texts == ("landscape.png",), timeout=20_000)


def test_a_text_in_the_place_of_a_picture_gives_up_no_many_texts(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    part = images_of(window)
    part.set_model(str(save_tiny_vit(tmp_path / "tiny-vit")))
    part.open_picture(picture(tmp_path / "landscape.png"))
    assert window.runner.running
    window.text_bar.set_text("A text comes between.")
    window.runs.run()
    qtbot.waitUntil(
        lambda: window.document.capture.texts == ("A text comes between.",), timeout=20_000
    )
    assert window.banner.sentence == ""


def test_the_choices_of_a_narrow_panel_stand_one_below_the_other(qtbot: QtBot) -> None:
    panel = QWidget()
    qtbot.addWidget(panel)
    column, folding = QVBoxLayout(panel), Folding()
    column.addWidget(folding)
    column.addStretch(1)
    over, arrows = (
        Choice(one.name, one.accessible, list(one.entries)) for one in ImagePatchesView.choosable
    )
    for pick in (over, arrows):
        folding.row.addWidget(pick)
    folding.row.addStretch(1)
    panel.resize(760, 200)
    panel.show()
    late = Choice("late", "comes later", [("a", "some words", ""), ("b", "and some more", "")])
    for width, beside in ((760, True), (262, False), (760, True)):
        panel.resize(width, 200)
        qtbot.waitUntil(lambda: (arrows.y() == over.y()) == beside)  # noqa: B023
        for button in (*over.group.buttons(), *arrows.group.buttons()):
            assert button.width() >= button.sizeHint().width()  # its words are whole
    panel.resize(arrows.geometry().right() + 60, 200)
    folding.row.insertWidget(2, late)
    qtbot.waitUntil(lambda: late.y() > arrows.y() > over.y())
    assert late.x() == over.x()
