"""Texts of one length run together, so that many short ones take little longer than few long ones.

Only texts of the same number of tokens share a batch: none is padded, so each one's numbers are
those that it has alone, up to the rounding of larger products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from attnviz_gui.capture.inputs import Forward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Up to so many texts each runs by itself, to the last bit as it would alone.
FEW = 16
# Tokens in a batch: enough to keep a core's products large, few enough to hear a cancel soon.
MOST_TOKENS = 2048


def batches(
    lengths: Sequence[int], most: int | Callable[[int], int] = MOST_TOKENS
) -> list[list[int]]:
    """Return the indices of texts that run together, in the order of their first texts.

    Parameters
    ----------
    lengths
        Tokens of each text.
    most
        Tokens in a batch, or a function that gives them for texts of so many tokens; a longer
        text runs by itself.
    """
    room = most if callable(most) else lambda _: most
    if len(lengths) <= FEW:
        return [[index] for index in range(len(lengths))]
    together: list[list[int]] = []
    open_: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        batch = open_.get(length)
        if batch is None or (len(batch) + 1) * length > room(length):
            batch = open_[length] = []
            together.append(batch)
        batch.append(index)
    return together


def join(forwards: Sequence[Forward]) -> Forward:
    """Return one forward call for the texts of many, each of which has one row.

    Raises
    ------
    ValueError
        When they differ in more than their numbers.
    """
    if len(forwards) == 1:
        return forwards[0]
    first = forwards[0].keywords
    if any(forward.keywords.keys() != first.keys() for forward in forwards):
        raise ValueError("the calls have other keywords")
    keywords: dict[str, Any] = {}
    for name, value in first.items():
        if isinstance(value, torch.Tensor):
            keywords[name] = torch.cat([forward.keywords[name] for forward in forwards])
        else:
            keywords[name] = value
    return Forward(keywords=keywords)
