"""The search for the best shift and scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.geometry.correlation import correlate
from attnviz_gui.geometry.normalization import Normalization, ShiftMode, shift_vector

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found."""

    normalization: Normalization
    value: float
    curve: npt.NDArray[np.float64]
    shift_mode: ShiftMode
    t: float
    at_edge: bool


def fit(
    heads: Any,
    objective: str = "cosine",
    *,
    shift_mode: ShiftMode = "constant",
    candidates: npt.ArrayLike | None = None,
) -> Fit:
    """Search the best t (and c in mode locked)."""
    head = heads[0] if isinstance(heads, list) else heads
    q, k = np.asarray(head.query, float), np.asarray(head.key, float)
    r = np.abs(k).mean()
    default = {
        "constant": np.linspace(-r, r, 41),
        "centroid": np.linspace(0, 1, 41),
        "locked": np.geomspace(0.1, 10, 41),
    }
    ts = np.asarray(default[shift_mode] if candidates is None else candidates, float)
    norms = [
        Normalization(
            shift_vector(shift_mode, t, t, q.mean(0), k.mean(0)),
            t if shift_mode == "locked" else 1.0,
        )
        for t in ts
    ]
    values = [correlate(*n.apply(q, k), objective, head.mask) for n in norms]
    best = int(np.argmax(values))
    return Fit(
        norms[best],
        values[best],
        np.column_stack([ts, values]),
        shift_mode,
        float(ts[best]),
        best in (0, len(ts) - 1),
    )
