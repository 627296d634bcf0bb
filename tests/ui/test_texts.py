"""Many texts from the window: pasted, from a file, from a table; their size; Cancel keeps some."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PySide6.QtCore import Qt

from attnviz_gui.jobs.examples import WorkedExampleRequest
from attnviz_gui.session.words import size
from attnviz_gui.ui.explore.texts import TextsDialog, TextsPart
from attnviz_gui.ui.main_window import MainWindow
from tests.samples import random_capture

if TYPE_CHECKING:
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import Capture

LONG_MS = 60_000


@pytest.fixture
def window(qtbot: QtBot, capybara: Capture, bundled: LoadedModel):
    made = MainWindow(capture=capybara)
    qtbot.addWidget(made)
    made.show()
    made.text_bar.add_model("the bundled one", bundled)
    return made


@pytest.fixture
def dialog(window: MainWindow) -> TextsDialog:
    part = next(part for part in window.parts if isinstance(part, TextsPart))
    part.open()
    assert part.dialog is not None
    return part.dialog


def planned(qtbot: QtBot, dialog: TextsDialog) -> None:
    qtbot.waitUntil(lambda: dialog.plan is not None, timeout=LONG_MS)


def test_pasted_lines_are_counted_and_run(qtbot: QtBot, window: MainWindow, dialog: TextsDialog):
    assert not dialog.run.isEnabled()
    assert "No text yet" in dialog.says.text()
    dialog.lines.setPlainText("The cat sleeps.\n\nA dog barks.\n")
    planned(qtbot, dialog)
    said = dialog.says.text()
    assert said.startswith(
        "2 texts; 1 empty one left out (line 2). 13 tokens; the capture takes about"
    )
    assert said.endswith("of memory.")
    with qtbot.waitSignal(window.document.picture_changed, timeout=LONG_MS):
        dialog.run.click()
    assert window.document.capture is not None
    assert window.document.capture.texts == ("The cat sleeps.", "A dog barks.")
    assert "text 1 of 2" in window.status.facts.text()


def test_the_text_on_show_stands_in_the_field_until_another_is_typed(
    qtbot: QtBot, window: MainWindow
) -> None:
    document, bar = window.document, window.text_bar

    def show(text: int) -> None:
        document.show_head(text=text)
        qtbot.waitUntil(lambda: document.picture.text == text and not document.pending)

    texts = "one", "two", "three"
    window.runs.show_capture(replace(random_capture(5, texts=3), texts=texts))
    assert bar.text == texts[0]
    for text in (2, 1):
        show(text)
        assert bar.text == texts[text]
    bar.set_text("something else")
    show(0)
    assert bar.text == "something else"
    bar.set_text(texts[0])
    show(2)
    assert bar.text == texts[2]
    assert not window.runner.running
    window.runs.show_capture(replace(random_capture(4, texts=2), texts=("four", "five")))
    assert bar.text == "four"


def test_a_table_offers_its_columns(qtbot: QtBot, dialog: TextsDialog, tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text('id,text\n1,"The cat, asleep."\n2,A dog barks.\n3\n')
    dialog.open_csv(file)
    assert dialog.column.currentText() == "text"
    assert dialog.found.texts == ("The cat, asleep.", "A dog barks.")
    assert "1 row without it left out" in dialog.says.text()
    dialog.column.setCurrentText("id")
    assert dialog.found.texts == ("1", "2", "3")


def test_what_cannot_be_read_is_said(dialog: TextsDialog, tmp_path: Path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"\x89PNG\0\xff")
    for opened in (dialog.open_file, dialog.open_csv):
        opened(file)
        assert "a.txt" in dialog.says.text()
        assert not dialog.run.isEnabled()


def test_too_much_goes_to_the_disk_and_long_texts_are_told(qtbot: QtBot, dialog: TextsDialog):
    dialog.lines.setPlainText("one\n" + "word " * 600)
    planned(qtbot, dialog)
    assert "1 text is longer than the 512 tokens" in dialog.says.text()
    dialog.memory.setValue(1)
    assert "it is put on the disk" in dialog.says.text()
    assert dialog.run.isEnabled()
    dialog.long.setCurrentIndex(dialog.long.findData("refuse"))
    assert not dialog.run.isEnabled()


def test_cancel_keeps_what_is_done(qtbot: QtBot, window: MainWindow, dialog: TextsDialog):
    texts = [" ".join(["word"] * (1 + i % 90)) for i in range(900)]
    dialog.lines.setPlainText("\n".join(texts))
    planned(qtbot, dialog)
    dialog.run.click()
    qtbot.waitUntil(lambda: window.status.progress.value() > 20, timeout=LONG_MS)
    with qtbot.waitSignal(window.document.picture_changed, timeout=LONG_MS):
        window.status.cancel_button.click()
    capture = window.document.capture
    assert capture is not None
    assert capture.texts_asked == 900
    assert 0 < len(capture.texts) < 900
    assert f"{len(capture.texts):,} of 900 texts" in window.banner.sentence


def test_cancel_before_the_first_texts_are_done_says_so(
    qtbot: QtBot, window: MainWindow, dialog: TextsDialog
):
    before = window.document.capture
    texts = [" ".join(["word"] * (400 + i)) for i in range(40)]
    dialog.lines.setPlainText("\n".join(texts))
    planned(qtbot, dialog)
    dialog.run.click()
    with qtbot.waitSignal(window.runner.stopped, timeout=LONG_MS):
        window.status.cancel_button.click()
    assert window.document.capture is before
    assert "Stopped before the first texts were done" in window.banner.sentence
    assert "typed" not in window.banner.sentence


@pytest.mark.parametrize("stopped", [False, True])
def test_typing_throws_no_run_of_many_texts_away(
    qtbot: QtBot, window: MainWindow, dialog: TextsDialog, stopped: bool
):
    n = 900 if stopped else 60
    dialog.lines.setPlainText("\n".join(" ".join(["word"] * (1 + i % 90)) for i in range(n)))
    planned(qtbot, dialog)
    dialog.run.click()
    qtbot.waitUntil(lambda: window.status.progress.value() > 5, timeout=LONG_MS)
    window.text_bar.text_input.selectAll()
    qtbot.keyClicks(window.text_bar.text_input, "A bird")
    with qtbot.waitSignal(window.document.picture_changed, timeout=LONG_MS):
        if stopped:
            window.status.cancel_button.click()
            qtbot.keyClicks(window.text_bar.text_input, " sings.")
        else:
            qtbot.keyClicks(window.text_bar.text_input, " sings.")
    capture = window.document.capture
    assert capture is not None
    assert len(capture.texts) == 60 or (stopped and 0 < len(capture.texts) < 900)
    assert window.text_bar.text == "A bird sings."
    assert "What you typed meanwhile has not been run" in window.banner.sentence
    assert window.banner.sentence.startswith("Stopped: ") == stopped
    qtbot.wait(500)  # a pause in typing starts nothing
    assert window.document.capture is capture
    with qtbot.waitSignal(window.document.picture_changed, timeout=LONG_MS):
        qtbot.mouseClick(window.text_bar.run_button, Qt.MouseButton.LeftButton)
    assert window.document.capture.texts == ("A bird sings.",)
    assert not window.banner.sentence


def test_another_run_says_that_many_texts_were_given_up(
    qtbot: QtBot, window: MainWindow, dialog: TextsDialog
):
    dialog.lines.setPlainText("\n".join(" ".join(["word"] * (1 + i % 90)) for i in range(900)))
    planned(qtbot, dialog)
    dialog.run.click()
    qtbot.waitUntil(lambda: window.status.progress.value() > 5, timeout=LONG_MS)
    with qtbot.waitSignal(window.document.picture_changed, timeout=LONG_MS):
        window.text_bar.run_button.click()
    assert "many texts was given up" in window.banner.sentence
    with qtbot.waitSignal(window.document.picture_changed, timeout=LONG_MS):
        window.text_bar.run_button.click()
    assert not window.banner.sentence


@pytest.mark.parametrize("other", ["capture", "example"])
def test_whatever_takes_their_place_says_that_many_texts_were_given_up(
    qtbot: QtBot, window: MainWindow, dialog: TextsDialog, tmp_path: Path, other: str
):
    file = tmp_path / "other.safetensors"
    random_capture(3).save(file)
    dialog.lines.setPlainText("\n".join(" ".join(["word"] * (1 + i % 90)) for i in range(900)))
    planned(qtbot, dialog)
    dialog.run.click()
    qtbot.waitUntil(lambda: window.status.progress.value() > 5, timeout=LONG_MS)
    with qtbot.waitSignal(window.document.picture_changed, timeout=LONG_MS):
        if other == "capture":
            window.runs.open(file)
        else:
            window.runs.submit(WorkedExampleRequest())
    assert "many texts was given up" in window.banner.sentence


def test_a_text_without_a_token_is_left_out_and_said(
    qtbot: QtBot, window: MainWindow, dialog: TextsDialog, tmp_path: Path
):
    file = tmp_path / "a.txt"
    file.write_text("The cat sleeps.\n\x01\x02\nA dog barks.\n", encoding="utf-8")
    dialog.open_file(file)
    planned(qtbot, dialog)
    assert "leaves no token" in dialog.says.text()
    assert "(line 2)" in dialog.says.text()
    with qtbot.waitSignal(window.document.picture_changed, timeout=LONG_MS):
        dialog.run.click()
    assert window.document.capture is not None
    assert window.document.capture.texts == ("The cat sleeps.", "A dog barks.")


def test_where_nothing_is_left_nothing_is_run(qtbot: QtBot, dialog: TextsDialog, tmp_path: Path):
    file = tmp_path / "a.txt"
    file.write_text("\x01\x02\n\x03\n", encoding="utf-8")
    dialog.open_file(file)
    planned(qtbot, dialog)
    assert "(lines 1, 2)" in dialog.says.text()
    assert not dialog.run.isEnabled()


def test_of_a_large_file_the_first_lines_are_shown_and_that_is_said(
    qtbot: QtBot, dialog: TextsDialog, tmp_path: Path
):
    file = tmp_path / "a.txt"
    file.write_text("\n".join(f"line {i}" for i in range(2500)), encoding="utf-8")
    dialog.open_file(file)
    planned(qtbot, dialog)
    assert dialog.lines.toPlainText().count("\n") == 1999
    assert dialog.says.text().startswith("2,500 texts. Above are the first 2,000; all are run")
    dialog.lines.setPlainText("one\ntwo")
    planned(qtbot, dialog)
    assert "Above" not in dialog.says.text()


def test_a_very_long_word_is_shown_by_its_beginning_and_run_whole(
    qtbot: QtBot, dialog: TextsDialog, tmp_path: Path
):
    file = tmp_path / "a.txt"
    file.write_text("a" * 2_000_000 + "\nshort\n", encoding="utf-8")
    dialog.open_file(file)
    assert len(dialog.lines.toPlainText()) < 3000
    assert [len(text) for text in dialog.found.texts] == [2_000_000, 5]
    planned(qtbot, dialog)
    assert "2 texts. Above are the beginnings of the texts; all are run" in dialog.says.text()
    dialog.lines.setPlainText("one")
    planned(qtbot, dialog)
    assert "Above" not in dialog.says.text()


def test_what_is_cut_takes_no_room(qtbot: QtBot, dialog: TextsDialog):
    dialog.lines.setPlainText("word " * 2000)
    planned(qtbot, dialog)
    sizes = []
    for long in ("first", "split"):
        dialog.long.setCurrentIndex(dialog.long.findData(long))
        assert dialog.plan is not None
        sizes.append(size(dialog.plan.n_bytes[long]))
        assert f"the capture takes about {sizes[-1]}" in dialog.says.text()
        assert dialog.run.isEnabled()
    assert sizes[0] != sizes[1]


def test_why_a_file_cannot_be_read_stays_until_something_else_is_there(
    qtbot: QtBot, dialog: TextsDialog, tmp_path: Path
):
    dialog.lines.setPlainText("one")
    planned(qtbot, dialog)
    dialog.open_file(tmp_path / "missing.txt")
    said = dialog.says.text()
    assert "missing.txt" in said
    dialog.memory.setValue(7)
    assert dialog.says.text() == said
    assert not dialog.run.isEnabled()
    dialog.lines.appendPlainText("two")
    planned(qtbot, dialog)
    assert dialog.run.isEnabled()


def test_the_memory_is_remembered(window: MainWindow, dialog: TextsDialog):
    dialog.memory.setValue(512)
    dialog.reject()
    assert window.memory.settings.texts_memory == 512
    part = next(part for part in window.parts if isinstance(part, TextsPart))
    part.open()
    assert part.dialog is not None
    assert part.dialog.memory.value() == 512


def test_sizes_in_words():
    assert [size(n) for n in (1000, 5_200_000, 52_000_000, 3_400_000_000)] == [
        "0.1 MB", "5.2 MB", "52 MB", "3.4 GB",
    ]  # fmt: skip
