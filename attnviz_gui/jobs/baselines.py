"""Measures and fits of all heads where there is nothing to find.

Requests that run the model once more, and so in its worker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from attnviz_gui.analysis.catalogue import REPEATED
from attnviz_gui.analysis.heads import ALL_TEXTS, HeadMeasures, mean_of, measure_heads
from attnviz_gui.jobs.elsewhere import DOING, Baseline, captures, elsewhere
from attnviz_gui.jobs.measuring import PictureRequest

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.progress import Report
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.session.fits import Basis, HeadFit
    from attnviz_gui.session.head_measures import Fitted


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

        progress(0, 0, f"{DOING[self.which]}…")
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

    def _of_texts(self, progress: Report, cancel: threading.Event) -> HeadMeasures:
        n = len(self.capture.texts)
        texts: Sequence[int] = range(n) if self.text == ALL_TEXTS else [self.text]
        tables = []
        for some, found in captures(self.capture, self.which, texts, cancel=cancel):
            for nth, text in enumerate(some):
                if text not in texts:
                    continue  # tensors are run as they came, all rows together
                tables.append(self._measure(found, nth, cancel))
                done = len(tables)
                words = f"{DOING[self.which]}: text {done:,} of {len(texts):,}"
                progress(done, len(texts), words)
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
class BaselineFitsRequest:
    """Fit a and c where there is nothing to find, as they were fitted here.

    Attributes
    ----------
    fits
        What was found here, and on which vectors: each head is fitted there by the same objective,
        in the same mode and over ranges as many times as wide, with the same heads as one.
    """

    capture: Capture
    which: Baseline
    fits: Sequence[Fitted]

    def __call__(self, progress: Report, cancel: threading.Event) -> list[Fitted]:
        """Return the fits of the same heads there, for the same texts."""
        progress(0, 0, f"{DOING[self.which]}…")
        found: list[Fitted] = []
        for basis in dict.fromkeys(basis for basis, _ in self.fits):
            capture, text = elsewhere(self.capture, self.which, basis.text, cancel)
            own = [fit for of, fit in self.fits if of == basis]
            there = self._fit(capture, replace(basis, text=text), own, progress, cancel)
            found += [(basis, fit) for fit in there]
        return found

    def _fit(
        self, capture: Capture, basis: Basis, fits: Sequence[HeadFit], progress: Report,
        cancel: threading.Event,
    ) -> list[HeadFit]:  # fmt: skip
        from attnviz_gui.jobs.fitting import FitRequest

        found = []
        for asked in dict.fromkeys(fit.asked for fit in fits):
            alike = [fit for fit in fits if fit.asked == asked]
            groups = list(dict.fromkeys(fit.heads for fit in alike))
            objective, mode, *factors = asked
            request = FitRequest(capture, basis, groups, objective, mode, *factors)
            wanted = {(fit.layer, fit.head, fit.heads) for fit in alike}
            found += [
                fit for fit in request(self._said(progress), cancel)
                if (fit.layer, fit.head, fit.heads) in wanted
            ]  # fmt: skip
        return found

    def _said(self, progress: Report) -> Report:
        return lambda done, of, words="": progress(done, of, f"{DOING[self.which]}: {words}")
