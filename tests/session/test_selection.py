"""Selection: every operation against plain sets, addresses that hold, undo, and other captures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnviz_gui.session import selection as module
from attnviz_gui.session.document import Document
from attnviz_gui.session.selection import (
    Selection,
    TokenLists,
    select_pairs,
    select_places,
    token_lists,
)
from tests.samples import random_capture

# Three texts of 2, 3 and 1 tokens.
LISTS = TokenLists(((("a", "b"), ("c", "d", "e"), ("f",)),), ((0, 0),))
PLACES = range(6)
TEXTS = [0, 0, 1, 1, 1, 2]
PAIRS = [(i, j) for i in PLACES for j in PLACES if TEXTS[i] == TEXTS[j]]
START = [0, 2, 5]


class Plain:
    """The same as `Selection`, with sets and loops."""

    def __init__(self, queries=(), keys=(), pairs=()):
        self.queries, self.keys, self.pairs = set(queries), set(keys), set(pairs)

    @property
    def lit(self):
        return (
            self.queries | {i for i, _ in self.pairs},
            self.keys | {j for _, j in self.pairs},
        )

    def add(self, other):
        return Plain(self.queries | other.queries, self.keys | other.keys, self.pairs | other.pairs)

    def remove(self, other):
        pairs = {
            (i, j)
            for i, j in self.pairs - other.pairs
            if i not in other.queries and j not in other.keys
        }
        return Plain(self.queries - other.queries, self.keys - other.keys, pairs)

    def toggle(self, other):
        q, k = self.lit
        both = Plain(other.queries & q, other.keys & k, other.pairs & self.pairs)
        return self.remove(both).add(other.remove(both))


def real(plain: Plain) -> Selection:
    pairs = sorted(plain.pairs)
    texts = [TEXTS[i] for i, _ in pairs]
    some = select_places(LISTS, sorted(plain.queries), sorted(plain.keys))
    others = select_pairs(
        LISTS, texts,
        [i - START[t] for (i, _), t in zip(pairs, texts, strict=True)],
        [j - START[t] for (_, j), t in zip(pairs, texts, strict=True)],
    )  # fmt: skip
    return some.then(others, "add")


plains = st.builds(
    Plain,
    st.sets(st.sampled_from(PLACES)),
    st.sets(st.sampled_from(PLACES)),
    st.sets(st.sampled_from(PAIRS)),
)


def assert_same(ours: Selection, plain: Plain) -> None:
    queries, keys = plain.lit
    assert set(np.flatnonzero(ours.mask("query"))) == queries
    assert set(np.flatnonzero(ours.mask("key"))) == keys
    assert ours.n_pairs == len(plain.pairs)
    for text, start in enumerate(START):
        n_keys = len(LISTS.names[0][text])
        found = {
            (start + i, start + j)
            for i, j in (divmod(int(p), n_keys) for p in ours.pairs_of_text(text))
        }
        assert found == {pair for pair in plain.pairs if TEXTS[pair[0]] == text}
    assert ours.n_tokens == len(queries | keys)
    assert bool(ours) == bool(queries | keys)


@settings(max_examples=150, deadline=None)
@given(plains, plains, st.sampled_from(["replace", "add", "remove", "toggle"]))
def test_operations_are_those_of_sets(before, brush, how):
    after = real(before).then(real(brush), how)
    expected = brush if how == "replace" else getattr(before, how)(brush)
    assert_same(after, expected)


@given(plains)
def test_what_is_inverted_holds_the_other_tokens(plain):
    queries, keys = plain.lit
    assert_same(real(plain).inverted(), Plain(set(PLACES) - queries, set(PLACES) - keys))


def test_rows_are_in_the_order_of_the_texts_and_say_as_what():
    chosen = select_places(LISTS, [4, 0], [0, 5])
    rows = [chosen.row(i) for i in range(chosen.n_tokens)]
    assert [(r.name, r.text, r.position, r.as_query, r.as_key) for r in rows] == [
        ("a", 0, 0, True, True), ("e", 1, 2, True, False), ("f", 2, 0, False, True),
    ]  # fmt: skip
    assert (chosen.n_of("query"), chosen.n_of("key"), chosen.n_texts) == (2, 2, 3)


def test_of_too_many_pairs_the_tokens_are_kept(monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 3)
    chosen = select_pairs(LISTS, [1] * 4, [0, 0, 1, 1], [0, 1, 0, 1])
    assert chosen.n_pairs == 0
    assert chosen.of_text(1, "query").tolist() == [True, True, False]


@pytest.fixture
def document():
    document = Document()
    document.open(random_capture(6, texts=3))
    return document


def test_a_selection_stays_for_another_head_and_text_and_goes_with_the_capture(document):
    told = []
    document.selection_changed.connect(lambda: told.append(document.selection.n_tokens))
    document.select(select_places(document.token_lists, [7], [8]))
    document.show_head(1, 2, 1)
    assert told == [2]
    assert document.marks.selected[0].tolist() == [False, True, False, False, False, False]
    document.set_options(show_special=False)
    assert document.marks.selected[0].tolist() == [True, False, False, False]
    assert document.marks.selected[1].tolist() == [False, True, False, False]
    document.show_head(text=0)
    assert document.marks is None
    old = document.token_lists
    document.open(random_capture(6, texts=3))
    assert told == [2, 0] and not document.selection and not document.can_undo
    document.select(select_places(old, [1]))
    assert not document.selection


def test_undo_goes_back_step_by_step_and_a_new_selection_ends_the_way_forward(document):
    lists = document.token_lists
    document.undo()
    assert not document.can_undo and not document.can_redo
    document.select(select_places(lists, [1]))
    document.select(select_places(lists, [1]))  # no step
    document.select(select_places(lists, [2]), "add")
    document.undo()
    assert np.flatnonzero(document.selection.mask("query")).tolist() == [1]
    document.redo()
    assert np.flatnonzero(document.selection.mask("query")).tolist() == [1, 2]
    document.undo()
    document.undo()
    assert not document.selection and document.can_redo and not document.can_undo
    document.select(select_places(lists, [3]))
    assert not document.can_redo


def test_history_forgets_the_oldest(monkeypatch, document):
    monkeypatch.setattr(module, "MOST_STEPS", 3)
    for place in range(6):
        document.select(select_places(document.token_lists, [place]))
    steps = 0
    while document.can_undo:
        document.undo()
        steps += 1
    assert steps == 3
    assert np.flatnonzero(document.selection.mask("query")).tolist() == [2]


def test_all_texts_have_the_marks_of_each(document):
    document.set_options(together=True)
    lists = document.token_lists
    chosen = select_pairs(lists, [0, 2], [1, 3], [4, 2])
    document.select(chosen.then(select_places(lists, [8]), "add"))
    marks = document.corpus_marks
    assert np.flatnonzero(marks.selected[0]).tolist() == [1, 8, 15]
    assert np.flatnonzero(marks.selected[1]).tolist() == [4, 14]
    assert np.flatnonzero(marks.picked[0]).tolist() == [8]
    assert marks.pairs.tolist() == [1 * 18 + 4, 15 * 18 + 14]
    document.set_options(show_special=False)  # the first and last of six
    marks = document.corpus_marks
    assert np.flatnonzero(marks.selected[0]).tolist() == [0, 5, 10]
    assert marks.pairs.tolist() == [0 * 12 + 3, 10 * 12 + 9]
    lit = document.marks.lit_pairs(document.picture.mask)
    assert np.argwhere(lit).tolist() == [[0, 3]]


def test_layers_with_tokens_of_their_own_have_a_list_of_their_own():
    capture = random_capture(4, layers=3)
    own = tuple("wxyz")
    records = list(capture.records[0])
    records[1] = replace(records[1], query_tokens=own)
    records[2] = replace(records[2], query_tokens=own, key_tokens=own)
    capture = replace(capture, records=(tuple(records),))
    lists = token_lists(capture)
    assert lists.of_layer == ((0, 0), (1, 0), (1, 1))
    document = Document()
    document.open(capture)
    document.select(select_places(document.token_lists, [2], [], (1, 1)))
    assert document.marks is None
    assert document.selection.row(0).name == "y"
    document.show_head(layer=1)
    assert np.flatnonzero(document.marks.selected[0]).tolist() == [2]
    document.show_head(layer=2)
    assert np.flatnonzero(document.marks.selected[0]).tolist() == [2]
    assert not document.marks.selected[1].any()


def test_what_is_found_is_no_step_and_is_lit_beside_the_selection(document):
    lists = document.token_lists
    document.select(select_places(lists, [1]))
    document.find(select_places(lists, [2], [2]))
    assert document.marks.lit[0].tolist() == [False, True, True, False, False, False]
    assert document.marks.whole[1].tolist() == [False, False, True, False, False, False]
    document.undo()
    assert not document.selection and document.found.n_tokens == 1
