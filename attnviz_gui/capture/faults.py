"""Put the errors of other people's code into words. Imports nothing of it."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Return an error's first line, as the end of a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0].strip()[:200]
    return line if line.endswith(".") else line + "."
