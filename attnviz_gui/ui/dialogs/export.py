"""Ask which panels to write as PNG, where, and how large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from attnviz_gui.errors import InputError
from attnviz_gui.session.files import as_path
from attnviz_gui.ui.figure import draw_figure, write_png

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.views.base import View


def export_panels(
    kinds: Iterable[type[View]], document: Document, folder: Path, scale: int
) -> list[Path]:
    """Write a PNG of each view into `folder`, made if missing; returns the files.

    Raises
    ------
    InputError
        When there is nothing to draw yet, or a file can't be written.
    """
    if document.picture is None:
        raise InputError("There is nothing to export yet: type a text and press Run.")
    written = []
    for kind in kinds:
        target = folder / f"{kind.name}.png"
        write_png(draw_figure(kind, document, scale=scale), target)
        written.append(target)
    return written


class ExportDialog(QDialog):
    """Panels, folder, resolution; stays open, with the reason, when writing fails."""

    exported = Signal(list)  # the files that were written

    def __init__(
        self,
        document: Document,
        kinds: dict[str, type[View]],
        folder: str,
        scale: int,
        parent: QWidget | None = None,
    ) -> None:
        """`kinds`: what to call each panel, and its view."""
        super().__init__(parent)
        self.setWindowTitle("Export figures")
        self.setObjectName("export_dialog")
        self.document = document
        self.boxes: dict[type[View], QCheckBox] = {}
        form = QFormLayout(self)
        for label, kind in kinds.items():
            box = QCheckBox(f"{label}  ({kind.name}.png)")
            box.setChecked(True)
            self.boxes[kind] = box
            form.addRow(box)
        self.folder = QLineEdit(folder)
        self.folder.setObjectName("export_folder")
        self.folder.setAccessibleName("Folder")
        self.folder.setToolTip("Where the files go; the folder is made if missing.")
        self.folder.setMinimumWidth(320)
        browse = QPushButton("Browse…")
        browse.clicked.connect(self._browse)
        row = QHBoxLayout()
        row.addWidget(self.folder)
        row.addWidget(browse)
        form.addRow("Folder", row)
        self.scale = QComboBox()
        self.scale.setObjectName("export_scale")
        self.scale.setAccessibleName("Resolution")
        for times in (1, 2, 3, 4):
            self.scale.addItem(f"{times}×", times)
        self.scale.setCurrentIndex(scale - 1)
        self.scale.setToolTip("1× suits a screen, 3× and 4× print.")
        form.addRow("Resolution", self.scale)
        self.fault = QLabel()
        self.fault.setObjectName("export_fault")
        self.fault.setWordWrap(True)
        self.fault.hide()
        form.addRow(self.fault)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self._save)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder", self.folder.text())
        if folder:
            self.folder.setText(folder)

    def _save(self) -> None:
        kinds = [kind for kind, box in self.boxes.items() if box.isChecked()]
        try:
            if not kinds:
                raise InputError("Choose at least one panel.")
            if not self.folder.text().strip():
                raise InputError("Name a folder for the files.")
            folder = as_path(self.folder.text().strip())
            files = export_panels(kinds, self.document, folder, self.scale.currentData())
        except InputError as error:
            self.fault.setText(str(error))
            self.fault.show()
            return
        self.exported.emit(files)
        self.accept()
