"""Every column that a table of heads may have: what it is, where it is from, which way is better.

Beside the measures of attention alone: induction on a repeated sequence, what the picture keeps of
the attention, and the fitted a and c. Nothing here computes one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attnviz_gui.analysis.measures import BY_NAME, Measure
from attnviz_gui.geometry.measures import MEASURES as HONESTY

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT = "kept_"  # what names of the picture's measures begin with

REPEATED = Measure(
    "induction_repeated",
    "repeated induction",
    "The same as induction, on a sequence of different random tokens that stands there twice: the "
    "text's meaning gives no hint there. Of the model, whatever the text.",
    "Olsson et al. 2022, In-context Learning and Induction Heads",
)

PICTURE: tuple[Measure, ...] = tuple(
    Measure(
        KEPT + each.name,
        "objective" if each.name == "objective" else each.title,
        f"{each.sentence} For the model's own queries and keys (a = 0, c = 1).",
        each.source,
        each.range,
        "",
        each.better,
    )
    for each in HONESTY
)

FITTED: tuple[Measure, ...] = (
    Measure(
        "fit_a",
        "fitted a",
        "The newest fit's position on the shift's slider: a itself where it is added to every "
        "coordinate, else the t of its mode. Of the heads that have been fitted.",
        "the article; see the table of fits",
        (-math.inf, math.inf),
    ),
    Measure(
        "fit_c",
        "fitted c",
        "The newest fit's scale c. Of the heads that have been fitted.",
        "the article; see the table of fits",
        (0.0, math.inf),
    ),
)

CLUSTER = Measure(
    "cluster",
    "cluster",
    "Heads whose rows are alike on the text on show by Jensen-Shannon divergence, in at most as "
    "many groups as chosen; average linkage.",
    "Clark et al. 2019, What Does BERT Look At?; Sokal and Michener 1958",
    (1.0, math.inf),
)

LIKENESS = Measure(
    "likeness",
    "divergence",
    "Jensen-Shannon divergence of the head's rows and those of the head that was asked about, mean "
    "over queries of the text on show: 0 where they are the same, 1 where they have nothing in "
    "common.",
    "Lin 1991; for heads, Clark et al. 2019",
    (0.0, 1.0),
    "bits",
)

CATALOGUE: Mapping[str, Measure] = {
    **BY_NAME,
    **{each.name: each for each in (REPEATED, *PICTURE, *FITTED, CLUSTER, LIKENESS)},
}

BASELINES: Mapping[str, str] = {
    "shuffled": "The same model on the text's tokens in random order (or a picture's patches), "
    "special ones in place; fixed seed.",
    "random": "The same architecture with random weights, on the same text; fixed seed.",
}
BASELINE_TITLES: Mapping[str, str] = {"shuffled": "shuffled", "random": "random weights"}


def tip(measure: Measure) -> str:
    """Return a measure in words: name, definition, range, source."""
    lines = [f"{measure.title[:1].upper()}{measure.title[1:]}", measure.definition]
    low, high = (_end(value) for value in measure.range)
    unit = f" {measure.unit}" if measure.unit else ""
    if low:
        lines.append(f"From {low} to {high}{unit}." if high else f"{low}{unit} or more.")
    if measure.better:
        lines.append(f"{measure.better.capitalize()} is better.")
    lines.append(f"Source: {measure.source}" + "." * (measure.source[-1] not in "?!."))
    return "\n".join(lines)


def _end(value: float) -> str:
    return f"{value:g}".replace("-", "−") if math.isfinite(value) else ""
