"""What fits have found, as columns beside the measures of all heads."""

from __future__ import annotations

import numpy as np

from attnviz_gui.analysis.heads import HeadMeasures, heads_of
from attnviz_gui.session.fits import Basis, Fits


def fitted(measures: HeadMeasures, fits: Fits, *, rotary: bool = True) -> HeadMeasures:
    """Return the measures with the a and c of each head's newest fit on the same vectors."""
    capture = measures.capture
    basis = Basis(measures.text, measures.with_special, rotary)
    heads = heads_of(capture)
    values = np.full((len(heads), 2), np.nan)
    reasons = {}
    for row, (layer, head) in enumerate(heads):
        kept = fits.of(basis, layer, head)
        if kept is not None and kept.found:
            values[row] = kept.t, kept.scale
            continue
        why = kept.reason if kept is not None else "it has not been fitted yet"
        reasons[layer, head, "fit_a"] = reasons[layer, head, "fit_c"] = why
    return measures.extended(
        HeadMeasures(
            capture, measures.text, measures.with_special, ("fit_a", "fit_c"), heads, values,
            reasons,
        )
    )  # fmt: skip
