"""A capture's texts once more, where there is nothing to find: what baselines are measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attnviz_gui.analysis.heads import ALL_TEXTS, heads_of
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from attnviz_gui.capture.record import Capture

Baseline = Literal["shuffled", "random"]
DOING: dict[Baseline, str] = {
    "shuffled": "Shuffling tokens",
    "random": "Trying random weights",
}


def captures(
    capture: Capture, which: Baseline, texts: Sequence[int], *, at_once: int | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[tuple[Sequence[int], Capture]]:  # fmt: skip
    """Yield captures of the texts' tokens shuffled, or of them read with random weights.

    A few texts at a time, or `at_once`; each capture with its texts' indices. Needs the model.

    Raises
    ------
    InputError
        When the model is not at hand, or its heads are others there.
    Cancelled
        When `cancel` is set.
    """
    from attnviz_gui.capture.baselines import AT_ONCE, random_weights, shuffled

    way = shuffled if which == "shuffled" else random_weights
    for some, found in way(capture, texts, at_once=at_once or AT_ONCE, cancel=cancel):
        if heads_of(found) != heads_of(capture):
            raise InputError(
                "The model's heads are others there, so nothing can stand beside them."
            )
        yield some, found


def elsewhere(
    capture: Capture, which: Baseline, text: int, cancel: threading.Event | None = None
) -> tuple[Capture, int]:
    """Return one capture of a text, or of `ALL_TEXTS`, and where the text stands in it."""
    texts = range(len(capture.texts)) if text == ALL_TEXTS else [text]
    some, found = next(captures(capture, which, texts, at_once=len(texts), cancel=cancel))
    return found, ALL_TEXTS if text == ALL_TEXTS else list(some).index(text)
