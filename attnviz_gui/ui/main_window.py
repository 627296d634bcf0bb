"""The main window: wiring only. It makes the parts, connects them, and asks them to stop."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QMainWindow, QVBoxLayout, QWidget

from attnviz_gui.jobs.offloader import Offloader
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.jobs.verifying import Verification
from attnviz_gui.session.document import Document
from attnviz_gui.session.watch import WatchedPair
from attnviz_gui.ui.actions import Actions
from attnviz_gui.ui.files import Files
from attnviz_gui.ui.fitting import Fitting
from attnviz_gui.ui.layout import Workspace
from attnviz_gui.ui.learn import Learn
from attnviz_gui.ui.memory import Memory
from attnviz_gui.ui.menus import entries_of_menus, fill_menus
from attnviz_gui.ui.panels.anatomy_panel import AnatomyPanel
from attnviz_gui.ui.panels.badge import BadgeLabel
from attnviz_gui.ui.panels.banner import Banner
from attnviz_gui.ui.panels.controls import Controls
from attnviz_gui.ui.panels.dock import FILL, PanelDock
from attnviz_gui.ui.panels.head_panel import HeadPanel
from attnviz_gui.ui.panels.honesty_panel import HonestyPanel
from attnviz_gui.ui.panels.normalization_panel import NormalizationPanel
from attnviz_gui.ui.panels.status import Status
from attnviz_gui.ui.panels.text_bar import BUNDLED, TextBar
from attnviz_gui.ui.panels.view_options import HeatmapOptions, PlaneOptions
from attnviz_gui.ui.parts import Part, PartDock, make_parts
from attnviz_gui.ui.runs import Runs
from attnviz_gui.ui.style import chosen_theme, dress, paint, put_on_sheet
from attnviz_gui.ui.views.embedding import EmbeddingView
from attnviz_gui.ui.views.heatmap import HeatmapView
from attnviz_gui.ui.views.scatter import ScatterView
from attnviz_gui.ui.views.token_strip import TokenStrip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QKeyEvent

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.ui.faults import Faults

FIRST_TEXT = "The brown capybara is sleeping now."
FIRST_WATCHED = [WatchedPair("brown", key) for key in ("cap", "##y", "##bara")]
_REST_MS = 60  # before a proof: the picture that it proves is painted first
_CURVE_MS, _MEASURES_MS = 100, 200  # going through heads or moving a slider waits for neither
_FIRST_RUN_MS = 50  # the window is painted before the rest of it, and torch, are imported


class MainWindow(QMainWindow):
    """The window. ``MainWindow()`` runs the first text through the bundled model by itself."""

    ready = Signal()  # a picture has been drawn

    def __init__(
        self,
        *,
        capture: Capture | None = None,
        model: Any = None,
        files: Sequence[Path] = (),
        faults: Faults | None = None,
    ) -> None:
        """`capture` or `model`: open on it instead of the first text; `files`: open these."""
        memory = Memory()
        theme = chosen_theme(memory.settings.theme)
        # Until the event loop runs, Qt tells a widget that is there already of no other font.
        paint(_application(), theme)
        super().__init__()
        self.memory, self.theme = memory, theme
        self.setWindowTitle("AttnViz")
        self.setAcceptDrops(True)
        self.resize(self.sizeHint())
        self.document = Document()
        self.document.watch(FIRST_WATCHED)
        self.actions_ = Actions(self)
        self.workers = tuple(Worker(name) for name in ("model", "geometry", "curve", "measures"))
        model_worker, geometry_worker, curve_worker, measures_worker = self.workers
        self.runner = Runner(model_worker, self)
        self.offloaders = tuple(
            Offloader(geometry_worker, self.actions_.geometry_failed, self, rest_ms=rest)
            for rest in (_REST_MS, 0, 0, 0)
        )
        self.prover, self.pairer, self.counter, self.drawer = self.offloaders
        self.curver, self.measurer = (
            Offloader(worker, self.actions_.geometry_failed, self, rest_ms=rest, patient=True)
            for worker, rest in ((curve_worker, _CURVE_MS), (measures_worker, _MEASURES_MS))
        )
        self.dissector = Offloader(model_worker, self.actions_.geometry_failed, self)
        self.document.offload = self.drawer
        self.verification = Verification(self.document, model_worker, self.runner, self)
        self._make_parts()
        self._lay_out()
        put_on_sheet(_application(), self.theme)
        self.fitting = Fitting(self)
        self.explore_menu = fill_menus(self)
        self.learn = Learn(self)
        self.menu_entries = entries_of_menus(self)
        self._connect(faults)
        self.parts: tuple[Part, ...] = ()
        if self.memory.settings.explored:
            self.join()  # what was open is there from the start
        self.memory.restore(self.document, self, self.workspace)
        self._begin(capture, model, files)

    # -- making and connecting ---------------------------------------------------------------

    def _make_parts(self) -> None:
        d, theme = self.document, self.theme
        self.text_bar = TextBar()
        self.text_bar.set_models(self.memory.settings.recent_models)
        self.banner = Banner()
        self.token_strip = TokenStrip(d, theme)
        self.key_strip = TokenStrip(d, theme, side="key")
        self.heatmap = HeatmapView(d, theme)
        self.scatter = ScatterView(d, theme)
        self.embedding = EmbeddingView(d, theme)
        self.views = (self.heatmap, self.scatter, self.embedding)
        self.head_panel = HeadPanel(d)
        self.normalization_panel = NormalizationPanel(d, theme)
        self.heatmap_options = HeatmapOptions(d)
        self.plane_options = PlaneOptions(d)
        self.docks = (
            PanelDock("Attention", self.heatmap, self.heatmap_options),
            PanelDock("Queries and keys", self.embedding, self.plane_options),
            PanelDock("Dot product and distance", self.scatter),
        )
        self.honesty = HonestyPanel(d, theme)
        self.badge = BadgeLabel()
        self.docks[0].header.add_badge(self.badge)
        self.anatomy_panel = AnatomyPanel(d, theme, self.dissector)
        self.status = Status(self.statusBar(), d, self.runner)

    def _lay_out(self) -> None:
        controls = Controls(self.head_panel, self.normalization_panel)
        self.workspace = Workspace(controls, *self.docks, self.honesty, self.anatomy_panel)
        centre = QWidget()
        rows = QVBoxLayout(centre)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addWidget(self.text_bar)
        rows.addWidget(self.banner)
        rows.addWidget(self.token_strip)
        rows.addWidget(self.key_strip)
        rows.addWidget(self.workspace, 1)
        self.setCentralWidget(centre)

    def _connect(self, faults: Faults | None) -> None:
        do = self.actions_
        self.runs = Runs(self.text_bar, self.banner, self.runner, self.document, self)
        self.runs.model_ran.connect(self._remember_model)
        self.runs.opened.connect(self.memory.add_file)
        self.runs.lost.connect(do.lost)
        self.files = Files(self)
        self.files.saved.connect(do.saved)
        self.files.placed.connect(do.placed)
        self.files.failed.connect(do.save_failed)
        self.files.listed.connect(lambda found: self.text_bar.set_models(hub=found))
        self.text_bar.folder_wanted.connect(do.choose_folder)
        self.text_bar.hub_wanted.connect(do.choose_hub_model)
        self.text_bar.opened.connect(self.files.look)
        self.status.cancel_button.clicked.connect(self.runs.cancel)
        self.normalization_panel.offload = self.prover
        self.normalization_panel.curve.offload = self.curver
        self.honesty.offload = self.measurer
        self.honesty.copied.connect(lambda: self.statusBar().showMessage("Copied: measures", 4000))
        self.scatter.offload = self.pairer
        self.scatter.recount = self.counter
        for dock in self.docks:
            dock.header.doubled.connect(lambda d=dock: self.workspace.maximise(d))
            fill = dock.menu.addAction(FILL)
            fill.triggered.connect(lambda _=False, d=dock: self.workspace.maximise(d))
            dock.menu.addAction("Watch the chosen pair").triggered.connect(do.watch)
            dock.menu.addSeparator()
            dock.menu.addAction("Copy").triggered.connect(lambda _=False, d=dock: do.copy(d))
            dock.menu.addAction("Export…").triggered.connect(lambda _=False, d=dock: do.export(d))
        self.anatomy_panel.header.doubled.connect(
            lambda: self.workspace.maximise(self.anatomy_panel)
        )
        self.anatomy_panel.refused.connect(self.banner.say)
        self.anatomy_panel.done.connect(lambda line: self.statusBar().showMessage(line, 8000))
        self.document.picture_changed.connect(self._on_picture)
        self.verification.changed.connect(self._show_badge)
        if faults is not None:
            faults.happened.connect(
                lambda sentence, details: self.banner.say(sentence, fault=True, details=details)
            )
        for view in (*self.views, self.anatomy_panel):
            self.runner.started.connect(partial(view.say_running, True))
            self.runner.stopped.connect(partial(view.say_running, False))
        for view in self.views:
            view.start()
        for strip in (self.token_strip, self.key_strip):
            strip.start()
        _application().styleHints().colorSchemeChanged.connect(self._on_desktop_theme)

    def _begin(self, capture: Capture | None, model: Any, files: Sequence[Path]) -> None:
        self._first = QTimer(self, singleShot=True, interval=_FIRST_RUN_MS)
        if model is not None:
            # A module has a name of its own only by chance.
            name = model.name if hasattr(model, "tokenizer") else type(model).__name__
            self.text_bar.add_model(name, model)
        if capture is not None:
            self.join()
            self.runs.show_capture(capture)
            return
        self._first.timeout.connect(self.join)
        self._first.timeout.connect(self.anatomy_panel.make)
        self.text_bar.set_text(FIRST_TEXT)
        if files:
            self._first.timeout.connect(lambda: self.runs.open_all(files))
        else:
            self._first.timeout.connect(self.runs.run)
        self._first.start()

    def join(self) -> None:
        """Make what a first picture can wait for, once: the window is painted without it."""
        if self.parts:
            return
        from attnviz_gui.geometry.process import prepare_for_frames
        from attnviz_gui.ui.explore.brushing import Brushing

        prepare_for_frames()
        self.brushing = Brushing(self, self.theme)
        self.parts = make_parts(self)
        self.menu_entries = entries_of_menus(self)

    def set_theme(self, setting: str) -> None:
        """Take another theme: system, light or dark."""
        self.memory.change(theme=setting)
        self.theme = chosen_theme(setting)
        dress(_application(), self.theme)
        for view in (*self.views, self.anatomy_panel, self.token_strip, self.key_strip):
            view.retheme(self.theme)
        self.normalization_panel.curve.set_theme(self.theme)
        self.honesty.set_theme(self.theme)
        if self.parts:
            self.brushing.set_theme(self.theme)
        for part in self.parts:
            part.set_theme(self.theme)

    def _on_desktop_theme(self) -> None:
        if self.memory.settings.theme == "system":
            self.set_theme("system")

    def _on_picture(self) -> None:
        picture = self.document.picture
        assert picture is not None
        self.setWindowTitle(f"{picture.title} · {picture.capture.model_name} · AttnViz")
        QTimer.singleShot(0, self, self.ready.emit)
        QTimer.singleShot(0, self, self.anatomy_panel.make)  # now that the window is there
        for dock in self.workspace.panels:
            if isinstance(dock, PartDock) and dock.early:
                QTimer.singleShot(0, dock, dock.make)

    def _show_badge(self) -> None:
        self.badge.say(self.verification.badge)

    def _remember_model(self, source: Any) -> None:
        if not isinstance(source, str) or source == BUNDLED:
            return
        if not Path(source).is_absolute():  # of the hub
            self.files.look()
        elif self.memory.add_model(source):
            self.text_bar.set_models(self.memory.settings.recent_models)

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
        self.actions_.step(**step)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take model folders, texts and captures."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        self.runs.open_urls(event.mimeData().urls())

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the layout, cancel what runs, and wait for it."""
        self._first.stop()
        self.workspace.restore()
        self.memory.change(explored=self.workspace.explored)
        self.memory.save(self.document, self, self.workspace)
        self.hide()
        self.verification.stop()
        self.runner.close()
        self.fitting.close()
        if self.parts:
            self.brushing.close()
        for joined in self.parts:
            joined.close()
        for offloader in (*self.offloaders, self.dissector, self.curver, self.measurer):
            offloader.close()
        self.files.close()
        for worker in self.workers:
            worker.close()
        for part in (
            *self.views, self.anatomy_panel, self.token_strip, self.key_strip, self.head_panel,
            self.normalization_panel, self.heatmap_options, self.plane_options, self.status,
            self.honesty,
        ):  # fmt: skip
            part.stop()
        self.document.picture_changed.disconnect(self._on_picture, missing_ok=True)
        self.runs.close()
        super().closeEvent(event)


def _application() -> QApplication:
    app = QApplication.instance()
    assert isinstance(app, QApplication), "a QApplication has to run before a window is made"
    return app
