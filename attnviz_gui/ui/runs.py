"""From Run to a picture, or to a sentence that says why there is none.

Wires the text bar, the runner, the banner and the document; draws nothing and computes nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.requests import OpenRequest, RunRequest
from attnviz_gui.jobs.room import refuse_without_room
from attnviz_gui.session.files import is_there, read_text
from attnviz_gui.ui.faults import details_of, log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtCore import QUrl

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.jobs.requests import Long
    from attnviz_gui.jobs.runner import Request, Runner
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.panels.banner import Banner
    from attnviz_gui.ui.panels.text_bar import TextBar

GIVEN_UP = (
    "The run of many texts was given up for this one. "
    "Cancel, before another run, keeps what is done."
)
NOTHING_DONE = "Stopped before the first texts were done; what was on show stays."
TYPED = " What you typed meanwhile has not been run; press Run to run it."
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


class Runs(QObject):
    """What Run, a chosen model, an opened file and typing during a run set going."""

    model_ran = Signal(object)  # the source of a model that has just given a picture
    opened = Signal(str, str)  # what was opened, captures or texts, and its path
    lost = Signal(str, str)  # what is gone: models, captures or texts, and its path
    picture_given = Signal(object, object)  # a picture's file, and the model's folder beside it

    def __init__(
        self, bar: TextBar, banner: Banner, runner: Runner, document: Document, parent: QObject
    ) -> None:
        super().__init__(parent)
        self.bar = bar
        self.banner = banner
        self.runner = runner
        self.document = document
        self._wanted: Any = bar.source  # the model of the run under way
        self._then: Callable[[Any], object] = self._on_finished
        self._note = ""  # to be said once what was opened is on show
        self._own_texts = False  # what is run is not the text field's, so no key throws it away
        self._of_many = False  # many texts are run
        self._typed = False  # meanwhile, what waits for Run
        self._on_show: tuple[Capture, int] | None = None  # the capture, and which of its texts
        bar.run_wanted.connect(self.run)
        bar.model_chosen.connect(self.run_model)
        bar.edited.connect(self._on_edit)
        bar.retyped.connect(self.run)
        runner.finished.connect(lambda result: self._then(result))
        runner.failed.connect(self._on_failed)
        runner.nothing_done.connect(self._on_nothing_done)
        runner.stopped.connect(self._on_stopped)
        document.picture_changed.connect(self._follow_text)

    def run(self) -> None:
        """Run the text on the model that is in use."""
        self._submit(self.bar.source, "first")

    def run_model(self, source: Any) -> None:
        """Run the text on another model; the old one stays in use if that fails."""
        self._submit(source, "first")

    def download(self, repository: str) -> None:
        """Run the text on a model that is fetched from the hub first."""
        self._submit(repository, "first", download=True)

    def split(self) -> None:
        """Run the whole of a long text, in parts."""
        self._submit(self.bar.source, "split")

    def cancel(self) -> None:
        """Stop the run; the last picture stays, and of many texts those that are done are shown."""
        self.bar.forget_pause()
        self.runner.stop()

    def open_all(self, paths: Sequence[Path]) -> None:
        """Open a model folder and a text together, or either, or a capture."""
        models = [path for path in paths if path.is_dir()]
        others = [path for path in paths if not path.is_dir()]
        if len(models) > 1 or len(others) > 1:
            self._note = "Only one text and one model folder are opened at a time: the first ones."
        if others and others[0].suffix.lower() in PICTURES:
            self.picture_given.emit(others[0].absolute(), models[0].absolute() if models else None)
            return
        if models and others and not _is_capture(others[0]):
            self.open_text(others[0], str(models[0].absolute()))
            return
        for path in (*models[:1], *others[:1]):
            self.open(path)

    def open_urls(self, urls: Sequence[QUrl]) -> None:
        """Open what was dropped."""
        paths = [Path(url.toLocalFile()) for url in urls if url.toLocalFile()]
        if paths:
            self.open_all(paths)
        else:
            self.banner.say("Only files and folders on this machine can be opened; save it first.")

    def open(self, path: Path) -> None:
        """Open whatever a file is: a model folder, a capture, a text."""
        path = path.absolute()  # a folder a/b is no id of the hub, and recent files stay found
        try:
            if path.is_dir():
                self.run_model(str(path))
            elif path.suffix.lower() in PICTURES:
                self.picture_given.emit(path, None)
            elif _is_capture(path):
                _refuse_pipe(path)
                self._open_capture(path)
            else:
                self.open_text(path, self.bar.source)
        except InputError as error:
            self._refuse(error)

    def open_recent(self, kind: str, path: str) -> None:
        """Open one of the recent models, captures or texts; one that is gone is said to be."""
        if not is_there(Path(path)):
            self.lost.emit(kind, path)
            self._refuse(InputError(f"There is no {path} any more; it is off the recent ones now."))
            return
        if kind == "captures":
            self._open_capture(Path(path))
        else:
            self.open(Path(path))

    def open_text(self, path: Path, source: Any) -> None:
        """Run a model on a file's text."""
        try:
            _refuse_pipe(path)
            self.bar.set_text(read_text(path))
        except InputError as error:
            self._refuse(error)
            return
        self.opened.emit("texts", str(path.absolute()))
        self.run_model(source)

    def _open_capture(self, path: Path) -> None:
        """Read a capture in the worker; the last picture stays until it is read."""
        self._begin(None)
        self._then = partial(self._on_opened, path)
        self.runner.submit(OpenRequest(path))

    def _on_opened(self, path: Path, capture: Capture) -> None:
        try:
            self.show_capture(capture)
        except InputError as error:
            self._refuse(error)
            return
        self.opened.emit("captures", str(path))

    def show_capture(self, capture: Capture) -> None:
        """Show a capture that was made elsewhere.

        Raises
        ------
        InputError
            When it cannot be drawn; what was on show stays.
        """
        refuse_without_room(capture)
        self._begin(None)
        self.runner.cancel()
        self.bar.set_text(capture.texts[0])
        self._say_note()  # what the banner said was of the text before
        self.document.open(capture)

    def _follow_text(self) -> None:
        """Have the text on show in the field, where the one before it still stands there."""
        before, picture = self._on_show, self.document.picture
        assert picture is not None
        capture, text = self._on_show = picture.capture, picture.text
        if before is None or before[0] is not capture or before[1] == text or self.runner.running:
            return
        if self.bar.text == capture.texts[before[1]]:
            self.bar.set_text(capture.texts[text])

    def close(self) -> None:
        """Follow the document no longer."""
        self.document.picture_changed.disconnect(self._follow_text, missing_ok=True)

    def submit(self, request: Request) -> None:
        """Run something that makes a capture of its own texts."""
        self._begin(None)
        self._own_texts, self._of_many = True, bool(getattr(request, "keeps_done", False))
        self._typed = False
        self._then = self._on_finished
        self.runner.submit(request)

    def _submit(self, source: Any, long: Long, *, download: bool = False) -> None:
        self._begin(source)
        self._then = self._on_finished
        # A source that is no model of transformers says itself how it is run on a text.
        of_its_own = getattr(source, "request", None)
        request = of_its_own(self.bar.text) if of_its_own else None
        self.runner.submit(request or RunRequest(self.bar.text, source, long, download))

    def _begin(self, source: Any) -> None:
        """Something else is wanted, of this model if of any; note what is given up for it."""
        self.bar.forget_pause()
        if self.runner.running and self._of_many:
            self._note = GIVEN_UP
        self._wanted, self._own_texts, self._of_many = source, False, False

    def _on_edit(self) -> None:
        """Typing during a run ends it; the new text runs once typing pauses.

        A run of many texts took its time, and is of none that stands in the text field: it goes on.
        """
        if self.runner.running and self._own_texts:
            self._typed = True
        elif self.runner.running:
            self.runner.cancel()
            self.bar.wait_for_pause()
        elif self.bar.waiting:
            self.bar.wait_for_pause()

    def _on_finished(self, capture: Capture) -> None:
        try:
            refuse_without_room(capture)
            self.document.open(capture)
        except InputError as error:
            self._refuse(error)
            return
        if self._wanted is None:
            if capture.texts_asked is not None:
                self._note = (
                    f"Stopped: {len(capture.texts):,} of {capture.texts_asked:,} texts are on show."
                )
            if self._typed:
                self._note += TYPED
                self._note = self._note.strip()
            else:
                self.bar.set_text(capture.texts[0])
            self._say_note()
            return
        self.bar.show_source(self._wanted)
        self.model_ran.emit(self._wanted)
        if capture.cut_from is None:
            self._say_note()
            return
        used = len(capture.tokens[0])
        self.banner.say(
            f"The text has {capture.cut_from:,} tokens; {capture.model_name} reads at most "
            f"{used:,} at once. Shown are the first {used:,}.",
            action=("Split into parts", self.split),
        )

    def _say_note(self) -> None:
        """Say what was left out, if anything was, and nothing else."""
        note, self._note = self._note, ""
        if note:
            self.banner.say(note)
        else:
            self.banner.clear()

    def _refuse(self, fault: InputError) -> None:
        """Say why nothing new is on show."""
        self._note = ""
        self.banner.say(str(fault), fault=True)

    def _on_failed(self, fault: BaseException) -> None:
        self.bar.show_source(self.bar.source)
        if isinstance(fault, InputError):
            self._refuse(fault)
            folder = Path(self._wanted) if isinstance(self._wanted, str) else None
            if folder is not None and folder.is_absolute() and not is_there(folder):
                self.lost.emit("models", str(folder))
            return
        log.error(details_of(fault))
        self.banner.say(
            f"The run failed with a fault of AttnViz's own ({type(fault).__name__}); "
            "the last picture stays.",
            fault=True,
            details=details_of(fault),
        )

    def _on_nothing_done(self) -> None:
        """Many texts were stopped before there was one to keep."""
        self.banner.say(NOTHING_DONE + (TYPED if self._typed else ""))

    def _on_stopped(self) -> None:
        """A cancelled change of model leaves the old one chosen."""
        self.bar.show_source(self.bar.source)


def _is_capture(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def _refuse_pipe(path: Path) -> None:
    """Raise where reading might never end, which would stop the window."""
    if is_there(path) and not path.is_file():
        raise InputError(f"{path} is a device or a pipe; choose a file.")
