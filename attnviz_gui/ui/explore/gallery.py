"""Export many heads at once: a page of small multiples, a folder of single pictures, or both.

What can be computed apart from widgets is computed and written in a worker; a figure is drawn in
the GUI thread, one head at a time, so that the window goes on living. A file is whole or not there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QElapsedTimer, QObject, QTimer, Signal
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
    QProgressBar,
    QPushButton,
    QWidget,
)

from attnviz_gui.errors import InputError
from attnviz_gui.export.gallery import (
    KINDS,
    Gallery,
    Kind,
    caption,
    file_stem,
    heading,
    page_name,
    places_of,
)
from attnviz_gui.jobs.offloader import Offloader
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.session.document import Document, Sliders
from attnviz_gui.session.files import as_path
from attnviz_gui.ui.parts import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QImage

    from attnviz_gui.export.gallery import Cell, Place
    from attnviz_gui.session.document import Options
    from attnviz_gui.session.watch import WatchedPair
    from attnviz_gui.ui.explore.gallery_page import GalleryPage
    from attnviz_gui.ui.main_window import MainWindow

SLICE_MS = 12  # of painting, before the window has its turn
NOTHING = "There is nothing to export yet: type a text and press Run."
_KINDS = {"heatmap": "Attention", "embedding": "Plane, before | after", "scatter": "Scatter"}


@dataclass(frozen=True, eq=False)
class Job:
    """What is exported.

    Attributes
    ----------
    layer, head : int or None
        Which heads: of this layer, this head of all layers, or all.
    page, single : bool
        Whether to write one page, and a picture for each head.
    folder : Path
    pixels : int
    options, watched
        As the document has them, for the single pictures.
    """

    gallery: Gallery
    layer: int | None
    head: int | None
    page: bool
    single: bool
    folder: Path
    pixels: int
    options: Options
    watched: tuple[WatchedPair, ...]

    @property
    def page_path(self) -> Path:
        """Where the page is written."""
        return self.folder / page_name(
            self.gallery.capture, self.layer, self.head, self.gallery.kind
        )

    def single_path(self, place: Place) -> Path:
        """Where a head's own picture is written."""
        stem = file_stem(self.gallery.capture, place)
        return self.folder / f"{stem}-{self.gallery.kind}.png"


def job_of(
    document: Document, kind: Kind, layer: int | None, head: int | None, folder: Path, *,
    page: bool = True, single: bool = False, pixels: int = 2,
) -> Job:  # fmt: skip
    """Return what is exported, as the document stands: each head under its own fit if it has one.

    Raises
    ------
    InputError
        When there is nothing to export, or neither a page nor pictures are wanted.
    """
    picture = document.picture
    if picture is None:
        raise InputError(NOTHING)
    if not (page or single):
        raise InputError("Choose a page, single pictures, or both.")
    capture, basis, here = picture.capture, document.basis, (picture.layer, picture.head)
    places = places_of(capture, layer, head)
    own = {}
    for place in places:
        kept = document.fits.of(basis, *place)
        if kept is not None and kept.found and place != here:  # that one stands as it is drawn
            own[place] = Sliders(kept.mode, kept.t, kept.scale)
    options = document.options
    shown = Gallery(
        capture, picture.text, places, kind, document.sliders, own,
        show_special=options.show_special, rotary=options.rotary,
        together=document.corpus is not None,
        logarithmic=options.color_scale == "logarithmic", side=150 * pixels,
    )  # fmt: skip
    return Job(shown, layer, head, page, single, folder, pixels, options, document.watched)


