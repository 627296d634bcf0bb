"""What is on show: one head on one text, with or without its special tokens.

A `Picture` is made when the capture, text, layer or head changes, never while a slider moves.
Its indices count the visible tokens; `query_index` and `key_index` lead back to the whole text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from attnviz_gui.geometry.live import Frame, LiveHead

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture, Head

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Picture:
    """One head on one text, as the views draw it.

    Attributes
    ----------
    query_tokens, key_tokens : tuple of str
        The visible tokens, as a person reads them.
    query_index, key_index : (T_q,), (T_k,) int
        Where the visible tokens stand in the whole text.
    """

    capture: Capture
    text: int
    layer: int
    head: int
    source: Head
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    query_index: npt.NDArray[np.intp]
    key_index: npt.NDArray[np.intp]

    @property
    def name(self) -> str:
        """How the head is written: ``L3 H7``."""
        return f"L{self.layer} H{self.head}"

    @property
    def n_hidden(self) -> int:
        """Number of tokens that are not shown."""
        return len(self.capture.tokens[self.text]) - len(self.query_tokens)

    @property
    def whole(self) -> bool:
        """True when no token is hidden."""
        return self.n_hidden == 0

    @property
    def n_pairs(self) -> int:
        """Number of visible pairs that the mask allows."""
        return int(self.mask.sum())

    @cached_property
    def attention(self) -> npt.NDArray[np.float32]:
        """Attention among the visible tokens, (T_q, T_k); not normalised again."""
        return self._visible(self.source.attention)

    @cached_property
    def logits(self) -> npt.NDArray[np.float32]:
        """Logits among the visible tokens, (T_q, T_k)."""
        return self._visible(self.source.logits)

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Pairs among the visible tokens that the model allows, (T_q, T_k)."""
        return self._visible(self.source.mask)

    @cached_property
    def live(self) -> LiveHead:
        """The visible tokens' geometry."""
        if self.whole:
            return self.full
        source = self.source
        return LiveHead(
            source.query[self.query_index],
            source.key[self.key_index],
            self.attention,
            self.mask,
            source.scaling,
            None if source.bias is None else self._visible(source.bias),
        )

    @cached_property
    def full(self) -> LiveHead:
        """The whole head's geometry, hidden tokens included: what the proof runs over."""
        source = self.source
        return LiveHead(
            source.query, source.key, source.attention, source.mask, source.scaling, source.bias
        )

    @cached_property
    def before(self) -> Frame:
        """The frame at a = 0, c = 1."""
        return self.live.frame(np.zeros(self.live.key.shape[1]), 1.0)

    def attention_difference(self, frame: Frame) -> float:
        """Return the largest change of the whole head's attention under the frame's a and c."""
        if self.whole:
            return frame.attention_difference
        return self.full.frame(frame.shift, frame.scale).attention_difference

    def _visible(self, matrix: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        if self.whole:
            return matrix
        return np.ascontiguousarray(matrix[np.ix_(self.query_index, self.key_index)])


def make_picture(
    capture: Capture, text: int, layer: int, head: int, *, show_special: bool = True
) -> Picture:
    """Return the picture of one head; special tokens are kept where nothing else is left."""
    tokens = capture.tokens[text]
    shown = np.arange(len(tokens))
    if not show_special:
        plain = np.flatnonzero(~capture.special[text])
        shown = plain if plain.size else shown
    names = tuple(tokens[i] for i in shown)
    return Picture(
        capture, text, layer, head, capture.head(layer, head, text), names, names, shown, shown
    )
