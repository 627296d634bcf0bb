"""Read texts; write files whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path
from uuid import uuid4

from attnviz_gui.errors import InputError

MOST_TEXT = 20_000_000  # bytes


def replace_file(target: Path, content: bytes) -> None:
    """Write `content` to a temporary file beside `target`, then put it in its place.

    The folder is made if missing. Raises OSError, and leaves what was there, where that fails.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def read_text(file: str | Path) -> str:
    """Return the text of a UTF-8 file; raises InputError, with what to do, where that fails."""
    path = Path(file)
    try:
        if path.stat().st_size > MOST_TEXT:
            raise InputError(
                f"{path} is {path.stat().st_size / 1e6:.0f} MB; a text may have up to "
                f"{MOST_TEXT / 1e6:.0f} MB. Choose a smaller file."
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not a text in UTF-8; save it as UTF-8 and try again."
        ) from error
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}).") from error
