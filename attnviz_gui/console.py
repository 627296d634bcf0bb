"""Lines to standard output and standard error, also where there is none or nobody reads it.

A program without a console (a frozen one started from a desktop, or one whose output was closed)
has None for its streams; a reader may go before the last line (``| head -1``).
"""

from __future__ import annotations

import os
import sys

from attnviz_gui.errors import InputError


def say(line: str) -> None:
    """Write a line to standard output.

    Raises
    ------
    InputError
        When it leads to a file that cannot be written. A reader who has gone is no fault.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
    except OSError as error:
        _forget_output()
        raise InputError(
            f"the output can't be written ({error.strerror}); send it elsewhere."
        ) from error


def complain(line: str) -> None:
    """Write a line to standard error, if anybody can read it."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        pass


def _forget_output() -> None:
    """Lead what is still to be flushed at the end into nothing, where it raises no second fault."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
