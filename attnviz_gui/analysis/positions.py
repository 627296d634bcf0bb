"""Mean attention by position: how much place i attends to place j, over many texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.geometry.stopping import stop_where

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture

    BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PositionMeans:
    """A head's attention averaged over texts.

    Attributes
    ----------
    mean : (P_q, P_k) float64
        From the query at place i to the key at place j; 0 where no text has such a pair.
    count : (P_q, P_k) int64
        Texts that have the pair.
    n_texts : int
    """

    mean: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]
    n_texts: int


def mean_by_position(
    capture: Capture,
    layer: int,
    head: int,
    *,
    with_special: bool = True,
    progress: Callable[[int, int], object] | None = None,
    cancel: Any = None,
) -> PositionMeans:
    """Return the mean over all texts of a head's attention by position pair.

    Positions are counted from 0 in the whole text, also where special tokens are left out. Only
    pairs that the mask allows count: under a causal mask no text has a key after its query. One
    text's attention is computed, added and dropped.

    Parameters
    ----------
    with_special
        Whether tokens that the tokenizer added take part; the attention of the others is the same.
    progress, cancel
        Told of each text that is done; asked before each.

    Raises
    ------
    Cancelled
        When `cancel` is set.
    """
    stop = stop_where(cancel)
    n_texts = len(capture.texts)
    of_layer = [records[layer] for records in capture.records]
    shape = max(r.query.shape[1] for r in of_layer), max(r.key.shape[1] for r in of_layer)
    total, count = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    for text in range(n_texts):
        stop()
        one = capture.head(layer, head, text)
        seen = one.mask
        if not with_special:
            rows, columns = _own(capture, layer, text, *seen.shape)
            seen = seen & rows[:, None] & columns
        n_queries, n_keys = seen.shape
        total[:n_queries, :n_keys] += np.where(seen, one.attention, 0)
        count[:n_queries, :n_keys] += seen
        if progress is not None:
            progress(text + 1, n_texts)
    total /= np.maximum(count, 1)
    return PositionMeans(total, count, n_texts)


def _own(
    capture: Capture, layer: int, text: int, n_queries: int, n_keys: int
) -> tuple[BoolArray, BoolArray]:
    """Return which queries and keys the tokenizer did not add; names that are no tokens stay."""
    special = capture.special[text]
    sides = []
    for n, names in (
        (n_queries, capture.query_tokens(layer, text)),
        (n_keys, capture.key_tokens(layer, text)),
    ):
        own = np.ones(n, dtype=bool)
        if len(special) == n and list(names) == capture.tokens[text]:
            own = ~special
        sides.append(own)
    return sides[0], sides[1]
