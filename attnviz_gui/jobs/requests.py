"""The requests that the window makes: frozen records of all that they need, run in a worker.

torch is imported here, in the worker, when the first request runs; never when the window starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import threading

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.progress import Progress
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.geometry.fit import Fit
    from attnviz_gui.geometry.live import LiveHead
    from attnviz_gui.geometry.normalization import ShiftMode

Long = Literal["refuse", "first", "split"]

# The model of the last run: the next run on it starts at once. One, since models are large.
_shelf: dict[tuple[str, int], LoadedModel] = {}


@dataclass(frozen=True)
class RunRequest:
    """Run a model on a text.

    Attributes
    ----------
    text
        As the user typed it.
    source
        ``"bundled"``, a model folder, or a model that is loaded already.
    long
        What to do with a text that the model cannot read whole: see `record_text`.
    """

    text: str
    source: Any = "bundled"
    long: Long = "first"

    def __call__(self, progress: Progress, cancel: threading.Event) -> Capture:
        """Load the model unless it is at hand, and record it on the text."""
        from attnviz_gui.capture.recorder import record_text

        progress(0, 0)
        model = model_at_hand(self.source)
        return record_text(model, self.text, long=self.long, progress=progress, cancel=cancel)


@dataclass(frozen=True, eq=False)
class FitRequest:
    """Fit a and c for one head."""

    live: LiveHead
    objective: str
    mode: ShiftMode

    def __call__(self) -> Fit:
        """Search the best a and c."""
        from attnviz_gui.geometry.fit import fit

        return fit(self.live, self.objective, shift_mode=self.mode)


def model_at_hand(source: Any) -> LoadedModel:
    """Return the loaded model of a source, from the shelf if its files have not changed."""
    from attnviz_gui.capture.models import LoadedModel, load_model

    if isinstance(source, LoadedModel):
        return source

    key = (source, _changed(source))
    if key not in _shelf:
        model = load_model(source)
        _shelf.clear()
        _shelf[key] = model
    return _shelf[key]


def _changed(source: str) -> int:
    """Newest modification among a folder's files, so that a model trained anew is read anew."""
    folder = Path(source)
    if source == "bundled" or not folder.is_dir():
        return 0
    return max((f.stat().st_mtime_ns for f in folder.iterdir() if f.is_file()), default=0)
