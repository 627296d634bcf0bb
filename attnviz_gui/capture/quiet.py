"""Keep transformers from talking on stderr while it works for us. Never imports torch itself."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transformers.utils import logging

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = threading.Lock()
_inside = 0
_before: tuple[int, bool] = (0, False)


@contextmanager
def quiet() -> Iterator[None]:
    """Show no log lines and no progress bars inside the block.

    The switches are shared by all threads: the first one in keeps what was set, the last one out
    sets it again.
    """
    global _inside, _before
    with _LOCK:
        if _inside == 0:
            _before = logging.get_verbosity(), logging.is_progress_bar_enabled()
            logging.set_verbosity_error()
            logging.disable_progress_bar()
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                logging.set_verbosity(_before[0])
                if _before[1]:
                    logging.enable_progress_bar()
