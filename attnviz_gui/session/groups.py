"""Layers grouped by where they stand in the model and what they attend to, and what to call them.

Never changes the order of the layers: a group is a list of their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.capture.record import Layer


@dataclass(frozen=True)
class Group:
    """Layers of one stack and one kind.

    Attributes
    ----------
    name, short
        In words, ``decoder, cross-attention``, and for a title, ``decoder, cross``.
    layers : tuple of int
        Their numbers, in order.
    """

    name: str
    short: str
    layers: tuple[int, ...]

    @property
    def label(self) -> str:
        """The group and how many layers it has."""
        n = len(self.layers)
        return f"{self.short} · {n} layer{'' if n == 1 else 's'}"

    @property
    def numbers(self) -> str:
        """The layers' numbers: ``0–5``, ``6, 8, 10``, or the first and the last of many."""
        first, last = self.layers[0], self.layers[-1]
        if len(self.layers) > 2 and last - first == len(self.layers) - 1:
            return f"{first}–{last}"
        shown = [str(n) for n in self.layers]
        return ", ".join(shown if len(shown) <= 6 else [*shown[:4], "…", shown[-1]])

    def like(self, layer: int, of: Group) -> int:
        """Return the layer of this group that stands where `layer` stands in another group."""
        place = of.layers.index(layer)
        return self.layers[min(place, len(self.layers) - 1)]


def groups(layers: Sequence[Layer]) -> tuple[Group, ...]:
    """Return the groups in the order of their first layers; one where all layers are alike."""
    found: dict[tuple[str, str], list[int]] = {}
    for number, layer in enumerate(layers):
        found.setdefault((layer.stack, layer.kind), []).append(number)
    made = []
    for (stack, kind), numbers in found.items():
        both = len([1 for other, _ in found if other == stack]) > 1
        # An encoder only attends to itself, so its name says all; a decoder may do either.
        told = f"{kind}-attention" if both or kind == "cross" or not stack else ""
        name = ", ".join(part for part in (stack, told) if part)
        made.append(Group(name, name.removesuffix("-attention"), tuple(numbers)))
    return tuple(made)


def group_of(layers: Sequence[Layer], layer: int) -> Group:
    """Return the group that a layer belongs to."""
    return next(group for group in groups(layers) if layer in group.layers)
