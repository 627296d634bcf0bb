"""Which part of a model each attention stands in: encoder, decoder, vision, text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attnviz_gui.capture.call import Call

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


def told_apart(calls: list[Call]) -> list[Call]:
    """Return calls with their stacks where no way told them and a model reads pictures or sound."""
    if any(call.stack is not None for call in calls):
        return calls
    found = stacks(call.place.name for call in calls)
    if not any(of_media(stack) for stack in found.values()):
        return calls
    return [call._replace(stack=found[call.place.name]) for call in calls]


def of_media(stack: str | None) -> bool:
    """Return whether a stack is one of pictures or sound."""
    return not {"vision", "audio"}.isdisjoint((stack or "").split())


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
