"""Keep transformers from talking on stderr while it works for us. Never imports torch itself."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transformers.utils import logging as of_transformers

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = threading.Lock()
_inside = 0
_handlers: list[logging.Handler] = []
_before: tuple[bool, bool] = (False, False)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


@contextmanager
def quiet() -> Iterator[None]:
    """Show no log lines below errors and no progress bars inside the block.

    The switches are shared by all threads: the first one in keeps what was set, the last one out
    sets it again.
    """
    global _inside
    with _LOCK:
        if _inside == 0:
            _hush()
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                _speak()


def _hush() -> None:
    # Not the level: each change of it goes through every logger that there is, a thirtieth of a
    # short text's run.
    global _before
    of_transformers.get_verbosity()  # makes the handler where there is none yet
    logger = logging.getLogger("transformers")
    _handlers[:] = logger.handlers
    _before = logger.propagate, of_transformers.is_progress_bar_enabled()
    for handler in _handlers:
        handler.addFilter(_is_error)
    logger.propagate = False
    if _before[1]:
        of_transformers.disable_progress_bar()


def _speak() -> None:
    for handler in _handlers:
        handler.removeFilter(_is_error)
    logging.getLogger("transformers").propagate = _before[0]
    if _before[1]:
        of_transformers.enable_progress_bar()
