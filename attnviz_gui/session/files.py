"""Read texts; write files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_TEXT = 20_000_000  # bytes


def as_path(name: str | os.PathLike[str]) -> Path:
    """Return the path that a person or a caller has named, with ``~`` for the home folder.

    Raises
    ------
    InputError
        When no file can have that name.
    """
    text = os.fspath(name)
    if "\0" in text:
        raise InputError("The name of a file or folder holds a NUL character; name another.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{text} names the home folder of somebody who is not known here; write the whole path."
        ) from error


def is_there(path: Path) -> bool:
    """Return whether there is a file or folder; a name that none can have is simply not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def replace_file(target: Path, content: bytes | Iterable[bytes | memoryview]) -> None:
    """Write `content`, whole or in pieces, to a temporary file beside `target`, then replace it.

    The folder is made if missing. Raises OSError, and leaves what was there, where that fails, and
    where it is no file: nobody's device or socket is replaced.
    """
    if is_there(target) and not target.is_file():
        raise OSError(errno.EEXIST, "it is a folder or a device, no file", str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    name = f".attnviz-{os.urandom(16).hex()}"  # as long as any name of a target may be
    temporary = target.with_name(name)
    try:
        with temporary.open("xb") as file:
            for piece in (content,) if isinstance(content, bytes) else content:
                file.write(piece)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def read_text(file: str | Path) -> str:
    """Return the text of a UTF-8 file; raises InputError, with what to do, where that fails."""
    path = as_path(file)
    try:
        with path.open("rb") as stream:  # a device has no size to ask for
            content = stream.read(MOST_TEXT + 1)
        if len(content) > MOST_TEXT:
            raise InputError(
                f"{path} is too large; a text may have up to {MOST_TEXT / 1e6:.0f} MB. "
                "Choose a smaller file."
            )
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not a text in UTF-8; save it as UTF-8 and try again."
        ) from error
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}).") from error
