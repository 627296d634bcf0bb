"""Which part of a model each attention stands in: encoder, decoder, vision, text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Words in a part's name, and what to call it; the first that fits.
_WORDS = (
    (("vision", "visual", "image", "vit"), "vision"),
    (("audio", "speech"), "audio"),
    (("text", "language"), "text"),
    (("decoder",), "decoder"),
    (("encoder",), "encoder"),
)


def stacks(names: Iterable[str]) -> dict[str, str]:
    """Return the stack of each attention, by its path in the model; empty where there is but one.

    Paths that part before their first number stand in different stacks:
    ``encoder.layers.0.self_attn`` and ``decoder.layers.0.self_attn``, but not
    ``layer.0.attention`` and ``layer.0.crossattention``.
    """
    paths = {name: _before_numbers(name) for name in names}
    return {name: " ".join(_label(path, list(paths.values()))) for name, path in paths.items()}


def _before_numbers(name: str) -> tuple[str, ...]:
    parts = name.split(".")
    for i, part in enumerate(parts):
        if part.isdigit():
            return tuple(parts[: max(i - 1, 0)])  # the list of layers has no say
    return tuple(parts[:-1])


def _label(path: tuple[str, ...], among: list[tuple[str, ...]]) -> list[str]:
    """Return a word for each place where this path parts from others."""
    words = []
    for depth, part in enumerate(path):
        beside = {p[depth] for p in among if p[:depth] == path[:depth] and len(p) > depth}
        ends = any(p == path[:depth] for p in among)
        if len(beside) > 1 or ends:
            alike = [other for other in beside if _word(other) == _word(part)]
            word = _word(part) if len(alike) == 1 else part.strip("_").replace("_", " ")
            if word not in words:
                words.append(word)
    return words


def _word(part: str) -> str:
    for words, name in _WORDS:
        if any(word in part.lower() for word in words):
            return name
    return part.strip("_").replace("_", " ")
