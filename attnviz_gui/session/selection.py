"""What is selected: tokens as queries or keys, and pairs of them, of all texts. Never imports Qt.

A token's address is its text, its side (query or key), and its index among all tokens of the text,
hidden ones included. A selection holds no layer and no head: it stays while a person goes through
heads. Where layers count their queries or keys in lists of their own (an encoder's and a decoder's
tokens), the address belongs to one of these lists, and is shown by the layers that use it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from attnviz_gui.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.session.corpus import Corpus
    from attnviz_gui.session.picture import Picture

    BoolArray = npt.NDArray[np.bool_]
    IndexArray = npt.NDArray[np.intp]
    Indices = npt.NDArray[np.integer] | Sequence[int]

Side = Literal["query", "key"]
SIDES: tuple[Side, Side] = ("query", "key")
How = Literal["replace", "add", "remove", "toggle"]

MOST_PAIRS = 4_000_000  # pairs that are kept; of more of them, only their tokens are
MOST_STEPS = 200  # that can be undone
MOST_KEPT = 128 << 20  # bytes that the steps to be undone may hold


@dataclass(frozen=True, eq=False)
class TokenLists:
    """The lists of tokens that a capture's queries and keys are counted in.

    Most captures have one: the tokens of its texts. A token's *place* is its index in a list of
    all texts, one after the other.

    Attributes
    ----------
    names : tuple over lists of tuples over texts of tuples of str
    of_layer : tuple of (query list, key list)
    """

    names: tuple[tuple[tuple[str, ...], ...], ...] = ()
    of_layer: tuple[tuple[int, int], ...] = ()

    @lazy
    def starts(self) -> tuple[IndexArray, ...]:
        """Where each text begins in each list, and where the last one ends, (n_texts + 1,)."""
        return tuple(
            np.cumsum([0, *map(len, texts)], dtype=np.intp) if texts else np.zeros(1, dtype=np.intp)
            for texts in self.names
        )

    @lazy
    def used(self) -> tuple[tuple[Side, int], ...]:
        """The sides and lists that some layer uses."""
        return tuple(sorted({(s, at[s == "key"]) for at in self.of_layer for s in SIDES}))

    def size(self, which: int) -> int:
        """Return the number of tokens in a list."""
        return int(self.starts[which][-1])

    def part(self, which: int, text: int) -> slice:
        """Return the places of a text in a list."""
        start = self.starts[which]
        return slice(int(start[text]), int(start[text + 1]))

    def find(self, which: int, places: IndexArray) -> tuple[IndexArray, IndexArray]:
        """Return texts and indices, (n,) each, of places in a list."""
        texts = np.searchsorted(self.starts[which], places, side="right") - 1
        return texts, places - self.starts[which][texts]

    def pair_starts(self, queries: int, keys: int) -> IndexArray:
        """Return where each text's pairs begin in the count of all pairs of two lists."""
        sizes = np.diff(self.starts[queries]) * np.diff(self.starts[keys])
        return np.concatenate([[0], np.cumsum(sizes)])


def token_lists(capture: Capture) -> TokenLists:
    """Return the lists of tokens that a capture's layers count in."""
    texts = range(len(capture.texts))
    names: list[tuple[tuple[str, ...], ...]] = []
    known: dict[object, int] = {}
    of_layer = []
    for layer in range(len(capture.layers)):
        both = []
        for side in SIDES:
            own = [getattr(capture.records[t][layer], f"{side}_tokens") for t in texts]
            new: tuple[tuple[str, ...], ...] | None = None
            if all(each is None for each in own):
                mark: object = None  # the texts' own, whichever layer asks
            else:
                read = capture.query_tokens if side == "query" else capture.key_tokens
                mark = new = tuple(read(layer, t) for t in texts)
            if mark not in known:
                known[mark] = len(names)
                names.append(new or tuple(tuple(tokens) for tokens in capture.tokens))
            both.append(known[mark])
        of_layer.append((both[0], both[1]))
    return TokenLists(tuple(names), tuple(of_layer))


class Row(NamedTuple):
    """A selected token as a list shows it."""

    name: str
    as_query: bool
    as_key: bool
    text: int
    position: int
    which: int


