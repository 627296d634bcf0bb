"""What a plane shows of a picture: its lines, what is lit, which labels matter, what is said.

Functions of one head and one focus. Knows neither Qt nor positions: where things are drawn is the
geometry's and the drawing's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.lines import strongest_pairs, top_entries
from attnviz_gui.session.quote import quote_of
from attnviz_gui.session.words import number

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.geometry.together import TextPart
    from attnviz_gui.session.corpus import Corpus, Token
    from attnviz_gui.session.document import Document, Focus, Options
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.session.quote import Quote

    Float = npt.NDArray[np.float64]
    Int = npt.NDArray[np.intp]
    Frames = tuple[Frame, Frame] | tuple[TextPart, TextPart]  # before and after

N_LIT = 8  # lines of a chosen query or key
FAINTEST = 0.01  # attention below which a chosen query's or key's line is left out
SHORT = 40  # characters; a longer token is shortened in a line of text
EMPTY = np.zeros(0, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Links:
    """Lines between points: the queries' and the keys' points, and their attention, each (M,)."""

    start: Int = field(default_factory=lambda: EMPTY)
    end: Int = field(default_factory=lambda: EMPTY)
    weight: Float = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, eq=False)
class Lit:
    """The focus as a plane draws it.

    Attributes
    ----------
    chosen : (1,) or (2,) int
        The points in focus.
    others : (M,) int
        The points linked with them, the strongest first.
    links : Links
    color : str
        The theme's role that colours the links.
    """

    chosen: Int
    others: Int
    links: Links
    color: str


def line_pairs(picture: Picture, options: Options) -> tuple[Int, Int]:
    """Return queries and keys, each (M,), whose distance is measured and that may have a line.

    Each query and its most attended key, or the top entries of the whole matrix.
    """
    if options.lines == "top entries":
        return top_entries(picture.attention, options.n_lines)
    return strongest_pairs(picture.attention, picture.mask)


def links(picture: Picture, q: Int, k: Int) -> Links:
    """Return the lines of the pairs (q, k), each (M,)."""
    weight = picture.attention[q, k].astype(np.float64)
    return Links(q, k + len(picture.query_tokens), weight)


def importance(picture: Picture, watched: list[tuple[int, int]]) -> Int:
    """Return the points in the order in which they get labels: watched, then most attended.

    Keys rank by the attention that they receive, queries by the most that they give; the two take
    turns.
    """
    attention = picture.attention
    n = len(attention)
    query = np.argsort(-attention.max(axis=1), kind="stable")
    key = np.argsort(-attention.sum(axis=0), kind="stable")
    turn = np.concatenate([np.arange(len(key)) * 2, np.arange(len(query)) * 2 + 1])
    ranked = np.concatenate([key + n, query])[np.argsort(turn, kind="stable")]
    first = np.isin(ranked, [point for i, j in watched for point in (i, j + n)])
    return np.concatenate([ranked[first], ranked[~first]])


def lit(picture: Picture, focus: Focus) -> Lit | None:
    """Return what a focus lights up: a query's strongest keys, a key's queries, or one pair."""
    attention = picture.attention
    n = len(attention)
    i, j = focus.query, focus.key
    if i is not None and j is not None:
        pair = links(picture, np.array([i]), np.array([j]))
        return Lit(np.array([i, j + n]), EMPTY, pair, "text")
    if i is not None:
        keys = _strongest(attention[i])
        return Lit(np.array([i]), keys + n, links(picture, np.full(len(keys), i), keys), "query")
    if j is not None:
        queries = _strongest(attention[:, j])
        found = links(picture, queries, np.full(len(queries), j))
        return Lit(np.array([j + n]), queries, found, "key")
    return None


def describe(picture: Picture, frames: Frames, focus: Focus) -> tuple[str, ...]:
    """Return what can be said about a query, a key or a pair, in lines."""
    attention = picture.attention
    i, j = focus.query, focus.key
    if i is not None and j is not None:
        pair = np.array([i]), np.array([j])
        lengths = [number(f.mean_line_length(pair)) for f in frames]
        return (
            f"{short(picture.query_tokens[i])} → {short(picture.key_tokens[j])}",
            f"attention {number(float(attention[i, j]))}",
            f"distance in the plane {' → '.join(dict.fromkeys(lengths))}",
        )
    if i is not None:
        best = int(attention[i].argmax())
        return (
            f"{short(picture.query_tokens[i])}  query {picture.query_index[i]}",
            f"most attended: {short(picture.key_tokens[best])}"
            f"  {number(float(attention[i, best]))}",
        )
    if j is not None:
        best = int(attention[:, j].argmax())
        return (
            f"{short(picture.key_tokens[j])}  key {picture.key_index[j]}",
            f"attended most by: {short(picture.query_tokens[best])}"
            f"  {number(float(attention[best, j]))}",
        )
    return ()


def describe_other(corpus: Corpus, point: int) -> tuple[str, ...]:
    """Return what is said about a point of the corpus, queries first, in lines."""
    token, side = token_at(corpus, point)
    return (
        f"{short(token.name)}  {side} {token.place}",
        f"text {token.text + 1} of {len(corpus.pictures)} · click to show it",
    )


def quote_other(corpus: Corpus, point: int) -> Quote:
    """Return the text of a point of the corpus, with its token emphasised."""
    token, side = token_at(corpus, point)
    one = (token.index,)
    both = (one, ()) if side == "query" else ((), one)
    return quote_of(corpus.pictures[token.text], *both)


def quote_focus(document: Document, focus: Focus) -> Quote | None:
    """Return the text on show with what is in focus emphasised, where it is one of many."""
    if document.corpus is None or document.picture is None:
        return None
    queries = () if focus.query is None else (focus.query,)
    keys = () if focus.key is None else (focus.key,)
    return quote_of(document.picture, queries, keys)


def which_text(document: Document) -> tuple[str, ...]:
    """Return a line that says which text is on show, where it is one of many."""
    if document.corpus is None or document.picture is None:
        return ()
    return (f"text {document.picture.text + 1} of {len(document.corpus.pictures)}",)


def token_at(corpus: Corpus, point: int) -> tuple[Token, str]:
    """Return where a point of the corpus comes from, and whether it is a query or a key."""
    n_queries = int(corpus.query_start[-1])
    if point < n_queries:
        return corpus.query_token(point), "query"
    return corpus.key_token(point - n_queries), "key"


def numbers(frames: Frames, pairs: tuple[Int, Int], of: str = "") -> str:
    """Return the share of variance in the plane and the mean drawn length of `pairs`.

    Before → after, or one number where nothing was moved. `of`: whose pairs they are, if not all.
    """
    before, after = frames
    same = np.array_equal(before.projection.explained, after.projection.explained)
    unmoved = after is before or (same and not after.shift.any() and after.scale == 1)
    shown = [before] if unmoved else [before, after]
    share = [number(100 * float(f.projection.explained.sum()), 2) for f in shown]
    text = f"{' → '.join(share)} % of variance"
    if len(pairs[0]):
        means = " → ".join(number(f.mean_line_length(pairs)) for f in shown)
        text += f" · mean distance {of}{means}"
    return text


def step(picture: Picture, focus: Focus, query: int, key: int) -> Focus:
    """Return the focus one query or one key further, from the end back to the start.

    Of a pair the other half stays; else the focus is the one query or the one key.
    """
    pair = focus.query is not None and focus.key is not None
    if query:
        i = _next(focus.query, query, len(picture.query_tokens))
        return replace(focus, query=i) if pair else type(focus)(query=i)
    j = _next(focus.key, key, len(picture.key_tokens))
    return replace(focus, key=j) if pair else type(focus)(key=j)


def _next(now: int | None, by: int, count: int) -> int:
    if now is None:
        return 0 if by > 0 else count - 1
    return (now + by) % count


def short(token: str) -> str:
    """Return a token for a line of text: one line, the middle left out where it is long."""
    token = " ".join(token.split()) or "␣"
    return token if len(token) <= SHORT else f"{token[: SHORT // 2]}…{token[1 - SHORT // 2 :]}"


def _strongest(attention: npt.NDArray[np.float32]) -> Int:
    """Return where one row or column is largest, the largest first: a few, the faint left out."""
    top = np.argsort(-attention, kind="stable")[:N_LIT]
    kept = attention[top] >= FAINTEST
    kept[:1] = attention[top[:1]] > 0
    return top[kept]
