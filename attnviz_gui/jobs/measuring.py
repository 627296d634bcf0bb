"""Measures of all heads, their baselines, and which heads are alike: requests run in a worker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from attnviz_gui.analysis.catalogue import KEPT, PICTURE, REPEATED
from attnviz_gui.analysis.heads import ALL_TEXTS, HeadMeasures, mean_of, measure_heads, table
from attnviz_gui.analysis.likeness import Clusters, clusters_of, divergences, like
from attnviz_gui.analysis.measures import BY_NAME

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from attnviz_gui.capture.progress import Report
    from attnviz_gui.capture.record import Capture

    Float64 = npt.NDArray[np.float64]
    Place = tuple[int, int]

Baseline = Literal["shuffled", "random"]


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
class BaselineRequest:
    """Measure every head where there is nothing to find; needs the model, so in its worker."""

    capture: Capture
    which: Baseline
    text: int = ALL_TEXTS
    with_special: bool = True

    def __call__(self, progress: Report, cancel: threading.Event) -> HeadMeasures:
        """Run the model (or one with random weights) once more on every text that counts."""
        from attnviz_gui.capture.baselines import random_weights, shuffled

        words = {"shuffled": "Shuffling tokens", "random": "Trying random weights"}[self.which]
        n = len(self.capture.texts)
        texts: Sequence[int] = range(n) if self.text == ALL_TEXTS else [self.text]
        progress(0, 0, f"{words}…")
        way = shuffled if self.which == "shuffled" else random_weights
        tables = []
        for some, found in way(self.capture, texts, cancel=cancel):
            for nth, text in enumerate(some):
                if text not in texts:
                    continue  # tensors are run as they came, all rows together
                tables.append(
                    measure_heads(found, nth, with_special=self.with_special, cancel=cancel)
                )
                done = len(tables)
                progress(done, len(texts), f"{words}: text {done:,} of {len(texts):,}")
        return mean_of(self.capture, self.text, tables)


@dataclass(frozen=True, eq=False)
class RepeatedRequest:
    """Measure induction on a repeated random sequence; needs the model, so in its worker."""

    capture: Capture
    text: int = ALL_TEXTS
    with_special: bool = True

    def __call__(self, progress: Report, cancel: threading.Event) -> HeadMeasures:
        """Run the model on the sequence."""
        from attnviz_gui.capture.baselines import model_of, repeated

        progress(0, 0, "Reading a repeated random sequence…")
        found = repeated(model_of(self.capture), cancel=cancel)
        own = measure_heads(
            found, 0, with_special=self.with_special, names=["induction"], cancel=cancel
        )
        here = mean_of(self.capture, self.text, [own])
        reasons = {(i, h, REPEATED.name): why for (i, h, _), why in here.reasons.items()}
        return replace(here, names=(REPEATED.name,), reasons=reasons)


@dataclass(frozen=True, eq=False)
class Likeness:
    """How far every head is from one.

    Attributes
    ----------
    of : (layer, head)
    text : int
    distances : (n_heads,)
    """

    of: Place
    text: int
    distances: Float64


@dataclass(frozen=True, eq=False)
class LikeRequest:
    """Compare one head with all others on one text."""

    capture: Capture
    of: Place
    text: int = 0
    with_special: bool = True

    def __call__(self, progress: Report, cancel: threading.Event) -> Likeness:
        """Compare head by head."""
        distances = like(
            self.capture, *self.of, self.text, with_special=self.with_special, cancel=cancel,
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
    """

    capture: Capture
    n: int
    text: int = 0
    with_special: bool = True
    known: Float64 | None = field(default=None, repr=False)

    def __call__(self, progress: Report, cancel: threading.Event) -> tuple[Clusters, Float64]:
        """Return the groups, and the distances that they were made from."""
        distances = self.known
        if distances is None:
            distances = divergences(
                self.capture, self.text, with_special=self.with_special, cancel=cancel,
                progress=lambda done, of: progress(done, of, "Comparing all heads"),
            )  # fmt: skip
        found = clusters_of(
            self.capture, self.text, distances, self.n, with_special=self.with_special
        )
        return found, distances


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


ALL_MEASURES = tuple(BY_NAME)
