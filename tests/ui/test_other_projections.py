"""Other projections, looked at by what is drawn, alone and in the window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QToolButton

from attnviz_gui.analysis.projections import MOST, NO_UMAP, has_umap, pca3, tsne
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.mix import Mix
from attnviz_gui.session.selection import select_places
from attnviz_gui.ui.explore.projections import ProjectionsPart
from attnviz_gui.ui.explore.view_panel import AsShown
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.theme import DARK, LIGHT
from attnviz_gui.ui.views import projected
from attnviz_gui.ui.views.other_projection import OtherProjectionView
from tests.samples import random_capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PySide6.QtGui import QImage
    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.ui.theme import Theme


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """Each test begins with captures of which nothing has been computed."""
    projected._kept.clear()


@pytest.fixture
def shown(qtbot: QtBot) -> Iterator[Any]:
    """Make a view of a document, shown; it follows no longer afterwards."""
    made: list[Any] = []

    def show(document: Document, theme: Theme = LIGHT, size: tuple[int, int] = (640, 480)):
        view = OtherProjectionView(document, theme)
        qtbot.addWidget(view)
        made.append(view)
        view.resize(*size)
        view.start()
        with qtbot.waitExposed(view):
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


def run(view: OtherProjectionView, **parameters: Any) -> None:
    """Compute what a view asks for, here."""
    for name, value in {"method": "tsne", **parameters}.items():
        view.choose(name, value)
    request = view.projected.request()
    assert request is not None
    view.take(request, request(lambda *_: None, None))


def near(image: QImage, color: Any, spot: QPointF, reach: int = 6) -> bool:
    """Whether a colour is drawn around a place."""
    x0, y0 = round(spot.x()), round(spot.y())
    return any(
        abs(found.red() - color.red()) + abs(found.green() - color.green())
        + abs(found.blue() - color.blue()) < 40
        for x in range(x0 - reach, x0 + reach + 1)
        for y in range(y0 - reach, y0 + reach + 1)
        if (found := image.pixelColor(x, y)).isValid()
    )  # fmt: skip


def spots(view: OtherProjectionView) -> list[QPointF]:
    """Where the chosen text's points are in the viewport, queries first."""
    box = view.plane.box
    scene = [box.mapToScene(QPointF(x, y)) for x, y in view.plane.drawing.pixels().tolist()]
    return [QPointF(view.mapFromScene(spot)) for spot in scene]


def named_apart(capture: Capture) -> Capture:
    """The capture with other tokens in each text."""
    names = tuple(
        [f"{name}of{text}" for name in own] for text, own in enumerate(capture.tokens)
    )  # fmt: skip
    return replace(capture, tokens=names)


def joint(document: Document) -> np.ndarray:
    return np.concatenate([document.frame.query, document.frame.key])


# -- what is drawn ---------------------------------------------------------------------------


def test_space_is_the_pca_of_the_normalised_vectors(shown: Any, capybara: Capture) -> None:
    document = on(capybara)
    view = shown(document)
    where, share, _ = pca3(joint(document))
    assert np.allclose(view.shown.positions, where)
    assert f"{100 * share.sum():.0f} % of variance" in view.numbers()
    assert "distances" not in view.title()
    image, places = view.grab().toImage(), spots(view)
    n = len(document.picture.query_tokens)
    assert all(near(image, LIGHT.color("query"), spot) for spot in places[:n])
    assert all(near(image, LIGHT.color("key"), spot) for spot in places[n:])
    document.move(t=0.5, scale=1.4)
    assert np.allclose(view.shown.positions, pca3(joint(document))[0])


