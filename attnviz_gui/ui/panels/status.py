"""The bottom line: what is on show, how far a run is, and the way to stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton

from attnviz_gui.session.words import hidden_in_words

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent
    from PySide6.QtWidgets import QStatusBar

    from attnviz_gui.jobs.runner import Runner
    from attnviz_gui.session.document import Document


class Facts(QLabel):
    """What is on show; gives its place to a message.

    Qt hides it for that, but shows it again where another theme has the bar laid out anew.
    """

    def __init__(self, bar: QStatusBar, words: str) -> None:
        super().__init__(words)
        self._bar = bar

    def paintEvent(self, event: QPaintEvent) -> None:
        """Write it where no message stands."""
        if not self._bar.currentMessage():
            super().paintEvent(event)


class Status:
    """Facts at the left; progress and Cancel at the right while a run is under way."""

    def __init__(self, bar: QStatusBar, document: Document, runner: Runner) -> None:
        self.document = document
        self.facts = Facts(bar, "Loading the model…")
        self.facts.setObjectName("facts")
        self.facts.setContentsMargins(8, 0, 0, 0)
        self.words = QLabel()
        self.words.setObjectName("task")
        self.words.setAccessibleName("What is being done")
        self.words.setMinimumWidth(1)  # a long name makes no window wider
        self.progress = QProgressBar()
        self.progress.setObjectName("progress")
        self.progress.setAccessibleName("Progress")
        self.progress.setToolTip("How far it is: the layers of a run, the bytes of a download.")
        self.progress.setFixedWidth(180)
        self.progress.setTextVisible(False)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setObjectName("cancel_button")
        self.cancel_button.setAccessibleName("Cancel")
        self.cancel_button.setToolTip("Stop the run; the last picture stays.")
        bar.setSizeGripEnabled(False)
        bar.addWidget(self.facts, 1)
        bar.addPermanentWidget(self.words)
        bar.addPermanentWidget(self.progress)
        bar.addPermanentWidget(self.cancel_button)
        self._show_running(False)
        runner.started.connect(lambda: self._show_running(True))
        runner.stopped.connect(lambda: self._show_running(False))
        runner.progressed.connect(self._show_progress)
        runner.told.connect(self._show_words)
        document.picture_changed.connect(self._show_facts)
        document.wanted_changed.connect(self._show_facts)

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.picture_changed.disconnect(self._show_facts, missing_ok=True)
        self.document.wanted_changed.disconnect(self._show_facts, missing_ok=True)

    def _show_running(self, running: bool) -> None:
        self._show_words("")
        self.progress.setVisible(running)
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(running)
        self.progress.setRange(0, 0)
        if not running and self.document.picture is None:
            self.facts.setText("Nothing on show yet: type a text and press Run.")

    def _show_words(self, words: str) -> None:
        self.words.setText(words)
        self.words.setToolTip(words)
        self.words.setVisible(bool(words))

    def _show_progress(self, done: int, total: int) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)

    def _show_facts(self) -> None:
        d = self.document
        if d.pending:
            many = d.options.together and d.capture is not None and len(d.capture.texts) > 1
            of = f" of all {len(d.capture.texts):,} texts" if many and d.capture else ""
            self.facts.setText(f"Computing L{d.layer} H{d.head}{of}…")
            return
        picture = d.picture
        if picture is None:
            return
        capture = picture.capture
        counts = {layer.n_heads for layer in capture.layers}
        heads = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)}–{max(counts)}"
        layers = "layer" if len(capture.layers) == 1 else "layers"
        used = len(capture.tokens[picture.text])
        of_all = f" of {capture.cut_from:,}" if capture.cut_from is not None else ""
        parts = [
            f"{used:,}{of_all} token{'s' if used != 1 else ''}",
            capture.model_name,
            f"{len(capture.layers)} {layers} × {heads} head{'s' * (heads != '1')}",
        ]
        if capture.seconds:
            parts.append(f"{capture.seconds * 1000:.0f} ms")
        if len(capture.texts) > 1:
            asked = capture.texts_asked
            done = "" if asked is None else f" ({len(capture.texts):,} of {asked:,} are done)"
            parts.insert(0, f"text {picture.text + 1:,} of {len(capture.texts):,}{done}")
        if picture.n_hidden:
            parts.insert(1, hidden_in_words(picture.n_hidden))
        self.facts.setText("  ·  ".join(parts))