class Table(NamedTuple):
    """All selected tokens in order, (n,) each: list, text, index in the text, and as what."""

    which: IndexArray
    text: IndexArray
    position: IndexArray
    as_query: BoolArray
    as_key: BoolArray

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True, eq=False)
class Selection:
    """Some tokens of a capture, and some pairs of them.

    Tokens that were picked and pairs that were picked are kept apart. A selected pair selects its
    query and its key: `mask` is True for what was picked, and for the ends of pairs. A pair leaves
    when it is taken away, or when one of its ends is; a token that only a pair has selected leaves
    with the last of its pairs.

    Attributes
    ----------
    lists : TokenLists
    picked : mapping of (side, list) to (n,) bool
        The tokens that were picked by themselves, at their places; nothing selected is left out.
    pairs : mapping of (query list, key list) to (m,) int
        The pairs that were picked, sorted, counted as `TokenLists.pair_starts` counts them: the
        place of query i and key j of a text of T_k keys is the text's start + i T_k + j.
    """

    lists: TokenLists = field(default_factory=TokenLists)
    picked: Mapping[tuple[Side, int], BoolArray] = field(default_factory=dict)
    pairs: Mapping[tuple[int, int], IndexArray] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.picked) or bool(self.pairs)

    # -- what is in it -----------------------------------------------------------------------

    @lazy
    def masks(self) -> dict[tuple[Side, int], BoolArray]:
        """The selected tokens of each side and list, (n,) bool; without an entry, none."""
        masks = dict(self.picked)
        for (queries, keys), pairs in self.pairs.items():
            _, i, j = self._ends(queries, keys, pairs)
            for side, which, places in zip(SIDES, (queries, keys), (i, j), strict=True):
                mask = masks.get((side, which))
                mask = np.zeros(self.lists.size(which), dtype=bool) if mask is None else mask.copy()
                mask[places] = True
                masks[side, which] = mask
        return masks

    def mask(self, side: Side, which: int = 0) -> BoolArray:
        """Return which tokens of all texts are selected, (n,) bool; `which`: of which list."""
        mask = self.masks.get((side, which))
        return np.zeros(self.lists.size(which), dtype=bool) if mask is None else mask

    def of_text(self, text: int, side: Side, which: int = 0) -> BoolArray:
        """Return which tokens of one text are selected, (T,) bool."""
        return self.mask(side, which)[self.lists.part(which, text)]

    def pairs_of_text(self, text: int, queries: int = 0, keys: int = 0) -> IndexArray:
        """Return the selected pairs of one text, (m,), as query * T_k + key."""
        pairs = self.pairs.get((queries, keys))
        if pairs is None:
            return np.zeros(0, dtype=np.intp)
        start = self.lists.pair_starts(queries, keys)
        first, last = np.searchsorted(pairs, start[text : text + 2])
        here: IndexArray = pairs[first:last] - start[text]
        return here

    @lazy
    def n_tokens(self) -> int:
        """Number of selected tokens; one that is selected as query and as key is one."""
        return len(self.table)

    def n_of(self, side: Side) -> int:
        """Return how many tokens are selected as query, or as key."""
        return sum(int(mask.sum()) for (of, _), mask in self.masks.items() if of == side)

    @property
    def n_pairs(self) -> int:
        """Number of selected pairs."""
        return sum(map(len, self.pairs.values()))

    @lazy
    def n_texts(self) -> int:
        """Number of texts with a selected token."""
        return len(np.unique(self.table.text))

    @lazy
    def table(self) -> Table:
        """All selected tokens, by text, then by list and index."""
        parts = []
        for which in range(len(self.lists.names)):
            queries, keys = (self.mask(side, which) for side in SIDES)
            places = np.flatnonzero(queries | keys)
            text, index = self.lists.find(which, places)
            parts.append((np.full(len(places), which), text, index, queries[places], keys[places]))
        if not parts:
            none = np.zeros(0, dtype=np.intp)
            return Table(none, none, none, none.astype(bool), none.astype(bool))
        columns = [np.concatenate(each) for each in zip(*parts, strict=True)]
        order = np.lexsort((columns[2], columns[0], columns[1]))
        return Table(*(column[order] for column in columns))

    def row(self, row: int) -> Row:
        """Return one row of the table, with the token's name."""
        t = self.table
        which, text, index = int(t.which[row]), int(t.text[row]), int(t.position[row])
        name = self.lists.names[which][text][index]
        return Row(name, bool(t.as_query[row]), bool(t.as_key[row]), text, index, which)

    def same(self, other: Selection) -> bool:
        """Return whether the same is selected."""
        return (
            self.lists is other.lists
            and self.picked.keys() == other.picked.keys()
            and self.pairs.keys() == other.pairs.keys()
            and all(np.array_equal(mask, other.picked[at]) for at, mask in self.picked.items())
            and all(np.array_equal(pairs, other.pairs[at]) for at, pairs in self.pairs.items())
        )

    # -- operations --------------------------------------------------------------------------

    def then(self, brush: Selection, how: How = "replace") -> Selection:
        """Return what is selected after a brush.

        ``replace``: the brush alone. ``add``: both. ``remove``: what is not in the brush.
        ``toggle``: what is in one of the two; a brush with pairs toggles its pairs.
        """
        if how == "replace":
            return brush
        if how == "add":
            return self._with(brush)
        if how == "remove":
            return self._without(brush)
        both = brush._within(self)
        return self._without(both)._with(brush._without(both))

    def inverted(self) -> Selection:
        """Return every token of every side that is not selected."""
        lists = self.lists
        return _selection(lists, {at: ~self.mask(*at) for at in lists.used}, {})

    def _with(self, other: Selection) -> Selection:
        picked = dict(self.picked)
        for at, mask in other.picked.items():
            picked[at] = picked[at] | mask if at in picked else mask
        pairs = dict(self.pairs)
        for both, some in other.pairs.items():
            pairs[both] = _union(pairs[both], some) if both in pairs else some
        return _selection(self.lists, picked, pairs)

    def _without(self, other: Selection) -> Selection:
        picked = {
            at: mask & ~other.picked[at] if at in other.picked else mask
            for at, mask in self.picked.items()
        }
        pairs = {}
        for (queries, keys), some in self.pairs.items():
            kept = some
            if (queries, keys) in other.pairs:
                kept = np.setdiff1d(kept, other.pairs[queries, keys], assume_unique=True)
            gone = other.picked.get(("query", queries)), other.picked.get(("key", keys))
            if any(mask is not None for mask in gone) and len(kept):
                _, i, j = self._ends(queries, keys, kept)
                stay = np.ones(len(kept), dtype=bool)
                for mask, places in zip(gone, (i, j), strict=True):
                    if mask is not None:
                        stay &= ~mask[places]
                kept = kept[stay]
            pairs[queries, keys] = kept
        return _selection(self.lists, picked, pairs)

    def _within(self, other: Selection) -> Selection:
        """Return the part of this that is selected in another."""
        masks, pairs = other.masks, other.pairs
        return _selection(
            self.lists,
            {at: mask & masks[at] for at, mask in self.picked.items() if at in masks},
            {
                at: np.intersect1d(some, pairs[at], assume_unique=True)
                for at, some in self.pairs.items()
                if at in pairs
            },
        )

    def _ends(
        self, queries: int, keys: int, pairs: IndexArray
    ) -> tuple[IndexArray, IndexArray, IndexArray]:
        """Return the texts, and the places of queries and keys, of pairs (m,)."""
        start = self.lists.pair_starts(queries, keys)
        text = np.searchsorted(start, pairs, side="right") - 1
        i, j = np.divmod(pairs - start[text], np.diff(self.lists.starts[keys])[text])
        return text, i + self.lists.starts[queries][text], j + self.lists.starts[keys][text]

    @property
    def n_bytes(self) -> int:
        """The memory that it holds."""
        return sum(a.nbytes for a in (*self.picked.values(), *self.pairs.values()))


