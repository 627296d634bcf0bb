"""Where models, texts and captures come from, and where captures go: clicked through."""

from __future__ import annotations

import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants as constants
import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFileDialog, QLineEdit, QMenu

import attnviz_gui
from attnviz_gui.capture import hub
from attnviz_gui.errors import InputError
from attnviz_gui.session.settings import load_settings, settings_file
from attnviz_gui.ui.dialogs.download import hub_id
from attnviz_gui.ui.main_window import MainWindow
from tests.capture.stand_in import COMMIT, StandIn
from tests.images import save_tiny_vit
from tests.samples import random_capture, save_tiny_bert
from tests.ui.driving import LONG, child, drop, opened

# What Qt says of lists that open where there is no screen.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")

CHOOSE, DOWNLOAD = "Choose a folder…", "Download from the Hugging Face hub…"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the hub that holds org/here."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    put(tmp_path, cache, "org/here")
    return cache


@pytest.fixture
def server(tmp_path, cache, monkeypatch):
    """A stand-in for the hub that holds org/tiny, and a network that may be used."""
    server = StandIn(org__tiny=save_tiny_bert(tmp_path / "served"))
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield server
    server.close()


@pytest.fixture
def window(qtbot):
    """A window on twelve random tokens; no model has run."""
    yield from opened(qtbot, MainWindow(capture=random_capture(12, layers=3, heads=4)))


def put(tmp_path, cache, repository):
    """Lay a tiny model into the cache as the hub does."""
    place = cache / ("models--" + repository.replace("/", "--"))
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    if not (tmp_path / "tiny").exists():
        save_tiny_bert(tmp_path / "tiny")
    shutil.copytree(tmp_path / "tiny", place / "snapshots" / COMMIT)


def entries(window):
    """The words of all entries of the list of models, empty for a line between groups."""
    box = child(window, "model_select")
    return [box.itemText(n) for n in range(box.count())]


def open_list(qtbot, window):
    """Open the list of models, and wait until it is up to date."""
    box = child(window, "model_select")
    with qtbot.waitSignal(window.files.listed, timeout=LONG):
        qtbot.mouseClick(box, Qt.MouseButton.LeftButton)
    return box


def pick(qtbot, box, words):
    """Click an entry of the open list."""
    view = box.view()
    assert view.isVisible()
    index = box.model().index(box.findText(words), 0)
    view.scrollTo(index)
    place = view.visualRect(index).center()
    qtbot.mouseMove(view.viewport(), place)
    qtbot.wait(QApplication.doubleClickInterval() + 50)  # a list just opened takes no click
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def ask_for(qtbot, window, name):
    """Type an id into the dialog that asks for one."""
    window.actions_.choose_hub_model()
    dialog = child(window, "download_dialog")
    qtbot.keyClicks(child(dialog, "download_name"), name)
    qtbot.mouseClick(child(dialog, "download_button"), Qt.MouseButton.LeftButton)


def menu(window, name):
    """A menu, filled as when it is opened; its entries by their words."""
    found = window.findChild(QMenu, name)
    found.aboutToShow.emit()
    return {action.text(): action for action in found.actions() if action.text()}


def first(entries):
    """The uppermost entry of a menu."""
    return next(iter(entries.values()))


# -- the list of models ----------------------------------------------------------------------


def test_the_list_holds_every_group_and_a_click_runs_a_model(qtbot, window, cache, tmp_path):
    drop(window, tmp_path / "tiny")
    qtbot.waitUntil(lambda: window.document.capture.model_name == "tiny", timeout=LONG)
    box = open_list(qtbot, window)
    assert box.view().isVisible()
    assert entries(window) == [
        "all-MiniLM-L6-v2 (bundled)", "",
        "Recent folders", "tiny", "",
        "Hugging Face hub, on this machine", "org/here", "",
        CHOOSE, DOWNLOAD,
    ]  # fmt: skip
    enabled = [bool(box.model().item(n).flags() & Qt.ItemFlag.ItemIsEnabled) for n in (2, 3, 5, 6)]
    assert enabled == [False, True, False, True]
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        pick(qtbot, box, "org/here")
    assert window.document.capture.model_name == "here"
    assert box.currentText() == "org/here"
    assert load_settings().recent_models == ()  # written when the window closes
    window.close()
    assert load_settings().recent_models == (str(tmp_path / "tiny"),)


