"""What an objective is, what it sees of a head, and what it is asked: no objective itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnviz_gui.geometry.pearson import Outcome

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray
    from attnviz_gui.geometry.masks import TextPairs

    Float64 = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.intp]

Line = tuple["Float64", "Float64"]


@dataclass(frozen=True, eq=False)
class HeadPairs:
    """What an objective sees of a head.

    Attributes
    ----------
    query, key : (T_q, d), (T_k, d) float64
    mask : (T_q, T_k) bool, TextPairs or None
        Allowed pairs, of one text or of many; None for all.
    strongest : (T_q,) int or None
        Each query's most attended key, -1 where it has none; None for the allowed key of the
        largest dot product.
    """

    query: Float64
    key: Float64
    mask: BoolArray | TextPairs | None
    strongest: IndexArray | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """n normalisations of some heads: on a line of shifts for each head, with a scale for each.

    Attributes
    ----------
    lines : sequence of (base, direction), each (d,)
        One line per head; the shift is a = base + s direction.
    position : (n,)
        The positions s.
    scale : (n,)
        The scales c.
    """

    lines: Sequence[Line]
    position: Float64
    scale: Float64

    def __getitem__(self, part: slice) -> Candidates:
        """Return some of the candidates."""
        return Candidates(self.lines, self.position[part], self.scale[part])


Search = Callable[[Candidates], Outcome]


@dataclass(frozen=True)
class Objective:
    """One objective.

    Attributes
    ----------
    name : str
        What `correlate` and `fit` call it.
    rewards : str
        What it rewards, as the end of "Rewards ...".
    source : str
        Where it comes from.
    uses_scale : bool
        Whether the scale c changes it; where not, a fit leaves c alone.
    prepare : callable
        Takes heads (`HeadPairs`), fitted together, does once what no candidate changes, and
        returns the function that values candidates.
    cost : ``"closed"`` or ``"pairs"``
        What a candidate costs: at most one pass over the tokens, or one over all pairs.
    pools_layer : bool
        Whether it is meant for all heads of a layer together.
    about_scale : str
        A sentence: whether c matters to it, and why.
    steps : bool
        Whether it moves in steps as a and c do: where a whole range is best, a fit takes its
        middle.
    uses_attention : bool
        Whether it asks for each query's most attended key, `HeadPairs.strongest`.
    candidates : tuple of float or None
        The t that a fit in mode ``constant`` chooses from, and no others; None to search.
    """

    name: str
    rewards: str
    source: str
    uses_scale: bool
    prepare: Callable[[Sequence[HeadPairs]], Search]
    cost: Literal["closed", "pairs"] = "pairs"
    pools_layer: bool = False
    about_scale: str = ""
    steps: bool = False
    uses_attention: bool = False
    candidates: tuple[float, ...] | None = None


def each_candidate(
    value: Callable[[Sequence[HeadPairs]], tuple[float, str]],
) -> Callable[[Sequence[HeadPairs]], Search]:
    """Make an objective's `prepare` from a function that values normalised heads.

    `value` returns the value and, where that is NaN, why.
    """

    def prepare(heads: Sequence[HeadPairs]) -> Search:
        def search(candidates: Candidates) -> Outcome:
            found = [
                value(
                    [
                        HeadPairs(
                            c * h.query, (h.key + base + s * direction) / c, h.mask, h.strongest
                        )
                        for h, (base, direction) in zip(heads, candidates.lines, strict=True)
                    ]
                )
                for s, c in zip(candidates.position, candidates.scale, strict=True)
            ]
            return Outcome(np.array([v for v, _ in found]), tuple(why for _, why in found))

        return search

    return prepare
