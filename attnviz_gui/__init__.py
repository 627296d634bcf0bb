"""AttnViz: look inside a transformer's attention.

The public calls, each imported where it is first used, so that importing the package is instant:
torch, transformers and Qt stay out until something needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnviz_gui.capture.models import load_model
    from attnviz_gui.capture.record import Capture, Head, Layer
    from attnviz_gui.capture.recorder import record as capture
    from attnviz_gui.errors import InputError
    from attnviz_gui.geometry.correlation import correlate
    from attnviz_gui.geometry.fit import Fit, fit
    from attnviz_gui.geometry.normalization import Normalization
    from attnviz_gui.geometry.projection import Projection, project
    from attnviz_gui.session.store import open_capture
    from attnviz_gui.ui.application import show

__version__ = "0.1.0"

_HOME = {
    "Capture": "attnviz_gui.capture.record",
    "Fit": "attnviz_gui.geometry.fit",
    "Head": "attnviz_gui.capture.record",
    "InputError": "attnviz_gui.errors",
    "Layer": "attnviz_gui.capture.record",
    "Normalization": "attnviz_gui.geometry.normalization",
    "Projection": "attnviz_gui.geometry.projection",
    "capture": "attnviz_gui.capture",
    "correlate": "attnviz_gui.geometry.correlation",
    "fit": "attnviz_gui.geometry.fit",
    "load_model": "attnviz_gui.capture.models",
    "open_capture": "attnviz_gui.session.store",
    "project": "attnviz_gui.geometry.projection",
    "show": "attnviz_gui.ui.application",
}

__all__ = [
    "Capture",
    "Fit",
    "Head",
    "InputError",
    "Layer",
    "Normalization",
    "Projection",
    "__version__",
    "capture",
    "correlate",
    "fit",
    "load_model",
    "open_capture",
    "project",
    "show",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(home)
    # The folder `capture` is itself the call of that name.
    value = module if name == "capture" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
