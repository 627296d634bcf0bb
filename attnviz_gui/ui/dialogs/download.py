"""Ask which model of the Hugging Face hub to fetch; fetches nothing itself."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLabel, QLineEdit, QWidget


class DownloadDialog(QDialog):
    """A model's id, and what will happen."""

    wanted = Signal(str)  # the id

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Download a model")
        self.setObjectName("download_dialog")
        form = QFormLayout(self)
        self.name = QLineEdit()
        self.name.setObjectName("download_name")
        self.name.setAccessibleName("Model")
        self.name.setPlaceholderText("org/name")
        self.name.setToolTip("As on huggingface.co, for example google-bert/bert-base-cased.")
        self.name.setMinimumWidth(380)
        self.name.setMaxLength(200)
        form.addRow("Model", self.name)
        note = QLabel(
            "Its configuration, tokenizer and weights are fetched into the hub's cache on this "
            "machine, never code. Large models take many gigabytes. The bottom line of the window "
            "says how far the download is, and cancels it."
        )
        note.setWordWrap(True)
        note.setProperty("quiet", True)
        form.addRow(note)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.download = buttons.addButton(
            "Download and run", QDialogButtonBox.ButtonRole.AcceptRole
        )
        self.download.setObjectName("download_button")
        self.download.setDefault(True)
        self.download.setEnabled(False)
        self.name.textChanged.connect(lambda text: self.download.setEnabled(bool(text.strip())))
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)

    def _accept(self) -> None:
        self.accept()
        self.wanted.emit(hub_id(self.name.text()))


def hub_id(typed: str) -> str:
    """Return the id in what was typed or pasted: the page's address will do too."""
    text = typed.strip().strip("/")
    for start in ("https://", "http://"):
        text = text.removeprefix(start)
    for host in ("huggingface.co/", "www.huggingface.co/", "hf.co/"):
        if text.startswith(host):
            return "/".join(text.removeprefix(host).partition("?")[0].split("/")[:2])
    return text
