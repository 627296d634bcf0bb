"""The table of all heads' measures: what it lists, how it is sorted and filtered, what it opens."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication

import attnviz_gui
from attnviz_gui.analysis.catalogue import CATALOGUE
from attnviz_gui.analysis.heads import ALL_TEXTS, measure_heads
from attnviz_gui.analysis.likeness import like
from attnviz_gui.jobs.fitting import FitRequest
from attnviz_gui.session.document import Document
from attnviz_gui.session.fits import Basis, HeadFit
from attnviz_gui.session.words import number
from attnviz_gui.ui import parts
from attnviz_gui.ui.explore.measures import MeasuresTable
from attnviz_gui.ui.explore.measures_engine import REST_MS
from attnviz_gui.ui.explore.measures_table import MeasuresPanel
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.theme import LIGHT
from tests.samples import random_capture
from tests.ui.driving import LONG, child, opened


def part_of(window: MainWindow) -> MeasuresTable:
    (part,) = (p for p in window.parts if isinstance(p, MeasuresTable))
    return part


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No other part joins these windows."""
    monkeypatch.setattr(parts, "PARTS", ("attnviz_gui.ui.explore.measures:MeasuresTable",))


@pytest.fixture
def window(qtbot):
    capture = random_capture(9, layers=2, heads=3, texts=2)
    for window in opened(qtbot, MainWindow(capture=capture)):
        window.workspace.arrange()  # whatever an earlier window's layout was
        yield window


@pytest.fixture
def part(qtbot, window):
    part = part_of(window)
    part.dock.open()
    settled(qtbot, part)
    return part


def settled(qtbot, part) -> None:
    """Wait until all that is wanted is there."""
    qtbot.waitUntil(lambda: part.measuring.measures is not None, timeout=LONG)
    qtbot.waitUntil(
        lambda: not part.measuring.running and not part.measuring._rest.isActive(), timeout=LONG
    )


def keys(part) -> list[str]:
    return part.panel.rows()[0]


def column(part, key: str) -> list[float]:
    rows = part.panel.rows()
    return [row[rows[0].index(key)] for row in rows[1:]]


def test_nothing_is_measured_before_it_is_looked_at(qtbot, window):
    part = part_of(window)
    assert part.dock.isHidden()
    qtbot.wait(2 * 200)
    assert window.document.head_measures is None
    part.dock.open()
    settled(qtbot, part)
    assert window.document.head_measures.capture is window.document.capture


def test_all_heads_and_measures_are_listed(part, window):
    wanted = measure_heads(window.document.capture, 0)
    rows = part.panel.rows()
    assert rows[0] == ["layer", "head", *wanted.names]
    assert [tuple(row[:2]) for row in rows[1:]] == list(wanted.heads)
    np.testing.assert_array_equal(np.array(rows[1:])[:, 2:], wanted.values)
    assert part.panel.about.whole == "6 heads · text 1 of 2"


