"""What every test has: no network, a home of its own, an offscreen Qt, the real bundled model."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.leaks import (  # noqa: F401 - hooks of pytest
    pytest_fixture_setup,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_runtest_teardown,
)

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["HF_HUB_OFFLINE"] = "1"

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import Capture


def pytest_unconfigure() -> None:
    """Destroy the tests' application as the program destroys its own, before Python ends."""
    widgets = sys.modules.get("PySide6.QtWidgets")
    app = widgets.QApplication.instance() if widgets else None
    if app is not None:
        from attnviz_gui.ui.application import take_down

        take_down(app)


CAPYBARA = "The brown capybara is sleeping now."


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, so that no setting or log of the user's is touched."""
    folder = tmp_path_factory.mktemp("home")
    for name, value in {
        "HOME": folder,
        "XDG_CONFIG_HOME": folder / "config",
        "XDG_CACHE_HOME": folder / "cache",
        "XDG_STATE_HOME": folder / "state",
        "XDG_DATA_HOME": folder / "data",
    }.items():
        monkeypatch.setenv(name, str(value))
    return folder


@pytest.fixture(scope="session")
def bundled() -> LoadedModel:
    """The bundled BERT, loaded once."""
    from attnviz_gui.capture.models import load_model

    return load_model("bundled", device="cpu")


@pytest.fixture(scope="session")
def capybara(bundled: LoadedModel) -> Capture:
    """The text that the window opens with, run through the bundled BERT."""
    import attnviz_gui

    return attnviz_gui.capture(bundled, CAPYBARA)
