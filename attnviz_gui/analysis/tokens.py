"""Which queries and keys of an attention count, and which of their pairs a measure asks about.

The same for all heads of a layer, so made once. Holds no attention.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture

    BoolArray = npt.NDArray[np.bool_]
    IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs that a share of attention is summed over.

    Attributes
    ----------
    asked : (n_q,) bool
        Queries that have what is asked for: the first has no previous token.
    row, column : (n,) int
        Indices among the queries and keys that count.
    """

    asked: BoolArray
    row: IndexArray
    column: IndexArray


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of one attention on one text.

    Attributes
    ----------
    queries, keys : sequences of str, T_q and T_k long
    same : bool
        Queries and keys are the same tokens, so that position and identity can be compared.
    special_query, special_key : (T_q,), (T_k,) bool
    with_special : bool
        False: special tokens count neither as queries nor as keys.
    """

    queries: Sequence[str]
    keys: Sequence[str]
    same: bool
    special_query: BoolArray
    special_key: BoolArray
    with_special: bool = True
    _identity: IndexArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers: dict[str, int] = {}
        identity = [numbers.setdefault(token, len(numbers)) for token in self.keys]
        object.__setattr__(self, "_identity", np.array(identity, dtype=np.intp))

    @lazy
    def rows(self) -> IndexArray:
        """Where the queries that count stand in the text, (n_q,)."""
        return np.flatnonzero(~self.special_query | self.with_special)

    @lazy
    def columns(self) -> IndexArray:
        """Where the keys that count stand in the text, (n_k,)."""
        return np.flatnonzero(~self.special_key | self.with_special)

    @property
    def whole(self) -> bool:
        """True where every token counts."""
        return len(self.rows) == len(self.queries) and len(self.columns) == len(self.keys)

    @lazy
    def distances(self) -> npt.NDArray[np.float32]:
        """|i - j| of each query and key that counts, (n_q, n_k), in tokens of the text."""
        return np.abs(np.subtract.outer(self.rows, self.columns)).astype(np.float32)

    def beside(self, step: int) -> Pairs:
        """Return each query with the key `step` tokens after it, where that one counts."""
        column = np.full(len(self.keys), -1, dtype=np.intp)
        column[self.columns] = np.arange(len(self.columns))
        place = self.rows + step
        inside = (place >= 0) & (place < len(self.keys))
        found = np.where(inside, column[np.clip(place, 0, max(len(self.keys) - 1, 0))], -1)
        asked = found >= 0
        return Pairs(asked, np.flatnonzero(asked), found[asked])

    @lazy
    def itself(self) -> Pairs:
        """Each query with its own key."""
        return self.beside(0)

    @lazy
    def previous(self) -> Pairs:
        """Each query with the key before it."""
        return self.beside(-1)

    @lazy
    def next(self) -> Pairs:
        """Each query with the key after it."""
        return self.beside(1)

    @lazy
    def near(self) -> Pairs:
        """Each query with its own key and the keys beside it."""
        parts = self.previous, self.itself, self.next
        return Pairs(
            np.ones(len(self.rows), dtype=np.bool_),
            np.concatenate([part.row for part in parts]),
            np.concatenate([part.column for part in parts]),
        )

    @lazy
    def duplicates(self) -> Pairs:
        """Each query with the earlier keys that are the same token."""
        return self._pairs(self._earlier())

    @lazy
    def followers(self) -> Pairs:
        """Each query with the keys that follow an earlier occurrence of it, and precede it."""
        earlier = self._earlier()
        after = np.zeros_like(earlier)
        # A key counts here where it and the occurrence before it are both among those that count.
        adjacent = np.flatnonzero(np.diff(self.columns) == 1)
        after[:, adjacent + 1] = earlier[:, adjacent]
        after &= self.columns < self.rows[:, None]
        return self._pairs(after)

    def _earlier(self) -> BoolArray:
        """Return which keys are an earlier occurrence of each query, (n_q, n_k)."""
        earlier: BoolArray = np.equal.outer(self._identity[self.rows], self._identity[self.columns])
        earlier &= self.columns < self.rows[:, None]
        return earlier

    def _pairs(self, chosen: BoolArray) -> Pairs:
        row, column = np.nonzero(chosen)
        return Pairs(np.asarray(chosen.any(axis=1)), row, column)


def tokens_of(capture: Capture, layer: int, text: int, *, with_special: bool = True) -> Tokens:
    """Return the tokens of a layer's attention on a text.

    Where a layer has tokens of its own (the decoder's, a picture's), none is known as special.
    """
    record = capture.records[text][layer]
    queries, keys = capture.query_tokens(layer, text), capture.key_tokens(layer, text)
    special = [
        capture.special[text] if own is None else np.zeros(len(names), dtype=np.bool_)
        for names, own in ((queries, record.query_tokens), (keys, record.key_tokens))
    ]
    same = capture.layers[layer].kind == "self" and queries == keys
    return Tokens(queries, keys, same, special[0], special[1], with_special)
