"""Many texts: the lines of a text or a file, or one column of a table (CSV). Never imports Qt."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnviz_gui.errors import InputError
from attnviz_gui.session.files import MOST_TEXT, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DELIMITERS = ",;\t|"
_LOOKED_AT = 200  # rows from which the delimiter is told
_LONGEST_NAME = 40  # characters of a column's name


@dataclass(frozen=True)
class Texts:
    """What was found.

    Attributes
    ----------
    texts : tuple of str
    n_empty : int
        Lines or cells that hold nothing but spaces; they are left out.
    n_ragged : int
        Rows of a table that have no such column; they are left out.
    """

    texts: tuple[str, ...]
    n_empty: int = 0
    n_ragged: int = 0

    @property
    def words(self) -> str:
        """What was found and what was left out: ``3 texts; 1 empty line left out``."""
        parts = [f"{len(self.texts):,} text{'s' * (len(self.texts) != 1)}"]
        if self.n_empty:
            parts.append(f"{self.n_empty:,} empty one{'s' * (self.n_empty != 1)} left out")
        if self.n_ragged:
            parts.append(f"{self.n_ragged:,} row{'s' * (self.n_ragged != 1)} without it left out")
        return "; ".join(parts)


@dataclass(frozen=True)
class Table:
    """A table as it stands in a file.

    Attributes
    ----------
    rows : tuple of tuples of str
        The first may hold names.
    named : bool
        Whether the first row looks like names of columns.
    """

    rows: tuple[tuple[str, ...], ...]
    named: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns; numbers from 1 where they have none."""
        if self.named:
            return self.rows[0]
        return tuple(str(i + 1) for i in range(max(map(len, self.rows))))

    def column(self, name: str) -> Texts:
        """Return the texts of a column, by its name or its number from 1.

        Raises
        ------
        InputError
            When there is no such column, or nothing in it.
        """
        rows, columns = self.rows, self.columns
        if name in rows[0] and (self.named or name not in columns):  # so they are names
            at, rows = rows[0].index(name), rows[1:]
        elif name in columns:
            at = columns.index(name)
        elif name.isascii() and name.isdigit() and 1 <= int(name) <= len(columns):
            at, rows = int(name) - 1, rows[1:] if self.named else rows
        else:
            some = ", ".join(column[:_LONGEST_NAME] for column in columns[:12])
            raise InputError(f"There is no column {name!r}; the table has {some}.")
        found = _texts(row[at] for row in rows if len(row) > at)
        n_ragged = sum(len(row) <= at for row in rows)
        if not found.texts:
            raise InputError(f"The column {name} holds no text; choose another one.")
        return Texts(found.texts, found.n_empty, n_ragged)


def lines_of(content: str) -> Texts:
    """Return the lines of a text; empty ones are left out and counted."""
    # Not `splitlines`: a form feed or a Unicode line separator stands within a text.
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines and not lines[-1].strip():
        lines.pop()  # what ends the last line is no empty one
    return _texts(lines)


def read_lines(file: str | Path) -> Texts:
    """Return the lines of a file.

    Raises
    ------
    InputError
        When it cannot be read, is no text, or has no line.
    """
    found = lines_of(_readable(file))
    if not found.texts:
        raise InputError(f"{file} holds no text; choose another file.")
    return found


def read_table(file: str | Path) -> Table:
    """Return the table in a CSV file, whatever separates its columns: ``,``, ``;``, tab or ``|``.

    Raises
    ------
    InputError
        When it cannot be read, is no text, or is empty.
    """
    return table_of(_readable(file), str(file))


def table_of(content: str, name: str = "This") -> Table:
    """Return the table in a text; see `read_table`."""
    rows = _rows(content, _delimiter(content), name)
    if not rows:
        raise InputError(f"{name} holds no row; choose another file.")
    return Table(rows, _named(rows))


def _readable(file: str | Path) -> str:
    content = read_text(file)
    if "\0" in content:
        raise InputError(f"{file} is no text but holds bytes of another kind; choose a text file.")
    return content


def _texts(lines: Iterable[str]) -> Texts:
    every = [line.strip() for line in lines]
    kept = tuple(line for line in every if line)
    return Texts(kept, len(every) - len(kept))


def _rows(
    content: str, delimiter: str, name: str, most: int | None = None
) -> tuple[tuple[str, ...], ...]:
    before = csv.field_size_limit(MOST_TEXT)
    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
        rows: list[tuple[str, ...]] = []
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(tuple(row))
            if most is not None and len(rows) >= most:
                break
        return tuple(rows)
    except csv.Error as error:
        raise InputError(f"{name} is no table that can be read ({error}).") from error
    finally:
        csv.field_size_limit(before)


def _delimiter(content: str) -> str:
    """Return what separates the columns: what gives most rows as many columns as the first has."""

    def even(delimiter: str) -> int:
        rows = _rows(content, delimiter, "This", _LOOKED_AT)
        n = len(rows[0]) if rows else 0
        return sum(len(row) == n for row in rows) if n > 1 else 0

    found = max(DELIMITERS, key=even)
    return found if even(found) else ","


def _named(rows: tuple[tuple[str, ...], ...]) -> bool:
    """Return whether the first row looks like names: short, all there, no two alike, no numbers."""
    first = [cell.strip() for cell in rows[0]]
    return (
        len(rows) > 1
        and all(first)
        and len(set(first)) == len(first)
        and all(len(cell) <= _LONGEST_NAME and not _is_number(cell) for cell in first)
        and not any(cell[-1] in ".!?…。" for cell in first)
        and (len(first) > 1 or " " not in first[0])
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True
