"""A text as it is quoted beside one of its tokens: where the token stands, and what is left out.

A capture keeps a text and its tokens' names, not their places in it; the places are found again by
reading both from the beginning. Where that fails, nothing is emphasised.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from attnviz_gui.session.picture import Picture

_FAR = 80  # characters between two tokens, beyond which a name means another place
_MARKS = "▁◌Ġ"


@dataclass(frozen=True)
class Quote:
    """A text on one line.

    Attributes
    ----------
    text : str
    spans : tuple of (start, end)
        What is emphasised, in characters.
    """

    text: str
    spans: tuple[tuple[int, int], ...] = ()

    def elided(self, most: int) -> Quote:
        """Return about `most` characters around what is emphasised; it says how many are left out.

        Without anything emphasised, the beginning and the end.
        """
        n = len(self.text)
        if n <= most:
            return self
        if not self.spans:
            head = most // 2
            tail = n - (most - head)
            hole = f" … {tail - head:,} characters left out … "
            return Quote(self.text[:head] + hole + self.text[tail:])
        first, last = self.spans[0]
        start = max(min((first + min(last, first + most) - most) // 2, n - most), 0)
        end = start + most
        before = f"{start:,} characters left out … " if start else ""
        after = f" … {n - end:,} characters left out" if end < n else ""
        by = len(before) - start
        spans = tuple(
            (max(a, start) + by, min(b, end) + by) for a, b in self.spans if a < end and b > start
        )
        return Quote(before + self.text[start:end] + after, spans)


def quote_of(picture: Picture, queries: Iterable[int] = (), keys: Iterable[int] = ()) -> Quote:
    """Return a picture's text with some of its visible queries and keys emphasised."""
    text = picture.capture.texts[picture.text]
    names = picture.capture.tokens[picture.text]
    found = places(text, names)
    wanted: list[tuple[int, int]] = []
    for index, visible in (
        *((int(picture.query_index[i]), picture.query_tokens[i]) for i in queries),
        *((int(picture.key_index[j]), picture.key_tokens[j]) for j in keys),
    ):
        place = found[index] if index < len(found) and names[index] == visible else None
        if place is not None and place not in wanted:
            wanted.append(place)
    # One character stays one: what breaks a line becomes a space, so that places still hold.
    line = "".join(" " if c.isspace() or unicodedata.category(c) == "Cc" else c for c in text)
    return Quote(line, tuple(wanted))


def places(text: str, names: Sequence[str]) -> list[tuple[int, int] | None]:
    """Return where each token begins and ends in a text; None where that cannot be told."""
    folded = "".join(map(_folded, text))
    found: list[tuple[int, int] | None] = []
    at = 0
    for name in names:
        piece = name.removeprefix("##").strip(_MARKS).strip() if len(name) > 1 else name
        piece = "".join(map(_folded, piece))
        start = folded.find(piece, at, at + _FAR + len(piece)) if piece else -1
        if start < 0:
            found.append(None)
            continue
        at = start + len(piece)
        found.append((start, at))
    return found


def _folded(character: str) -> str:
    """Return one character for one: small, without its accent."""
    plain = unicodedata.normalize("NFD", character)[0].lower()
    return plain if len(plain) == 1 else character
