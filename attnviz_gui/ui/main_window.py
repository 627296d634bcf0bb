"""The main window: wiring only. It makes the parts, connects them, and asks them to stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSettings, QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QLabel,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.offloader import Offloader
from attnviz_gui.jobs.requests import FitRequest
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.session.document import Document
from attnviz_gui.session.settings import load_settings, save_settings, with_recent
from attnviz_gui.session.watch import WatchedPair
from attnviz_gui.ui.faults import log
from attnviz_gui.ui.layout import Workspace
from attnviz_gui.ui.menus import fill_menus
from attnviz_gui.ui.panels.banner import Banner
from attnviz_gui.ui.panels.dock import PanelDock
from attnviz_gui.ui.panels.head_panel import HeadPanel
from attnviz_gui.ui.panels.normalization_panel import NormalizationPanel
from attnviz_gui.ui.panels.text_bar import TextBar
from attnviz_gui.ui.panels.view_options import HeatmapOptions, PlaneOptions
from attnviz_gui.ui.runs import Runs
from attnviz_gui.ui.style import chosen_theme, dress
from attnviz_gui.ui.views.embedding import EmbeddingView
from attnviz_gui.ui.views.heatmap import HeatmapView
from attnviz_gui.ui.views.scatter import ScatterView
from attnviz_gui.ui.views.token_strip import TokenStrip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent, QKeyEvent

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.ui.faults import Faults

FIRST_TEXT = "The brown capybara is sleeping now."
FIRST_WATCHED = [WatchedPair("brown", key) for key in ("cap", "##y", "##bara")]
_FIRST_RUN_MS = 50  # the window is painted before torch is imported in the worker


class MainWindow(QMainWindow):
    """The window. ``MainWindow()`` runs the first text through the bundled model by itself."""

    ready = Signal()  # the first picture has been drawn
    log_action: QAction
    special_action: QAction
    animate_action: QAction

    def __init__(
        self,
        *,
        capture: Capture | None = None,
        model: Any = None,
        files: Sequence[Path] = (),
        faults: Faults | None = None,
    ) -> None:
        """`capture` or `model`: open on it instead of the first text; `files`: open these."""
        super().__init__()
        self.setWindowTitle("AttnViz")
        self.setAcceptDrops(True)
        self.settings = load_settings()
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        self.theme = chosen_theme(self.settings.theme)
        dress(app, self.theme)
        self.document = Document()
        self.document.watch(FIRST_WATCHED)
        self.workers = model_worker, geometry_worker = Worker("model"), Worker("geometry")
        self.runner = Runner(model_worker, self)
        self.fitter, self.prover, self.counter = (
            Offloader(geometry_worker, self._on_geometry_fault, self) for _ in range(3)
        )

        self._make_parts()
        self._follow_settings()
        fill_menus(self)
        self._follow_options()
        self._connect(faults)
        self.resize(1280, 800)
        self._restore_geometry()
        self._begin(capture, model, files)

    # -- making and connecting ---------------------------------------------------------------

    def _make_parts(self) -> None:
        d, theme = self.document, self.theme
        self.text_bar = TextBar()
        self.text_bar.set_models(self.settings.recent_models)
        self.banner = Banner()
        self.token_strip = TokenStrip(d, theme)
        self.heatmap = HeatmapView(d, theme)
        self.scatter = ScatterView(d, theme)
        self.embedding = EmbeddingView(d, theme)
        self.views = (self.heatmap, self.scatter, self.embedding)
        self.head_panel = HeadPanel(d)
        self.normalization_panel = NormalizationPanel(d)
        self.heatmap_options = HeatmapOptions(d)
        self.plane_options = PlaneOptions(d)
        self.docks = (
            PanelDock("Attention", self.heatmap, self.heatmap_options),
            PanelDock("Queries and keys", self.embedding, self.plane_options),
            PanelDock("Dot product and distance", self.scatter),
        )
        controls = QWidget()
        column = QVBoxLayout(controls)
        column.setContentsMargins(10, 2, 10, 6)
        column.addWidget(self.head_panel)
        column.addWidget(self.normalization_panel)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(controls)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.workspace = Workspace(scroll, *self.docks)

        centre = QWidget()
        rows = QVBoxLayout(centre)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addWidget(self.text_bar)
        rows.addWidget(self.banner)
        rows.addWidget(self.token_strip)
        rows.addWidget(self.workspace, 1)
        self.setCentralWidget(centre)

        self.facts = QLabel("Loading the bundled model…")
        self.facts.setObjectName("facts")
        self.progress = QProgressBar()
        self.progress.setObjectName("progress")
        self.progress.setAccessibleName("Progress")
        self.progress.setToolTip("How far the run is: one step for each layer.")
        self.progress.setFixedWidth(180)
        self.progress.setTextVisible(False)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setObjectName("cancel_button")
        self.cancel_button.setAccessibleName("Cancel")
        self.cancel_button.setToolTip("Stop the run; the last picture stays.")
        bar = self.statusBar()
        bar.setSizeGripEnabled(False)
        bar.addWidget(self.facts, 1)
        bar.addPermanentWidget(self.progress)
        bar.addPermanentWidget(self.cancel_button)
        self._show_running(False)

    def _connect(self, faults: Faults | None) -> None:
        self.runs = Runs(self.text_bar, self.banner, self.runner, self.document, self)
        self.runs.model_ran.connect(self._remember_model)
        self.text_bar.folder_wanted.connect(self.choose_folder)
        self.runner.started.connect(lambda: self._show_running(True))
        self.runner.stopped.connect(lambda: self._show_running(False))
        self.runner.progressed.connect(self._show_progress)
        self.cancel_button.clicked.connect(self.runs.cancel)
        self.normalization_panel.fit_wanted.connect(self.fit)
        self.normalization_panel.offload = self.prover
        self.scatter.offload = self.counter
        for dock in self.docks:
            dock.header.doubled.connect(lambda d=dock: self.workspace.maximise(d))
            dock.menu.addAction("Copy").triggered.connect(lambda _=False, d=dock: self.copy(d))
            dock.menu.addAction("Export…").triggered.connect(lambda _=False, d=dock: self.export(d))
        self.document.picture_changed.connect(self._on_picture)
        self.document.options_changed.connect(self._follow_options)
        if faults is not None:
            faults.happened.connect(
                lambda sentence, details: self.banner.say(sentence, fault=True, details=details)
            )
        for view in (*self.views, self.token_strip):
            view.start()
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        app.styleHints().colorSchemeChanged.connect(self._on_desktop_theme)

    def _begin(self, capture: Capture | None, model: Any, files: Sequence[Path]) -> None:
        if model is not None:
            self.text_bar.add_model(model.name, model)
        if capture is not None:
            self.runs.show_capture(capture)
            return
        self.text_bar.set_text(FIRST_TEXT)
        self._first = QTimer(self, singleShot=True, interval=_FIRST_RUN_MS)
        self._first.timeout.connect(self.runs.run)
        for file in files:
            self._first.timeout.connect(lambda file=file: self.runs.open(file))
        self._first.start()

    # -- what the menus and keys do ----------------------------------------------------------

    def step(self, *, layer: int = 0, head: int = 0) -> None:
        """Go to another layer or head, counted from here."""
        d = self.document
        d.show_head(d.layer + layer, d.head + head)

    def fit(self) -> None:
        """Fit a and c for the head on show, in the worker."""
        picture = self.document.picture
        if picture is None:
            return
        panel = self.normalization_panel
        mode = self.document.sliders.mode
        panel.say("Fitting…")
        self.fitter(
            FitRequest(picture.live, panel.objective_name, mode),
            lambda found: panel.show_fit(found) if picture is self.document.picture else None,
        )

    def watch(self) -> None:
        """Watch the chosen pair, or stop watching it."""
        focus = self.document.focus
        if focus.query is None or focus.key is None:
            self.banner.say("Choose a pair first: click a cell of the heatmap, then watch it.")
            return
        self.document.toggle_watch(focus.query, focus.key)

    def let_go(self) -> None:
        """Give the other panels back, else let go of what is chosen."""
        if not self.workspace.restore():
            self.document.clear_focus()

    def restore_layout(self) -> None:
        """Put every panel back where it was at first."""
        self.workspace.arrange()

    def copy(self, dock: PanelDock) -> None:
        """Copy a panel's figure to the clipboard."""
        if self.document.picture is None:
            self.banner.say("There is nothing to copy yet: type a text and press Run.")
            return
        from attnviz_gui.ui.figure import draw_figure

        scale = self.settings.export_scale
        QApplication.clipboard().setImage(draw_figure(type(dock.view), self.document, scale=scale))
        self.statusBar().showMessage(f"Copied: {dock.windowTitle()}", 4000)

    def export(self, only: PanelDock | None = None) -> None:
        """Ask where to write one panel, or all of them."""
        from attnviz_gui.ui.dialogs.export import ExportDialog

        docks = self.docks if only is None else (only,)
        folder = self.settings.export_folder or str(Path.home() / "attnviz")
        dialog = ExportDialog(
            self.document,
            {dock.windowTitle(): type(dock.view) for dock in docks},
            folder,
            self.settings.export_scale,
            self,
        )
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.exported.connect(lambda written: self._on_exported(written, dialog))
        dialog.open()

    def choose_folder(self) -> None:
        """Let the user look for a model folder."""
        dialog = QFileDialog(self, "Model folder")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda folder: self.runs.open(Path(folder)))
        dialog.open()

    def choose_file(self) -> None:
        """Let the user look for a text or a capture."""
        dialog = QFileDialog(self, "Text or capture")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilter("Texts and captures (*.txt *.md *.safetensors);;All files (*)")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda file: self.runs.open(Path(file)))
        dialog.open()

    def set_theme(self, setting: str) -> None:
        """Take another theme: system, light or dark."""
        self.settings = replace(self.settings, theme=setting)
        self.theme = chosen_theme(setting)
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        dress(app, self.theme)
        for view in (*self.views, self.token_strip):
            view.retheme(self.theme)

    def explain(self) -> None:
        """Open the page about a and c."""
        from attnviz_gui.ui.dialogs.help import normalisation_help

        normalisation_help(self).show()

    def about(self) -> None:
        """Open the page about this program."""
        from attnviz_gui.ui.dialogs.help import about

        about(self).show()

    # -- answers -----------------------------------------------------------------------------

    def _on_geometry_fault(self, fault: BaseException) -> None:
        self.normalization_panel.say("")
        if isinstance(fault, InputError):
            self.banner.say(str(fault), fault=True)
        else:
            raise fault

    def _on_picture(self) -> None:
        picture = self.document.picture
        assert picture is not None
        capture = picture.capture
        counts = {layer.n_heads for layer in capture.layers}
        heads = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)}–{max(counts)}"
        used = len(capture.tokens[picture.text])
        of_all = f" of {capture.cut_from:,}" if capture.cut_from is not None else ""
        parts = [
            f"{used:,}{of_all} token{'s' if used != 1 else ''}",
            capture.model_name,
            f"{len(capture.layers)} layers × {heads} heads",
            f"{capture.seconds * 1000:.0f} ms",
        ]
        if picture.n_hidden:
            parts.insert(1, f"{picture.n_hidden} special tokens hidden")
        self.facts.setText("  ·  ".join(parts))
        self.setWindowTitle(f"{picture.name} · {capture.model_name} · AttnViz")
        QTimer.singleShot(0, self.ready.emit)

    def _show_running(self, running: bool) -> None:
        self.progress.setVisible(running)
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(running)
        self.progress.setRange(0, 0)

    def _show_progress(self, done: int, total: int) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)

    def _on_exported(self, written: list[Path], dialog: Any) -> None:
        self.settings = replace(
            self.settings,
            export_folder=str(written[0].parent),
            export_scale=dialog.scale.currentData(),
        )
        names = ", ".join(path.name for path in written)
        self.statusBar().showMessage(f"Written to {written[0].parent}: {names}", 8000)

    # -- settings ----------------------------------------------------------------------------

    def _follow_settings(self) -> None:
        s = self.settings
        self.document.set_options(
            color_scale=s.color_scale,
            lines=s.lines,
            n_lines=s.n_lines,
            plane=s.plane,
            animate=s.animate,
        )

    def _follow_options(self) -> None:
        options = self.document.options
        self.log_action.setChecked(options.color_scale == "logarithmic")
        self.special_action.setChecked(options.show_special)
        self.animate_action.setChecked(options.animate)

    def _remember_model(self, source: Any) -> None:
        if isinstance(source, str) and source != "bundled":
            recent = with_recent(self.settings.recent_models, source)
            if recent != self.settings.recent_models:
                self.settings = replace(self.settings, recent_models=recent)
                self.text_bar.set_models(recent)

    def _on_desktop_theme(self) -> None:
        if self.settings.theme == "system":
            self.set_theme("system")

    def _restore_geometry(self) -> None:
        stored = QSettings("AttnViz", "AttnViz")
        geometry, panels = stored.value("geometry"), stored.value("panels")
        if geometry is not None:
            self.restoreGeometry(geometry)
        if panels is not None:
            self.workspace.restoreState(panels)

    def _save(self) -> None:
        self.workspace.restore()
        stored = QSettings("AttnViz", "AttnViz")
        stored.setValue("geometry", self.saveGeometry())
        stored.setValue("panels", self.workspace.saveState())
        o = self.document.options
        self.settings = replace(
            self.settings,
            color_scale=o.color_scale,
            lines=o.lines,
            n_lines=o.n_lines,
            plane=o.plane,
            animate=o.animate,
        )
        try:
            save_settings(self.settings)
        except OSError as error:
            log.warning("the settings could not be written: %s", error)

    # -- Qt ----------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        """A window that shows all panels at once."""
        return QSize(1280, 800)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows and pages choose head and layer wherever no widget wants them itself."""
        steps: dict[int, dict[str, int]] = {
            Qt.Key.Key_Left: {"head": -1},
            Qt.Key.Key_Right: {"head": 1},
            Qt.Key.Key_Up: {"layer": -1},
            Qt.Key.Key_Down: {"layer": 1},
            Qt.Key.Key_PageUp: {"layer": -1},
            Qt.Key.Key_PageDown: {"layer": 1},
        }
        step = steps.get(event.key())
        if step is None or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            super().keyPressEvent(event)
            return
        self.step(**step)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take model folders, texts and captures."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        for url in event.mimeData().urls()[:1]:
            self.runs.open(Path(url.toLocalFile()))

    def closeEvent(self, event: QCloseEvent) -> None:
        """Cancel what runs, wait for it, and remember the layout."""
        self._save()
        self.hide()
        if hasattr(self, "_first"):
            self._first.stop()
        for runner in (self.runner, self.fitter, self.prover, self.counter):
            runner.close()
        for worker in self.workers:
            worker.close()
        for part in (
            *self.views, self.token_strip, self.head_panel, self.normalization_panel,
            self.heatmap_options, self.plane_options,
        ):  # fmt: skip
            part.stop()
        self.document.picture_changed.disconnect(self._on_picture, missing_ok=True)
        self.document.options_changed.disconnect(self._follow_options, missing_ok=True)
        super().closeEvent(event)