class Exporter(QObject):
    """Exports one job at a time."""

    progressed = Signal(int, int, str)  # done, in all, what is being done
    finished = Signal(list)  # the files
    failed = Signal(object)
    stopped = Signal()  # finished, failed or cancelled

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.worker = Worker("gallery")
        self.runner = Runner(self.worker, self)
        self.runner.finished.connect(self._arrived)
        self.runner.failed.connect(self._fail)
        self.runner.progressed.connect(self._on_progress)
        self._drawer = Offloader(self.worker, self._fail, self)
        self._then: Callable[[Any], None] | None = None
        self._job: Job | None = None
        self._number = 0  # of the job: what an earlier one has left to do is not done
        self._written: list[Path] = []
        self._document: Document | None = None
        self._left: list[Place] = []
        self._waiting = False

    @property
    def running(self) -> bool:
        """True from the start to the end of a job."""
        return self._job is not None

    def start(self, job: Job) -> None:
        """Begin; what ran before is cancelled."""
        self.cancel()
        self._job, self._written = job, []
        self._number += 1
        if not job.page:
            self._begin_single()
            return
        try:
            page = self._page_of(job)
        except InputError as error:
            self._fail(error)
            return
        self._submit(job.gallery, lambda cells: self._paint(page, cells, 0, self._number))

    def cancel(self) -> None:
        """Stop; the files that are complete stay, and there are no others."""
        if self._job is not None:
            self._end()
            self.runner.cancel()
            self.stopped.emit()

    def close(self) -> None:
        """Cancel what runs, and wait for it."""
        self.cancel()
        self.runner.close()
        self._drawer.close()
        self.worker.close()

    # -- the page ----------------------------------------------------------------------------

    def _page_of(self, job: Job) -> GalleryPage:
        from attnviz_gui.ui.explore.gallery_page import GalleryPage

        shown = job.gallery
        return GalleryPage(
            shown.kind, shown.places, caption=caption(shown),
            heading=heading(shown.capture, job.layer, job.head, shown.kind),
            levels=shown.levels(), logarithmic=shown.logarithmic, pixels=job.pixels,
        )  # fmt: skip

    def _paint(self, page: GalleryPage, cells: list[Cell], first: int, number: int) -> None:
        """Paint cells for as long as nobody waits, then go on later."""
        if number != self._number or self._job is None:
            return
        clock = QElapsedTimer()
        clock.start()
        n = first
        while n < len(cells) and (n == first or clock.elapsed() < SLICE_MS):
            page.draw(n, cells[n])
            n += 1
        if n < len(cells):
            QTimer.singleShot(0, self, lambda: self._paint(page, cells, n, number))
            return
        self._write(page.image, self._job.page_path, self._begin_single)

    # -- a picture of each head --------------------------------------------------------------

    def _begin_single(self) -> None:
        job = self._job
        assert job is not None
        if not job.single:
            self._done()
            return
        self._left = list(job.gallery.places)
        document = self._document = Document()
        document.offload = self._drawer
        options = {f.name: getattr(job.options, f.name) for f in fields(job.options)}
        document.set_options(**options)
        document.watch(job.watched)
        try:
            document.open(job.gallery.capture)
        except InputError as error:  # it was shown before, so this is no fault of the capture's
            self._fail(error)
            return
        document.picture_changed.connect(self._ready)
        document.frame_changed.connect(self._ready)
        self._next()

    def _next(self) -> None:
        job, document = self._job, self._document
        assert job is not None and document is not None
        if not self._left:
            self._done()
            return
        done = len(job.gallery.places) - len(self._left)
        layer, head = self._left[0]
        self._tell(len(job.gallery.places) * job.page + done, f"Drawing L{layer} H{head}")
        self._waiting = True
        document.show_head(layer, head, job.gallery.text)
        self._ready()

    def _ready(self) -> None:
        """Draw the head that is asked for, once it stands where it shall."""
        job, document = self._job, self._document
        if not self._waiting or job is None or document is None or document.pending:
            return
        picture = document.picture
        place = self._left[0]
        wanted = (*place, job.gallery.text)
        if picture is None or (picture.layer, picture.head, picture.text) != wanted:
            return
        sliders = job.gallery.own.get(place, job.gallery.sliders)
        if document.sliders != sliders:
            document.move(mode=sliders.mode, t=sliders.t, scale=sliders.scale)
        if document.sliders != sliders or not self._waiting:
            return  # what the mode needs is being computed; or it was moved, and came by here
        self._waiting = False
        QTimer.singleShot(0, self, lambda number=self._number: self._draw(number))

    def _draw(self, number: int) -> None:
        from attnviz_gui.ui.figure import draw_figure
        from attnviz_gui.ui.views.catalogue import VIEWS

        job, document = self._job, self._document
        if number != self._number or job is None or document is None:
            return
        view = next(view for view in VIEWS if view.name == job.gallery.kind)
        image = draw_figure(view, document, scale=job.pixels)
        self._write(image, job.single_path(self._left.pop(0)), self._next)

    # -- what both need ----------------------------------------------------------------------

    def _write(self, image: QImage, path: Path, then: Callable[[], None]) -> None:
        from attnviz_gui.ui.figure import write_png

        def written(_: object) -> None:
            self._written.append(path)
            then()

        self._submit(lambda _progress, _cancel: write_png(image, path), written)

    def _submit(self, work: Callable[..., Any], then: Callable[[Any], None]) -> None:
        self._then = then
        self.runner.submit(work)

    def _arrived(self, result: Any) -> None:
        then, self._then = self._then, None
        if then is not None and self._job is not None:
            then(result)

    def _on_progress(self, done: int, total: int) -> None:
        if self._job is not None:
            layer, head = self._job.gallery.places[min(done, total - 1)]
            self._tell(done, f"Computing L{layer} H{head}")

    def _tell(self, done: int, words: str) -> None:
        job = self._job
        assert job is not None
        total = len(job.gallery.places) * (job.page + job.single)
        self.progressed.emit(done, total, words)

    def _done(self) -> None:
        written = self._written
        self._end()
        self.finished.emit(written)
        self.stopped.emit()

    def _fail(self, fault: BaseException) -> None:
        if self._job is None:
            return
        self._end()
        self.failed.emit(fault)
        self.stopped.emit()

    def _end(self) -> None:
        self._job, self._then, self._waiting = None, None, False
        self._number += 1
        document, self._document = self._document, None
        if document is not None:
            document.picture_changed.disconnect(self._ready)
            document.frame_changed.disconnect(self._ready)


