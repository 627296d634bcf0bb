"""Search the tokens of all texts: a part of the text, a whole token, or a regular expression.

Tokens are searched as they are read. Runs in a worker; never imports Qt, and knows no document but
to go to a match.
"""

from __future__ import annotations

import re
import time
import unicodedata
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.lazy import lazy
from attnviz_gui.session.picture import make_picture
from attnviz_gui.session.selection import SIDES, Selection, Side, TokenLists, select_places

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from attnviz_gui.session.document import Document

    IndexArray = npt.NDArray[np.intp]

Mode = Literal["substring", "token", "regex"]

SECONDS = 3.0  # that a regular expression may take
MOST_REPEATS = 100_000  # that an expression may ask for at least: each takes memory
_EVERY = 4096  # tokens between two looks at whether to stop
_BREAK = "\x00"  # between two texts: in no token and in nothing that is typed
_ACCENTS = re.compile("[\u0300-\u036f]")  # not those of kana: か and が are two letters
_RESYNC = 64  # characters that a tokenizer may have left out of a text


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Attributes
    ----------
    words : str
    mode : {"substring", "token", "regex"}
        ``substring``: a part of the text, which may reach over several tokens, or of a token as it
        is read; ``token``: a whole token, with or without its mark of a word piece; ``regex``: in
        each token by itself.
    case : bool
        Capital letters count, and accents do.
    """

    words: str
    mode: Mode = "substring"
    case: bool = False


class Matches(NamedTuple):
    """Where something was found: the list, text, first and last token of each match, (n,) each.

    In the order of the texts.
    """

    which: IndexArray
    text: IndexArray
    first: IndexArray
    last: IndexArray

    def __len__(self) -> int:
        return len(self.text)

    @property
    def n_texts(self) -> int:
        """Number of texts with a match."""
        return len(np.unique(self.text))

    def in_words(self) -> str:
        """``17 matches in 4 texts``."""
        n, texts = len(self), self.n_texts
        if not n:
            return "no match"
        matches = "1 match" if n == 1 else f"{n:,} matches"
        return f"{matches} in {'1 text' if texts == 1 else f'{texts:,} texts'}"


class Index:
    """The tokens of all texts made ready to be searched; each part when it is first needed."""

    def __init__(self, lists: TokenLists, texts: Sequence[str]) -> None:
        self.lists = lists
        self.texts = tuple(texts)
        self._joined: dict[tuple[int, bool], tuple[str, IndexArray]] = {}

    @lazy
    def unique(self) -> tuple[tuple[list[str], IndexArray], ...]:
        """For each list its different tokens, and which of them stands at each place."""
        found = []
        for texts in self.lists.names:
            known: dict[str, int] = {}
            at = [known.setdefault(name, len(known)) for names in texts for name in names]
            found.append((list(known), np.array(at, dtype=np.intp)))
        return tuple(found)

    def joined(self, which: int, *, case: bool) -> tuple[str, IndexArray]:
        """Return all texts of a list as one, and where in it each token begins, with its space."""
        kept = self._joined.get((which, case))
        if kept is None:
            parts: list[str] = []
            for number, names in enumerate(self.lists.names[which]):
                text = self.texts[number] if which == 0 and number < len(self.texts) else ""
                pieces = list(_pieces(names, text))
                if pieces:
                    pieces[0] = _BREAK + pieces[0]
                parts.extend(fold(piece, case=case) for piece in pieces)
            start = np.cumsum([0, *map(len, parts)], dtype=np.intp)[:-1]
            kept = self._joined[which, case] = "".join(parts), start
        return kept


def fold(text: str, *, case: bool) -> str:
    """Return a text as it is compared: é is one letter, however it is written.

    Without `case` capital letters are small, and Latin, Greek and Cyrillic letters bear no
    accents, as models that read small letters alone leave them out.
    """
    if text.isascii():
        return text if case else text.lower()
    if case:
        return unicodedata.normalize("NFC", text)
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", text.casefold()))
    return unicodedata.normalize("NFC", bare)


def _pieces(names: Sequence[str], text: str) -> Iterator[str]:
    """Yield the tokens of a text as they stand in it, with the space before them.

    Where tokens bear their own spaces, as ▁, these are taken. Else the spaces are those of the
    text, as far as the tokens can be found in it, and between other tokens there is one.
    """
    if any("▁" in name for name in names):
        for name in names:
            yield name.replace("▁", " ")
        return
    low, at = fold(text, case=False), 0
    for number, name in enumerate(names):
        glued = name.startswith("##") and len(name) > 2
        piece = name[2:] if glued else name
        space = "" if glued or not number else " "
        sought = fold(piece, case=False)
        found = low.find(sought, at, at + len(sought) + _RESYNC) if sought else -1
        if found >= 0:
            gap = low[at:found]
            if at or number == 0:
                space = " " if any(map(str.isspace, gap)) else ""
            at = found + len(sought)
        yield space + piece


def search(index: Index, what: Search, cancel: threading.Event | None = None) -> Matches:
    """Return all matches.

    Raises
    ------
    InputError
        When the words are no regular expression, or it takes too long.
    Cancelled
        When `cancel` is set.
    """
    parts: list[list[IndexArray]] = [[], [], [], []]
    if what.words:
        matching = _matching(what, cancel)
        for which, (names, at) in enumerate(index.unique):
            hit = matching(names)
            first = last = np.flatnonzero(hit[at]) if len(names) else np.zeros(0, dtype=np.intp)
            if what.mode == "substring" and _BREAK not in what.words:
                more = _across(index, which, what, cancel)
                spans = np.unique(
                    np.concatenate([np.stack([first, last]), np.stack(more)], axis=1), axis=1
                )
                first, last = spans
            text, begin = index.lists.find(which, first)
            for part, values in zip(
                parts, (np.full(len(first), which), text, begin, begin + last - first), strict=True
            ):
                part.append(values)
    none = np.zeros(0, dtype=np.intp)
    columns = [np.concatenate(part) if part else none for part in parts]
    order = np.lexsort((columns[2], columns[0], columns[1]))
    return Matches(*(column[order] for column in columns))


def _across(
    index: Index, which: int, what: Search, cancel: threading.Event | None
) -> tuple[IndexArray, IndexArray]:
    """Return the places of the first and last tokens of matches in the texts, (n,) each."""
    text, start = index.joined(which, case=what.case)
    words = fold(what.words, case=what.case)
    begins, at = [], text.find(words)
    while at >= 0:
        begins.append(at)
        if cancel is not None and len(begins) % _EVERY == 0 and cancel.is_set():
            raise Cancelled
        at = text.find(words, at + 1)
    begin = np.array(begins, dtype=np.intp)
    bare = words.strip()
    lead = len(words) - len(words.lstrip()) if bare else 0
    size = len(bare) or len(words)
    first = np.searchsorted(start, begin + lead, side="right") - 1
    last = np.searchsorted(start, begin + lead + size - 1, side="right") - 1
    return first, last


def _matching(
    what: Search, cancel: threading.Event | None
) -> Callable[[list[str]], npt.NDArray[np.bool_]]:
    """Return what says of each of some tokens whether it matches by itself."""
    if what.mode == "regex":
        return _Expression(what, cancel)
    words = fold(what.words, case=what.case)
    if what.mode == "token":

        def matches(name: str) -> bool:
            name = fold(name, case=what.case)
            return words in (name, name.removeprefix("##"), name.removeprefix("▁"))
    else:

        def matches(name: str) -> bool:
            return words in fold(name, case=what.case)

    return lambda names: np.fromiter(map(matches, names), dtype=bool, count=len(names))


_TOO_LARGE = f"This expression is too large; let it repeat less than {MOST_REPEATS:,} times."


class _Expression:
    """A regular expression, looked for in one token after the other.

    Some expressions take longer than a life on a token of thirty letters. The ``regex`` package,
    which comes with transformers, can be stopped and does not hold up the window meanwhile; where
    it is not there, Python's own serves, and is stopped between two tokens. What can take all of
    the memory before any time is up is refused: an expression within itself, and the repetition of
    something very many times.
    """

    def __init__(self, what: Search, cancel: threading.Event | None) -> None:
        self._cancel = cancel
        _refuse_giants(what.words)
        self._limits: dict[str, Any] = {"concurrent": True}
        try:
            engine = import_module("regex")
        except ImportError:
            engine, self._limits = re, {}
        try:
            self._pattern = engine.compile(what.words, 0 if what.case else engine.IGNORECASE)
        except (engine.error, OverflowError, RecursionError) as error:
            where = getattr(error, "pos", None)
            place = "" if where is None else f", at character {where + 1}"
            why = getattr(error, "msg", str(error))
            raise InputError(f"This is no regular expression: {why}{place}.") from None
        except MemoryError:
            raise InputError(_TOO_LARGE) from None

    def __call__(self, names: list[str]) -> npt.NDArray[np.bool_]:
        hit = np.zeros(len(names), dtype=bool)
        end = time.monotonic() + SECONDS
        for number, name in enumerate(names):
            left = end - time.monotonic()
            if self._cancel is not None and self._cancel.is_set():
                raise Cancelled
            try:
                if left <= 0:
                    raise TimeoutError
                if self._limits:
                    self._limits["timeout"] = left
                hit[number] = self._pattern.search(name, **self._limits) is not None
            except TimeoutError:
                raise InputError(
                    f"This expression takes more than {SECONDS:.0f} seconds, as those with a "
                    "repetition within a repetition do. Write it more simply."
                ) from None
            except MemoryError:
                raise InputError(_TOO_LARGE) from None
        return hit


def _refuse_giants(words: str) -> None:
    """Raise InputError for an expression that could take all memory."""
    bare = re.sub(r"\\.", "", words, flags=re.DOTALL)
    if re.search(r"\(\?(?:R\)|[+-]?\d|&|P>)", bare):
        raise InputError("An expression within itself, as (?R), is not supported.")
    repeats = 1
    for digits in re.findall(r"\{\s*(\d+)", bare):
        repeats *= max(int(digits.lstrip("0")[:9] or 0), 1)
        if repeats > MOST_REPEATS:
            raise InputError(_TOO_LARGE)


def found_tokens(lists: TokenLists, matches: Matches) -> Selection:
    """Return the tokens of all matches, as queries and as keys."""
    found = Selection(lists)
    for which in range(len(lists.names)):
        of = matches.which == which
        if not of.any():
            continue
        start = lists.starts[which][matches.text[of]]
        change = np.zeros(lists.size(which) + 1, dtype=np.int32)
        np.add.at(change, start + matches.first[of], 1)
        np.add.at(change, start + matches.last[of] + 1, -1)
        places = np.flatnonzero(np.cumsum(change[:-1]) > 0)
        for side in SIDES:
            if (side, which) in lists.used:
                queries, keys = (places, ()) if side == "query" else ((), places)
                some = select_places(lists, queries, keys, (which, which))
                found = found.then(some, "add")
    return found


def show_position(document: Document, which: int, text: int, position: int) -> None:
    """Show a text, and pin the token that stands at a position in it, where it is visible.

    As a query, or where this layer's queries are other tokens, as a key.
    """
    picture = document.picture
    if picture is None:
        return
    options = document.options
    there = make_picture(
        picture.capture, text, document.layer, document.head,
        show_special=options.show_special, rotary=options.rotary,
    )  # fmt: skip
    lists = document.token_lists.of_layer[document.layer]
    for side, of, index in zip(SIDES, lists, (there.query_index, there.key_index), strict=True):
        seen = np.flatnonzero(index == position)
        if of == which and seen.size:
            focus: dict[Side, int] = {side: int(seen[0])}
            document.show_token(text, **focus)
            return
    document.show_head(text=text)