def _selection(
    lists: TokenLists,
    picked: Mapping[tuple[Side, int], BoolArray],
    pairs: Mapping[tuple[int, int], IndexArray],
) -> Selection:
    """Return a selection without empty entries; of too many pairs, their tokens."""
    some = Selection(
        lists,
        {at: mask for at, mask in picked.items() if mask.any()},
        {both: each for both, each in pairs.items() if len(each)},
    )
    return Selection(lists, some.masks) if some.n_pairs > MOST_PAIRS else some


def select_places(
    lists: TokenLists, queries: Indices = (), keys: Indices = (), of: tuple[int, int] = (0, 0)
) -> Selection:
    """Return a selection of tokens at these places of two lists."""
    picked: dict[tuple[Side, int], BoolArray] = {}
    for side, which, places in zip(SIDES, of, (queries, keys), strict=True):
        mask = np.zeros(lists.size(which), dtype=bool)
        mask[np.asarray(places, dtype=np.intp)] = True
        picked[side, which] = mask
    return _selection(lists, picked, {})


def select_pairs(
    lists: TokenLists, texts: Indices, queries: Indices, keys: Indices, of: tuple[int, int] = (0, 0)
) -> Selection:
    """Return a selection of pairs.

    Parameters
    ----------
    texts, queries, keys : (m,) int
        A pair's text, and the indices of its query and key among all tokens of the text.
    """
    text, i, j = (np.asarray(each, dtype=np.intp) for each in (texts, queries, keys))
    n_keys = np.diff(lists.starts[of[1]])
    places = lists.pair_starts(*of)[text] + i * n_keys[text] + j
    if len(places) > 1 and not (places[1:] > places[:-1]).all():
        places = np.unique(places)
    return _selection(lists, {}, {of: places})


