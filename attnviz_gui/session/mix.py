"""Several heads as one: the mean or the maximum of their attention, shown like a head of its own.

Such a head has attention, exactly that of its parts taken together, and no queries and keys: no
two vectors have a product whose softmax is a mean of others. So nothing of it lies in a plane.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnviz_gui.capture.record import Head
from attnviz_gui.errors import InputError
from attnviz_gui.lazy import lazy
from attnviz_gui.session.groups import group_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.session.picture import Picture

Place = tuple[int, int]  # layer, head
How = Literal["mean", "maximum"]
_LISTED = 4  # so many heads are named one by one


@dataclass(frozen=True)
class Mix:
    """Which heads, and how they are taken together.

    Attributes
    ----------
    places : tuple of (layer, head)
    how : ``"mean"`` or ``"maximum"``
        Of each pair's attention, over the heads.
    """

    places: tuple[Place, ...]
    how: How = "mean"

    def words(self, capture: Capture) -> str:
        """Return what it is: ``mean of 12 heads of layer 3``."""
        layers = list(dict.fromkeys(layer for layer, _ in self.places))
        heads = list(dict.fromkeys(head for _, head in self.places))
        n = len(self.places)
        if len(layers) == 1:
            whole = n == capture.layers[layers[0]].n_heads
            named = n <= _LISTED and not whole
            what = ", ".join(f"H{head}" for head in heads) if named else _heads(n)
            return f"{self.how} of {what} of layer {layers[0]}"
        if len(heads) == 1:
            return f"{self.how} of head {heads[0]} in {len(layers)} layers"
        if n <= _LISTED:
            return f"{self.how} of " + ", ".join(f"L{layer} H{head}" for layer, head in self.places)
        return f"{self.how} of {_heads(n)} of {len(layers)} layers"

    def listing(self, capture: Capture) -> str:
        """Return which heads they are, every one of them: ``L0 H1–3, H5; all of L2``."""
        parts = []
        for layer in sorted({layer for layer, _ in self.places}):
            heads = sorted(head for of, head in self.places if of == layer)
            if len(heads) == capture.layers[layer].n_heads:
                parts.append(f"all of L{layer}")
            else:
                parts.append(f"L{layer} " + ", ".join(f"H{run}" for run in _runs(heads)))
        return "; ".join(parts)

    @property
    def no_vectors(self) -> str:
        """Why it has no plane, no scatter, no a and no c."""
        return (
            f"A {self.how} of heads has attention, but no queries and keys of its own: there is "
            "nothing to place, to move or to fit. Choose one head to see its vectors."
        )

    def check(self, capture: Capture, text: int) -> None:
        """Raise `InputError`, with the reason, where the heads cannot be taken together."""
        if not self.places:
            raise InputError("Choose at least one head.")
        first = None
        for layer, head in self.places:
            if not 0 <= layer < len(capture.layers):
                raise InputError(f"There is no layer {layer} in {capture.model_name}.")
            if not 0 <= head < capture.layers[layer].n_heads:
                raise InputError(f"There is no head {head} in layer {layer}.")
            group = group_of(capture.layers, layer)
            tokens = capture.query_tokens(layer, text), capture.key_tokens(layer, text)
            if first is None:
                first = layer, group, tuple(map(tuple, tokens))
            elif group != first[1]:
                raise InputError(
                    f"Layer {first[0]} ({first[1].name}) and layer {layer} ({group.name}) attend "
                    "to different things; choose layers of one kind."
                )
            elif tuple(map(tuple, tokens)) != first[2]:
                raise InputError(
                    f"Layer {first[0]} and layer {layer} have different tokens "
                    f"({len(first[2][0])} × {len(first[2][1])} and {len(tokens[0])} × "
                    f"{len(tokens[1])}), so their attention has no common pairs."
                )


@dataclass(frozen=True, eq=False)
class MixedHead(Head):
    """Several heads as one; its vectors are zeros, which have no direction and no plane."""

    capture: Capture | None = None
    text: int = 0
    mix: Mix = Mix(())

    @lazy
    def attention(self) -> npt.NDArray[np.float32]:
        """The mean or maximum over the heads, (T_q, T_k); one head at a time is computed."""
        assert self.capture is not None
        total = np.zeros(self.mask.shape)  # float64: what float32 parts sum to exactly enough
        for layer, head in self.mix.places:
            part = self.capture.head(layer, head, self.text).attention
            if self.mix.how == "mean":
                total += part
            else:
                np.maximum(total, part, out=total)
        if self.mix.how == "mean":
            total /= len(self.mix.places)
        return total.astype(np.float32)


def mixed(picture: Picture, mix: Mix) -> Picture:
    """Return the picture of several heads beside a picture of one of the same tokens.

    Its layer and head stay those of the one, which is where the way back leads. Nothing is computed
    before it is asked for.

    Raises
    ------
    InputError
        When the heads cannot be taken together.
    """
    capture, text = picture.capture, picture.text
    mix.check(capture, text)
    layer, head = mix.places[0]
    first = capture.head(layer, head, text)
    mask = np.zeros_like(first.mask)
    for place in mix.places:
        record = capture.records[text][place[0]]
        mask |= record.mask if record.mask.ndim == 2 else record.mask[place[1]]
    n_queries, n_keys = mask.shape
    whole = MixedHead(
        np.zeros((n_queries, 2), np.float32), np.zeros((n_keys, 2), np.float32),
        np.zeros((n_keys, 2), np.float32), 1.0, mask, capture=capture, text=text, mix=mix,
    )  # fmt: skip
    return replace(picture, source=whole, drawn=whole, mix=mix)


def _runs(numbers: list[int]) -> list[str]:
    """Return numbers in ascending order with three or more in a row as one: ``1–3``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [
        words
        for run in runs
        for words in ([f"{run[0]}–{run[-1]}"] if len(run) > 2 else list(map(str, run)))
    ]


def _heads(n: int) -> str:
    return "1 head" if n == 1 else f"{n:,} heads"