def test_the_mouse_and_arrows_turn_space_and_shift_arrows_step(
    shown: Any, qtbot: QtBot, capybara: Capture
) -> None:
    document = on(capybara)
    view = shown(document)
    whole = pca3(joint(document))[0]
    before = view.plane.drawing.xy.copy()
    middle, port = view.viewport().rect().center(), view.viewport()
    QTest.mousePress(port, Qt.MouseButton.LeftButton, pos=middle)
    QTest.mouseMove(port, middle + QPoint(30, 10))
    QTest.mouseMove(port, middle + QPoint(60, 20))
    QTest.mouseRelease(port, Qt.MouseButton.LeftButton, pos=middle + QPoint(60, 20))
    dragged = view.plane.drawing.xy.copy()
    assert not np.allclose(dragged, before)
    assert not document.pinned  # a drag is no click
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Up):
        QTest.keyClick(view, key)
    arrows = view.plane.drawing.xy
    assert not np.allclose(arrows, dragged)
    # A rotation: what is seen across, up and in depth is as far from the middle as before.
    chosen = view.projected.choices
    turned = whole @ projected_turning(chosen.azimuth, chosen.elevation).T
    assert np.allclose(turned[:, :2], arrows)
    view.choose("method", "tsne")
    run(view)
    flat = view.plane.drawing.xy.copy()
    QTest.keyClick(view, Qt.Key.Key_Right)
    assert np.array_equal(view.plane.drawing.xy, flat)
    assert document.picture.head == 1
    QTest.keyClick(view, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert document.pinned == Focus(query=0)


def projected_turning(azimuth: float, elevation: float) -> np.ndarray:
    """A rotation by the azimuth about the upright axis, then by the elevation about the level."""
    a, e = azimuth, elevation
    about = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    return np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]]) @ about


def test_nearer_points_are_larger(shown: Any, capybara: Capture) -> None:
    document = on(capybara)
    view = shown(document)
    chosen = view.projected.choices
    depth = (
        view.shown.positions @ projected_turning(chosen.azimuth, chosen.elevation).T
    )[:, 2]  # fmt: skip
    size = view.plane.drawing.tones.size
    assert size.argmax() == depth.argmax() and size.argmin() == depth.argmin()
    document.set_options(size_by_norm=True)
    assert np.array_equal(
        view.plane.drawing.tones.size, np.concatenate(document.colors.sizes)
    )  # then a size is a norm


def test_tsne_says_that_its_distances_are_none_and_what_it_was_made_with(
    shown: Any, capybara: Capture
) -> None:
    document = on(capybara)
    view = shown(document, DARK)
    view.choose("method", "tsne")
    assert view.why_nothing() == "Press Run for t-SNE of these 22 queries and keys."
    assert "distances are not distances" in view.title()
    assert view.numbers() == "" and view.facts() == ""
    run(view, seed=3)
    assert view.why_nothing() == ""
    assert np.array_equal(view.shown.positions, tsne(joint(document), seed=3))
    assert view.numbers() == "22 points"
    assert "perplexity 7 (at most 7 for 22 points), seed 3, 750 iterations" in view.facts()
    assert "openTSNE 1" in view.facts()
    assert "perplexity 7 (at most 7" in view.plane.caption.rest
    image, places = view.grab().toImage(), spots(view)
    assert all(near(image, DARK.color("query"), spot) for spot in places[:11])
    view.choose("perplexity", 5.0)
    assert view.why_nothing().startswith("Press Run")  # of other parameters
    run(view, perplexity=5.0)
    assert "perplexity 5, seed 3" in view.facts()


def test_a_narrow_panel_says_too_that_distances_are_none(shown: Any, capybara: Capture) -> None:
    view = shown(on(capybara), size=(258, 150))
    run(view)
    assert view.plane.caption.rest.startswith("its distances are not distances")
    view.choose("method", "pca")
    assert "distances" not in view.plane.caption.rest
    wide = shown(on(capybara), size=(900, 600))
    run(wide)
    assert "distances" in wide.title() and "distances" not in wide.plane.caption.rest


def test_what_was_computed_is_there_when_one_comes_back(shown: Any, capybara: Capture) -> None:
    document = on(capybara)
    view = shown(document)
    run(view)
    first = view.shown
    document.show_head(2, 5)
    assert view.shown is None and view.why_nothing().startswith("Press Run")
    document.show_head(1, 1)
    assert view.shown is first
    document.move(t=1.0)
    assert view.shown is None  # of other vectors
    document.reset()
    assert view.shown is first
    for head in range(projected.KEPT):
        document.show_head(3, head)
        run(view)
    document.show_head(1, 1)
    assert view.shown is None  # only so many are kept
    document.open(random_capture(11))
    assert view.shown is None and view.projected.n_points == 22