def select_pairs_at(
    lists: TokenLists, queries: IndexArray, keys: IndexArray, of: tuple[int, int]
) -> Selection:
    """Return a selection of pairs of places of two lists, (m,) each, each pair within a text."""
    texts, i = lists.find(of[0], queries)
    return select_pairs(lists, texts, i, keys - lists.starts[of[1]][texts], of)


def _union(one: IndexArray, other: IndexArray) -> IndexArray:
    """Return the union of two sorted arrays."""
    both = np.concatenate([one, other])
    both.sort(kind="stable")  # two runs in order: they are merged
    keep = np.ones(len(both), dtype=bool)
    np.not_equal(both[1:], both[:-1], out=keep[1:])
    return both[keep]


class History:
    """Selections that can be undone and redone; the oldest are forgotten."""

    def __init__(self) -> None:
        self._before: deque[Selection] = deque()
        self._after: list[Selection] = []

    def push(self, before: Selection) -> None:
        """Keep what was selected before a change; nothing can be redone any more."""
        self._after.clear()
        self._before.append(before)
        kept = sum(each.n_bytes for each in self._before)
        while len(self._before) > MOST_STEPS or (kept > MOST_KEPT and len(self._before) > 1):
            kept -= self._before.popleft().n_bytes

    def undo(self, now: Selection) -> Selection | None:
        """Return what was selected before, None where nothing was."""
        if not self._before:
            return None
        self._after.append(now)
        return self._before.pop()

    def redo(self, now: Selection) -> Selection | None:
        """Return what was selected before the last undo."""
        if not self._after:
            return None
        self._before.append(now)
        return self._after.pop()

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self._after)


@dataclass(frozen=True, eq=False)
class Places:
    """Where the visible tokens of a view stand in the lists.

    Attributes
    ----------
    query, key : (T_q,), (T_k,) int
        Places in the lists `of`, in the order in which the view counts its tokens.
    of : (int, int)
        The lists of its queries and of its keys.
    """

    query: IndexArray
    key: IndexArray
    of: tuple[int, int]


def places_of_picture(lists: TokenLists, picture: Picture) -> Places:
    """Return where a picture's visible tokens stand."""
    queries, keys = of = lists.of_layer[picture.layer]
    return Places(
        picture.query_index + lists.starts[queries][picture.text],
        picture.key_index + lists.starts[keys][picture.text],
        of,
    )


def places_of_corpus(lists: TokenLists, corpus: Corpus) -> Places:
    """Return where the visible tokens of all texts stand."""
    each = [places_of_picture(lists, picture) for picture in corpus.pictures]
    return Places(
        np.concatenate([p.query for p in each]), np.concatenate([p.key for p in each]), each[0].of
    )


@dataclass(frozen=True, eq=False)
class Marks:
    """What of a view's visible tokens is selected or found, as the view counts them.

    Attributes
    ----------
    selected, picked, found : pair of (T_q,) and (T_k,) bool
        Queries and keys that are selected, those of them that were picked by themselves and not
        only as ends of pairs, and those that a search has found.
    pairs : (m,) int
        The selected pairs, sorted, as query * T_k + key.
    """

    selected: tuple[BoolArray, BoolArray]
    picked: tuple[BoolArray, BoolArray]
    found: tuple[BoolArray, BoolArray]
    pairs: IndexArray

    @lazy
    def lit(self) -> tuple[BoolArray, BoolArray]:
        """Queries and keys that are selected or found."""
        query, key = (a | b for a, b in zip(self.selected, self.found, strict=True))
        return query, key

    @lazy
    def whole(self) -> tuple[BoolArray, BoolArray]:
        """Queries and keys all of whose pairs are lit."""
        query, key = (a | b for a, b in zip(self.picked, self.found, strict=True))
        return query, key

    def __bool__(self) -> bool:
        return bool(self.lit[0].any() or self.lit[1].any())

    def lit_pairs(self, mask: BoolArray) -> BoolArray:
        """Return which pairs are lit, (T_q, T_k), of those that the mask allows.

        The selected pairs, and all pairs of a token that was picked or found.
        """
        query, key = self.whole
        lit: BoolArray = query[:, None] | key
        lit.ravel()[self.pairs] = True
        lit &= mask
        return lit


