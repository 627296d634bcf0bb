"""Many heads written from the window: a page, a picture of each, progress, cancel."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QImage
from PySide6.QtWidgets import QDialogButtonBox

from attnviz_gui.errors import InputError
from attnviz_gui.export.gallery import Gallery, places_of
from attnviz_gui.session.document import Document, Sliders
from attnviz_gui.session.fits import HeadFit
from attnviz_gui.ui.explore.gallery import Exporter, GalleryPart, job_of
from attnviz_gui.ui.explore.gallery_page import GalleryPage
from attnviz_gui.ui.figure import draw_figure, png_bytes
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.theme import NORMAL, PAPER, font
from attnviz_gui.ui.views.anatomy.colors import masked_color
from attnviz_gui.ui.views.catalogue import VIEWS
from tests.samples import random_capture
from tests.ui.driving import LONG, child, opened


@pytest.fixture
def document():
    d = Document()
    d.open(random_capture(9, layers=2, heads=3, head_dim=8))
    return d


@pytest.fixture
def exporter(qtbot):
    made = Exporter()
    yield made
    made.close()


def run(qtbot, exporter: Exporter, job) -> list:
    with qtbot.waitSignal(exporter.finished, timeout=LONG) as told:
        exporter.start(job)
    return told.args[0]


def page_of(kind, capture, places, **more) -> GalleryPage:
    return GalleryPage(kind, places, heading="heading", caption="text  ·  facts", **more)


def test_a_page_shows_each_head_in_its_own_place(qapp):
    """Each cell's colours are those of its attention, a place among the same colours."""
    capture = random_capture(6, layers=1, heads=5)
    places = places_of(capture, 0, None)
    page = page_of("heatmap", capture, places, pixels=1)
    gallery = Gallery(capture, 0, places, "heatmap", Sliders(), {})
    for n, place in enumerate(places):
        page.draw(n, gallery.cell(place))
    for n, place in enumerate(places):
        area = page.area(n).adjusted(0, 15, 0, 0)
        attention = capture.head(*place).attention
        for i in range(6):
            for j in range(6):
                at = area.topLeft() + QPointF((j + 0.5) * 25, (i + 0.5) * 25)
                shade = round(254 * float(attention[i, j]))
                assert page.image.pixelColor(at.toPoint()) == QColor(*page._lut[shade].tolist())


@pytest.mark.parametrize("kind", ["embedding", "scatter"])
@pytest.mark.parametrize("pixels", [1, 3])
def test_points_before_and_after_are_drawn(qapp, kind, pixels):
    capture = random_capture(6, layers=1, heads=2)
    places = places_of(capture, 0, None)
    page = page_of(kind, capture, places, pixels=pixels)
    gallery = Gallery(capture, 0, places, kind, Sliders("constant", 0.5, 1.5), {})
    empty = page.image.copy()
    for n, place in enumerate(places):
        page.draw(n, gallery.cell(place))
    roles = ("query", "key") if kind == "embedding" else ("before", "after")
    for n in range(2):
        area = page.area(n)
        seen = {QColor(page.image.pixel(x, y)).name() for x in _steps(area, 0, pixels)
                for y in _steps(area, 1, pixels)}  # fmt: skip
        blank = {QColor(empty.pixel(x, y)).name() for x in _steps(area, 0, pixels)
                 for y in _steps(area, 1, pixels)}  # fmt: skip
        assert len(blank) == 1
        for role in roles if kind == "embedding" else ():
            assert PAPER.color(role).name() in seen
        assert len(seen) > 10


def _steps(area, axis, pixels):
    low = area.top() + 16 if axis else area.left() + 1
    high = area.bottom() - 1 if axis else area.right() - 1
    return range(round(low * pixels), round(high * pixels))