def test_a_figure_is_what_is_seen_and_tells_how_it_was_made(shown: Any, capybara: Capture) -> None:
    view = shown(on(capybara))
    run(view, seed=7)
    figure: Any = AsShown(view)
    image = draw_figure(figure, view.document, scale=1)
    made = figure(view.document, LIGHT)
    assert made.projected.choices == view.projected.choices
    made.start()
    assert made.shown is view.shown
    assert "seed 7" in made.facts()
    made.stop()
    made.deleteLater()
    # Black words beneath it: another seed of the same layout is another caption.
    foot = image.copy(0, image.height() - 40, image.width(), 40)
    dark = sum(
        foot.pixelColor(x, y).lightness() < 128
        for x in range(foot.width()) for y in range(foot.height())
    )  # fmt: skip
    plain = draw_figure(OtherProjectionView, view.document, scale=1)
    assert plain != image
    assert dark > 300


# -- links with the rest ---------------------------------------------------------------------


def test_a_point_lights_up_its_token_and_a_click_pins_it(
    shown: Any, qtbot: QtBot, capybara: Capture
) -> None:
    document = on(capybara)
    view = shown(document, size=(800, 700))
    run(view)
    places, port = spots(view), view.viewport()
    qtbot.mouseMove(port, places[4].toPoint())
    assert document.focus == Focus(query=4)
    assert view.readout.isVisible()
    assert document.picture.query_tokens[4] in view._describe(Focus(query=4))[0]
    assert not any("plane" in line for line in view._describe(Focus(4, 3)))
    qtbot.mouseClick(port, Qt.MouseButton.LeftButton, pos=places[4].toPoint())
    assert document.pinned == Focus(query=4)
    qtbot.mouseClick(
        port, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, places[11 + 3].toPoint()
    )
    assert document.pinned == Focus(4, 3)
    assert view.plane.drawing.lit.chosen.tolist() == [4, 14]
    document.pin(2)
    assert view.plane.drawing.lit.chosen.tolist() == [2]  # chosen elsewhere


def test_what_is_selected_is_ringed_and_a_brush_selects(shown: Any, capybara: Capture) -> None:
    from attnviz_gui.ui.views.region import Region

    document = on(capybara)
    view = shown(document)
    run(view)
    lists, places = document.token_lists, document.places
    document.select(select_places(lists, places.query[[2]], places.key[[3]], places.of))
    assert view.plane.drawing.picked.points().tolist() == [2, 14]
    area = view.viewport().rect()
    everything = Region(((0.0, 0.0), (float(area.width()), float(area.height()))), rectangle=True)
    view.brush(everything, document.select)
    assert view.plane.drawing.picked.points().tolist() == list(range(22))


def test_colours_are_those_of_the_plane_and_its_hidden_classes_hidden(
    shown: Any, qtbot: QtBot, capybara: Capture
) -> None:
    document = on(capybara)
    view = shown(document, size=(800, 600))
    run(view)
    document.set_options(color_by="kind")
    tones = view.plane.drawing.tones
    assert tones.level.tolist() == [
        *document.colors.coloring.query.tolist(), *document.colors.coloring.key.tolist()
    ]  # fmt: skip
    image = view.grab().toImage()
    for spot, level in zip(spots(view), tones.level.tolist(), strict=True):
        assert near(image, tones.colors[level], spot)
    place, which = view.legend.places()[0]
    at = view.mapFromScene(view.legend.mapToScene(place.center()))
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert document.colors.hidden == {which}
    assert "of 22 points hidden" in view.numbers()
    n = document.colors.coloring.counts[which]
    assert int(view.plane.drawing.tones.shown.sum()) == 22 - n


@pytest.mark.parametrize("n_texts", [4, 120])
def test_all_texts_keys_are_hidden_in_space_too(shown: Any, n_texts: int) -> None:
    document = on(random_capture(20, texts=n_texts))
    document.set_options(together=True)
    view = shown(document)
    drawing, n = view.plane.drawing, 20 * n_texts
    document.colors.toggle_side("key")
    assert not view.grab().isNull()
    assert [len(side.size) for side in drawing.crowd.tones] == [n, n]
    document.select(select_places(document.token_lists, range(n), range(n)))
    assert not view.grab().isNull()
    query, key = drawing.crowd.shown
    assert query.all() and not key.any()


