"""The requests that the window makes: frozen records of all that they need, run in a worker.

torch is imported here, in the worker, when the first request runs; never when the window starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    import threading

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.progress import Report
    from attnviz_gui.capture.record import Capture

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
        ``"bundled"``, a model folder, the id of a model in the hub's cache, a model that is loaded
        already, or a module.
    long
        What to do with a text that the model cannot read whole: see `record_text`.
    download
        Whether a model that is not on this machine may be fetched from the hub.
    """

    text: str
    source: Any = "bundled"
    long: Long = "first"
    download: bool = False

    def __call__(self, progress: Report, cancel: threading.Event) -> Capture:
        """Load the model unless it is at hand, and record it on the text."""
        progress(0, 0)
        if self.download:
            _fetch(self.source, progress, cancel)
        model = model_at_hand(self.source, progress, cancel)
        if model.tokenizer is None:
            if getattr(model.module, "main_input_name", "") == "pixel_values":
                raise InputError(
                    f"{model.name} reads pictures, not texts: drop a picture and the model's "
                    "folder on the window together."
                )
            raise InputError(
                f"{model.name} has no tokenizer, so it takes tensors in place of a text. Record it "
                "in Python: attnviz_gui.show(attnviz_gui.capture(module, tensors))"
            )
        from attnviz_gui.capture.recorder import record_text

        progress(0, 0)
        return record_text(model, self.text, long=self.long, progress=progress, cancel=cancel)


@dataclass(frozen=True)
class OpenRequest:
    """Read a capture from a file."""

    path: Path

    def __call__(self, progress: Report, cancel: threading.Event) -> Capture:
        """Read it whole."""
        from attnviz_gui.session.store import open_capture

        progress(0, 0, f"Opening {self.path.name}…")
        return open_capture(self.path)


@dataclass(frozen=True, eq=False)
class SaveRequest:
    """Write a capture to a file, whole or not at all."""

    capture: Capture
    path: Path

    def __call__(self, progress: Report, cancel: threading.Event) -> Path:
        """Write it; returns the file."""
        progress(0, 0, f"Saving {self.path.name}…")
        self.capture.save(self.path)
        return self.path


@dataclass(frozen=True)
class ModelsRequest:
    """Look which models of the hub are on this machine."""

    def __call__(self, progress: Report, cancel: threading.Event) -> list[str]:
        """Return their ids; touches no network."""
        from attnviz_gui.capture.hub import models_on_disk

        return models_on_disk()


def model_at_hand(
    source: Any, progress: Report | None = None, cancel: threading.Event | None = None
) -> LoadedModel:
    """Return the loaded model of a source, from the shelf if its files have not changed.

    Never fetches one: a model of the hub has to be on this machine.
    """
    folder = _folder(source) if isinstance(source, str) and source != "bundled" else None
    from attnviz_gui.capture.models import LoadedModel, load_model

    if isinstance(source, LoadedModel):
        return source
    if not isinstance(source, str):
        return load_model(source)
    key = (source, _changed(folder))
    if key not in _shelf:
        model = load_model(source, progress=progress, cancel=cancel)
        _shelf.clear()
        _shelf[key] = model
    return _shelf[key]


def _fetch(repository: str, progress: Report, cancel: threading.Event) -> None:
    """Download a model unless it is on this machine, with its tokenizer."""
    from attnviz_gui.capture.hub import download, snapshot

    folder = snapshot(repository)
    if folder is None or not _has_tokenizer(folder):
        download(repository, progress=progress, cancel=cancel)


def _has_tokenizer(folder: Path) -> bool:
    from attnviz_gui.capture.folder import has_tokenizer

    return has_tokenizer(folder)


def _folder(source: str) -> Path:
    """Return a model's folder; raises InputError for one of the hub that is not here."""
    from attnviz_gui.capture.hub import is_hub_id, snapshot

    if Path(source).exists() or not is_hub_id(source):
        return Path(source)
    folder = snapshot(source)
    if folder is None:
        raise InputError(
            f"{source} is not on this machine any more; choose Download from the Hugging Face hub "
            "in the list of models to fetch it again."
        )
    return folder


def _changed(folder: Path | None) -> int:
    """Newest modification among a folder's files, so that a model trained anew is read anew."""
    if folder is None or not folder.is_dir():
        return 0
    return max((f.stat().st_mtime_ns for f in folder.iterdir() if f.is_file()), default=0)
