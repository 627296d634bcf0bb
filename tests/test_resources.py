"""Resources load from a checkout, from an installed wheel and from a frozen application."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

import attnviz_gui
from attnviz_gui import resources

TOP = Path(__file__).resolve().parent.parent
CODE = Path(attnviz_gui.__file__).parent
ASK = "from attnviz_gui.resources import resource; print(resource('icons/attnviz.svg'))"


def drawn(svg: Path, size: int) -> QImage:
    image = QImage(size, size, QImage.Format.Format_RGBA8888)
    image.fill(QColor(0, 0, 0, 0))
    painter = QPainter(image)
    renderer = QSvgRenderer(str(svg))
    assert renderer.isValid()
    renderer.render(painter)
    painter.end()
    return image


def pixels(image: QImage) -> np.ndarray:
    image = image.convertToFormat(QImage.Format.Format_RGBA8888)
    return np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1, 4).copy()


def share(image: QImage, color: str) -> float:
    """Share of pixels within a few steps of a colour."""
    wanted = np.array(QColor(color).getRgb()[:3])
    return float((abs(pixels(image)[..., :3].astype(int) - wanted).max(-1) < 24).mean())


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("size", [16, 24, 48, 256])
def test_the_icon_shows_a_query_and_its_keys(size: int) -> None:
    """Blue and orange can be told apart on its ground, also at 16 pixels."""
    icon = QIcon(str(resources.resource("icons/attnviz.svg")))
    picture = icon.pixmap(QSize(size, size)).toImage()
    assert picture.size() == QSize(size, size)
    assert share(picture, "#0072b2") > 0.03
    assert share(picture, "#e69f00") > 0.03
    assert share(picture, "#ffffff") > 0.3


def test_the_png_is_the_drawing() -> None:
    png = QImage(str(resources.resource("icons/attnviz-256.png")))
    assert png.size() == QSize(256, 256)
    apart = pixels(png).astype(int) - pixels(drawn(resources.resource("icons/attnviz.svg"), 256))
    assert abs(apart).mean() < 1  # of 255; another version of Qt smooths edges a little differently


def test_a_checkout_finds_its_resources() -> None:
    if not (TOP / "resources").is_dir():
        pytest.skip("these tests do not run in a checkout")
    answer = subprocess.run(
        [sys.executable, "-c", ASK], cwd=TOP, check=True, capture_output=True, text=True
    )
    assert Path(answer.stdout.strip()) == CODE.parent / "resources/icons/attnviz.svg"


def test_an_installed_wheel_finds_its_resources(tmp_path: Path) -> None:
    """The wheel's layout: resources beside the code, as pyproject.toml packs them."""
    site = tmp_path / "site"
    shutil.copytree(CODE, site / "attnviz_gui", ignore=shutil.ignore_patterns("_resources"))
    shutil.copytree(
        resources.resource("icons").parent, site / "attnviz_gui/_resources", dirs_exist_ok=True
    )
    answer = subprocess.run(
        [sys.executable, "-c", ASK], cwd=site, check=True, capture_output=True, text=True,
        env={"PYTHONPATH": str(site)},
    )  # fmt: skip
    assert Path(answer.stdout.strip()) == site / "attnviz_gui/_resources/icons/attnviz.svg"


def test_a_frozen_application_finds_what_it_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "resources/models/all-MiniLM-L6-v2"
    model.mkdir(parents=True)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert resources.bundled_model() == model


def test_what_is_missing_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"icons/none\.svg"):
        resources.resource("icons/none.svg")


def test_the_bundled_model_is_at_hand() -> None:
    folder = resources.bundled_model()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (folder / name).is_file()
