"""A table as a file: comma separated, UTF-8, written whole or not at all."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from attnviz_gui.errors import InputError
from attnviz_gui.session.files import as_path, is_there, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def export_table(rows: Iterable[Sequence[object]], path: str | os.PathLike[str]) -> Path:
    """Write rows to a ``.csv`` file, the first of them its heading; return the file.

    Numbers have all their digits; one that is undefined is an empty cell.

    Raises
    ------
    InputError
        When the name has another ending, or nothing can be written there; what was there stays.
    """
    target = Path(os.path.realpath(as_path(path)))
    if target.suffix.lower() != ".csv":
        raise InputError(f"{target.name} must end in .csv, the kind of file that is written.")
    if is_there(target) and target.is_dir():
        raise InputError(f"{target} is a folder; name a file in it.")
    text = io.StringIO(newline="")
    csv.writer(text).writerows([exact(value) for value in row] for row in rows)
    try:
        replace_file(target, text.getvalue().encode("utf-8", errors="backslashreplace"))
    except OSError as error:
        raise InputError(
            f"The table cannot be written to {target} ({error.strerror or error}); choose another "
            "place."
        ) from error
    return target


def exact(value: object) -> str:
    """Return a number with all its digits, nothing where it is undefined; words as they are."""
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return str(value)
