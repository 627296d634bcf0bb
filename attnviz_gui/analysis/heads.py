"""The measures of every head of a capture, as one table. One head's attention at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.analysis.measures import BY_NAME, MEASURES, Weights
from attnviz_gui.analysis.tokens import tokens_of
from attnviz_gui.errors import InputError
from attnviz_gui.geometry.stopping import stop_where

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture

    Float64 = npt.NDArray[np.float64]
    Place = tuple[int, int]  # layer, head
    Tell = Callable[[int, int], object]

ALL_TEXTS = -1


@dataclass(frozen=True, eq=False)
class HeadMeasures:
    """Numbers of all heads of a capture.

    Attributes
    ----------
    capture : Capture
    text : int
        Index of the text, or `ALL_TEXTS`: then each number is the mean over the texts on which it
        is defined.
    with_special : bool
        False: special tokens count neither as queries nor as keys.
    names : tuple of str
        Of the columns: names of measures.
    heads : tuple of (layer, head)
        Of the rows: every head, layer by layer.
    values : (n_heads, n_names) float64
        NaN where undefined.
    reasons : dict of str
        By (layer, head, name), why a number is undefined.
    baselines : dict of HeadMeasures
        The same heads elsewhere: ``shuffled`` (the text's tokens in another order) and ``random``
        (the same architecture with random weights), where they were asked for.
    """

    capture: Capture
    text: int
    with_special: bool
    names: tuple[str, ...]
    heads: tuple[Place, ...]
    values: Float64
    reasons: Mapping[tuple[int, int, str], str] = field(default_factory=dict)
    baselines: Mapping[str, HeadMeasures] = field(default_factory=dict)

    def column(self, name: str) -> Float64:
        """Return one measure of all heads, (n_heads,) in the order of `heads`.

        Raises
        ------
        InputError
            When it was not measured.
        """
        if name not in self.names:
            raise InputError(f"{name} was not measured; there are {', '.join(self.names)}.")
        column: Float64 = self.values[:, self.names.index(name)]
        return column

    def of(self, layer: int, head: int, name: str) -> float:
        """Return one number; NaN where it is undefined."""
        return float(self.column(name)[self.heads.index((layer, head))])

    def reason(self, layer: int, head: int, name: str) -> str:
        """Return why a number is undefined; empty where it is not."""
        return self.reasons.get((layer, head, name), "")

    def beside(self, name: str, baseline: HeadMeasures) -> HeadMeasures:
        """Return the same with a baseline beside it."""
        return replace(self, baselines={**self.baselines, name: baseline})

    def without(self, prefix: str) -> HeadMeasures:
        """Return the same without the columns whose names begin so."""
        kept = [i for i, name in enumerate(self.names) if not name.startswith(prefix)]
        reasons = {k: v for k, v in self.reasons.items() if not k[2].startswith(prefix)}
        names = tuple(self.names[i] for i in kept)
        return replace(self, names=names, values=self.values[:, kept], reasons=reasons)

    def extended(self, other: HeadMeasures) -> HeadMeasures:
        """Return the same with another table's columns, which replace those of the same name."""
        kept = [i for i, name in enumerate(self.names) if name not in other.names]
        reasons = {k: v for k, v in self.reasons.items() if k[2] not in other.names}
        return replace(
            self,
            names=(*(self.names[i] for i in kept), *other.names),
            values=np.concatenate([self.values[:, kept], other.values], axis=1),
            reasons={**reasons, **other.reasons},
        )


def heads_of(capture: Capture) -> tuple[Place, ...]:
    """Return every head of a capture, layer by layer."""
    return tuple((i, h) for i, layer in enumerate(capture.layers) for h in range(layer.n_heads))


def measure_heads(
    capture: Capture,
    text: int = ALL_TEXTS,
    *,
    with_special: bool = True,
    names: Sequence[str] | None = None,
    progress: Tell | None = None,
    cancel: Any = None,
) -> HeadMeasures:
    """Measure every head.

    Cost: O(T²) for each head, text and measure; memory of one head's attention and the distances
    of its tokens, about 16 T² bytes.

    Parameters
    ----------
    text
        Index of the text; `ALL_TEXTS`: the mean over all texts on which a number is defined.
    with_special
        False: special tokens are left out as queries and as keys, and each row is divided by what
        is left.
    names
        Of `MEASURES`; all by default.
    progress, cancel
        Told after every head how many are done; a `threading.Event`, or a function that says
        whether to stop.

    Raises
    ------
    InputError
        When there is no such measure or text.
    Cancelled
        When `cancel` is set.
    """
    wanted = tuple(BY_NAME) if names is None else tuple(names)
    unknown = [name for name in wanted if name not in BY_NAME]
    if unknown:
        raise InputError(
            f"There is no measure {unknown[0]}; there are {', '.join(m.name for m in MEASURES)}."
        )
    texts = range(len(capture.texts)) if text == ALL_TEXTS else range(text, text + 1)
    if not 0 <= texts[0] <= texts[-1] < len(capture.texts):
        raise InputError(f"There is no text {text}; there are {len(capture.texts)}, from 0.")
    return table(
        capture, text, with_special, wanted, texts, _measure(wanted, with_special), progress, cancel
    )


def table(
    capture: Capture,
    text: int,
    with_special: bool,
    names: tuple[str, ...],
    texts: Sequence[int],
    measure: Callable[[Capture, int, int, int], Sequence[tuple[float, str]]],
    progress: Tell | None,
    cancel: Any,
) -> HeadMeasures:
    """Return a table of what `measure(capture, layer, head, text)` says, in the order of `names`.

    Where there are several texts, the mean over those on which a number is defined.
    """
    stop = stop_where(cancel)
    heads = heads_of(capture)
    row_of = {place: row for row, place in enumerate(heads)}
    sums = np.zeros((len(heads), len(names)))
    counts = np.zeros_like(sums)
    reasons: dict[tuple[int, int, str], str] = {}
    done = 0
    # Text by text and layer by layer: what is the same for a layer's heads is made once.
    for t in texts:
        for layer, of in enumerate(capture.layers):
            for head in range(of.n_heads):
                stop()
                row = row_of[layer, head]
                for i, (value, reason) in enumerate(measure(capture, layer, head, t)):
                    if math.isnan(value):
                        reasons[layer, head, names[i]] = reason
                    else:
                        sums[row, i] += value
                        counts[row, i] += 1
                done += 1
                if progress is not None:
                    progress(done, len(heads) * len(texts))
    values = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    undefined = {
        key: reason
        for key, reason in reasons.items()
        if not counts[row_of[key[:2]], names.index(key[2])]
    }
    return HeadMeasures(capture, text, with_special, names, heads, values, undefined)


def _measure(
    names: tuple[str, ...], with_special: bool
) -> Callable[[Capture, int, int, int], Sequence[tuple[float, str]]]:
    last: list[Any] = [None, None]  # the layer's tokens, which its heads share

    def measure(capture: Capture, layer: int, head: int, text: int) -> Sequence[tuple[float, str]]:
        record = capture.records[text][layer]
        key = (
            text, capture.layers[layer].kind, record.query_tokens, record.key_tokens,
            record.query.shape[1], record.key.shape[1],
        )  # fmt: skip
        if last[0] != key:
            last[:] = key, tokens_of(capture, layer, text, with_special=with_special)
        found = capture.head(layer, head, text)
        weights = Weights(found.attention, found.mask, last[1])
        return [_value(name, weights) for name in names]

    return measure


def _value(name: str, weights: Weights) -> tuple[float, str]:
    compute = BY_NAME[name].compute
    assert compute is not None
    return compute(weights)


def mean_of(capture: Capture, text: int, tables: Sequence[HeadMeasures]) -> HeadMeasures:
    """Return the mean of tables of the same heads, over those in which a number is defined.

    Raises
    ------
    InputError
        When they are of other heads than the capture's: a model that was built anew may have
        others.
    """
    heads = heads_of(capture)
    if not tables or any(each.heads != heads for each in tables):
        raise InputError("The model's heads are others there, so nothing can stand beside them.")
    values = np.stack([each.values for each in tables])
    counts = np.isfinite(values).sum(axis=0)
    sums = np.nansum(values, axis=0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    reasons = {
        key: reason
        for each in tables
        for key, reason in each.reasons.items()
        if not counts[heads.index(key[:2]), each.names.index(key[2])]
    }
    first = tables[0]
    return HeadMeasures(capture, text, first.with_special, first.names, heads, means, reasons)