def test_a_list_that_is_open_takes_in_what_is_new(qtbot, window, cache, tmp_path):
    box = open_list(qtbot, window)
    assert "org/here" in entries(window)
    box.hidePopup()
    put(tmp_path, cache, "org/new")
    shutil.rmtree(cache / "models--org--here")
    open_list(qtbot, window)
    assert box.view().isVisible()
    assert "org/new" in entries(window) and "org/here" not in entries(window)
    box.hidePopup()


def test_two_folders_of_one_name_are_told_apart(window, tmp_path):
    folders = [str(tmp_path / place / "model") for place in ("a", "b")]
    window.text_bar.set_models(folders)
    assert [e for e in entries(window) if e.startswith("model")] == [
        f"model  ({tmp_path / place})" for place in ("a", "b")
    ]


def test_a_model_that_left_the_cache_is_never_fetched_by_itself(qtbot, window, server, cache):
    open_list(qtbot, window).hidePopup()
    shutil.rmtree(cache / "models--org--here")
    box = child(window, "model_select")
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        box.setCurrentIndex(box.findText("org/here"))
    assert "org/here is not on this machine any more" in window.banner.sentence
    assert server.asked == []
    assert box.currentText() == "all-MiniLM-L6-v2 (bundled)"


def test_a_recent_folder_that_is_gone_is_taken_off_the_list(qtbot, window, cache, tmp_path):
    folder = save_tiny_bert(tmp_path / "gone")
    drop(window, folder)
    qtbot.waitUntil(lambda: window.document.capture.model_name == "gone", timeout=LONG)
    box = child(window, "model_select")
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        box.setCurrentIndex(box.findText("all-MiniLM-L6-v2 (bundled)"))
    shutil.rmtree(folder)
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        box.setCurrentIndex(box.findText("gone"))
    assert "There is no folder" in window.banner.sentence
    assert "gone" not in entries(window)
    assert box.currentText() == "all-MiniLM-L6-v2 (bundled)"


def test_a_config_that_lies_is_refused_while_the_picture_stays(qtbot, window, tmp_path):
    folder = save_tiny_bert(tmp_path / "liar")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 9_000_000}))
    picture = window.document.picture
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        drop(window, folder)
    assert "claims 9,000,000 layers" in window.banner.sentence
    assert window.document.picture is picture


# -- downloads -------------------------------------------------------------------------------


def test_a_model_is_downloaded_and_runs(qtbot, window, server):
    box = open_list(qtbot, window)
    pick(qtbot, box, DOWNLOAD)
    dialog = child(window, "download_dialog")
    assert box.currentText() == "all-MiniLM-L6-v2 (bundled)"
    assert not child(dialog, "download_button").isEnabled()
    words = []
    window.runner.told.connect(words.append)
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        qtbot.keyClicks(child(dialog, "download_name"), "https://huggingface.co/org/tiny/tree/main")
        qtbot.keyClick(child(dialog, "download_name"), Qt.Key.Key_Return)
    assert window.document.capture.model_name == "tiny"
    assert box.currentText() == "org/tiny"
    assert any(w.startswith("Looking for org/tiny on 127.0.0.1") for w in words)
    assert any(w.startswith("Downloading org/tiny: ") for w in words)
    assert not child(window, "task").isVisible()
    qtbot.waitUntil(lambda: "org/here" in entries(window), timeout=LONG)
    assert entries(window).count("org/tiny") == 1
    assert box.currentText() == "org/tiny"


def test_a_download_says_how_far_it_is_and_cancel_answers_at_once(qtbot, window, server):
    server.hold.clear()
    picture = window.document.picture
    ask_for(qtbot, window, "org/tiny")
    qtbot.waitUntil(lambda: child(window, "progress").maximum() > 1000, timeout=LONG)
    qtbot.waitUntil(server.begun.is_set, timeout=LONG)
    task = child(window, "task")
    assert task.isVisible() and task.text().startswith("Downloading org/tiny: ")
    assert "MB" in task.text()
    qtbot.mouseClick(child(window, "cancel_button"), Qt.MouseButton.LeftButton)
    assert not window.runner.running and not task.isVisible()
    assert not child(window, "progress").isVisible()
    assert window.document.picture is picture
    assert child(window, "model_select").currentText() == "all-MiniLM-L6-v2 (bundled)"
    assert hub.snapshot("org/tiny") is None
    server.hold.set()
    ask_for(qtbot, window, "org/tiny")
    qtbot.waitUntil(lambda: window.document.capture.model_name == "tiny", timeout=LONG)