class GalleryDialog(QDialog):
    """Which heads, what of them, where; stays open while it works, and where it fails."""

    exported = Signal(list)

    def __init__(
        self, document: Document, exporter: Exporter, folder: str, scale: int,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.setWindowTitle("Export gallery")
        self.setObjectName("gallery_dialog")
        self.document, self.exporter = document, exporter
        self._make(folder, scale)
        self._lay_out()
        exporter.progressed.connect(self._on_progress)
        exporter.finished.connect(self._on_finished)
        exporter.failed.connect(self._on_failed)
        self._set_running(False)

    def _make(self, folder: str, scale: int) -> None:
        d = self.document
        self.heads = QComboBox()
        self.heads.addItem(f"All heads of layer {d.layer}", (d.layer, None))
        self.heads.addItem(f"Head {d.head} in all layers", (None, d.head))
        self.heads.addItem("Every head of every layer", (None, None))
        _name(self.heads, "gallery_heads", "Heads", "Which heads are shown.")
        self.kind = QComboBox()
        for kind in KINDS:
            self.kind.addItem(_KINDS[kind], kind)
        _name(self.kind, "gallery_kind", "Panel", "What is shown of each head.")
        self.page = QCheckBox("One page of all of them")
        self.page.setChecked(True)
        _name(
            self.page, "gallery_page", "One page", "Small multiples with one colour scale, as one "
            "PNG with a caption.",
        )  # fmt: skip
        self.single = QCheckBox("A picture of each head")
        _name(
            self.single, "gallery_single", "A picture of each head",
            "A PNG of each head, as the panel's own export writes it.",
        )  # fmt: skip
        self.folder = QLineEdit(folder)
        self.folder.setMinimumWidth(320)
        _name(
            self.folder, "gallery_folder", "Folder",
            "Where the files go; the folder is made if missing.",
        )  # fmt: skip
        self.scale = QComboBox()
        for times in (1, 2, 3, 4):
            self.scale.addItem(f"{times}×", times)
        self.scale.setCurrentIndex(scale - 1)
        _name(self.scale, "gallery_scale", "Resolution", "1× suits a screen, 3× and 4× print.")
        self.progress = QProgressBar()
        _name(self.progress, "gallery_progress", "Progress", "How many heads are done.")
        self.told = QLabel()
        self.told.setObjectName("gallery_told")
        self.told.setWordWrap(True)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel
        )
        self.buttons.accepted.connect(self.save)
        self.buttons.rejected.connect(self.reject)

    def _lay_out(self) -> None:
        browse = QPushButton("Browse…")
        browse.clicked.connect(self._browse)
        row = QHBoxLayout()
        row.addWidget(self.folder)
        row.addWidget(browse)
        form = QFormLayout(self)
        form.addRow("Heads", self.heads)
        form.addRow("Panel", self.kind)
        form.addRow(self.page)
        form.addRow(self.single)
        form.addRow("Folder", row)
        form.addRow("Resolution", self.scale)
        form.addRow(self.progress)
        form.addRow(self.told)
        form.addRow(self.buttons)

    def save(self) -> None:
        """Begin to export."""
        layer, head = self.heads.currentData()
        try:
            if not self.folder.text().strip():
                raise InputError("Name a folder for the files.")
            job = job_of(
                self.document, self.kind.currentData(), layer, head,
                as_path(self.folder.text().strip()), page=self.page.isChecked(),
                single=self.single.isChecked(), pixels=self.scale.currentData(),
            )  # fmt: skip
        except InputError as error:
            self._say(str(error))
            return
        self._say("")
        self._set_running(True)
        self.exporter.start(job)

    def reject(self) -> None:
        """Cancel what runs; without anything running, close."""
        if not self.exporter.running:
            super().reject()
            return
        self.exporter.cancel()
        self._set_running(False)
        self._say("Cancelled; what was complete is in the folder.")

    def done(self, result: int) -> None:
        """Follow the exporter no longer."""
        for signal, slot in (
            (self.exporter.progressed, self._on_progress),
            (self.exporter.finished, self._on_finished),
            (self.exporter.failed, self._on_failed),
        ):
            signal.disconnect(slot)
        super().done(result)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder", self.folder.text())
        if folder:
            self.folder.setText(folder)

    def _on_progress(self, done: int, total: int, words: str) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self._say(f"{words} ({done + 1} of {total})")

    def _on_finished(self, files: list[Path]) -> None:
        self._set_running(False)
        self.exported.emit(files)
        self.accept()

    def _on_failed(self, fault: BaseException) -> None:
        self._set_running(False)
        if not isinstance(fault, InputError):
            raise fault
        self._say(str(fault))

    def _set_running(self, running: bool) -> None:
        self.buttons.button(QDialogButtonBox.StandardButton.Save).setEnabled(not running)
        for widget in (self.heads, self.kind, self.page, self.single, self.folder, self.scale):
            widget.setEnabled(not running)
        self.progress.setVisible(running)
        self.progress.setRange(0, 0)

    def _say(self, words: str) -> None:
        self.told.setText(words)
        self.told.setVisible(bool(words))


