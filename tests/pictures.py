"""Take pictures of the real window: ``python -m tests.pictures FOLDER``.

Light and dark, 1280 x 800 and 1920 x 1080, a short text and a long one, all on the bundled model;
``--readme FILE`` takes the README's picture alone, ``--help-page`` those of the page about a and c.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

SHORT = "The brown capybara is sleeping now."
LONG = (
    "The capybara is the largest living rodent. It lives in savannas and dense forests, always "
    "near lakes, rivers and swamps, and it is a strong swimmer that can stay under water for up "
    "to five minutes. Capybaras are very social: they live in groups of ten to twenty, and "
    "sometimes of a hundred. They eat grasses and water plants, as well as fruit and tree bark. "
    "Because they keep so calm, other animals like to sit on them, birds most of all. In winter "
    "the capybaras of Japanese zoos bathe in hot springs for hours, a habit that began one cold "
    "day when a keeper was cleaning their pen with warm water."
)

# What the pictures tell of: a head whose lines become short.
HEAD = (1, 8)
SLIDERS = {"t": 0.4, "scale": 1.0}


def take(file: Path, text: str, size: tuple[int, int], theme: str) -> None:
    """Open the window, run the text, move the keys towards the queries, and save what it shows."""
    from PySide6.QtCore import QEventLoop, QTimer
    from PySide6.QtWidgets import QApplication

    from attnviz_gui.ui.main_window import MainWindow

    app = QApplication.instance() or QApplication([])
    window = MainWindow()
    window.memory.change(theme="system")
    window.set_theme(theme)
    window.resize(*size)
    window.text_bar.set_text(text)
    loop = QEventLoop()
    window.ready.connect(loop.quit)
    window.show()
    loop.exec()
    window.document.show_head(*HEAD)
    window.document.move(mode="centroid", **SLIDERS)
    QTimer.singleShot(400, loop.quit)
    loop.exec()
    while window.badge.text() == "checking…":
        QTimer.singleShot(100, loop.quit)
        loop.exec()
    file.parent.mkdir(parents=True, exist_ok=True)
    window.grab().save(str(file))
    window.close()
    window.deleteLater()
    app.processEvents()


def take_help(folder: Path) -> None:
    """Draw plane and scatter before and after, as the page about a and c shows them."""
    from PySide6.QtCore import QEvent, QRectF, QSize, Qt
    from PySide6.QtGui import QImage, QPainter
    from PySide6.QtWidgets import QApplication

    import attnviz_gui
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.figure import write_png
    from attnviz_gui.ui.theme import DARK, LIGHT
    from attnviz_gui.ui.views.embedding import EmbeddingView
    from attnviz_gui.ui.views.scatter import ScatterView

    app = QApplication.instance() or QApplication([])
    document = Document()
    document.open(attnviz_gui.capture("bundled", SHORT))
    document.show_head(*HEAD)
    document.set_options(plane="both", animate=False)
    document.move(mode="centroid", **SLIDERS)
    kinds = (("plane", EmbeddingView, QSize(680, 330)), ("scatter", ScatterView, QSize(680, 250)))
    for (name, kind, size), theme in itertools.product(kinds, (LIGHT, DARK)):
        view = kind(document, theme)
        view.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        view.start()
        view.resize(size)
        view.show()
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
        image = QImage(size * 2, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(2)
        image.fill(theme.color("ground"))
        painter = QPainter(image)
        view.render(painter, QRectF(0, 0, size.width(), size.height()), view.viewport().rect())
        painter.end()
        write_png(image, folder / f"help-{name}-{theme.name}.png")
        view.stop()
        view.hide()
        view.deleteLater()
        app.processEvents()


def main() -> None:
    """Take the pictures that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--readme", type=Path)
    parser.add_argument("--help-page", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:  # no setting of the user's is seen or touched
        os.environ |= {"HOME": home, "XDG_CONFIG_HOME": home}
        _take_all(options)


def _take_all(options: argparse.Namespace) -> None:
    if options.help_page:
        take_help(Path(__file__).resolve().parent.parent / "resources" / "pictures")
    if options.readme:
        take(options.readme, SHORT, (1280, 800), "light")
    if options.folder:
        sizes = ((1280, 800), (1920, 1080))
        texts = {"short": SHORT, "long": LONG}
        for size, theme, (name, text) in itertools.product(sizes, ("light", "dark"), texts.items()):
            file = options.folder / f"window-{size[0]}-{theme}-{name}.png"
            take(file, text, size, theme)


if __name__ == "__main__":
    main()
