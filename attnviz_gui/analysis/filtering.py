"""Conditions on the numbers of heads, as a person writes them: ``entropy > 0.5, layer <= 3``."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "≥": operator.ge, "<=": operator.le, "≤": operator.le,
    "!=": operator.ne, "≠": operator.ne, ">": operator.gt, "<": operator.lt,
    "==": operator.eq, "=": operator.eq,
}  # fmt: skip
_SIGN = "|".join(map(re.escape, _SIGNS))
_CONDITION = re.compile(rf"\s*(?P<column>.*?)\s*(?P<sign>{_SIGN})\s*(?P<number>\S+)\s*")
_BETWEEN = re.compile(r"[,;](?=.*?[<>=≤≥≠])|\band\b", re.IGNORECASE)


@dataclass(frozen=True)
class Condition:
    """One comparison.

    Attributes
    ----------
    column : str
    sign : str
    number : float
    """

    column: str
    sign: str
    number: float

    def holds(self, value: float) -> bool:
        """Return whether a number fulfils it; one that is undefined never does."""
        return value == value and _SIGNS[self.sign](value, self.number)


def parse(text: str, columns: Mapping[str, Iterable[str]]) -> tuple[Condition, ...]:
    """Return the conditions of a line, all of which are to hold; none for an empty line.

    Parameters
    ----------
    columns
        By a column's name, what else it may be called. Capitals and spaces do not matter, and a
        beginning is enough where no other column begins so.

    Raises
    ------
    InputError
        When a part is no comparison of a column with a number.
    """
    found = []
    for part in _BETWEEN.split(text):
        if not part.strip(" ,;"):
            continue
        match = _CONDITION.fullmatch(part)
        if match is None or not match["column"]:
            raise InputError(
                f"“{part.strip()}” is no condition; write a column, a sign and a number, such as "
                "entropy > 0.5."
            )
        try:
            number = float(match["number"].replace("−", "-"))
        except ValueError:
            number = math.nan
        if math.isnan(number):  # "nan" too, which nothing equals
            raise InputError(f"{match['number']} in “{part.strip()}” is no number.")
        found.append(Condition(_column(match["column"], columns), match["sign"], number))
    return tuple(found)


def _column(text: str, columns: Mapping[str, Iterable[str]]) -> str:
    wanted = _plain(text)
    names = {name: {_plain(name), *map(_plain, others)} for name, others in columns.items()}
    exact = [name for name, own in names.items() if wanted in own]
    begins = [name for name, own in names.items() if any(o.startswith(wanted) for o in own)]
    if exact:
        return exact[0]
    if len({name.partition(":")[0] for name in begins}) == 1:
        return begins[0]  # the measure goes before its baselines
    if begins:
        which = " or ".join(sorted(next(iter(columns[name]), name) for name in begins[:3]))
        raise InputError(f"{text} may mean {which}; write more of it.")
    raise InputError(f"There is no column {text}.")


def _plain(text: str) -> str:
    return re.sub(r"[\s_]+", "", text.casefold())