def test_all_texts_are_projected_together_and_a_click_goes_to_another(
    shown: Any, qtbot: QtBot
) -> None:
    document = on(named_apart(random_capture(6, texts=5)), 0, 0)
    document.set_options(together=True, color_by="text")
    view = shown(document, size=(800, 700))
    for method in ("pca", "tsne"):
        view.choose("method", method)
        if method == "tsne":
            run(view)
        assert view.shown.positions.shape == (60, 3 if method == "pca" else 2)
        assert len(view.plane.drawing.crowd) == 60
        assert len(view.plane.drawing.xy) == 12
        assert np.array_equal(view.plane.drawing.crowd.query[:6], view.plane.drawing.xy[:6])
    assert "all 5 texts" in view.title()
    expected = tsne(np.concatenate(document.corpus_frame.vectors))
    assert np.array_equal(view.shown.positions, expected)
    box, point = view.plane.box, view.plane.drawing.crowd.key[6 * 3 + 2]  # of text 3
    at = view.mapFromScene(box.mapToScene(box.mapFromView(QPointF(*point.tolist()))))
    qtbot.mouseMove(view.viewport(), at)
    assert view.readout.quote is not None
    assert view.readout.quote.text == document.capture.texts[3]
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert document.text == 3 and document.pinned == Focus(key=2)
    # The same layout, and the names of another text.
    assert np.array_equal(view.shown.positions, expected)
    assert np.array_equal(view.plane.drawing.xy[:6], view.plane.drawing.crowd.query[18:24])
    assert view.plane.drawing.art.tokens == document.picture.query_tokens * 2


def test_what_changed_while_nobody_looked_is_drawn_when_somebody_does(shown: Any) -> None:
    document = on(random_capture(6, texts=5), 0, 0)
    view = shown(document)
    assert len(view.plane.drawing.xy) == 12
    view.stop()
    document.set_options(together=True)
    view.retheme(DARK)
    view.start()
    assert len(view.plane.drawing.crowd) == 60
    view.stop()
    document.open(random_capture(3))
    view.retheme(LIGHT)
    view.start()
    assert len(view.plane.drawing.xy) == 6
    assert len(view.plane.drawing.crowd) == 0


@pytest.mark.parametrize("mode", ["constant", "centroid", "balanced", "lifted"])
def test_all_texts_vectors_are_those_of_each_text(mode: Any) -> None:
    document = on(random_capture(7, texts=3), 0, 0)
    document.set_options(together=True)
    document.move(mode=mode, t=0.4, scale=1.3)
    query, key = document.corpus_frame.vectors
    for text in range(3):
        document.show_head(text=text)
        own = slice(7 * text, 7 * text + 7)
        assert np.allclose(query[own], document.frame.query, atol=1e-5)
        assert np.allclose(key[own], document.frame.key, atol=1e-5)


# -- where there is nothing ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_little_to_project_is_said(shown: Any, method: str) -> None:
    document = on(random_capture(1), 0, 0)
    view = shown(document)
    view.choose("method", method)
    assert "at least" in view.why_nothing() and "longer text" in view.why_nothing()
    document.open(random_capture(2))
    assert ("at least" in view.why_nothing()) == (method != "pca")
    assert view.projected.request() is None or method == "pca"
    document.open(random_capture(8))
    document.show_mix(Mix(((0, 0), (0, 1))))
    assert view.why_nothing() == document.picture.mix.no_vectors


def test_equal_vectors_and_nan_are_said(shown: Any) -> None:
    capture = random_capture(8)
    for value, reason in ((1.0, "equal"), (np.nan, "NaN")):
        for rows in capture.records:
            for record in rows:
                record.query[...] = value
                record.key[...] = value
        document = Document()
        if np.isnan(value):
            with pytest.raises(ValueError, match="can't be shown"):
                document.open(capture)  # not even the plane draws it
            continue
        document.open(capture)
        assert reason in shown(document).why_nothing()


def test_very_many_points_are_refused(shown: Any) -> None:
    n_texts = MOST["tsne"] // 80 + 1
    document = on(random_capture(40, texts=n_texts, layers=1, heads=1, head_dim=4), 0, 0)
    view = shown(document)
    run(view)
    document.set_options(together=True)
    assert view.why_nothing().startswith(f"These are {80 * n_texts:,} queries and keys")
    assert view.projected.request() is None
    view.choose("method", "pca")
    assert view.why_nothing() == "" and len(view.shown.positions) == 80 * n_texts


# -- in the window ---------------------------------------------------------------------------


@pytest.fixture
def window(qtbot: QtBot, capybara: Capture) -> MainWindow:
    made = MainWindow(capture=capybara)
    qtbot.addWidget(made)
    made.show()
    return made