def test_a_model_that_is_here_without_its_tokenizer_is_completed(qtbot, window, server, cache):
    folder = cache / "models--org--tiny"
    shutil.copytree(cache / "models--org--here", folder)
    for file in (folder / "snapshots" / COMMIT).glob("*t*"):
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    ask_for(qtbot, window, "org/tiny")
    qtbot.waitUntil(lambda: window.document.capture.model_name == "tiny", timeout=LONG)
    asked = len(server.asked)
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        ask_for(qtbot, window, "org/tiny")
    assert len(server.asked) == asked  # all of it is here now


def test_a_long_name_makes_no_window_wider(qtbot, window):
    before = window.minimumSizeHint().width()
    window.runner.started.emit()
    running = window.minimumSizeHint().width()
    window.runner.told.emit("Downloading " + "a-very-long-name/" * 20)
    task = child(window, "task")
    assert task.isVisible() and task.sizeHint().width() > 1000
    assert window.minimumSizeHint().width() <= max(before, running + 20)
    assert task.toolTip() == task.text()
    window.runner.stopped.emit()
    assert not task.isVisible()


def test_closing_the_window_during_a_download_ends_it(qtbot, window, server):
    server.hold.clear()
    ask_for(qtbot, window, "org/tiny")
    qtbot.waitUntil(server.begun.is_set, timeout=LONG)
    window.close()
    assert hub.snapshot("org/tiny") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [("org/none", "has no model org/none"), ("no id", "'no id' is no id of the hub")],
)
def test_what_cannot_be_downloaded_is_said(qtbot, window, server, name, said):
    picture = window.document.picture
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        ask_for(qtbot, window, name)
    assert said in window.banner.sentence
    assert window.document.picture is picture


def test_offline_is_said_with_what_is_on_disk(qtbot, window, cache):
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        ask_for(qtbot, window, "org/tiny")
    assert "HF_HUB_OFFLINE forbids the network" in window.banner.sentence
    assert window.banner.sentence.endswith("on disk there are: bundled, org/here.")


def test_what_is_pasted_may_be_an_address():
    for typed in ("org/name", " org/name ", "https://huggingface.co/org/name/tree/main?x=1",
                  "huggingface.co/org/name", "hf.co/org/name/"):  # fmt: skip
        assert hub_id(typed) == "org/name"


# -- captures --------------------------------------------------------------------------------