def marks_at(places: Places, selection: Selection, found: Selection) -> Marks:
    """Return what is selected and found among visible tokens."""
    (queries, keys) = places.of

    def masks(of: Mapping[tuple[Side, int], BoolArray]) -> tuple[BoolArray, BoolArray]:
        query, key = of.get(("query", queries)), of.get(("key", keys))
        return (
            np.zeros(len(places.query), dtype=bool) if query is None else query[places.query],
            np.zeros(len(places.key), dtype=bool) if key is None else key[places.key],
        )

    pairs = selection.pairs.get(places.of)
    if pairs is None or not len(places.query) or not len(places.key):
        pairs = np.zeros(0, dtype=np.intp)
    else:
        lists = selection.lists
        # Of one text alone, only its pairs are looked at.
        text = lists.find(queries, places.query[[0, -1]])[0].tolist()
        start = lists.pair_starts(queries, keys)
        first, last = np.searchsorted(pairs, (start[text[0]], start[text[1] + 1]))
        _, i, j = selection._ends(queries, keys, pairs[first:last])
        seen = []
        for shown, which, ends in ((places.query, queries, i), (places.key, keys, j)):
            back = np.full(lists.size(which), -1, dtype=np.intp)
            back[shown] = np.arange(len(shown))
            seen.append(back[ends])
        here = (seen[0] >= 0) & (seen[1] >= 0)
        pairs = seen[0][here] * len(places.key) + seen[1][here]
        pairs.sort()
    return Marks(masks(selection.masks), masks(selection.picked), masks(found.masks), pairs)


class Selecting:
    """What is selected and found in the capture on show, and the way back. Emits nothing."""

    def __init__(self) -> None:
        self._capture: Capture | None = None
        self.lists = TokenLists()
        self._forget()

    def _forget(self) -> None:
        self.selection = self.found = Selection(self.lists)
        self.history = History()
        self._marks: dict[int, tuple[object, Marks]] = {}  # by whether it is of all texts
        self._places: dict[int, tuple[object, Places]] = {}

    def take(self, capture: Capture) -> bool:
        """Take a capture; of another one everything is forgotten. Returns whether anything was."""
        if capture is self._capture:
            return False
        had = bool(self.selection or self.found or self.history.can_undo or self.history.can_redo)
        self._capture, self.lists = capture, token_lists(capture)
        self._forget()
        return had

    def select(self, brush: Selection, how: How) -> bool:
        """Select; returns whether anything has changed. A brush of another capture does nothing."""
        if brush.lists is not self.lists:
            return False
        after = self.selection.then(brush, how)
        if after.same(self.selection):
            return False
        self.history.push(self.selection)
        self._set(after)
        return True

    def step(self, *, back: bool) -> bool:
        """Undo or redo; returns whether there was something."""
        there = (self.history.undo if back else self.history.redo)(self.selection)
        if there is None:
            return False
        self._set(there)
        return True

    def find(self, found: Selection) -> bool:
        """Take what a search has found; returns whether anything has changed."""
        if found.lists is not self.lists or found.same(self.found):
            return False
        self.found = found
        self._marks.clear()
        return True

    def _set(self, selection: Selection) -> None:
        self.selection = selection
        self._marks.clear()

    def places(self, of: Picture | Corpus) -> Places:
        """Return where the visible tokens of a picture or a corpus stand."""
        all_texts = hasattr(of, "pictures")
        kept = self._places.get(all_texts)
        if kept is None or kept[0] is not of:
            find = places_of_corpus if all_texts else places_of_picture
            kept = self._places[all_texts] = of, find(self.lists, of)  # type: ignore[arg-type]
        return kept[1]

    def marks(self, of: Picture | Corpus) -> Marks | None:
        """Return what is selected or found in a picture or corpus; None where nothing is."""
        if not self.selection and not self.found:
            return None
        all_texts = hasattr(of, "pictures")
        kept = self._marks.get(all_texts)
        if kept is None or kept[0] is not of:
            marks = marks_at(self.places(of), self.selection, self.found)
            kept = self._marks[all_texts] = of, marks
        return kept[1] or None
