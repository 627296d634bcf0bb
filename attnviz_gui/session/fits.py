"""What fits have found, kept for every head, so that a head brings its own back when it is shown.

A fit belongs to the vectors it was made on: to a text (or all texts of the capture), with or
without special tokens, before or after the rotary embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from attnviz_gui.geometry.normalization import ShiftMode

    Place = tuple[int, int]  # layer, head

ALL_TEXTS = -1


@dataclass(frozen=True)
class Basis:
    """Which vectors a fit was made on.

    Attributes
    ----------
    text : int
        Index of the text, or `ALL_TEXTS`.
    show_special, rotary : bool
        As in the document's options.
    """

    text: int = 0
    show_special: bool = True
    rotary: bool = True


@dataclass(frozen=True)
class HeadFit:
    """What a fit found for one head.

    Attributes
    ----------
    layer, head : int
    objective : str
    mode : str
        The shift mode.
    t : float
        The position on the shift's slider, in raw units.
    scale : float
        The scale c.
    value, before : float
        The objective there, and for the model's own vectors; NaN where it is undefined.
    edges : tuple of str
        ``"t"`` or ``"c"`` where the best lies at the end of its range.
    shared : tuple of (layer, head)
        The heads that were fitted as one and share this t and c; empty for a fit of the head's own.
    reason : str
        Why nothing was found; empty where something was.
    range_factor, scale_factor : float
        How many times the first ranges of a and of c were searched.
    """

    layer: int
    head: int
    objective: str
    mode: ShiftMode
    t: float
    scale: float
    value: float
    before: float
    edges: tuple[str, ...] = ()
    shared: tuple[Place, ...] = ()
    reason: str = ""
    range_factor: float = 1.0
    scale_factor: float = 1.0

    @property
    def together(self) -> int:
        """How many heads share this t and c."""
        return max(len(self.shared), 1)

    @property
    def heads(self) -> tuple[Place, ...]:
        """The heads that were fitted as one."""
        return self.shared or ((self.layer, self.head),)

    @property
    def asked(self) -> tuple[str, ShiftMode, float, float]:
        """What was asked of these heads: objective, mode, and how wide the ranges were."""
        return self.objective, self.mode, self.range_factor, self.scale_factor

    def answers(self, other: HeadFit) -> bool:
        """Whether this was asked of the same heads in the same way, on whatever vectors."""
        return (self.asked, self.heads) == (other.asked, other.heads)

    @property
    def found(self) -> bool:
        """True where the objective has a value."""
        return not self.reason


class Fits:
    """The newest fit of every head."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Basis, int, int], HeadFit] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[tuple[Basis, HeadFit]]:
        """Basis and fit, layer by layer and head by head."""
        for (basis, _, _), fit in sorted(
            self._kept.items(), key=lambda item: (item[0][1:], item[0][0].text)
        ):
            yield basis, fit

    def keep(self, basis: Basis, fits: Iterable[HeadFit]) -> None:
        """Keep fits; each replaces the one before it of the same head and vectors."""
        for fit in fits:
            self._kept[basis, fit.layer, fit.head] = fit

    def of(self, basis: Basis, layer: int, head: int) -> HeadFit | None:
        """Return a head's fit: of this text, else of all texts together, else None.

        A fit of all texts holds for one of them where its a is the same vector for any text, in
        mode ``constant``; in the others a follows the means of what it was fitted on.
        """
        found = self.with_basis(basis, layer, head)
        return None if found is None else found[1]

    def with_basis(self, basis: Basis, layer: int, head: int) -> tuple[Basis, HeadFit] | None:
        """Return what `of` returns, and which vectors it was made on."""
        own = self._kept.get((basis, layer, head))
        if own is not None:
            return basis, own
        every = Basis(ALL_TEXTS, basis.show_special, basis.rotary)
        found = self._kept.get((every, layer, head))
        return (every, found) if found is not None and found.mode == "constant" else None

    def forget(self) -> None:
        """Forget all fits: another capture is on show."""
        self._kept.clear()