class GalleryPart(Part):
    """The menu entry."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.exporter: Exporter | None = None
        self.dialog: GalleryDialog | None = None
        self.action = window.explore_menu.addAction("Export &gallery…")
        self.action.setObjectName("export_gallery")
        self.action.setToolTip("Write many heads as one page, or as a picture of each.")
        self.action.triggered.connect(self.open)

    def open(self) -> None:
        """Ask what to export."""
        window = self.window
        if self.document.picture is None:
            window.banner.say(NOTHING)
            return
        if self.dialog is not None and self.dialog.isVisible():
            self.dialog.raise_()
            return
        if self.exporter is None:
            self.exporter = Exporter(self)
        settings = window.memory.settings
        self.dialog = GalleryDialog(
            self.document, self.exporter, settings.export_folder or str(Path("~") / "attnviz"),
            settings.export_scale, window,
        )  # fmt: skip
        self.dialog.exported.connect(self._exported)
        self.dialog.finished.connect(self.dialog.deleteLater)
        self.dialog.finished.connect(self._forget)
        self.dialog.open()

    def _forget(self) -> None:
        self.dialog = None

    def _exported(self, files: list[Path]) -> None:
        folder = files[0].parent
        assert self.dialog is not None
        self.window.memory.change(
            export_folder=str(folder), export_scale=self.dialog.scale.currentData()
        )
        names = files[0].name if len(files) == 1 else f"{len(files):,} pictures"
        self.window.statusBar().showMessage(f"Written to {folder}: {names}", 8000)

    def close(self) -> None:
        """Cancel what runs, and wait for it."""
        if self.exporter is not None:
            self.exporter.close()


def _name(widget: QWidget, name: str, accessible: str, tip: str) -> None:
    widget.setObjectName(name)
    widget.setAccessibleName(accessible)
    widget.setToolTip(tip)
