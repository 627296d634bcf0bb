"""Measures of all heads, and which heads are alike: requests that run in a worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from attnviz_gui.analysis.catalogue import KEPT, PICTURE
from attnviz_gui.analysis.heads import ALL_TEXTS, HeadMeasures, measure_heads, table
from attnviz_gui.analysis.likeness import Clusters, clusters_of, compared, divergences, like
from attnviz_gui.jobs.elsewhere import DOING, Baseline, elsewhere

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from attnviz_gui.capture.progress import Report
    from attnviz_gui.capture.record import Capture

    Float64 = npt.NDArray[np.float64]
    Place = tuple[int, int]


@dataclass(frozen=True, eq=False)
class MeasureRequest:
    """Measure the attention of every head.

    Attributes
    ----------
    text
        Index of the text, or `ALL_TEXTS`.
    """

    capture: Capture
    text: int = ALL_TEXTS
    with_special: bool = True

    def __call__(self, progress: Report, cancel: threading.Event) -> HeadMeasures:
        """Measure head by head."""
        return measure_heads(
            self.capture, self.text, with_special=self.with_special,
            progress=lambda done, of: progress(done, of, f"Measuring heads: {done:,} of {of:,}"),
            cancel=cancel,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class PictureRequest:
    """Measure of every head what a picture of its own queries and keys keeps of its attention."""

    capture: Capture
    text: int = ALL_TEXTS
    with_special: bool = True
    objective: str = "cosine"
    rotary: bool = True

    def __call__(self, progress: Report, cancel: threading.Event) -> HeadMeasures:
        """Measure head by head; a tenth of a second each at 512 tokens."""
        names = tuple(each.name for each in PICTURE)
        texts: Sequence[int] = (
            range(len(self.capture.texts)) if self.text == ALL_TEXTS else [self.text]
        )
        return table(
            self.capture, self.text, self.with_special, names, texts, self._measure(cancel),
            lambda done, of: progress(done, of, f"Measuring pictures: {done:,} of {of:,}"), cancel,
        )  # fmt: skip

    def _measure(self, cancel: threading.Event):  # type: ignore[no-untyped-def]
        from attnviz_gui.geometry.honesty import measure
        from attnviz_gui.session.picture import make_picture

        def of(capture: Capture, layer: int, head: int, text: int) -> list[tuple[float, str]]:
            picture = make_picture(
                capture, text, layer, head, show_special=self.with_special, rotary=self.rotary
            )
            found = measure(picture.before, self.objective, cancel=cancel)
            own = (each.name.removeprefix(KEPT) for each in PICTURE)
            return [(found[name], found.reasons.get(name, "")) for name in own]

        return of


@dataclass(frozen=True, eq=False)
class Likeness:
    """How far every head is from one.

    Attributes
    ----------
    of : (layer, head)
    text : int
    distances : (n_heads,)
    baselines : dict of (n_heads,)
        The same where there is nothing to find, by baseline.
    """

    of: Place
    text: int
    distances: Float64
    baselines: Mapping[str, Float64] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LikeRequest:
    """Compare one head with all others on one text.

    Attributes
    ----------
    baseline
        Where there is nothing to find; needs the model, so in its worker.
    """

    capture: Capture
    of: Place
    text: int = 0
    with_special: bool = True
    baseline: Baseline | None = None

    def __call__(self, progress: Report, cancel: threading.Event) -> Likeness:
        """Compare head by head."""
        capture, text = _where(self.capture, self.baseline, self.text, progress, cancel)
        distances = like(
            capture, *self.of, text, with_special=self.with_special, cancel=cancel,
            progress=lambda done, of: progress(done, of, "Comparing heads"),
        )  # fmt: skip
        return Likeness(self.of, self.text, distances)


@dataclass(frozen=True, eq=False)
class ClusterRequest:
    """Sort the heads of one text into groups that look alike.

    Attributes
    ----------
    known : (n_heads, n_heads) or None
        All distances, where an answer before has them: then only the groups are made anew.
    baseline, beside
        The groups where there is nothing to find, in the numbers of these; needs the model.
    """

    capture: Capture
    n: int
    text: int = 0
    with_special: bool = True
    known: Float64 | None = field(default=None, repr=False)
    baseline: Baseline | None = None
    beside: Clusters | None = None

    def __call__(self, progress: Report, cancel: threading.Event) -> tuple[Clusters, Float64]:
        """Return the groups, and the distances that they were made from."""
        capture, text, distances = self.capture, self.text, self.known
        if distances is None:
            capture, text = _where(capture, self.baseline, text, progress, cancel)
            distances = divergences(
                capture, text, with_special=self.with_special, cancel=cancel,
                progress=lambda done, of: progress(done, of, "Comparing all heads"),
            )  # fmt: skip
        found = clusters_of(capture, text, distances, self.n, with_special=self.with_special)
        if self.baseline is None or self.beside is None:
            return found, distances
        return compared(self.beside, found, self.baseline), distances


def _where(
    capture: Capture, baseline: Baseline | None, text: int, progress: Report,
    cancel: threading.Event,
) -> tuple[Capture, int]:  # fmt: skip
    """Return what heads are compared on: the capture itself, or a baseline of it."""
    if baseline is None:
        return capture, text
    progress(0, 0, f"{DOING[baseline]}…")
    return elsewhere(capture, baseline, text, cancel)


@dataclass(frozen=True, eq=False)
class TableRequest:
    """Write a table to a file, whole or not at all."""

    rows: Sequence[Sequence[object]]
    path: Path

    def __call__(self, progress: Report, cancel: threading.Event) -> Path:
        """Write it; returns the file."""
        from attnviz_gui.export.table import export_table

        progress(0, 0, f"Writing {self.path.name}…")
        return export_table(self.rows, self.path)
