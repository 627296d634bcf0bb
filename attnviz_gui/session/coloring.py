"""What the points of a plane are coloured by: a class or a level for each query and key.

Numbers become levels of a scale; which colours these have is the view's. Never imports Qt.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.lazy import lazy
from attnviz_gui.session.words import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from attnviz_gui.session.picture import Picture

    Float = npt.NDArray[np.float64]
    Levels = npt.NDArray[np.int16]

LEVELS = 32  # of a number
MOST_CLASSES = 7  # classes with a colour of their own; the rest are one more
NEUTRAL = -1  # a point that has no such number
KINDS = "word", "piece of a word", "punctuation", "special"

# name: words, what it shows.
COLORINGS: dict[str, tuple[str, str]] = {
    "side": ("query or key", "Queries in one colour, keys in another."),
    "position": ("position", "The place in the text, from its first token to its last."),
    "relative position": (
        "position / length",
        "The place in the text as a share of its length: texts of any length alike.",
    ),
    "modulo": ("position modulo", "The place in the text, modulo a number: what comes in turns."),
    "text": ("text", "Which text a token is of; the longest ones have their own colours."),
    "token": ("token", "The most frequent tokens, each in a colour of its own."),
    "frequency": ("frequency", "How often the token occurs in all texts, by the logarithm."),
    "kind": ("kind of token", "Words, pieces of words, punctuation, special tokens."),
    "norm": ("norm", "The length of the query or key, as the model has it."),
    "attention": (
        "attention received",
        "The mean attention that a key gets from the queries that see it; queries are grey.",
    ),
    "cluster": (
        "cluster",
        "Groups of near queries and keys, by k-means on their vectors under a = 0, c = 1 "
        "(fixed seed).",
    ),
}


@dataclass(frozen=True, eq=False)
class Coloring:
    """Classes or levels of all points of a plane.

    Attributes
    ----------
    name : str
        Of `COLORINGS`.
    of_classes : bool
        True: each point has a class of its own; False: a level of a scale.
    classes : tuple of str
        Their names; the last may be ``other``.
    query, key : (N_q,), (N_k,) int16
        Class, or level 0 … LEVELS - 1; `NEUTRAL` where a point has none.
    low, high : float
        What the lowest and the highest level stand for.
    """

    name: str
    of_classes: bool
    classes: tuple[str, ...]
    query: Levels
    key: Levels
    low: float = 0.0
    high: float = 0.0

    @lazy
    def counts(self) -> tuple[int, ...]:
        """How many points each class has."""
        both = np.concatenate([self.query, self.key])
        return tuple(np.bincount(both[both >= 0], minlength=len(self.classes)).tolist())

    def hidden(self, classes: frozenset[int]) -> int:
        """Return how many points are of hidden classes."""
        return sum(self.counts[i] for i in classes if i < len(self.counts))

    def ends(self) -> tuple[str, str]:
        """Return what stands at the ends of a scale."""
        whole = self.low.is_integer() and self.high.is_integer()
        low, high = (f"{end:,.0f}" if whole else number(end) for end in (self.low, self.high))
        return low, high


def check(name: object, modulo: object) -> None:
    """Raise InputError where points cannot be coloured so."""
    if name not in COLORINGS:
        known = ", ".join(COLORINGS)
        raise InputError(f"Points cannot be coloured by {name!r}; choose one of {known}.")
    if not isinstance(modulo, int) or modulo < 1:
        raise InputError(f"Positions are taken modulo a whole number from 1 on, not {modulo!r}.")


def color(
    name: str, pictures: Sequence[Picture], *, modulo: int = 5, clusters: int = 6
) -> Coloring:
    """Return the classes or levels of the visible tokens of one text or more, in their order.

    Parameters
    ----------
    name
        Of `COLORINGS`, but not ``side``.
    modulo
        For ``modulo``.
    clusters
        For ``cluster``, at most.
    """
    makers: dict[str, Callable[[], Coloring]] = {
        "position": lambda: _scale(name, *_each(pictures, _position)),
        "relative position": lambda: _scale(name, *_each(pictures, _relative)),
        "modulo": lambda: _modulo(pictures, modulo),
        "text": lambda: _texts(pictures),
        "token": lambda: _ranked(name, *_names(pictures)),
        "frequency": lambda: _frequency(pictures),
        "kind": lambda: _kinds(pictures),
        "norm": lambda: _scale(name, *_each(pictures, _norm)),
        "attention": lambda: _scale(name, *_each(pictures, _received)),
        "cluster": lambda: _clusters(pictures, clusters),
    }
    return makers[name]()


def norms(pictures: Sequence[Picture]) -> tuple[Float, Float]:
    """Return the lengths of the visible queries and keys."""
    return _each(pictures, _norm)


Side = Literal["query", "key"]


def _each(pictures: Sequence[Picture], of: Callable[[Picture, Side], Float]) -> tuple[Float, Float]:
    query, key = (np.concatenate([of(p, side) for p in pictures]) for side in _SIDES)
    return query, key


_SIDES: tuple[Side, Side] = ("query", "key")


def _index(picture: Picture, side: Side) -> npt.NDArray[np.intp]:
    return picture.query_index if side == "query" else picture.key_index


def _tokens(picture: Picture, side: Side) -> tuple[str, ...]:
    return picture.query_tokens if side == "query" else picture.key_tokens


def _position(picture: Picture, side: Side) -> Float:
    return _index(picture, side).astype(np.float64)


def _relative(picture: Picture, side: Side) -> Float:
    whole = len(picture.source.query if side == "query" else picture.source.key)
    return _position(picture, side) / max(whole - 1, 1)


def _norm(picture: Picture, side: Side) -> Float:
    vectors = picture.drawn.query if side == "query" else picture.drawn.key
    chosen = vectors[_index(picture, side)].astype(np.float64)
    lengths: Float = np.sqrt(np.einsum("td,td->t", chosen, chosen))
    return lengths


def _received(picture: Picture, side: Side) -> Float:
    if side == "query":
        return np.full(len(picture.query_index), np.nan)
    seen = picture.mask.sum(axis=0)
    total = picture.attention.sum(axis=0, dtype=np.float64)
    return np.where(seen > 0, total / np.maximum(seen, 1), np.nan)


def _scale(name: str, query: Float, key: Float) -> Coloring:
    both = np.concatenate([query, key])
    known = both[np.isfinite(both)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    reach = high - low

    def levels(values: Float) -> Levels:
        share = (values - low) / reach if reach > 0 else np.where(np.isfinite(values), 0.0, values)
        level = np.clip(np.nan_to_num(share) * LEVELS, 0, LEVELS - 1)
        found: Levels = np.where(np.isfinite(values), level, NEUTRAL).astype(np.int16)
        return found

    return Coloring(name, False, (), levels(query), levels(key), low, high)


def _classes(name: str, classes: Sequence[str], query: Levels, key: Levels) -> Coloring:
    return Coloring(name, True, tuple(classes), query.astype(np.int16), key.astype(np.int16))


def _modulo(pictures: Sequence[Picture], n: int) -> Coloring:
    query, key = (places.astype(np.int16) for places in _each(
        pictures, lambda picture, side: np.mod(_position(picture, side), n)
    ))  # fmt: skip
    if n <= MOST_CLASSES + 1:
        return _classes("modulo", [str(i) for i in range(n)], query, key)
    return _scale("modulo", query.astype(np.float64), key.astype(np.float64))


def _texts(pictures: Sequence[Picture]) -> Coloring:
    """Texts that have the most tokens get colours of their own."""

    def repeated(side: Side) -> list[str]:
        return [f"text {p.text + 1}" for p in pictures for _ in _index(p, side)]

    return _ranked("text", repeated("query"), repeated("key"))


def _names(pictures: Sequence[Picture]) -> tuple[list[str], list[str]]:
    query, key = ([name for p in pictures for name in _tokens(p, side)] for side in _SIDES)
    return query, key


def _ranked(name: str, query: Sequence[str], key: Sequence[str]) -> Coloring:
    """The most frequent names are classes; equally frequent ones in the order they come in."""
    often = Counter(key)
    often.update(query)
    ranked = [one for one, _ in often.most_common()]
    # A class of one name is called by it.
    n_own = len(ranked) if len(ranked) <= MOST_CLASSES + 1 else MOST_CLASSES
    place = {one: i for i, one in enumerate(ranked[:n_own])}
    rest = len(ranked) - n_own
    classes = [*ranked[:n_own], *([f"{rest:,} others"] if rest else [])]
    query_class, key_class = (
        np.array([place.get(one, n_own) for one in names], dtype=np.int16) for names in (query, key)
    )
    return _classes(name, classes, query_class, key_class)


def _frequency(pictures: Sequence[Picture]) -> Coloring:
    often = Counter(token for tokens in pictures[0].capture.tokens for token in tokens)
    query, key = (np.log10([max(often[name], 1) for name in names]) for names in _names(pictures))
    found = _scale("frequency", query, key)
    return Coloring(
        found.name, False, (), found.query, found.key, 10**found.low, 10**found.high
    )  # fmt: skip


def _kinds(pictures: Sequence[Picture]) -> Coloring:
    sides = [
        np.concatenate([_kinds_of(p, side) for p in pictures]).astype(np.int16) for side in _SIDES
    ]
    return _classes("kind", KINDS, sides[0], sides[1])


def _kinds_of(picture: Picture, side: Side) -> npt.NDArray[np.intp]:
    tokens, index = _tokens(picture, side), _index(picture, side)
    own = picture.capture.tokens[picture.text]
    special = picture.capture.special[picture.text]
    whole = len(picture.source.query if side == "query" else picture.source.key) == len(own)
    # Tokenizers mark what goes on (##) or what begins (▁); one that marks neither cuts no words.
    begins = any(token.startswith("▁") for token in own)
    found = np.zeros(len(tokens), dtype=np.intp)
    for i, (token, place) in enumerate(zip(tokens, index.tolist(), strict=True)):
        if whole and special[place]:
            found[i] = 3
        elif not any(letter.isalnum() for letter in token):
            found[i] = 2
        elif token.startswith("##") or (begins and place > 0 and not token.startswith("▁")):
            before = own[place - 1] if whole and place else ""
            after_mark = begins and not any(letter.isalnum() for letter in before)
            found[i] = 0 if after_mark else 1
    return found


def _clusters(pictures: Sequence[Picture], k: int) -> Coloring:
    from attnviz_gui.analysis.clusters import clusters

    vectors = [
        np.concatenate(
            [(p.drawn.query if side == "query" else p.drawn.key)[_index(p, side)] for p in pictures]
        )
        for side in _SIDES
    ]
    found = clusters(np.concatenate(vectors), k).astype(np.int16)
    n = len(vectors[0])
    names = [f"cluster {i + 1}" for i in range(int(found.max(initial=0)) + 1)]
    return _classes("cluster", names, found[:n], found[n:])
