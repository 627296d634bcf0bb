"""What the picture keeps of the attention, in words: the measures before → after, and the answer.

What each measure is, is the geometry's; here it is written for a table. Computed in a worker, so
it touches no widget; never imports Qt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.correlation import objective_named
from attnviz_gui.geometry.honesty import Closer, Verdict, compare, measure
from attnviz_gui.session.words import normalisation_in_words, number

if TYPE_CHECKING:
    from attnviz_gui.geometry.honesty import Change, Measures
    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.session.document import Sliders
    from attnviz_gui.session.picture import Picture

# Shares, written in percent.
_SHARES = ("variance", "nearest", "among_nearest", "nearest_drawn", "among_nearest_drawn")


@dataclass(frozen=True)
class Row:
    """One measure as a table has it.

    Attributes
    ----------
    name : str
    before, after : str
        A dash where undefined.
    verdict : str
        ``better``, ``worse``, ``same`` (also where both are written alike); empty where undefined.
    tip : str
        Its definition, which way is better, its source; and why it is undefined.
    """

    name: str
    before: str
    after: str
    verdict: Verdict
    tip: str


@dataclass(frozen=True, eq=False)
class Measured:
    """All measures of a picture under one position of the sliders.

    Attributes
    ----------
    picture : Picture
    before, after : Measures
    rows : tuple of Row
    answer : Closer
        Of this head.
    collapse : str
        A sentence that names it; empty where the points keep their spread.
    about : str
        Which head, and under which a and c.
    """

    picture: Picture
    before: Measures
    after: Measures
    rows: tuple[Row, ...]
    answer: Closer
    collapse: str
    about: str


def measured(
    picture: Picture, frame: Frame, objective: str, sliders: Sliders, known: Measured | None = None
) -> Measured:
    """Return all measures of a picture, before → under the sliders.

    Parameters
    ----------
    known
        An earlier answer: what it says about the picture before is not computed anew.
    """
    if known is not None and (known.picture, known.before.objective_name) == (picture, objective):
        before = known.before
    else:
        before = measure(picture.before, objective)
    after = before if frame is picture.before else measure(frame, objective)
    return Measured(
        picture,
        before,
        after,
        tuple(_row(change, objective) for change in compare(before, after)),
        Closer(
            np.array([before.line_length]),
            np.array([after.line_length]),
            np.array([before.weighted_length]),
            np.array([after.weighted_length]),
        ),
        collapse_in_words(after),
        f"{picture.title}, {normalisation_in_words(sliders)}",
    )


def collapse_in_words(measures: Measures) -> str:
    """Name a collapse; empty where there is none."""
    if not measures.collapsed:
        return ""
    return (
        f"Collapse: the points spread over {number(measures.collapse, 2)} times as many directions "
        "as the model's own vectors, so that a high value says little here."
    )


def answer_in_words(answer: Closer) -> str:
    """Return ``yes: 0.92 → 0.81``; for several heads also in how many of them."""
    verdict = seen(*answer.mean, answer.verdict)
    if not verdict:
        return "undefined: no two points lie apart"
    word = {"better": "yes", "worse": "no", "same": "no change"}[verdict]
    words = tuple(number(value) for value in answer.mean)
    line = f"{word}: {' → '.join(dict.fromkeys(words))}"
    if len(answer.before) > 1:
        line += f" ({answer.n_closer} of {answer.n_heads} heads)"
    return line


def seen(before: float, after: float, verdict: Verdict) -> Verdict:
    """Return a verdict as it is shown: what is written alike is the same."""
    return "same" if verdict and number(before) == number(after) else verdict


def _row(change: Change, objective: str) -> Row:
    of = change.measure
    chosen = of.name == "objective"
    tip = [f"{of.title[:1].upper()}{of.title[1:]}", of.sentence]
    source = of.source
    if chosen:
        named = objective_named(objective)
        tip.append(f"{objective} rewards {named.rewards}.")
        source = named.source
    tip.append(f"{of.better.capitalize()} is better. Source: {source}.")
    if change.reason:
        tip.append(f"Undefined: {change.reason}.")
    return Row(
        f"objective: {objective}" if chosen else of.title,
        _written(of.name, change.before),
        _written(of.name, change.after),
        seen(change.before, change.after, change.verdict),
        "\n".join(tip),
    )


def _written(name: str, value: float) -> str:
    if math.isnan(value):
        return "—"
    return f"{number(100 * value)} %" if name in _SHARES else number(value)
