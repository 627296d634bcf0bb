"""How a long call says how far it is, and how it is told to stop. Never imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attnviz_gui.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable


class Progress(Protocol):
    """Called with the steps done and the steps in all; the total may grow, never the sense."""

    def __call__(self, done: int, total: int, /) -> object:
        """Say that `done` steps of `total` are done."""


class Report(Protocol):
    """A `Progress` that also takes words for what is being done; none while a model runs."""

    def __call__(self, done: int, total: int, words: str = "", /) -> object:
        """Say that `done` steps of `total` are done; 0 in all where that is not known."""


class CancelEvent(Protocol):
    """What `threading.Event` offers: set it from another thread to cancel."""

    def is_set(self) -> bool:
        """Return whether to stop."""


if TYPE_CHECKING:
    CancelToken = CancelEvent | Callable[[], bool]


def raise_if_cancelled(cancel: CancelToken | None) -> None:
    """Raise `Cancelled` when `cancel` (an event, or a function that says so) is set."""
    if cancel is None:
        return
    stop = cancel() if callable(cancel) else cancel.is_set()
    if stop:
        raise Cancelled("cancelled")
