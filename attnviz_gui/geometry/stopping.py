"""How long work is asked to stop: an event of a worker, or a function that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnviz_gui.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable


def stop_where(cancel: Any) -> Callable[..., None]:
    """Return a function that raises `Cancelled` where `cancel` asks for it, and else does nothing.

    It takes what a progress would be told, and makes nothing of it.

    Parameters
    ----------
    cancel : threading.Event, callable or None
    """

    def stop(*_: object) -> None:
        if cancel is not None and (cancel() if callable(cancel) else cancel.is_set()):
            raise Cancelled("cancelled")

    return stop
