"""What fits have found, as columns beside the measures of all heads."""

from __future__ import annotations

import numpy as np

from attnviz_gui.analysis.heads import HeadMeasures, heads_of
from attnviz_gui.session.fits import Basis, Fits, HeadFit

Fitted = tuple[Basis, HeadFit]  # of which vectors, and what was found


def fitted(
    measures: HeadMeasures, fits: Fits, *, rotary: bool = True, asked: Fits | None = None
) -> HeadMeasures:
    """Return the measures with the a and c of each head's newest fit on the same vectors.

    Parameters
    ----------
    asked
        Where `fits` were made elsewhere, those here: only what was asked for in the same way can
        stand beside them.
    """
    capture = measures.capture
    basis = Basis(measures.text, measures.with_special, rotary)
    heads = heads_of(capture)
    values = np.full((len(heads), 2), np.nan)
    reasons = {}
    for row, (layer, head) in enumerate(heads):
        kept = fits.with_basis(basis, layer, head)
        if asked is not None and not _alike(kept, asked.with_basis(basis, layer, head)):
            kept = None
        if kept is not None and kept[1].found:
            values[row] = kept[1].t, kept[1].scale
            continue
        why = "it has not been fitted yet" if kept is None else kept[1].reason
        reasons[layer, head, "fit_a"] = reasons[layer, head, "fit_c"] = why
    return measures.extended(
        HeadMeasures(
            capture, measures.text, measures.with_special, ("fit_a", "fit_c"), heads, values,
            reasons,
        )
    )  # fmt: skip


def unfitted(
    measures: HeadMeasures, fits: Fits, there: Fits, *, rotary: bool = True
) -> list[Fitted]:
    """Return the fits here, and of which vectors they are, that none there stands beside.

    What could not be fitted here is not fitted there.
    """
    basis = Basis(measures.text, measures.with_special, rotary)
    kept = [fits.with_basis(basis, *place) for place in heads_of(measures.capture)]
    return [
        own for own in kept
        if own is not None and own[1].found
        and not _alike(there.with_basis(basis, own[1].layer, own[1].head), own)
    ]  # fmt: skip


def _alike(one: Fitted | None, other: Fitted | None) -> bool:
    """Whether both are there, of the same heads and texts, and were asked for in the same way."""
    if one is None or other is None:
        return False
    return one[0] == other[0] and one[1].answers(other[1])
