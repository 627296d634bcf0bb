"""Run an image model on a picture: a request with all that it needs, run in a worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attnviz_gui.jobs.requests import model_at_hand

if TYPE_CHECKING:
    import threading

    import numpy as np
    import numpy.typing as npt

    from attnviz_gui.capture.progress import Report
    from attnviz_gui.capture.record import Capture


@dataclass(frozen=True, eq=False)
class ImageRequest:
    """Run a model on a picture.

    Attributes
    ----------
    pixels : (height, width, 3) uint8
    name
        What to call the picture.
    source
        The model: a folder, the id of a model in the hub's cache, a loaded model, or a module.
    """

    pixels: npt.NDArray[np.uint8] = field(repr=False)
    name: str
    source: Any

    def __call__(self, progress: Report, cancel: threading.Event) -> Capture:
        """Load the model unless it is at hand, and record it on the picture."""
        progress(0, 0)
        model = model_at_hand(self.source, progress, cancel)
        from attnviz_gui.capture.images import record_image

        progress(0, 0)
        return record_image(model, self.pixels, self.name, progress=progress, cancel=cancel)
