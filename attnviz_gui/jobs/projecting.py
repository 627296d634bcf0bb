"""Project the points of a head by PCA, t-SNE or UMAP: a request run in a worker, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from attnviz_gui.analysis.projections import (
    EARLY,
    LATE,
    PERPLEXITY,
    pca3,
    software,
    tsne,
    umap,
)

if TYPE_CHECKING:
    import threading

    import numpy as np
    import numpy.typing as npt

    from attnviz_gui.analysis.projections import Method
    from attnviz_gui.capture.progress import Report
    from attnviz_gui.capture.record import Capture

    Float = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where points are, and how they came there.

    Attributes
    ----------
    positions : (N, 2), or (N, 3) of PCA
        Queries, then keys.
    done, total : int
        Iterations of t-SNE; 0 of the others.
    share : (3,) or None
        Of the variance, of PCA.
    axes : (d, 3) or None
        Of PCA.
    software : str
        What has computed it, with its version.
    """

    positions: Float = field(repr=False)
    done: int = 0
    total: int = 0
    share: Float | None = None
    axes: Float | None = field(default=None, repr=False)
    software: str = ""


class Moving(QObject):
    """Brings what a request has reached from the worker to the GUI thread."""

    reached = Signal(object, object)  # the request, and a Layout


@dataclass(frozen=True, eq=False)
class ProjectionRequest:
    """All that a projection needs.

    Attributes
    ----------
    capture, key
        What the points are of, by which a result is told from one of other points.
    points : (N, d)
        Normalised queries, then keys.
    moving : Moving or None
        Is told of t-SNE's positions on the way.
    near : (d, 3) or None
        Of PCA, earlier axes.
    """

    method: Method
    points: Float = field(repr=False)
    capture: Capture | None = field(default=None, repr=False)
    key: Any = None
    seed: int = 0
    perplexity: float = PERPLEXITY
    moving: Moving | None = None
    near: Float | None = field(default=None, repr=False)

    def __call__(self, progress: Report, cancel: threading.Event | None) -> Layout:
        """Compute the positions; raises InputError or Cancelled."""
        if self.method == "pca":
            positions, share, axes = pca3(self.points, self.near)
            return Layout(positions, share=share, axes=axes)
        used = software(self.method)
        if self.method == "umap":
            progress(0, 0, "UMAP…")
            return Layout(umap(self.points, seed=self.seed, cancel=cancel), software=used)

        def step(done: int, total: int, positions: Float) -> None:
            progress(done, total, "t-SNE…")
            if self.moving is not None:
                self.moving.reached.emit(self, Layout(positions, done, total, software=used))

        progress(0, 0, "Finding neighbours…")
        made = tsne(
            self.points, perplexity=self.perplexity, seed=self.seed, step=step, cancel=cancel
        )
        return Layout(made, EARLY + LATE, EARLY + LATE, software=used)
