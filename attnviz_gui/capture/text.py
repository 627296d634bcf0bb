"""Texts that a model cannot read as they are: empty ones, unreadable ones, ones too long.

A text is never cut in silence: the caller asks for its beginning or for its parts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from attnviz_gui.capture.tokens import Encoded, encode
from attnviz_gui.errors import InputError, NoTokensError, TextTooLongError

if TYPE_CHECKING:
    from attnviz_gui.capture.models import LoadedModel

Long = Literal["refuse", "first", "split"]

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)|[。！？](?:[」』）])*|\n(?=\S)")
_SPACE = re.compile(r"(?<=\S)(?=\s)")


class Fitted(NamedTuple):
    """What a model can read of a text.

    Attributes
    ----------
    parts : list of str
        Each of them fits; together they are the beginning of the text, or all of it.
    n_tokens : int
        Tokens in the whole text, special ones included.
    """

    parts: list[str]
    n_tokens: int


def check_text(model: LoadedModel, text: str) -> Encoded:
    """Return a text cut into tokens, checked to be one that the model can read whole.

    Raises
    ------
    InputError
        When the text is empty, holds half a character, or leaves no token; when the model has no
        tokenizer.
    TextTooLongError
        When it has more tokens than the model can read.
    """
    encoded = _encode(model, text)
    if model.limit is not None and len(encoded) > model.limit:
        raise TextTooLongError(
            f"The text has {len(encoded):,} tokens and {model.name} reads {model.limit:,} at most; "
            f"shorten it, run its first {model.limit:,} tokens, or split it into parts.",
            len(encoded),
            model.limit,
        )
    return encoded


def fit_text(model: LoadedModel, text: str, long: Long = "refuse") -> Fitted:
    """Return what the model can read of a text.

    Parameters
    ----------
    long
        What to do with a text that has too many tokens: ``"refuse"`` it, take the ``"first"``
        tokens that fit (cut between two tokens), or ``"split"`` it into parts that together are
        the whole text (cut after a sentence where there is one in the part's second half, else
        before a space, else between two tokens).

    Raises
    ------
    InputError, TextTooLongError
        As `check_text`.
    """
    if long == "refuse":
        return Fitted([text], len(check_text(model, text)))
    encoded = _encode(model, text)
    if model.limit is None or len(encoded) <= model.limit:
        return Fitted([text], len(encoded))
    cutter = _Cutter(model, text, encoded)
    if long == "first":
        return Fitted([text[: cutter.longest(0)]], len(encoded))
    return Fitted(cutter.parts(), len(encoded))


def _encode(model: LoadedModel, text: str) -> Encoded:
    if model.tokenizer is None:
        raise InputError(f"{model.name} has no tokenizer, so it cannot read a text.")
    if not text.strip():
        raise NoTokensError("The text is empty; type something to run.")
    encoded = encode(model.tokenizer, text)
    if encoded.n_own == 0:
        raise NoTokensError(
            f"The tokenizer of {model.name} leaves nothing of this text (control characters, "
            "perhaps); type something else."
        )
    return encoded


class _Cutter:
    """Finds places where a text can be cut so that a part fits into the model."""

    def __init__(self, model: LoadedModel, text: str, encoded: Encoded) -> None:
        assert model.limit is not None
        self.model, self.text, self.limit = model, text, model.limit
        added = int(encoded.special.sum())
        if self.limit <= added:
            raise InputError(f"{model.name} can read {self.limit} tokens, too few for any text.")
        self.room = self.limit - added
        self.places = _places(text, encoded)

    def longest(self, start: int) -> int:
        """Return where the longest part from `start` ends that the model can read.

        A part's own tokens may differ from those of the whole text near its ends, so they are
        counted: first at the place that the whole text's tokens say, then ever farther from it.
        """
        first = int(np.searchsorted(self.places, start, side="right"))
        last = len(self.places) - 1
        good = bad = min(first + self.room - 1, last)
        step = 1
        if self._fits(start, good):
            bad = last + 1
            while good < last:
                if not self._fits(start, min(good + step, last)):
                    bad = min(good + step, last)
                    break
                good, step = min(good + step, last), 2 * step
        else:
            good = first
            while bad - step > first:
                if self._fits(start, bad - step):
                    good = bad - step
                    break
                bad, step = bad - step, 2 * step
        while bad - good > 1:
            middle = (good + bad) // 2
            if self._fits(start, middle):
                good = middle
            else:
                bad = middle
        return int(self.places[good])

    def parts(self) -> list[str]:
        """Return the text in parts that fit."""
        parts: list[str] = []
        start = 0
        while start < len(self.text):
            end = self.longest(start)
            if end < len(self.text):
                end = self._better(start, end)
            parts.append(self.text[start:end])
            start = end
        return parts

    def _better(self, start: int, end: int) -> int:
        """Return the best place in the second half of a part to end it."""
        middle = start + (end - start) // 2
        for pattern in (_SENTENCE_END, _SPACE):
            # One character more is seen, so that a space that follows counts.
            found = [m.end() for m in pattern.finditer(self.text, middle, end + 1)]
            found = [place for place in found if start < place <= end]
            if found:
                return found[-1]
        return end

    def _fits(self, start: int, place: int) -> bool:
        part = self.text[start : int(self.places[place])]
        return len(encode(self.model.tokenizer, part)) <= self.limit


def _places(text: str, encoded: Encoded) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the places between tokens, (n,) sorted, the text's end last.

    A place inside a character, whose bytes are spread over several tokens, is none.
    """
    if encoded.ends is None or encoded.starts is None:
        return np.arange(1, len(text) + 1)
    own = ~encoded.special
    starts, ends = encoded.starts[own], encoded.ends[own]
    between = ends[:-1][ends[:-1] <= starts[1:]]
    return np.unique(np.append(between[between > 0], len(text)))