def test_masked_pairs_have_a_colour_of_their_own_and_are_named(qapp):
    def beside_the_bar(causal):
        capture = random_capture(6, layers=1, heads=3, causal=causal)
        places = places_of(capture, 0, None)
        page = page_of("heatmap", capture, places, pixels=1)
        page.draw(0, Gallery(capture, 0, places, "heatmap", Sliders(), {}).cell((0, 0)))
        bar = page._bar_area.toRect()
        legend = page.image.copy(bar.right() + 10, bar.top() - 4, 110, bar.height() + 8)
        corner = page.area(0).topRight() + QPointF(-12, 27)
        return page.image.pixelColor(corner.toPoint()), ink(legend)

    color, words = beside_the_bar(causal=True)
    assert color == masked_color(PAPER) and words > 50
    color, words = beside_the_bar(causal=False)
    assert color != masked_color(PAPER) and words == 0


def ink(image: QImage) -> int:
    """How many pixels are not white."""
    return sum(
        image.pixelColor(x, y) != QColor("white")
        for x in range(image.width()) for y in range(image.height())
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["embedding", "scatter"])
def test_few_heads_have_a_legend_too(qapp, kind):
    page = GalleryPage(
        kind, [(0, 0)], heading="Layer 0: dot product over cosine distance, before and after",
        caption="text  ·  facts", pixels=1,
    )  # fmt: skip
    width = QFontMetricsF(font(NORMAL, bold=True)).horizontalAdvance(page.heading)
    left = round(16 + width) + 8
    right = page.image.copy(left, 12, page.image.width() - left, 18)
    assert ink(right) > 150


def test_a_cell_of_one_pair_has_it_in_the_middle_and_its_words_apart(qapp):
    capture = random_capture(1, layers=1, heads=1)
    page = page_of("scatter", capture, [(0, 0)], pixels=1)
    page.draw(0, Gallery(capture, 0, [(0, 0)], "scatter", Sliders(), {}).cell((0, 0)))
    area = page.area(0).adjusted(0, 15, 0, 0)
    assert page.image.pixelColor(area.center().toPoint()) != QColor("white")
    head = page.image.copy(page.area(0).toRect().adjusted(0, 0, 0, -150))
    columns = [ink(head.copy(x, 0, 1, head.height() - 1)) for x in range(head.width())]
    gaps = "".join("x" if n else " " for n in columns).strip().split(" " * 8)
    assert len([part for part in gaps if part.strip()]) == 2  # the name, and the number


def test_a_page_beyond_what_a_picture_holds_is_refused(qapp):
    places = [(layer, head) for layer in range(80) for head in range(64)]
    with pytest.raises(InputError, match="lower resolution"):
        page_of("embedding", None, places, pixels=4)


def test_a_page_and_a_picture_of_each_head(qtbot, document, exporter, tmp_path):
    document.move(mode="centroid", t=0.5)
    told = []
    exporter.progressed.connect(lambda *of: told.append(of[:2]))
    job = job_of(document, "embedding", 1, None, tmp_path / "new", single=True, pixels=1)
    files = run(qtbot, exporter, job)
    assert [file.name for file in files] == ["gallery-layer-01-embedding.png"] + [
        f"layer-01-head-0{head}-embedding.png" for head in range(3)
    ]
    assert sorted((tmp_path / "new").iterdir()) == sorted(files)
    assert told == sorted(told) and told[0] == (0, 6) and told[-1] == (5, 6)
    document.show_head(1, 2)
    view = next(view for view in VIEWS if view.name == "embedding")
    expected = QImage.fromData(png_bytes(draw_figure(view, document, scale=1)))
    assert _apart(QImage(str(files[-1])), expected) < 0.002
    document.show_head(1, 1)
    assert _apart(QImage(str(files[-1])), draw_figure(view, document, scale=1)) > 0.002


def _apart(a: QImage, b: QImage) -> float:
    both = [
        np.frombuffer(i.convertToFormat(QImage.Format.Format_RGB32).constBits(), np.uint32)
        for i in (a, b)
    ]
    return float((both[0] != both[1]).mean())


