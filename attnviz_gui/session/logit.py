"""One logit taken apart: what the product, the soft cap, the bias and the mask make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.session.words import number

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.capture.record import Head


@dataclass(frozen=True)
class LogitParts:
    """logit = content + bias, the content capped first where the model caps it.

    Attributes
    ----------
    content
        scaling q·k.
    softcap, capped
        The cap s and s tanh(content / s), the content itself where there is none.
    bias
        What the model adds beside the mask; None where it adds nothing.
    """

    content: float
    softcap: float | None
    capped: float
    bias: float | None

    @property
    def logit(self) -> float:
        """What the softmax is taken of."""
        return self.capped + (self.bias or 0.0)

    def in_words(self) -> list[str]:
        """Say what there is beside the content, in lines; none where there is nothing."""
        lines = []
        if self.softcap is not None:
            lines.append(
                f"capped at {number(self.softcap)}: content {number(self.content)}"
                f" → {number(self.capped)}"
            )
        if self.bias is not None:
            name = "content" if self.softcap is None else "capped"
            lines.append(
                f"logit {number(self.logit)} = {name} {number(self.capped)}"
                f" + bias {number(self.bias)}"
            )
        return lines


def logit_parts(head: Head, query: int, key: int) -> LogitParts:
    """Take one pair's logit apart; indices count all tokens of the head."""
    product = head.query[query].astype(np.float64) @ head.key[key].astype(np.float64)
    content = float(product) * head.scaling
    cap = head.softcap
    return LogitParts(
        content=content,
        softcap=cap,
        capped=content if cap is None else cap * float(np.tanh(content / cap)),
        bias=None if head.bias is None else float(head.bias[query, key]),
    )


def why_masked(mask: npt.NDArray[np.bool_], query: int, key: int, *, same_tokens: bool) -> str:
    """Return the rule of a mask that keeps a query from a key, as far as the mask shows one.

    Parameters
    ----------
    mask : (T_q, T_k) bool
        Of the whole head, True where attention is allowed.
    same_tokens
        Whether queries and keys are the same tokens, so that before and after have a meaning.
    """
    if same_tokens and mask.any():
        n_keys = mask.shape[1]
        row = np.arange(len(mask))
        rows = mask.any(axis=1)
        first = mask.argmax(axis=1)
        last = n_keys - 1 - mask[:, ::-1].argmax(axis=1)
        ahead, behind = int((last - row)[rows].max()), int((row - first)[rows].max())
        if ahead <= 0 < key - query:
            return "the key comes after the query"
        if query - key > behind or key - query > ahead > 0:
            return "the key lies outside the query's window"
    if not mask[:, key].any():
        return "no query may attend to this key"
    return "the model's mask"
