"""Settings: readable, tolerant of what is broken or new, never in the way."""

from __future__ import annotations

import json

import pytest

from attnviz_gui.errors import InputError
from attnviz_gui.session.files import read_text, replace_file
from attnviz_gui.session.settings import (
    Settings,
    load_settings,
    save_settings,
    settings_file,
    with_recent,
)


def test_round_trip():
    settings = Settings(theme="dark", recent_models=("/models/a", "/models/日本"), n_lines=7)
    save_settings(settings)
    assert load_settings() == settings
    assert "/models/日本" in settings_file().read_text(encoding="utf-8")


def test_nothing_there_gives_the_defaults():
    assert load_settings() == Settings()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"theme": 3}', "\x00\x01"])
def test_a_broken_file_gives_the_defaults(tmp_path, content):
    file = tmp_path / "settings.json"
    file.write_text(content)
    assert load_settings(file) == Settings()


def test_a_file_from_the_future_is_read_as_far_as_it_goes(tmp_path):
    file = tmp_path / "settings.json"
    data = {"theme": "dark", "plane": "hologram", "export_scale": 9, "new": {"deep": 1}}
    file.write_text(json.dumps(data))
    assert load_settings(file) == Settings(theme="dark")


def test_the_newest_model_comes_first_and_once():
    assert with_recent(("a", "b"), "b") == ("b", "a")
    assert len(with_recent(tuple("abcdefgh"), "new")) == 8


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "taken" / "file"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        replace_file(target, b"new")
    assert [p.name for p in target.parent.iterdir()] == ["file"]


def test_texts_that_cannot_be_read_say_why(tmp_path):
    latin = tmp_path / "latin.txt"
    latin.write_bytes("Käse".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_text(latin)
    with pytest.raises(InputError, match="can't be read"):
        read_text(tmp_path / "missing.txt")
    bom = tmp_path / "bom.txt"
    bom.write_bytes(b"\xef\xbb\xbfhello")
    assert read_text(bom) == "hello"
