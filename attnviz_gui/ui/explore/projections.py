"""The panel *Other projections*: which, its parameters, Run and Cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QSpinBox, QWidget

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from attnviz_gui.jobs.projecting import Layout, ProjectionRequest
    from attnviz_gui.ui.explore.view_panel import ViewPanel
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.other_projection import OtherProjectionView

LABEL = "Other projections"


class ProjectionsPart(Part):
    """3-D PCA, t-SNE and UMAP, one at a time; the latter two by a worker."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.panel: ViewPanel | None = None
        self._worker: Worker | None = None
        self._runner: Runner | None = None
        self._request: ProjectionRequest | None = None
        self.dock = PartDock(LABEL, "other_projection_panel", self._make)
        window.workspace.add(self.dock)
        window.explore_menu.addAction(self.dock.toggleViewAction())

    # -- making ------------------------------------------------------------------------------

    def _make(self) -> QWidget:
        from attnviz_gui.jobs.projecting import Moving
        from attnviz_gui.ui.explore.view_panel import ViewPanel
        from attnviz_gui.ui.views.other_projection import OtherProjectionView

        view = self.view = OtherProjectionView(self.document, self.window.theme)
        self._worker = Worker("projection")
        runner = self._runner = Runner(self._worker, self)
        self._moving = Moving(self)
        self._moving.reached.connect(self._reached, Qt.ConnectionType.QueuedConnection)
        runner.finished.connect(self._finished)
        runner.failed.connect(self._failed)
        runner.progressed.connect(self._progressed)
        runner.stopped.connect(self._stopped)
        view.projected.later = self.run
        self._make_controls(view)
        self.panel = ViewPanel(self.window, view, LABEL)
        self.window.brushing.join(view, self.panel.header, view.name)
        self.panel.add_option(self.run_button)
        self.panel.add_option(self.cancel_button)
        self.panel.add_option(self.bar)
        self.panel.add_option(self.parameters, below=True)
        self.document.picture_changed.connect(self._follow)
        self.document.frame_changed.connect(self._follow)
        view.titled.connect(self._follow)
        self._follow()
        return self.panel

    def _make_controls(self, view: OtherProjectionView) -> None:
        self.run_button = tool_button("Run")
        self.run_button.setObjectName("other_projection_run")
        self.run_button.setToolTip("Compute this projection of the queries and keys on show.")
        self.run_button.clicked.connect(self.run)
        self.cancel_button = tool_button("Cancel")
        self.cancel_button.setObjectName("other_projection_cancel")
        self.cancel_button.setToolTip("Stop; the last picture stays.")
        self.cancel_button.clicked.connect(self.cancel)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumWidth(120)
        self.bar.setMaximumHeight(10)
        self.bar.setAccessibleName("Progress of the projection")
        self.bar.setToolTip("How many iterations are done.")
        self.perplexity = QSpinBox()
        self.perplexity.setObjectName("other_projection_perplexity")
        self.perplexity.setAccessibleName("Perplexity")
        self.perplexity.setToolTip(
            "How many neighbours each point has, about; at most a third of the other points."
        )
        self.perplexity.setRange(1, 500)
        self.perplexity.setValue(round(view.projected.choices.perplexity))
        self.perplexity.valueChanged.connect(lambda n: view.choose("perplexity", float(n)))
        self.seed = QSpinBox()
        self.seed.setObjectName("other_projection_seed")
        self.seed.setAccessibleName("Seed")
        self.seed.setToolTip(
            "Of the random numbers: the same seed gives the same picture. What only some seeds "
            "show is chance."
        )
        self.seed.setRange(0, 9999)
        self.seed.setValue(view.projected.choices.seed)
        self.seed.valueChanged.connect(lambda n: view.choose("seed", n))
        self.parameters = QWidget()
        row = QHBoxLayout(self.parameters)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self._perplexity_label = QLabel("perplexity")
        for label, box in ((self._perplexity_label, self.perplexity), (QLabel("seed"), self.seed)):
            label.setProperty("quiet", True)
            box.setKeyboardTracking(False)
            row.addWidget(label)
            row.addWidget(box)

    # -- computing ---------------------------------------------------------------------------

    def run(self) -> None:
        """Compute what the panel asks for."""
        assert self._runner is not None
        asked = self._request is not None and self.view.projected.asks_for(self._request)
        request = None if asked else self.view.projected.request(self._moving)
        if request is None:
            return
        self._request = request
        self._runner.submit(request)
        if request.method != "pca":  # whose view has asked for it, and is drawing
            self.view.begin()
        self.bar.setRange(0, 0)
        self._follow()

    def cancel(self) -> None:
        """Stop; what t-SNE has reached stays."""
        self._request = None
        if self._runner is not None:
            self._runner.cancel()

    def _reached(self, request: ProjectionRequest, layout: Layout) -> None:
        if request is self._request:
            self.view.take_step(request, layout)

    def _finished(self, layout: Layout) -> None:
        request, self._request = self._request, None
        if request is not None:
            self.view.take(request, layout)

    def _failed(self, fault: BaseException) -> None:
        request, self._request = self._request, None
        if not isinstance(fault, InputError):
            raise fault
        if request is not None:
            self.view.take_fault(request, str(fault))

    def _progressed(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _stopped(self) -> None:
        self.view.end()
        self._follow()

    def _follow(self) -> None:
        """Show what can be done; what is no longer asked for is computed no longer."""
        if self._request is not None and not self.view.projected.asks_for(self._request):
            self.cancel()
        view, running = self.view, self._runner is not None and self._runner.running
        chance = not view.spatial
        self.run_button.setVisible(chance and not running)
        self.run_button.setEnabled(view.projected.key() is not None and not view.projected.complete)
        self.cancel_button.setVisible(chance and running)
        self.bar.setVisible(running)
        self.parameters.setVisible(chance)
        for widget in (self._perplexity_label, self.perplexity):
            widget.setVisible(view.method == "tsne")

    # -- as a part ---------------------------------------------------------------------------

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        if self.panel is not None:
            self.panel.retheme(theme)

    def close(self) -> None:
        """Cancel what runs, wait for it, and follow the document no longer."""
        self._request = None
        self.document.picture_changed.disconnect(self._follow, missing_ok=True)
        self.document.frame_changed.disconnect(self._follow, missing_ok=True)
        if self._runner is not None and self._worker is not None:
            self._runner.close()
            self._worker.close()
        if self.panel is not None:
            self.panel.stop()