def save_as(qtbot, window, path):
    """Ctrl+S, and a name typed into the dialog."""
    qtbot.keyClick(window, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    dialog = window.findChild(QFileDialog)
    assert dialog.acceptMode() == QFileDialog.AcceptMode.AcceptSave
    assert not dialog.testOption(QFileDialog.Option.DontConfirmOverwrite)
    assert dialog.selectedFiles()[0].endswith("random.safetensors")
    dialog.findChild(QLineEdit).setText(str(path))
    dialog.accept()


def test_a_capture_is_saved_opened_again_and_remembered(qtbot, window, tmp_path):
    target = tmp_path / "made" / "one.safetensors"
    target.parent.mkdir()
    with qtbot.waitSignal(window.files.saved, timeout=LONG):
        save_as(qtbot, window, target.with_suffix(""))
    assert f"Saved to {target}" in window.statusBar().currentMessage()
    assert attnviz_gui.open_capture(target).model_name == "random"
    window.runs.show_capture(random_capture(5))
    entry = first(menu(window, "recent_captures"))
    assert entry.toolTip() == str(target)
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        entry.trigger()
    assert len(window.document.picture.query_tokens) == 12
    assert window.text_bar.text == window.document.capture.texts[0]
    window.close()
    settings = load_settings()
    assert settings.recent_captures == (str(target),)
    assert settings.capture_folder == str(target.parent)


def test_an_opened_capture_is_run_anew_on_the_model_that_is_chosen(qtbot, window, tmp_path):
    file = tmp_path / "c.safetensors"
    random_capture(5).save(file)
    drop(window, file)
    qtbot.waitUntil(lambda: len(window.document.picture.query_tokens) == 5, timeout=LONG)
    assert window.document.capture.model_name == "random"
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        qtbot.mouseClick(child(window, "run_button"), Qt.MouseButton.LeftButton)
    assert window.document.capture.model_name == "all-MiniLM-L6-v2"


def test_an_open_dialog_takes_captures(qtbot, window, tmp_path):
    file = tmp_path / "c.safetensors"
    random_capture(5).save(file)
    qtbot.keyClick(window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    dialog = window.findChild(QFileDialog)
    dialog.findChild(QLineEdit).setText(str(file))
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        dialog.accept()
    assert len(window.document.picture.query_tokens) == 5
    assert window.memory.recent("captures") == (str(file),)


def test_a_capture_whose_name_is_in_capitals(qtbot, window, tmp_path):
    file = tmp_path / "CAPTURE.SAFETENSORS"
    random_capture(5).save(file)
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        drop(window, file)
    assert len(window.document.picture.query_tokens) == 5
    with qtbot.waitSignal(window.files.saved, timeout=LONG):
        window.actions_.save_to(tmp_path / "OTHER.SAFETENSORS", window.document.capture)


def test_a_model_of_pictures_says_how_it_is_given_one(qtbot, window, tmp_path):
    folder = save_tiny_vit(tmp_path / "vit")
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        drop(window, folder)
    assert "reads pictures, not texts: drop a picture and" in window.banner.sentence


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", bytes(1000)])
def test_what_is_no_capture_is_said_and_the_picture_stays(qtbot, window, tmp_path, content):
    file = tmp_path / "c.safetensors"
    file.write_bytes(content)
    picture = window.document.picture
    text = window.text_bar.text
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        drop(window, file)
    assert "c.safetensors cannot be opened" in window.banner.sentence
    assert window.document.picture is picture and window.text_bar.text == text
    assert window.memory.recent("captures") == ()


def test_a_small_file_whose_pairs_no_machine_holds_is_refused(qtbot, window, tmp_path):
    small = random_capture(1, layers=1, heads=1, head_dim=1)
    n = 200_000
    vectors = np.zeros((1, n, 1), np.float32)
    record = replace(
        small.records[0][0], query=vectors, key=vectors.copy(), value=vectors.copy(),
        mask=np.broadcast_to(np.True_, (n, n)),
    )  # fmt: skip
    huge = replace(small, tokens=(["a"] * n,), special=(np.zeros(n, bool),), records=((record,),))
    huge.save(tmp_path / "huge.safetensors")
    picture, text = window.document.picture, window.text_bar.text
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        drop(window, tmp_path / "huge.safetensors")
    assert "200,000 queries and 200,000 keys, whose pairs need 1,600.0 GB" in window.banner.sentence
    assert window.document.picture is picture and window.text_bar.text == text
    with pytest.raises(InputError, match="200,000 keys"):
        attnviz_gui.show(huge)


def test_a_capture_that_comes_late_never_appears(qtbot, window, tmp_path):
    for tokens in (5, 7, 9):
        random_capture(tokens).save(tmp_path / f"{tokens}.safetensors")
    picture = window.document.picture
    window.runs.open(tmp_path / "5.safetensors")
    window.runs.cancel()
    shown = []
    window.document.picture_changed.connect(lambda: shown.append(window.document.picture))
    window.runs.open(tmp_path / "7.safetensors")
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        window.runs.open(tmp_path / "9.safetensors")
    assert window.document.picture is not picture
    assert {len(p.query_tokens) for p in shown} == {9}
    assert window.memory.recent("captures") == (str(tmp_path / "9.safetensors"),)


def test_where_a_capture_cannot_be_written_it_is_said(qtbot, window, tmp_path):
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "c.safetensors", tmp_path):
        with qtbot.waitSignal(window.files.failed, timeout=LONG):
            window.files.save(window.document.capture, target)
        said = window.banner.sentence
        assert "cannot be saved" in said or "is a folder" in said
    window.actions_.save_to(tmp_path / "c.txt", window.document.capture)
    assert "name the file c.safetensors" in window.banner.sentence
    assert not (tmp_path / "c.txt").exists()


def test_a_disk_that_is_full_is_said_and_leaves_what_was_there(qtbot, window, tmp_path):
    target = tmp_path / "c.safetensors"
    target.write_bytes(b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with qtbot.waitSignal(window.files.failed, timeout=LONG):
            window.files.save(window.document.capture, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"cannot be saved to {target}" in window.banner.sentence
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def test_what_is_being_saved_is_written_before_the_window_goes(qtbot, window, tmp_path):
    files = [tmp_path / f"{n}.safetensors" for n in range(3)]
    for file in files:
        window.files.save(window.document.capture, file)
    window.close()
    assert [len(attnviz_gui.open_capture(file).layers) for file in files] == [3, 3, 3]


# -- recent files ----------------------------------------------------------------------------


def test_recent_texts_and_models_are_in_the_menu(qtbot, window, tmp_path):
    text, folder = tmp_path / "a&b.txt", save_tiny_bert(tmp_path / "tiny")
    text.write_text("Dropped text.", encoding="utf-8")
    assert [*menu(window, "recent_texts")] == ["None yet"]
    drop(window, folder, text)
    qtbot.waitUntil(lambda: window.document.capture.texts == ("Dropped text.",), timeout=LONG)
    texts, models = menu(window, "recent_texts"), menu(window, "recent_models")
    assert first(texts).toolTip() == str(text)
    assert next(iter(texts)).endswith("a&&b.txt")
    assert first(models).toolTip() == str(folder)
    window.text_bar.set_text("Another one.")
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        first(texts).trigger()
    assert window.document.capture.texts == ("Dropped text.",)
    menu(window, "recent_models")["Clear this list"].trigger()
    assert [*menu(window, "recent_models")] == ["None yet"]
    assert "Recent folders" not in entries(window)


def test_a_recent_file_that_is_gone_is_said_and_taken_off(qtbot, window, tmp_path):
    for kind in ("captures", "texts", "models"):
        window.memory.change(**{f"recent_{kind}": (str(tmp_path / "gone"), str(tmp_path))})
        picture = window.document.picture
        first(menu(window, f"recent_{kind}")).trigger()
        assert "any more" in window.banner.sentence and "gone" in window.banner.sentence
        assert window.memory.recent(kind) == (str(tmp_path),)
        assert window.document.picture is picture


def test_recent_files_outlive_the_window(qtbot, window, home):
    window.memory.add_file("texts", "/texts/日本.txt")
    window.close()
    assert "/texts/日本.txt" in settings_file().read_text(encoding="utf-8")
    second = MainWindow(capture=random_capture(3))
    qtbot.addWidget(second)
    assert first(menu(second, "recent_texts")).toolTip() == "/texts/日本.txt"
    second.close()


# -- from Python and from the command line ---------------------------------------------------


@pytest.mark.parametrize(
    "module",
    [torch.nn.Sequential(torch.nn.Linear(2, 2)), torch.nn.MultiheadAttention(4, 2),
     torch.nn.ModuleList([torch.nn.Linear(2, 2)])],
    ids=lambda module: type(module).__name__,
)  # fmt: skip
def test_a_module_without_a_tokenizer_says_what_to_write(qtbot, module):
    """Modules that Qt would take for lists too."""
    window = MainWindow(model=module)
    qtbot.addWidget(window)
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        window.show()
    assert window.text_bar.source is module
    assert child(window, "model_select").currentText() == type(module).__name__
    assert "has no tokenizer, so it takes tensors" in window.banner.sentence
    assert "attnviz_gui.capture(module, tensors)" in window.banner.sentence
    window.close()


def test_show_takes_a_module(qtbot):
    attnviz_gui.show(torch.nn.MultiheadAttention(4, 2))
    window = next(w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow))
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        pass
    assert "attnviz_gui.capture(module, tensors)" in window.banner.sentence
    gone = []
    window.destroyed.connect(lambda: gone.append(True))
    window.close()
    qtbot.waitUntil(lambda: gone == [True])


def test_files_on_the_command_line(qtbot, tmp_path, monkeypatch):
    """A capture by a relative name is remembered by its whole one."""
    random_capture(6).save(tmp_path / "c.safetensors")
    monkeypatch.chdir(tmp_path)
    window = MainWindow(files=[Path("c.safetensors")])
    qtbot.addWidget(window)
    with qtbot.waitSignal(window.ready, timeout=LONG):
        window.show()
    assert len(window.document.picture.query_tokens) == 6
    window.close()
    assert load_settings().recent_captures == (str(tmp_path / "c.safetensors"),)
