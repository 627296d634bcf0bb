"""Search: over all texts, across word pieces, with expressions that would never end."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.session import search as module
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.search import Index, Search, found_tokens, search, show_position
from attnviz_gui.session.selection import TokenLists
from tests.samples import random_capture

BERT = (
    ("[CLS]", "the", "cap", "##y", "##bara", "is", "here", ".", "[SEP]"),
    ("[CLS]", "the", "red", "Bar", ",", "日", "本", "[SEP]"),
)
TEXTS = ("The capybara is here.", "the red Bar, 日本")
GPT = (("The", "▁cap", "yb", "ara", "▁is", "▁here"),)


def index(names=BERT, texts=TEXTS) -> Index:
    return Index(TokenLists((tuple(names),), ((0, 0),)), texts)


def spans(found) -> list[tuple[int, int, int]]:
    return list(zip(found.text.tolist(), found.first.tolist(), found.last.tolist(), strict=True))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("capy", [(0, 2, 3)]),
        ("BARA", [(0, 4, 4)]),
        ("ybara is", [(0, 3, 5)]),
        ("here.", [(0, 6, 7)]),
        ("her", [(0, 6, 6)]),
        ("hered", []),  # "the red" is two words
        ("bar", [(0, 4, 4), (1, 3, 3)]),
        ("日本", [(1, 5, 6)]),
        ("##", [(0, 3, 3), (0, 4, 4)]),
        (" is ", [(0, 5, 5)]),
        ("", []),
        ("nothing", []),
    ],
)
def test_a_part_of_the_text_is_found_across_pieces(words, expected):
    assert spans(search(index(), Search(words))) == expected


def test_tokens_that_bear_their_spaces():
    of = index(GPT, ("The capybara is here",))
    assert spans(search(of, Search("capybara"))) == [(0, 1, 3)]
    assert spans(search(of, Search("a is"))) == [(0, 3, 4)]
    assert spans(search(of, Search("cap", "token"))) == [(0, 1, 1)]


def test_capital_letters_count_where_they_are_to():
    assert spans(search(index(), Search("Bar", case=True))) == [(1, 3, 3)]
    assert spans(search(index(), Search("bar", "token"))) == [(1, 3, 3)]
    assert spans(search(index(), Search("bar", "token", case=True))) == []
    assert spans(search(index(), Search("bara", "token"))) == [(0, 4, 4)]


def test_regular_expressions_see_each_token():
    found = search(index(), Search(r"^\[.*\]$", "regex"))
    assert spans(found) == [(0, 0, 0), (0, 8, 8), (1, 0, 0), (1, 7, 7)]
    assert found.in_words() == "4 matches in 2 texts"
    assert spans(search(index(), Search("^b", "regex"))) == [(1, 3, 3)]
    assert spans(search(index(), Search("^b", "regex", case=True))) == []


@pytest.mark.parametrize("words", ["(", "[a", "*", "(?P<x", "a{2,1}"])
def test_what_is_no_expression_is_said_in_a_sentence(words):
    with pytest.raises(InputError, match=r"This is no regular expression: .*\.$"):
        search(index(), Search(words, "regex"))


def test_an_expression_that_never_ends_is_stopped(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.3)
    of = index((("a" * 60 + "b",),), ("",))
    start = time.monotonic()
    with pytest.raises(InputError, match="takes more than"):
        search(of, Search("(a|aa)+$", "regex"))
    assert time.monotonic() - start < 30


def test_without_its_package_pythons_own_expressions_serve(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", missing)
    assert spans(search(index(), Search("^BAR", "regex"))) == [(1, 3, 3)]
    with pytest.raises(InputError, match="no regular expression"):
        search(index(), Search("(", "regex"))
    monkeypatch.setattr(module, "SECONDS", 0.0)
    with pytest.raises(InputError, match="takes more than"):
        search(index(), Search("a", "regex"))


def test_a_search_is_cancelled():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        search(index(), Search("a", "regex"), cancel)
    many = index((("aa",) * 3000,) * 3, ("",) * 3)
    with pytest.raises(Cancelled):
        search(many, Search("a"), cancel)


def test_every_match_of_many_is_found():
    rng = np.random.default_rng(0)
    words = np.array(["alpha", "##beta", "gamma", "delta", "x"])
    names = tuple(tuple(words[rng.integers(0, 5, 50)].tolist()) for _ in range(40))
    of = index(names, tuple("" for _ in names))
    expected = []
    for text, tokens in enumerate(names):
        line = "".join(t[2:] if t.startswith("##") else " " + t for t in tokens)
        ends = np.cumsum([len(t) - 2 if t.startswith("##") else len(t) + 1 for t in tokens])
        for match in re.finditer("(?=abe)", line):
            first = int(np.searchsorted(ends, match.start(), side="right"))
            expected.append((text, first, first + 1))
    assert expected
    assert spans(search(of, Search("abe"))) == expected


def test_found_tokens_are_lit_as_queries_and_keys():
    of = index()
    found = found_tokens(of.lists, search(of, Search("capybara")))
    for side in ("query", "key"):
        assert np.flatnonzero(found.mask(side)).tolist() == [2, 3, 4]


def test_going_to_a_token_shows_its_text_and_pins_it():
    document = Document()
    document.open(random_capture(6, texts=3))
    show_position(document, 0, 2, 4)
    assert (document.text, document.focus) == (2, Focus(query=4))
    show_position(document, 0, 2, 4)  # again: it stays pinned
    assert document.focus == Focus(query=4)
    document.set_options(show_special=False)
    show_position(document, 0, 1, 4)
    assert (document.text, document.focus) == (1, Focus(query=3))
    show_position(document, 0, 0, 0)  # hidden: nothing to pin
    assert (document.text, document.focus) == (0, Focus())


def test_tokens_of_a_layers_own_are_searched_and_gone_to():
    capture = random_capture(4, layers=2)
    records = list(capture.records[0])
    records[1] = replace(records[1], query_tokens=tuple("wxyz"))
    document = Document()
    document.open(replace(capture, records=(tuple(records),)))
    lists = document.token_lists
    found = search(Index(lists, capture.texts), Search("x"))
    assert (found.which.tolist(), found.first.tolist()) == ([1], [1])
    assert found_tokens(lists, found).n_of("key") == 0
    document.show_head(layer=1)
    show_position(document, 1, 0, 1)
    assert document.focus == Focus(query=1)
    show_position(document, 0, 0, 2)  # the texts' tokens are its keys
    assert document.focus == Focus(key=2)


@pytest.mark.parametrize(
    "words",
    [
        "(?R)",
        "((?R)|a)*",
        "(?1)(a)",
        "(?P<n>b(?&n))",
        "a{1000000000}",
        "a{00000000000999999}",
        "((a{999}){999}){999}",
    ],
)
def test_an_expression_that_would_take_all_memory_is_refused(words):
    with pytest.raises(InputError, match=r"(not supported|is too large).*\.$"):
        search(index(), Search(words, "regex"))


@pytest.mark.parametrize("words", [r"\(?R?\)?bara", "a{0,2000000}", r"^\w{3,20}$", r"a\{99999999}"])
def test_expressions_that_only_look_large_are_looked_for(words):
    search(index(), Search(words, "regex"))


def test_accents_count_where_capital_letters_do():
    of = index((("[CLS]", "a", "cafe", "Caf\u00e9", "cafe\u0301", "\u304b", "[SEP]"),), ("a café",))
    for words in ("caf\u00e9", "CAFE\u0301", "cafe"):
        assert spans(search(of, Search(words))) == [(0, 2, 2), (0, 3, 3), (0, 4, 4)]
        assert spans(search(of, Search(words, "token"))) == [(0, 2, 2), (0, 3, 3), (0, 4, 4)]
    assert spans(search(of, Search("caf\u00e9", case=True))) == [(0, 4, 4)]
    assert spans(search(of, Search("\u304c"))) == []  # another letter, not an accent


def test_words_stay_together_where_the_tokenizer_left_out_the_accents():
    text = "\u00e9t\u00e9 " * 40 + "na\u00efve, here."
    of = index((("[CLS]", *["ete"] * 40, "naive", ",", "here", ".", "[SEP]"),), (text,))
    assert spans(search(of, Search("na\u00efve, here."))) == [(0, 41, 44)]


def test_what_no_text_holds_is_not_found_between_them():
    assert spans(search(index(), Search("\x00"))) == []