def test_each_head_stands_under_its_own_fit(qtbot, document, exporter, tmp_path):
    fits = [HeadFit(0, h, "cosine", "lifted", 0.5 * h, 1.0, 0.5, 0.2) for h in (1, 2)]
    document.keep_fits(document.basis, fits)
    job = job_of(document, "scatter", 0, None, tmp_path, page=False, single=True, pixels=1)
    assert job.gallery.own == {(0, h): Sliders("lifted", 0.5 * h, 1.0) for h in (1, 2)}
    files = run(qtbot, exporter, job)
    assert len(files) == 3
    document.show_head(0, 2)
    view = next(view for view in VIEWS if view.name == "scatter")
    assert _apart(QImage(str(files[2])), draw_figure(view, document, scale=1)) < 0.002


def test_cancel_leaves_no_half_page(qtbot, exporter, tmp_path):
    document = Document()
    document.open(random_capture(120, layers=6, heads=12))
    job = job_of(document, "scatter", None, None, tmp_path, single=True)
    exporter.start(job)
    with qtbot.waitSignal(exporter.progressed, timeout=LONG):
        pass
    exporter.cancel()
    assert not exporter.running
    exporter.close()
    assert list(tmp_path.iterdir()) == []


def test_cancel_in_between_keeps_what_is_whole(qtbot, document, exporter, tmp_path):
    job = job_of(document, "heatmap", None, None, tmp_path, page=False, single=True, pixels=1)
    exporter.start(job)
    qtbot.waitUntil(lambda: any(tmp_path.iterdir()), timeout=LONG)
    exporter.cancel()
    exporter.close()
    files = list(tmp_path.iterdir())
    assert 1 <= len(files) < 6
    assert all(not QImage(str(file)).isNull() for file in files)


def test_nothing_to_export_and_nothing_chosen(document, tmp_path):
    with pytest.raises(InputError, match="nothing to export"):
        job_of(Document(), "heatmap", 0, None, tmp_path)
    with pytest.raises(InputError, match="page"):
        job_of(document, "heatmap", 0, None, tmp_path, page=False)


# -- the window ------------------------------------------------------------------------------------


@pytest.fixture
def window(qtbot):
    yield from opened(qtbot, MainWindow(capture=random_capture(12, layers=2, heads=3)))


def part_of(window: MainWindow) -> GalleryPart:
    return next(part for part in window.parts if isinstance(part, GalleryPart))


def test_from_the_menu_to_the_file(qtbot, window, tmp_path):
    part_of(window).action.trigger()
    dialog = child(window, "gallery_dialog")
    assert child(dialog, "gallery_heads").currentText() == "All heads of layer 0"
    child(dialog, "gallery_folder").setText(str(tmp_path))
    child(dialog, "gallery_kind").setCurrentIndex(1)
    save = dialog.buttons.button(QDialogButtonBox.StandardButton.Save)
    with qtbot.waitSignal(dialog.exported, timeout=LONG):
        qtbot.mouseClick(save, Qt.MouseButton.LeftButton)
    assert [p.name for p in tmp_path.iterdir()] == ["gallery-layer-00-embedding.png"]
    assert "gallery-layer-00" in window.statusBar().currentMessage()


def test_a_folder_that_cannot_be_made_is_said_and_the_dialog_stays(qtbot, window, tmp_path):
    (tmp_path / "file").write_text("in the way")
    part_of(window).action.trigger()
    dialog = child(window, "gallery_dialog")
    child(dialog, "gallery_folder").setText(str(tmp_path / "file" / "x"))
    with qtbot.waitSignal(part_of(window).exporter.failed, timeout=LONG):
        dialog.save()
    assert dialog.isVisible() and "can't be written" in child(dialog, "gallery_told").text()
    dialog.reject()
    assert not dialog.isVisible()


def test_cancel_in_the_dialog(qtbot, window, tmp_path):
    window.document.open(random_capture(150, layers=6, heads=8))
    part_of(window).action.trigger()
    dialog = child(window, "gallery_dialog")
    child(dialog, "gallery_folder").setText(str(tmp_path))
    child(dialog, "gallery_heads").setCurrentIndex(2)
    dialog.save()
    assert part_of(window).exporter.running
    dialog.reject()
    assert dialog.isVisible() and "Cancelled" in child(dialog, "gallery_told").text()
    assert not part_of(window).exporter.running
    dialog.reject()
    assert not dialog.isVisible()
