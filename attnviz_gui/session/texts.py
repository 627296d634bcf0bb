"""Many texts: the lines of a text or a file, or one column of a table (CSV). Never imports Qt."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from attnviz_gui.errors import InputError
from attnviz_gui.session.files import MOST_TEXT, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

DELIMITERS = ",;\t|"
_LOOKED_AT = 200  # rows from which the delimiter is told
_LONGEST_NAME = 40  # characters of a column's name
_NAMED = 8  # lines that are named one by one
NO_TOKENS = "of which the tokenizer leaves no token"


def in_words(unit: str, numbers: Sequence[int]) -> str:
    """Return which lines or rows: ``line 3``, ``lines 3, 5, 7``, ``lines 3, 5 and 90 more``."""
    if len(numbers) == 1:
        return f"{unit} {numbers[0]:,}"
    named = ", ".join(f"{n:,}" for n in numbers[:_NAMED])
    more = len(numbers) - _NAMED
    return f"{unit}s {named}" + (f" and {more:,} more" if more > 0 else "")


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
    numbers, empty : tuple of int
        Where each text, and each empty one, stands in the file: its line or row, from 1.
    unit : str
        ``line`` or ``row``.
    """

    texts: tuple[str, ...]
    n_empty: int = 0
    n_ragged: int = 0
    numbers: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    unit: str = "line"

    @property
    def words(self) -> str:
        """What was found and what was left out: ``3 texts; 1 empty line left out``."""
        parts = [f"{len(self.texts):,} text{'s' * (len(self.texts) != 1)}"]
        if self.n_empty:
            plural = "s" * (self.n_empty != 1)
            where = f" ({in_words(self.unit, self.empty)})" if self.empty else ""
            parts.append(f"{self.n_empty:,} empty one{plural} left out{where}")
        if self.n_ragged:
            parts.append(f"{self.n_ragged:,} row{'s' * (self.n_ragged != 1)} without it left out")
        return "; ".join(parts)

    def without(self, left_out: Sequence[int]) -> tuple[str, ...]:
        """Return the texts but for some, by their index."""
        gone = set(left_out)
        return tuple(text for i, text in enumerate(self.texts) if i not in gone)

    def says_left_out(self, left_out: Sequence[int], why: str = NO_TOKENS) -> str:
        """Say which texts, by their index, are left out and why; empty where none is."""
        if not left_out:
            return ""
        n, where = len(left_out), self.numbers or tuple(range(1, len(self.texts) + 1))
        places = in_words(self.unit, [where[i] for i in left_out])
        return (
            f"{n:,} text{'s' * (n != 1)} {why} and {'is' if n == 1 else 'are'} left out ({places})"
        )


@dataclass(frozen=True)
class Table:
    """A table as it stands in a file.

    Attributes
    ----------
    rows : tuple of tuples of str
        The first may hold names.
    named : bool
        Whether the first row looks like names of columns.
    numbers : tuple of int
        Where each row stands in the file, from 1.
    """

    rows: tuple[tuple[str, ...], ...]
    named: bool
    numbers: tuple[int, ...]

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
        numbers = self.numbers[len(self.rows) - len(rows) :]
        there = [(n, row[at]) for n, row in zip(numbers, rows, strict=True) if len(row) > at]
        found = _texts((cell for _, cell in there), [n for n, _ in there], "row")
        n_ragged = sum(len(row) <= at for row in rows)
        if not found.texts:
            raise InputError(f"The column {name} holds no text; choose another one.")
        return replace(found, n_ragged=n_ragged)


def lines_of(content: str) -> Texts:
    """Return the lines of a text; empty ones are left out and counted."""
    # Not `splitlines`: a form feed or a Unicode line separator stands within a text.
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines and not lines[-1].strip():
        lines.pop()  # what ends the last line is no empty one
    return _texts(lines, range(1, len(lines) + 1), "line")


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
        When it cannot be read, is no text, is empty, or has names of columns alone.
    """
    return table_of(_readable(file), str(file))


def table_of(content: str, name: str = "This") -> Table:
    """Return the table in a text; see `read_table`."""
    numbered = _rows(content, _delimiter(content), name)
    if not numbered:
        raise InputError(f"{name} holds no row; choose another file.")
    rows = tuple(row for _, row in numbered)
    named = _like_names(rows[0])
    if named and len(rows) == 1:
        raise InputError(
            f"{name} has names of columns and no row below them; choose another file, or take "
            "its lines if they are texts."
        )
    return Table(rows, named, tuple(number for number, _ in numbered))


def _readable(file: str | Path) -> str:
    content = read_text(file)
    if "\0" in content:
        raise InputError(f"{file} is no text but holds bytes of another kind; choose a text file.")
    return content


def _texts(lines: Iterable[str], numbers: Sequence[int], unit: str) -> Texts:
    every = [(number, line.strip()) for number, line in zip(numbers, lines, strict=True)]
    empty = tuple(number for number, line in every if not line)
    return Texts(
        texts=tuple(line for _, line in every if line),
        n_empty=len(empty),
        numbers=tuple(number for number, line in every if line),
        empty=empty,
        unit=unit,
    )


def _rows(
    content: str, delimiter: str, name: str, most: int | None = None
) -> list[tuple[int, tuple[str, ...]]]:
    """Return the rows that hold something, each with its number from 1."""
    before = csv.field_size_limit(MOST_TEXT)
    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
        rows: list[tuple[int, tuple[str, ...]]] = []
        for number, row in enumerate(reader, 1):
            if any(cell.strip() for cell in row):
                rows.append((number, tuple(row)))
            if most is not None and len(rows) >= most:
                break
        return rows
    except csv.Error as error:
        raise InputError(f"{name} is no table that can be read ({error}).") from error
    finally:
        csv.field_size_limit(before)


def _delimiter(content: str) -> str:
    """Return what separates the columns: what gives most rows as many columns as the first has."""

    def even(delimiter: str) -> int:
        rows = [row for _, row in _rows(content, delimiter, "This", _LOOKED_AT)]
        n = len(rows[0]) if rows else 0
        return sum(len(row) == n for row in rows) if n > 1 else 0

    found = max(DELIMITERS, key=even)
    return found if even(found) else ","


def _like_names(row: tuple[str, ...]) -> bool:
    """Return whether a row looks like names: short, all there, no two alike, no numbers."""
    first = [cell.strip() for cell in row]
    return (
        all(first)
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
