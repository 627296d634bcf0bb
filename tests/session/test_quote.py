"""A text quoted around its tokens: where they stand, and what is left out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from attnviz_gui.capture.recorder import record
from attnviz_gui.session.picture import make_picture
from attnviz_gui.session.quote import Quote, places, quote_of

if TYPE_CHECKING:
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import Capture


def test_tokens_are_found_where_they_stand(bundled: LoadedModel):
    text = "Café <b>the</b> the cat, the CAT unbelievably"
    capture = record(bundled, text)
    found = places(text, capture.tokens[0])
    assert found[0] is None  # [CLS]
    words = [text[slice(*place)].lower() for place in found if place is not None]
    assert len(words) == len(capture.tokens[0]) - 2
    assert "".join(words) == text.lower().replace(" ", "")
    thes = [i for i, name in enumerate(capture.tokens[0]) if name == "the"]
    assert [found[i][0] for i in thes] == [8, 16, 25]  # not thrice the first one


@pytest.mark.parametrize("text", ["日本の猫は眠る。猫!", "a\nb  c\t<i>d</i>"])
def test_every_token_stands_after_the_one_before(bundled: LoadedModel, text: str):
    found = [p for p in places(text, record(bundled, text).tokens[0]) if p is not None]
    assert found
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))


def test_the_token_that_is_meant_is_emphasised(capybara: Capture):
    picture = make_picture(capybara, 0, 0, 0)
    quote = quote_of(picture, [3], [5])
    assert [quote.text[a:b].lower() for a, b in quote.spans] == [
        picture.query_tokens[3].removeprefix("##"),
        picture.key_tokens[5].removeprefix("##"),
    ]
    assert quote_of(picture, [0]).spans == ()  # [CLS] stands nowhere
    broken = replace(capybara, texts=(capybara.texts[0].replace(" ", "\n"),))
    assert "\n" not in quote_of(make_picture(broken, 0, 0, 0)).text


@pytest.mark.parametrize("at", [0, 500, 994])
def test_a_long_text_is_left_out_around_its_token_with_how_much(at: int):
    text = "".join(chr(0x61 + i % 26) for i in range(1000))
    shown = Quote(text, ((at, at + 6),)).elided(100)
    ((start, end),) = shown.spans
    assert shown.text[start:end] == text[at : at + 6]
    numbers = [int(w.replace(",", "")) for w in shown.text.split() if w.replace(",", "").isdigit()]
    assert sum(numbers) == 900
    assert len(numbers) == (2 if at == 500 else 1)


def test_without_a_token_the_middle_is_left_out():
    shown = Quote("a" * 600 + "b" * 600).elided(100)
    assert shown.text == "a" * 50 + " … 1,100 characters left out … " + "b" * 50
    assert Quote("short").elided(100).text == "short"
