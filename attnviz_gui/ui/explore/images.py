"""Pictures: open one with an image model, and see its patches under attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QImageReader, QPainter
from PySide6.QtWidgets import QFileDialog

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.images import ImageRequest
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.parts import Part, PartDock
from attnviz_gui.ui.runs import PICTURES

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.ui.explore.view_panel import ViewPanel
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme

_LONGEST = 4096  # pixels of a side that are kept of a large picture


class Images(Part):
    """The panel of pictures, and the way to open one."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.source: Any = None  # the image model, once one was chosen
        self.panel: ViewPanel | None = None
        self._waiting: Path | None = None  # a picture that waits for a model
        self._last: Path | None = None  # the picture on show
        self.dock = PartDock("Image and patches", "image_patches_panel", self.make)
        window.workspace.add(self.dock)
        window.explore_menu.addAction(self.dock.toggleViewAction())
        action = window.explore_menu.addAction("Open a picture…")
        action.setStatusTip("Run an image model (ViT, DeiT, DINOv2 …) on a picture.")
        action.triggered.connect(self.choose_picture)
        window.runs.picture_given.connect(self.take)

    def make(self) -> QWidget:
        """Make the panel's content."""
        from attnviz_gui.ui.explore.view_panel import ViewPanel
        from attnviz_gui.ui.views.image_patches import ImagePatchesView

        view = ImagePatchesView(self.document, self.window.theme)
        panel = self.panel = ViewPanel(self.window, view, "Image and patches")
        self.open_button = tool_button("Picture…")
        self.open_button.setObjectName("image_open")
        self.open_button.setAccessibleName("Open a picture")
        self.open_button.setToolTip("Run the image model on a picture: PNG, JPEG …")
        self.open_button.clicked.connect(self.choose_picture)
        self.model_button = tool_button("Model…")
        self.model_button.setObjectName("image_model")
        self.model_button.setAccessibleName("Choose the image model")
        self.model_button.clicked.connect(self.choose_model)
        panel.add_option(self.open_button, below=True)
        panel.add_option(self.model_button, below=True)
        self._name_model()
        return panel

    # -- opening -----------------------------------------------------------------------------

    def choose_picture(self) -> None:
        """Let the user look for a picture."""
        dialog = QFileDialog(self.window, "Picture")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        kinds = " ".join(f"*{suffix}" for suffix in PICTURES)
        dialog.setNameFilter(f"Pictures ({kinds})")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.open_picture(Path(path)))
        dialog.open()

    def choose_model(self) -> None:
        """Let the user look for an image model's folder."""
        dialog = QFileDialog(self.window, "Folder of an image model (ViT, DeiT, DINOv2 …)")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.set_model)
        dialog.rejected.connect(self._forget_waiting)
        dialog.open()

    def set_model(self, source: Any) -> None:
        """Take an image model: a folder, or a model that is in memory; run what waits for it."""
        self.source = source
        self._name_model()
        path = self._waiting or self._last
        self._waiting = None
        if path is not None:
            self.open_picture(path)

    def take(self, path: Path, folder: Path | None) -> None:
        """Open a picture that was dropped or named, with the model that came with it if any."""
        if folder is not None:
            self.source = str(folder)
            self._name_model()
        self.open_picture(path)

    def open_picture(self, path: Path) -> None:
        """Run the image model on a picture; without one, ask for it first."""
        try:
            pixels = read_pixels(path)
        except InputError as error:
            self.window.banner.say(str(error), fault=True)
            return
        self.dock.open()
        if self.source is None:
            self._waiting = path
            self.choose_model()
            return
        self._last = path
        self.window.runs.submit(ImageRequest(pixels, path.name, self.source))

    def _forget_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting = None
            self.window.banner.say(
                "The picture was not opened: choose the folder of an image model first."
            )

    def _name_model(self) -> None:
        if self.panel is None:
            return
        if self.source is None:
            self.model_button.setText("Model…")
            self.model_button.setToolTip("Choose the folder of an image model (ViT, DeiT …).")
        else:
            name = Path(self.source).name if isinstance(self.source, str) else "in memory"
            self.model_button.setText(f"Model: {name if len(name) <= 24 else name[:23] + '…'}")
            self.model_button.setToolTip(f"{self.source}. Click to choose another folder.")

    # -- as a part ---------------------------------------------------------------------------

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        if self.panel is not None:
            self.panel.retheme(theme)

    def close(self) -> None:
        """Follow the document no longer."""
        if self.panel is not None:
            self.panel.stop()


def read_pixels(path: Path) -> npt.NDArray[np.uint8]:
    """Return a picture's colours, (height, width, 3) uint8, the right way up; glass is white.

    Raises
    ------
    InputError
        When it is no picture that can be read.
    """
    reader = QImageReader(str(path))
    reader.setDecideFormatFromContent(True)
    reader.setAutoTransform(True)
    image = reader.read()
    if image.isNull():
        raise InputError(
            f"{path.name} is no picture that can be read ({reader.errorString().rstrip('.')}); "
            "save it as PNG or JPEG and open that."
        )
    if max(image.width(), image.height()) > _LONGEST:
        image = image.scaled(
            _LONGEST, _LONGEST, Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )  # fmt: skip
    if image.hasAlphaChannel():
        ground = QImage(image.size(), QImage.Format.Format_RGB32)
        ground.fill(Qt.GlobalColor.white)
        painter = QPainter(ground)
        painter.drawImage(0, 0, image)
        painter.end()
        image = ground
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    height, width = image.height(), image.width()
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(height, image.bytesPerLine())
    return rows[:, : 3 * width].reshape(height, width, 3).copy()
