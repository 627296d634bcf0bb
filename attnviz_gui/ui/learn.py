"""The Learn menu: how the head on show is computed, and examples small enough to follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QMenu

from attnviz_gui.jobs.examples import ClassifierRequest, WorkedExampleRequest

if TYPE_CHECKING:
    from attnviz_gui.ui.main_window import MainWindow

CLASSIFIER = "docstring classifier"
FIRST_SENTENCE = "Return a socket that is connected to the server, and wait for its answer."


class Classifier:
    """A source of runs beside the models: the example that is trained here."""

    name = CLASSIFIER

    def request(self, text: str) -> ClassifierRequest:
        """Return what runs it on a text."""
        return ClassifierRequest(text)


class Learn:
    """What the menu's entries do."""

    def __init__(self, window: MainWindow) -> None:
        self.window = window
        self.classifier = Classifier()
        menu = QMenu("&Learn", window)
        menu.setToolTipsVisible(True)
        entries = (
            ("&How this head is computed", "Ctrl+H", self.show_anatomy,
             "Every matrix from the hidden states to the output, step by step."),
            ("&Worked example: 5 tokens, 4 dimensions, 2 heads", "", self.worked_example,
             "nn.MultiheadAttention with random weights (seed 55), small enough to read whole."),
            ("&Train a text classifier", "", self.train_classifier,
             "nn.TransformerEncoder learns, in half a minute and on this machine, which modules of "
             "Python a sentence of their documentation comes from."),
        )  # fmt: skip
        for words, key, call, tip in entries:
            action = menu.addAction(words)
            action.setToolTip(tip)
            if key:
                action.setShortcut(key)
            action.triggered.connect(lambda _=False, do=call: do())
        bar = window.menuBar()
        bar.insertMenu(bar.actions()[-1], menu)  # Help stays the last one

    def show_anatomy(self) -> None:
        """Give the steps all the room, or give it back."""
        self.window.workspace.maximise(self.window.anatomy_panel)

    def worked_example(self) -> None:
        """Open the module that can be followed by hand, with its steps."""
        self.window.runs.submit(WorkedExampleRequest())
        if self.window.anatomy_panel.isHidden():
            self.show_anatomy()

    def train_classifier(self) -> None:
        """Train the classifier, run it on a sentence, and keep it among the models."""
        bar = self.window.text_bar
        if bar.model_select.findText(CLASSIFIER) < 0:
            bar.add_model(CLASSIFIER, self.classifier)
        bar.set_text(FIRST_SENTENCE)
        bar.show_source(self.classifier)
        self.window.runs.run()
