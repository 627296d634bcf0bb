"""What is on show: one head on one text, with or without its special tokens.

A `Picture` is made when the capture, text, layer or head changes, never while a slider moves.
Its indices count the visible tokens; `query_index` and `key_index` lead back to the whole text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from attnviz_gui.geometry.live import Frame, LiveHead
from attnviz_gui.geometry.sample import PairSample, sample_pairs
from attnviz_gui.lazy import lazy
from attnviz_gui.session.groups import group_of
from attnviz_gui.session.logit import LogitParts, logit_parts, why_masked
from attnviz_gui.session.offload import LIVE_PAIRS, MOVING_PAIRS

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture, Head
    from attnviz_gui.session.mix import Mix

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
    source : Head
        As the model computed it: its attention is what is shown.
    drawn : Head
        Whose vectors are drawn: the same, or queries and keys before the rotary embedding.
    mix : Mix or None
        Where several heads are shown as one, which; layer and head are then those shown before.
    """

    capture: Capture
    text: int
    layer: int
    head: int
    source: Head
    drawn: Head
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    query_index: npt.NDArray[np.intp]
    key_index: npt.NDArray[np.intp]
    mix: Mix | None = None

    @property
    def name(self) -> str:
        """How the head is written: ``L3 H7``; several as one: ``mean of 12 heads of layer 3``."""
        if self.mix is not None:
            return self.mix.words(self.capture)
        return f"L{self.layer} H{self.head}"

    @lazy
    def group(self) -> str:
        """Which stack and kind of attention it is, ``decoder, cross``; empty where all are one."""
        layers = self.capture.layers
        group = group_of(layers, self.layer)
        return "" if len(group.layers) == len(layers) else group.short

    @property
    def title(self) -> str:
        """The head in a title: ``L5 H2 · decoder, cross``."""
        return f"{self.name} · {self.group}" if self.group else self.name

    @property
    def two_sided(self) -> bool:
        """True where queries and keys are not the same tokens."""
        cross = self.capture.layers[self.layer].kind == "cross"
        return cross or self.query_tokens != self.key_tokens

    @property
    def n_hidden(self) -> int:
        """Number of tokens that are not shown."""
        hidden = len(self.source.query) - len(self.query_tokens)
        return hidden or len(self.source.key) - len(self.key_tokens)

    @property
    def whole(self) -> bool:
        """True when no token is hidden."""
        return self.n_hidden == 0

    @property
    def before_rotary(self) -> bool:
        """True where the vectors are drawn as they are before the rotary embedding."""
        return self.drawn is not self.source

    @lazy
    def n_pairs(self) -> int:
        """Number of visible pairs that the mask allows."""
        return int(np.count_nonzero(self.mask))

    @lazy
    def strongest(self) -> tuple[int, int]:
        """The pair with the most attention."""
        i, j = divmod(int(self.attention.argmax()), len(self.key_tokens))
        return i, j

    def compute(self) -> None:
        """Compute what every view needs; thousands of tokens take a second, so in a worker."""
        if self.n_pairs:
            _ = self.strongest, self.logits
        _ = self.live.plane, self.live.pairs, self.before.projection, self.before.correlation
        _ = self.sample

    @lazy
    def sample(self) -> PairSample | None:
        """The random part of the pairs that is drawn while a slider moves; None: all of them."""
        if self.n_pairs <= LIVE_PAIRS:
            return None
        return sample_pairs(self.live.query, self.live.key, [self.mask], MOVING_PAIRS)

    @lazy
    def attention(self) -> npt.NDArray[np.float32]:
        """Attention among the visible tokens, (T_q, T_k); not normalised again."""
        return self._visible(self.source.attention)

    def attention_once(self) -> npt.NDArray[np.float32]:
        """Return `attention`, not kept: for many pictures one after the other."""
        if "attention" in self.__dict__:
            return self.attention
        return self._visible(self.capture.head(self.layer, self.head, self.text).attention)

    @lazy
    def logits(self) -> npt.NDArray[np.float32]:
        """Logits among the visible tokens, (T_q, T_k)."""
        return self._visible(self.source.logits)

    @lazy
    def mask(self) -> npt.NDArray[np.bool_]:
        """Pairs among the visible tokens that the model allows, (T_q, T_k)."""
        return self._visible(self.source.mask)

    @lazy
    def sink(self) -> npt.NDArray[np.float32] | None:
        """What the sink takes of each visible query's attention, (T_q,); None without one."""
        share = self.source.sink_attention
        return None if share is None else share[self.query_index]

    def logit_parts(self, query: int, key: int) -> LogitParts:
        """Return what the model's logit of a visible pair is made of."""
        i, j = int(self.query_index[query]), int(self.key_index[key])
        return logit_parts(self.source, i, j)

    def why_masked(self, query: int, key: int) -> str:
        """Return why the model keeps a visible query from a visible key."""
        i, j = int(self.query_index[query]), int(self.key_index[key])
        return why_masked(self.source.mask, i, j, same_tokens=not self.two_sided)

    @lazy
    def live(self) -> LiveHead:
        """The visible tokens' geometry."""
        if self.whole:
            return self.full
        drawn = self.drawn
        return LiveHead(
            drawn.query[self.query_index],
            drawn.key[self.key_index],
            self._visible(drawn.attention),
            self.mask,
            drawn.scaling,
            None if drawn.bias is None else self._visible(drawn.bias),
            drawn.softcap,
        )

    @lazy
    def full(self) -> LiveHead:
        """The whole head's geometry, hidden tokens included: what the proof runs over."""
        d = self.drawn
        return LiveHead(d.query, d.key, d.attention, d.mask, d.scaling, d.bias, d.softcap)

    @lazy
    def before(self) -> Frame:
        """The frame at a = 0, c = 1."""
        return self.live.frame(np.zeros(self.live.key.shape[1]), 1.0)

    def attention_difference(self, frame: Frame) -> float:
        """Return the largest change of the whole head's attention under the frame's a and c."""
        if self.whole:
            return frame.attention_difference
        return self.full.like(frame).attention_difference

    def _visible(self, matrix: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        if self.whole:
            return matrix
        return np.ascontiguousarray(matrix[np.ix_(self.query_index, self.key_index)])


def make_picture(
    capture: Capture, text: int, layer: int, head: int, *,
    show_special: bool = True, rotary: bool = True,
) -> Picture:  # fmt: skip
    """Return the picture of one head.

    Parameters
    ----------
    show_special
        Without them, special tokens are kept where nothing else is left.
    rotary
        False: queries and keys as they are before the rotary embedding, where there is one.
    """
    record = capture.records[text][layer]
    source = drawn = capture.head(layer, head, text)
    if not rotary and source.unrotated is not None:
        query, key = source.unrotated
        drawn = replace(source, query=query, key=key, unrotated=None)
    queries, keys = capture.query_tokens(layer, text), capture.key_tokens(layer, text)
    special = capture.special[text]
    shown = [
        _shown(len(names), special if own is None else None, show_special)
        for names, own in ((queries, record.query_tokens), (keys, record.key_tokens))
    ]
    return Picture(
        capture, text, layer, head, source, drawn,
        tuple(queries[i] for i in shown[0]), tuple(keys[j] for j in shown[1]),
        shown[0], shown[1],
    )  # fmt: skip


def _shown(
    n: int, special: npt.NDArray[np.bool_] | None, show_special: bool
) -> npt.NDArray[np.intp]:
    """Return the tokens that are shown, of `n`."""
    every = np.arange(n)
    if show_special or special is None:
        return every
    plain = np.flatnonzero(~special)
    return plain if plain.size else every
