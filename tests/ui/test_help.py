"""The page about a and c: true numbers, every mode and objective, pictures in light and dark."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication, QLabel, QWidget

from attnviz_gui.geometry.correlation import OBJECTIVES
from attnviz_gui.geometry.honesty import measure
from attnviz_gui.geometry.normalization import SHIFT_MODES
from attnviz_gui.session.document import Document
from attnviz_gui.session.words import number
from attnviz_gui.ui.dialogs.help import HelpPicture, about, normalisation_help
from attnviz_gui.ui.style import dress
from attnviz_gui.ui.theme import DARK, LIGHT
from tests.pictures import HEAD, SLIDERS
from tests.ui.test_scatter import pixels


@pytest.fixture
def dressed(qapp):
    """Give the application a theme for the length of a test."""
    before = qapp.styleSheet(), qapp.palette(), qapp.font(), qapp.style().name()
    yield lambda theme: dress(qapp, theme)
    qapp.setStyleSheet(before[0])
    qapp.setPalette(before[1])
    qapp.setFont(before[2])
    qapp.setStyle(before[3])


@pytest.fixture
def opened(qtbot):
    """Return a function that opens a dialog of a window and hands it on."""
    window = QWidget()
    qtbot.addWidget(window)

    def show(make):
        dialog = make(window)
        dialog.show()
        qtbot.waitExposed(dialog)
        return dialog

    return show


def words(dialog) -> str:
    return " ".join(label.text() for label in dialog.findChildren(QLabel))


def test_it_names_every_mode_and_objective_collapse_and_edge(opened):
    page = words(opened(normalisation_help))
    for mode in SHIFT_MODES:
        assert f"<b>{mode}</b>" in page
    for objective in OBJECTIVES.values():
        assert f"<b>{objective.name}</b> rewards {objective.rewards}." in page
    for word in ("Collapse", "Edge", "Shift a", "Scale c", "q′ = c·q"):
        assert word in page


def test_the_captions_numbers_are_those_of_the_model(opened, capybara):
    page = words(opened(normalisation_help))
    document = Document()
    document.open(capybara)
    document.show_head(*HEAD)
    document.move(mode="centroid", **SLIDERS)
    first, last = measure(document.picture.before), measure(document.frame)
    layer, head = HEAD
    assert f"Layer {layer}, head {head}" in page
    lengths = (number(each.line_length, 2) for each in (first, last))
    assert "from {} to {} of the mean distance".format(*lengths) in page
    correlations = (number(-each.objective) for each in (first, last))
    assert "goes from {} to {}:".format(*correlations) in page
    # What the caption says of the head: most queries look at the token that follows.
    strongest = document.picture.attention.argmax(axis=1)
    following = strongest[:-1] == np.arange(1, len(strongest))
    assert following.mean() > 0.5
    assert not last.collapsed


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_pictures_are_those_of_the_theme(opened, dressed, theme):
    dressed(theme)
    dialog = opened(normalisation_help)
    pictures = dialog.findChildren(HelpPicture)
    assert [picture.objectName() for picture in pictures] == ["help-plane", "help-scatter"]
    for picture in pictures:
        assert picture.dark == (theme is DARK)
        assert picture.accessibleName()
        image = pixels(picture.grab().toImage())
        ground = np.array(theme.color("ground").getRgb()[:3])
        assert np.abs(image[4, 4].astype(int) - ground).max() <= 1
        inked = np.abs(image.astype(int) - ground).max(axis=2) > 60
        assert 0.01 < inked.mean() < 0.4
        for role in ("query", "key") if picture.objectName() == "help-plane" else ("after",):
            color = np.array(theme.color(role).getRgb()[:3])
            assert (np.abs(image.astype(int) - color).max(axis=2) < 30).sum() > 50, role


def test_the_pictures_follow_the_window_from_light_to_dark(opened, dressed):
    dressed(LIGHT)
    dialog = opened(normalisation_help)
    picture = dialog.findChild(HelpPicture)
    light = pixels(picture.grab().toImage()).mean()
    dressed(DARK)
    QApplication.processEvents()
    assert picture.dark
    assert pixels(picture.grab().toImage()).mean() < light - 100


def test_a_long_page_scrolls_and_is_never_cut_at_its_side(opened):
    dialog = opened(normalisation_help)
    assert dialog.height() <= dialog.screen().availableSize().height()
    assert dialog.area.verticalScrollBar().maximum() > 0
    assert dialog.area.viewport().width() >= dialog.area.widget().minimumSizeHint().width()
    dialog.close()


def test_about_names_the_program_and_its_sources(opened):
    page = words(opened(about))
    assert "AttnViz" in page and "MIT" in page and "2023" in page