def part_of(window: MainWindow) -> ProjectionsPart:
    (part,) = [part for part in window.parts if isinstance(part, ProjectionsPart)]
    return part


def choose(part: ProjectionsPart, method: str) -> None:
    pick = part.panel.picks["method"]
    pick.group.button(pick.values.index(method)).click()


def test_the_panel_runs_shows_the_way_and_ends(qtbot: QtBot, window: MainWindow) -> None:
    part = part_of(window)
    assert part.panel is None  # nothing is made before it is seen
    assert "Other projections" in [a.text() for a in window.explore_menu.actions()]
    part.dock.open()
    view = part.view
    assert view.shown is not None and not part.run_button.isVisible()
    choose(part, "tsne")
    assert part.run_button.isEnabled() and part.perplexity.isVisible() and part.seed.isVisible()
    seen: list[int] = []
    part._moving.reached.connect(lambda _request, layout: seen.append(layout.done))
    part.seed.setValue(5)
    part.run_button.click()
    assert part.cancel_button.isVisible() and not part.run_button.isVisible()
    assert view.why_nothing() == "t-SNE of 22 points is being computed…"
    qtbot.waitUntil(lambda: view.projected.complete, timeout=20_000)
    assert seen[:3] == [25, 50, 75] and seen[-1] == 750
    expected = tsne(joint(window.document), seed=5)
    assert np.array_equal(view.shown.positions, expected)
    assert not part.cancel_button.isVisible() and not part.bar.isVisible()
    assert part.run_button.isVisible() and not part.run_button.isEnabled()
    assert "distances are not distances" in part.panel.header.title.whole
    choose(part, "umap")
    if not has_umap():
        assert view.why_nothing() == NO_UMAP
        assert NO_UMAP in part.panel.picks["method"].group.button(2).toolTip()
        assert not part.run_button.isEnabled()
    assert not part.perplexity.isVisible() and part.seed.isVisible()


def test_cancel_keeps_the_last_picture_and_run_begins_anew(qtbot: QtBot) -> None:
    window = MainWindow(capture=random_capture(600, layers=1, heads=2))
    qtbot.addWidget(window)
    window.show()
    part = part_of(window)
    part.dock.open()
    choose(part, "tsne")
    qtbot.waitUntil(part.run_button.isEnabled)  # there is something to run
    part.run_button.click()
    qtbot.waitUntil(lambda: part.view.shown is not None, timeout=20_000)
    part.cancel_button.click()
    view, kept = part.view, part.view.shown
    assert kept.done < kept.total
    assert f"{kept.done} of 750 iterations" in view.facts()
    assert part.run_button.isEnabled() and not part.cancel_button.isVisible()
    qtbot.wait(150)
    assert view.shown is kept  # nothing comes late
    figure: Any = AsShown(view)
    made = figure(window.document, LIGHT)
    made.start()
    assert made.shown is kept  # an exported figure is of the same picture
    made.stop()
    made.deleteLater()
    part.run_button.click()
    assert view.shown is None
    part.cancel()


@pytest.mark.parametrize("change", ["head", "sliders", "capture", "method"])
def test_a_late_result_never_appears(qtbot: QtBot, change: str) -> None:
    window = MainWindow(capture=random_capture(300, layers=1, heads=2))
    qtbot.addWidget(window)
    window.show()
    part, document = part_of(window), window.document
    part.dock.open()
    choose(part, "tsne")
    qtbot.waitUntil(part.run_button.isEnabled)
    part.run_button.click()
    qtbot.waitUntil(lambda: part.view.shown is not None, timeout=20_000)
    if change == "head":
        document.show_head(head=1)
    elif change == "sliders":
        document.move(t=0.7)
    elif change == "capture":
        document.open(random_capture(300, layers=1, heads=2, seed=1))
    else:
        choose(part, "pca")
    assert not part._runner.running
    kept = part.view.shown
    assert (kept is None) == (change != "method")
    qtbot.wait(200)
    assert part.view.shown is kept
    assert not part.cancel_button.isVisible()