def test_a_title_says_what_it_is_and_where_it_is_from_and_a_gap_why(part):
    model = part.panel.proxy
    for i, key in enumerate(keys(part)):
        words = model.headerData(i, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
        assert words
        if key in CATALOGUE:
            assert CATALOGUE[key].source in words
            assert CATALOGUE[key].definition in words
    gap = model.index(0, keys(part).index("duplicate"))
    assert gap.data() == "—"
    assert "no token occurs twice" in gap.data(Qt.ItemDataRole.ToolTipRole)


@pytest.mark.parametrize("order", [Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder])
def test_a_click_on_a_title_sorts_and_gaps_come_last(qtbot, part, window, order):
    found = part.measuring.measures
    values = found.values.copy()
    values[2, 0] = math.nan
    window.document.keep_head_measures(replace(found, values=values))
    part.panel.table.sortByColumn(2, order)
    got = column(part, "entropy")
    assert math.isnan(got[-1])
    known = sorted(v for v in values[:, 0] if not math.isnan(v))
    assert got[:-1] == (known if order == Qt.SortOrder.AscendingOrder else known[::-1])


def test_conditions_and_layers_hide_rows_and_what_is_not_understood_is_said(qtbot, part):
    entropy = np.array(column(part, "entropy"))
    middle = float(np.median(entropy))
    part.panel.filter.setText(f"entropy > {middle!r}")
    assert column(part, "entropy") == [v for v in entropy if v > middle]
    assert part.panel.about.whole.startswith("3 of 6 heads")
    part.panel.filter.setText("joy > 1")
    assert part.panel.fault.text() == "There is no column joy."
    assert not part.panel.fault.isHidden()
    assert part.panel.proxy.rowCount() == 3  # as it was
    part.panel.filter.setText("")
    assert part.panel.fault.isHidden()
    menu = part.panel.layers_button.menu()
    menu.aboutToShow.emit()
    next(a for a in menu.actions() if a.text() == "Layer 0").trigger()
    assert column(part, "layer") == [1, 1, 1]
    menu.aboutToShow.emit()
    next(a for a in menu.actions() if a.text() == "All layers").trigger()
    assert part.panel.proxy.rowCount() == 6


def test_a_click_opens_the_head_and_the_one_on_show_is_marked(qtbot, part, window):
    table, proxy = part.panel.table, part.panel.proxy
    table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    place = tuple(part.panel.rows()[3][:2])
    at = table.visualRect(proxy.index(2, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    d = window.document
    assert (d.layer, d.head) == place
    marks = [proxy.headerData(i, Qt.Orientation.Vertical, Qt.ItemDataRole.DisplayRole)
             for i in range(6)]  # fmt: skip
    assert [mark.startswith("▸") for mark in marks] == [i == 2 for i in range(6)]
    assert marks[2] == f"▸ L{place[0]} H{place[1]}"
    assert proxy.index(2, 2).data(Qt.ItemDataRole.FontRole).bold()
    assert proxy.index(1, 2).data(Qt.ItemDataRole.FontRole) is None


def test_enter_opens_the_head_and_arrows_stay_in_the_table(qtbot, part, window):
    table = part.panel.table
    table.setFocus()
    table.setCurrentIndex(part.panel.proxy.index(0, 0))
    for _ in range(4):
        qtbot.keyClick(table, Qt.Key.Key_Down)
    assert (window.document.layer, window.document.head) == (0, 0)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert (window.document.layer, window.document.head) == (1, 1)


def test_without_special_tokens_and_all_texts(qtbot, part, window):
    child(window, "measures_special").click()
    settled(qtbot, part)
    capture = window.document.capture
    wanted = measure_heads(capture, 0, with_special=False)
    assert column(part, "entropy") == wanted.column("entropy").tolist()
    assert "without special tokens" in part.panel.about.whole
    scope = child(window, "measures_scope")
    scope.setCurrentIndex(1)
    scope.activated.emit(1)
    settled(qtbot, part)
    wanted = measure_heads(capture, ALL_TEXTS, with_special=False)
    assert column(part, "entropy") == wanted.column("entropy").tolist()
    assert "mean over 2 texts" in part.panel.about.whole


def test_another_text_or_capture_is_measured_anew(qtbot, part, window):
    d = window.document
    d.show_head(text=1)
    settled(qtbot, part)
    assert column(part, "entropy") == measure_heads(d.capture, 1).column("entropy").tolist()
    d.open(random_capture(5, layers=1, heads=2, seed=3))
    assert d.head_measures is None
    assert part.panel.rows()[1:] == []
    settled(qtbot, part)
    assert len(part.panel.rows()) == 3


def test_heads_like_this_one_come_in_order(qtbot, part, window):
    window.document.show_head(1, 2)
    child(window, "measures_like").click()
    settled(qtbot, part)
    qtbot.waitUntil(lambda: "likeness" in keys(part), timeout=LONG)
    far = like(window.document.capture, 1, 2)
    assert column(part, "likeness") == sorted(far.tolist())
    assert part.panel.rows()[1][:2] == [1, 2]
    window.document.show_head(0, 0)  # the question stays
    assert "from L1 H2" in part.panel.model.columns[2].title
    child(window, "measures_like").click()  # another head: asked anew
    settled(qtbot, part)
    assert "from L0 H0" in part.panel.model.columns[2].title
    assert child(window, "measures_like").isChecked()
    child(window, "measures_like").click()
    assert "likeness" not in keys(part)
    assert not child(window, "measures_like").isChecked()


@pytest.mark.parametrize("change", ["text", "special", "capture"])
def test_what_was_compared_on_another_text_is_not_shown(qtbot, part, window, change):
    part.measuring.want(like=(1, 2), groups=2)
    qtbot.waitUntil(lambda: {"likeness", "cluster"} <= set(keys(part)), timeout=LONG)
    settled(qtbot, part)
    if change == "text":
        part.measuring.want(all_texts=True)  # so that the measures are the same for both
        settled(qtbot, part)
    seen = []

    def look() -> None:
        rows = part.panel.rows()
        if "likeness" in rows[0]:
            document = window.document
            special = part.measuring.wanted.with_special
            far = like(document.capture, 1, 2, document.text, with_special=special)
            seen.append(np.allclose(column(part, "likeness"), sorted(far.tolist())))
        if "cluster" in rows[0]:
            seen.append(part.measuring.clusters.capture is window.document.capture)
            seen.append(part.measuring.clusters.text == window.document.text)

    part.measuring.changed.connect(look)
    if change == "text":
        window.document.show_head(text=1)
    elif change == "special":
        part.measuring.want(with_special=False)
    else:
        window.document.open(random_capture(9, layers=2, heads=3, seed=5))
    qtbot.waitUntil(lambda: len(seen) >= 3, timeout=LONG)
    settled(qtbot, part)
    part.measuring.changed.disconnect(look)
    assert {"likeness", "cluster"} <= set(keys(part))
    assert len(seen) >= 3 and all(seen)


def test_a_table_that_is_sorted_stays_so_for_another_text(qtbot, part, window):
    at = keys(part).index("confidence")
    part.panel.table.sortByColumn(at, Qt.SortOrder.DescendingOrder)
    before = column(part, "confidence")
    window.document.show_head(text=1)
    # It may have begun and ended between two looks at whether it runs.
    qtbot.waitUntil(lambda: column(part, "confidence") != before, timeout=LONG)
    settled(qtbot, part)
    now = column(part, "confidence")
    assert now == sorted(now, reverse=True)
    header = part.panel.table.horizontalHeader()
    assert header.sortIndicatorSection() == at
    assert header.sortIndicatorOrder() == Qt.SortOrder.DescendingOrder


def test_what_heads_are_compared_on_is_said_where_all_else_is_a_mean_of_texts(qtbot, part):
    part.measuring.want(all_texts=True, groups=2, like=(0, 0))
    qtbot.waitUntil(lambda: {"likeness", "cluster"} <= set(keys(part)), timeout=LONG)
    for at in map(keys(part).index, ("likeness", "cluster")):
        words = part.panel.model.headerData(
            at, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole
        )
        assert "on show" in words


def test_groups_are_a_column(qtbot, part, window):
    child(window, "measures_n_groups").setValue(2)
    child(window, "measures_group").click()
    qtbot.waitUntil(lambda: "cluster" in keys(part), timeout=LONG)
    assert set(column(part, "cluster")) == {1, 2}
    child(window, "measures_n_groups").setValue(4)
    qtbot.waitUntil(
        lambda: not part.measuring.running and set(column(part, "cluster")) == {1, 2, 3, 4},
        timeout=LONG,
    )


def test_columns_come_and_go(qtbot, part, window):
    menu = part.panel.columns_button.menu()
    menu.aboutToShow.emit()
    next(a for a in menu.actions() if a.text() == "confidence").trigger()
    assert "confidence" not in keys(part)
    next(a for a in menu.actions() if a.text().startswith("What the picture keeps")).trigger()
    qtbot.waitUntil(lambda: "kept_variance" in keys(part), timeout=LONG)
    assert all(0 < v <= 1 for v in column(part, "kept_variance"))
    d = window.document
    part.measuring.want(fits=True)
    assert np.isnan(column(part, "fit_a")).all()
    d.keep_fits(Basis(0), [HeadFit(1, 0, "cosine", "constant", 0.25, 2.0, 1.0, 0.5)], move=False)
    assert column(part, "fit_a")[3] == 0.25
    assert column(part, "fit_c")[3] == 2.0


def test_without_the_model_a_baseline_says_why_and_is_not_ticked(qtbot, part):
    part.measuring.want(shuffled=True)
    qtbot.waitUntil(lambda: "opened from a file" in part.panel.about.whole, timeout=LONG)
    assert not part.measuring.wanted.shuffled
    assert part.panel.proxy.rowCount() == 6


def test_baselines_stand_beside_each_measure(qtbot, bundled):
    for window in opened(qtbot, MainWindow(capture=attnviz_gui.capture(bundled, "a cat, a dog"))):
        part = part_of(window)
        part.dock.open()
        settled(qtbot, part)
        part.measuring.want(shuffled=True, random=True, repeated=True)
        qtbot.waitUntil(lambda: "entropy:random" in keys(part), timeout=LONG)  # noqa: B023
        names = keys(part)
        at = names.index("entropy")
        assert names[at : at + 3] == ["entropy", "entropy:shuffled", "entropy:random"]
        assert "induction_repeated" in names
        assert {"induction_repeated:random", "induction_repeated:shuffled"} <= set(names)
        own, random = (np.array(column(part, n)) for n in ("entropy", "entropy:random"))
        assert (random >= own - 0.05).all()  # attention without training is nearly even
        part.measuring.want(pictures=True)
        qtbot.waitUntil(lambda: "kept_variance:random" in keys(part), timeout=LONG)  # noqa: B023
        window.document.choose_objective("rank")
        settled(qtbot, part)
        beside = part.measuring.measures.baselines["random"]
        assert beside.of(0, 0, "kept_objective") == -beside.of(0, 0, "kept_rank")
        one, two = (part.panel.model.columns[at + i] for i in (0, 2))
        assert one.range == two.range  # the same tint is the same number


def test_baselines_stand_beside_fits_likeness_and_groups(qtbot, bundled):
    capture = attnviz_gui.capture(bundled, "The cat sat on the mat; the dog did not.")
    for window in opened(qtbot, MainWindow(capture=capture)):
        part, d = part_of(window), window.document
        part.dock.open()
        settled(qtbot, part)

        def fit(head: int, objective: str, part=part, d=d) -> HeadFit:
            (found,) = FitRequest(d.capture, Basis(0), [[(1, head)]], objective, "constant")(
                lambda *_: None, threading.Event()
            )
            d.keep_fits(Basis(0), [found], move=False)
            settled(qtbot, part)
            return found

        own = fit(2, "cosine")
        part.measuring.want(shuffled=True, random=True, fits=True, like=(0, 1), groups=4)
        settled(qtbot, part)
        names = keys(part)
        for name in ("fit_a", "fit_c", "likeness", "cluster"):
            at = names.index(name)
            assert names[at : at + 3] == [name, f"{name}:shuffled", f"{name}:random"]
        row = [r[:2] for r in part.panel.rows()[1:]].index([1, 2])
        a = {name: column(part, name)[row] for name in names if name.startswith("fit_a")}
        assert a["fit_a"] == own.t
        assert len(set(a.values())) == 3
        assert np.isfinite(column(part, "fit_a:random")).sum() == 1  # no more than are fitted here
        # Another fit of this head, and one of another, are made there as well.
        assert fit(2, "euclidean").asked != own.asked
        fit(3, "cosine")
        settled(qtbot, part)
        now = column(part, "fit_a:shuffled")
        assert now[row] != a["fit_a:shuffled"]
        assert np.isfinite(now).sum() == 2
        words = part.panel.model.columns[names.index("cluster:random")].tip
        agreement = part.measuring.clusters.baselines["random"].agreement
        assert f"{number(agreement)} by the adjusted Rand index" in words
        # What is sorted by stays, whatever comes later.
        part.panel.table.sortByColumn(names.index("entropy"), Qt.SortOrder.DescendingOrder)
        part.measuring.want(groups=5)
        settled(qtbot, part)
        assert max(column(part, "cluster")) == 5
        assert "cluster:shuffled" in keys(part)
        order = column(part, "entropy")
        assert order == sorted(order, reverse=True)
        part.measuring.want(shuffled=False)
        assert not [name for name in keys(part) if name.endswith(":shuffled")]
        assert "likeness:random" in keys(part)


def test_cancel_stops_and_measure_begins_anew(qtbot, window):
    window.document.open(random_capture(700, layers=6, heads=8))
    part = part_of(window)
    part.dock.open()
    qtbot.waitUntil(lambda: part.measuring.running, timeout=LONG)
    assert not part.panel.cancel.isHidden()
    child(window, "measures_cancel").click()
    assert not part.measuring.running
    assert window.document.head_measures is None
    assert "Measure" in part.panel.table.sentence
    window.document.show_head(3, 2)  # another head of the same text: not begun behind one's back
    qtbot.wait(2 * REST_MS)
    assert not part.measuring.running
    assert window.document.head_measures is None
    child(window, "measures_begin").click()
    settled(qtbot, part)
    assert part.panel.proxy.rowCount() == 48


def test_cancel_ends_what_waits_as_well_and_keeps_what_was_found(qtbot, window):
    window.document.open(random_capture(700, layers=6, heads=8))
    part = part_of(window)
    part.dock.open()
    settled(qtbot, part)
    part.measuring.want(like=(0, 0))
    qtbot.waitUntil(lambda: part.measuring.alike is not None, timeout=LONG)
    part.measuring.want(groups=3, pictures=True, repeated=True, shuffled=True, random=True)
    assert part.measuring.running
    child(window, "measures_cancel").click()
    assert not part.measuring.running
    wanted = part.measuring.wanted
    assert wanted.like == (0, 0)
    assert not (wanted.groups or wanted.pictures or wanted.repeated)
    assert not (wanted.shuffled or wanted.random)
    qtbot.wait(2 * REST_MS)
    assert not part.measuring.running
    assert keys(part)[2] == "likeness"
    assert "Cancelled" in part.panel.about.text()


def test_hidden_layers_are_named_where_they_leave_no_head(part):
    part.panel._hide_layers({0, 1})
    assert "Every layer is hidden" in part.panel.table.sentence
    part.panel._hide_layers({0})
    part.panel.filter.setText("entropy > 99")
    assert part.panel.table.sentence == "No head fulfils the filter."


def test_somebody_else_can_have_them_measured(qtbot, window):
    part = part_of(window)
    window.document.want_head_measures()
    qtbot.waitUntil(lambda: window.document.head_measures is not None, timeout=LONG)
    assert part.dock.isHidden()
    assert window.document.head_measures.text == 0


def test_the_heads_that_a_filter_leaves_are_shown_as_one(qtbot, part, window):
    d = window.document
    least = sorted(column(part, "entropy"))[3]
    part.panel.filter.setText(f"entropy < {least:.12f}")
    listed = [tuple(row[:2]) for row in part.panel.rows()[1:]]
    assert len(listed) == 3
    entry = next(a for a in part.panel.more.menu().actions() if "mean" in a.text())
    entry.trigger()
    assert set(d.mix.places) == set(listed)
    qtbot.waitUntil(lambda: d.picture.mix is not None, timeout=LONG)
    expected = np.mean([d.capture.head(*place).attention for place in listed], axis=0)
    np.testing.assert_allclose(d.picture.attention, expected, atol=1e-7)
    d.show_head(0, 0)
    part.panel.filter.setText("entropy < -1")
    entry.trigger()
    assert part.panel.about.whole == "Choose at least one head."
    assert d.mix is None


def test_copy_and_export_are_the_table_as_shown(qtbot, part, window, tmp_path):
    part.panel.filter.setText("layer = 1")
    part.panel.table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    part.panel.copy()
    copied = QGuiApplication.clipboard().text().splitlines()
    assert copied[0].split("\t")[:3] == ["layer", "head", "entropy (bits)"]
    assert [float(line.split("\t")[2]) for line in copied[1:]] == column(part, "entropy")
    part.export_to(tmp_path / "heads.csv")
    qtbot.waitUntil((tmp_path / "heads.csv").exists, timeout=LONG)
    qtbot.waitUntil(lambda: not part.writer.running, timeout=LONG)
    lines = (tmp_path / "heads.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",") == keys(part)
    assert len(lines) == 4
    assert float(lines[1].split(",")[2]) == column(part, "entropy")[0]
    part.export_to(tmp_path / "heads.doc")
    qtbot.waitUntil(lambda: "must end in .csv" in window.banner.sentence, timeout=LONG)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_large_number_is_tinted_more_than_a_small_one(qtbot, part, window, theme):
    window.set_theme(theme)
    window.workspace.maximise(part.dock)
    table, proxy = part.panel.table, part.panel.proxy
    table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    qtbot.wait(50)
    picture = table.viewport().grab().toImage()
    ground = picture.pixelColor(table.visualRect(proxy.index(0, 2)).topLeft() + QPoint(3, 3))
    most = picture.pixelColor(table.visualRect(proxy.index(5, 2)).topLeft() + QPoint(3, 3))
    assert ground != most
    base = part.panel.model.theme.color("ground")
    assert abs(ground.lightness() - base.lightness()) < 12
    assert most.blue() > most.red()


def test_one_token_has_a_table_too(qtbot):
    for window in opened(qtbot, MainWindow(capture=random_capture(1))):
        part = part_of(window)
        part.dock.open()
        settled(qtbot, part)
        assert column(part, "self") == [1] * 6
        assert np.isnan(column(part, "previous")).all()


def test_without_a_capture_it_says_what_to_do_and_alone_it_measures(qtbot):
    document = Document()
    panel = MeasuresPanel(document, LIGHT)
    qtbot.addWidget(panel)
    panel.resize(420, 300)
    with qtbot.waitExposed(panel):
        panel.show()
    panel.start()
    assert "press Run" in panel.table.sentence
    assert not panel.grab().isNull()
    document.open(random_capture(6))
    qtbot.waitUntil(lambda: panel.proxy.rowCount() == 6, timeout=LONG)
    panel.stop()
