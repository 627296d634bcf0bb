"""Measures of all heads, their baselines, and which heads are alike: requests run in a worker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from attnviz_gui.analysis.catalogue import KEPT, PICTURE, REPEATED
from attnviz_gui.analysis.heads import ALL_TEXTS, HeadMeasures, mean_of, measure_heads, table
from attnviz_gui.analysis.likeness import Clusters, clusters_of, divergences, like

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from attnviz_gui.capture.models import LoadedModel
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
    """Measure every head where there is nothing to find; needs the model, so in its worker.

    Attributes
    ----------
    parts
        What is measured there: ``attention``, ``pictures``, ``repeated``.
    objective, rotary
        Of the pictures.
    """

    capture: Capture
    which: Baseline
    text: int = ALL_TEXTS
    with_special: bool = True
    parts: tuple[str, ...] = ("attention",)
    objective: str = "cosine"
    rotary: bool = True

    def __call__(self, progress: Report, cancel: threading.Event) -> HeadMeasures:
        """Run the model (or one with random weights) once more on every text that counts."""
        from attnviz_gui.capture.baselines import model_of, random_twin

        progress(0, 0, f"{self._words}…")
        model_of(self.capture)  # says so where there is none
        found: HeadMeasures | None = None
        if "attention" in self.parts or "pictures" in self.parts:
            found = self._of_texts(progress, cancel)
        if "repeated" in self.parts:
            model = model_of(self.capture)
            if self.which == "random":
                model = random_twin(model, cancel=cancel)
            repeated = RepeatedRequest(self.capture, self.text, self.with_special)
            column = repeated.on(model, shuffle=self.which == "shuffled", cancel=cancel)
            found = column if found is None else found.extended(column)
        assert found is not None, "no part"
        return found

    @property
    def _words(self) -> str:
        return {"shuffled": "Shuffling tokens", "random": "Trying random weights"}[self.which]

    def _of_texts(self, progress: Report, cancel: threading.Event) -> HeadMeasures:
        from attnviz_gui.capture.baselines import random_weights, shuffled

        n = len(self.capture.texts)
        texts: Sequence[int] = range(n) if self.text == ALL_TEXTS else [self.text]
        way = shuffled if self.which == "shuffled" else random_weights
        tables = []
        for some, found in way(self.capture, texts, cancel=cancel):
            for nth, text in enumerate(some):
                if text not in texts:
                    continue  # tensors are run as they came, all rows together
                tables.append(self._measure(found, nth, cancel))
                done = len(tables)
                progress(done, len(texts), f"{self._words}: text {done:,} of {len(texts):,}")
        return mean_of(self.capture, self.text, tables)

    def _measure(self, found: Capture, text: int, cancel: threading.Event) -> HeadMeasures:
        names = None if "attention" in self.parts else ()
        table = measure_heads(
            found, text, with_special=self.with_special, names=names, cancel=cancel
        )
        if "pictures" in self.parts:
            pictures = PictureRequest(found, text, self.with_special, self.objective, self.rotary)
            table = table.extended(pictures(lambda *_: None, cancel))
        return table


@dataclass(frozen=True, eq=False)
class RepeatedRequest:
    """Measure induction on a repeated random sequence; needs the model, so in its worker."""

    capture: Capture
    text: int = ALL_TEXTS
    with_special: bool = True

    def __call__(self, progress: Report, cancel: threading.Event) -> HeadMeasures:
        """Run the model on the sequence."""
        from attnviz_gui.capture.baselines import model_of

        progress(0, 0, "Reading a repeated random sequence…")
        return self.on(model_of(self.capture), cancel=cancel)

    def on(
        self, model: LoadedModel, *, shuffle: bool = False, cancel: threading.Event | None = None
    ) -> HeadMeasures:
        """Return the column of a model of these heads, on the sequence or on it shuffled."""
        from attnviz_gui.capture.baselines import repeated

        found = repeated(model, shuffle=shuffle, cancel=cancel)
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