def test_a_pca_of_very_many_points_is_computed_in_the_worker(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, window: MainWindow
) -> None:
    from attnviz_gui.ui.views import other_projection

    for module in (projected, other_projection):
        monkeypatch.setattr(module, "AT_ONCE", 10)
    part = part_of(window)
    part.dock.open()
    qtbot.waitUntil(lambda: part.view.shown is not None)
    window.document.show_head(1, 2)
    assert part.view.shown is None and part._runner.running
    assert "being computed" in part.view.why_nothing()
    qtbot.waitUntil(lambda: part.view.shown is not None)
    assert np.allclose(part.view.shown.positions, pca3(joint(window.document))[0])


def test_shift_and_a_drag_select_where_space_would_turn(qtbot: QtBot, window: MainWindow) -> None:
    part = part_of(window)
    part.dock.open()
    port, before = part.view.viewport(), part.view.projected.choices
    near_corner, far = QPoint(3, 20), port.rect().bottomRight() - QPoint(3, 3)
    shift = Qt.KeyboardModifier.ShiftModifier
    QTest.mousePress(port, Qt.MouseButton.LeftButton, shift, near_corner)
    QTest.mouseMove(port, QPoint(60, 80))
    QTest.mouseMove(port, far)
    QTest.mouseRelease(port, Qt.MouseButton.LeftButton, shift, far)
    assert part.view.projected.choices == before
    assert part.view.plane.drawing.picked.points().tolist() == list(range(22))


@pytest.mark.parametrize("method", ["tsne", "pca"])
@pytest.mark.parametrize("opened_first", [False, True])
def test_the_tool_of_all_panels_selects_here_too(
    qtbot: QtBot, window: MainWindow, method: str, opened_first: bool
) -> None:
    part, document = part_of(window), window.document
    if opened_first:
        part.dock.open()
    window.brushing.use("lasso")  # a panel that is opened later has the tool in use
    part.dock.open()
    choose(part, method)
    part.run()
    qtbot.waitUntil(lambda: part.view.shown is not None and not part._runner.running)
    button = part.panel.findChild(QToolButton, "other_projection_tool")
    assert button.isVisible() and button.menu() is window.brushing.menu
    port, before = part.view.viewport(), part.view.projected.choices
    assert port.cursor().shape() == Qt.CursorShape.CrossCursor
    left = Qt.MouseButton.LeftButton

    def drag(*corners: QPointF, keys: Any = Qt.KeyboardModifier.NoModifier) -> None:
        first, *rest = (corner.toPoint() for corner in corners)
        QTest.mousePress(port, left, keys, first)
        for corner in rest:
            QTest.mouseMove(port, corner)
        QTest.mouseRelease(port, left, keys, rest[-1])

    def around(spot: QPointF) -> list[QPointF]:
        return [spot + QPointF(*by) for by in ((-3, -3), (3, -3), (3, 3), (-3, 3))]

    qtbot.wait(50)  # the panel has been laid out
    at = spots(part.view)
    apart = [min((p - o).manhattanLength() for o in at if o is not p) for p in at]
    one, other = np.argsort(apart)[-2:].tolist()

    def picked() -> Any:
        return part.view.plane.drawing.picked.points()

    drag(*around(at[one]))
    assert picked().tolist() == [one]
    drag(*around(at[other]), keys=Qt.KeyboardModifier.ShiftModifier)
    assert picked().tolist() == sorted([one, other])
    # One selection in all panels.
    assert window.embedding.right.drawing.picked.points().tolist() == sorted([one, other])
    drag(*around(at[one]), keys=Qt.KeyboardModifier.ControlModifier)
    assert picked().tolist() == [other]
    window.brushing.use("rectangle")
    area = port.rect()
    drag(QPointF(area.left() + 2, area.top() + 2), QPointF(area.right() - 2, area.bottom() - 2))
    assert picked().tolist() == list(range(22)) and document.selection.n_tokens == 11
    assert part.view.projected.choices == before  # space was not turned
    window.brushing.use("move")
    drag(area.center().toPointF(), area.center().toPointF() + QPointF(60, 0))
    assert (part.view.projected.choices != before) == (method == "pca")
    assert picked().tolist() == list(range(22))


def test_the_panel_takes_a_theme_and_is_closed_while_it_runs(
    qtbot: QtBot, window: MainWindow
) -> None:
    part = part_of(window)
    part.dock.open()
    choose(part, "tsne")
    part.run_button.click()
    part.set_theme(DARK)
    assert part.view.theme is DARK
    window.close()
    assert not part._runner.running
