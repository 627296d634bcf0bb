"""Whether what is shown is what the model computed: the badge of a head, in words.

Knows no model: it is told the differences that a check has found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.session.words import number

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.session.picture import Picture

EXACT = 1e-5  # largest difference of an attention that still counts as the model's own

# Rounding of one number of about 1: half the distance to the next.
_ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}


@dataclass(frozen=True)
class Badge:
    """A word or two beside the head's name, and the whole sentence."""

    text: str
    tip: str


@dataclass(frozen=True, eq=False)
class Checked:
    """What a check of a capture found.

    Attributes
    ----------
    differences : list of lists of (H,) float32
        ``[text][layer]``: each head's largest difference from the model's own attention.
    precision
        In what the model computes: ``float32``, ``bfloat16`` ...
    """

    differences: list[list[npt.NDArray[np.float32]]]
    precision: str = "float32"


CHECKING = Badge(
    "checking…",
    "The attention recomputed from queries and keys is being compared with the attention that the\n"
    "model itself computes.",
)


def unchecked(why: str) -> Badge:
    """Return the badge of a capture that could not be checked."""
    return Badge("not verified", f"Not verified: {why}")


def badge_of(picture: Picture, checked: Checked) -> Badge:
    """Return the badge of the head on show."""
    mix = picture.mix
    places = ((picture.layer, picture.head),) if mix is None else mix.places
    of_text = checked.differences[picture.text]
    difference = max(float(of_text[layer][head]) for layer, head in places)
    size = "0" if difference == 0 else number(difference, 2)
    compared = (
        "Compared with the attention that the model itself computes, over all pairs of "
        f"{'this head' if mix is None else 'each of its heads'}:\n"
        f"the largest difference is {size}."
    )
    if difference <= EXACT:
        return Badge("exact", f"{compared} Up to 1e−5 it is rounding.")
    why = "Look at its heads one by one to see which it is, and why."
    if mix is None:
        why = _why(picture, checked.precision, difference)
    return Badge(f"off by {number(difference, 1)}", f"{compared}\n{why}")


def _why(picture: Picture, precision: str, difference: float) -> str:
    """Return what can be told about where a difference comes from."""
    rounding = _ROUNDING.get(precision, _ROUNDING["float32"])
    logits = picture.source.logits
    finite = logits[np.isfinite(logits)]
    largest = float(np.abs(finite).max(initial=0))
    # An error e of the logits changes a weight by up to e / 2 (e where both ends of a row move);
    # a sum of d products errs by a few roundings of its size.
    expected = rounding * max(8 * largest, 2)
    if precision in ("float16", "bfloat16") and difference <= expected:
        return (
            f"The model computes in {precision}, which rounds a number to {number(rounding, 1)} "
            "of its size;\nhere it is computed in float32 from the same queries and keys."
        )
    if difference <= expected:
        return (
            f"Its logits reach {number(largest)}, and {precision} rounds numbers of that size by "
            f"{number(rounding * largest, 1)}:\nthe order of the sums decides the last digits."
        )
    return (
        "Rounding does not explain it: the model does more with its logits than was recorded, or\n"
        "it has changed since. Read this head with care."
    )
