"""Texts that are empty, unreadable or too long; and cutting them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import attnviz_gui
from attnviz_gui.capture.models import LoadedModel, load_model
from attnviz_gui.capture.recorder import record_text
from attnviz_gui.capture.text import check_text, fit_text
from attnviz_gui.capture.tokens import encode
from attnviz_gui.errors import InputError, TextTooLongError
from tests.capture.tiny import byte_tokenizer, tiny_model

SENTENCES = "This is a sentence. And here is another one, longer than the first! Is it? " * 60


@pytest.fixture(scope="module")
def gpt2() -> LoadedModel:
    """Reads 128 tokens, each of few bytes; characters beyond ASCII span several tokens."""
    module = tiny_model("gpt2")
    return LoadedModel("tiny-gpt2", module, byte_tokenizer(), "cpu", 128, "tiny-gpt2")


@pytest.mark.parametrize("text", ["", " ", "\n\t  \r\n", "\u3000\u00a0"])
def test_empty(bundled: LoadedModel, text: str) -> None:
    with pytest.raises(InputError, match="The text is empty; type something"):
        attnviz_gui.capture(bundled, text)


@pytest.mark.parametrize("text", ["\x00", "\x00\x1b\x7f", "\u200b", "\u202e", "\ufffd"])
def test_nothing_left(bundled: LoadedModel, text: str) -> None:
    with pytest.raises(InputError, match="leaves nothing of this text"):
        attnviz_gui.capture(bundled, text)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff b", "ok \ud83e b"])
def test_half_a_character(bundled: LoadedModel, text: str) -> None:
    with pytest.raises(InputError, match=r"Character \d of the text is half of a pair"):
        attnviz_gui.capture(bundled, text)


def test_control_characters_among_others(bundled: LoadedModel, gpt2: LoadedModel) -> None:
    capture = attnviz_gui.capture(bundled, "a\x00b\x1b[31m red\x7f\ttab")
    assert capture.tokens[0][0] == "[CLS]"
    assert all(token.isprintable() for token in capture.tokens[0])
    every = "".join(map(chr, range(32))) + "\x7f\x85\u2028\ufeff"
    assert all(t.isprintable() for t in attnviz_gui.capture(gpt2, every).tokens[0])


def test_too_long_is_refused_with_the_numbers(bundled: LoadedModel) -> None:
    text = "word " * 1000
    with pytest.raises(TextTooLongError, match=r"1,002 tokens .* 512 at most; shorten") as caught:
        attnviz_gui.capture(bundled, text)
    assert (caught.value.n_tokens, caught.value.limit) == (1002, 512)
    with pytest.raises(TextTooLongError):
        record_text(bundled, text)


def test_as_long_as_can_be(bundled: LoadedModel) -> None:
    """The tokenizer's own file says to cut at 128 tokens, and to pad to as many."""
    assert len(attnviz_gui.capture(bundled, "word " * 510).tokens[0]) == 512
    assert len(attnviz_gui.capture(bundled, "word").tokens[0]) == 3


def test_100_000_characters(bundled: LoadedModel) -> None:
    text = (SENTENCES * 25)[:100_000]
    with pytest.raises(TextTooLongError, match="shorten it"):
        check_text(bundled, text)
    parts, n_tokens = fit_text(bundled, text, "split")
    assert "".join(parts) == text
    assert n_tokens > 20_000
    assert len(parts) <= 1.5 * n_tokens / 510


@pytest.mark.parametrize("unit", ["a", "あ", "🦫", " ", "\n", "a.", "é"])
def test_100_000_characters_without_a_break(
    bundled: LoadedModel, gpt2: LoadedModel, unit: str
) -> None:
    text = "x" + (unit * 100_000)[:99_999]
    for model in (bundled, gpt2):
        parts, n_tokens = fit_text(model, text, "first")
        encoded = encode(model.tokenizer, parts[0])
        assert text.startswith(parts[0])
        assert encoded.n_own > 0
        assert len(encoded) <= (model.limit or 0)
        assert n_tokens == len(encode(model.tokenizer, text))


def test_first_keeps_as_much_as_can_be(bundled: LoadedModel) -> None:
    capture = record_text(bundled, SENTENCES, long="first")
    assert capture.cut_from == len(encode(bundled.tokenizer, SENTENCES))
    assert len(capture.texts) == 1
    assert SENTENCES.startswith(capture.texts[0])
    assert len(capture.tokens[0]) == 512
    # It ends where a token ends.
    whole = encode(bundled.tokenizer, SENTENCES)
    assert len(capture.texts[0]) in whole.ends  # type: ignore[operator]


def test_first_of_a_short_text_is_the_text(bundled: LoadedModel) -> None:
    capture = record_text(bundled, "a short text", long="first")
    assert capture.texts == ("a short text",)
    assert capture.cut_from is None


def test_split_gives_the_whole_text(bundled: LoadedModel) -> None:
    text = SENTENCES[:4000]
    capture = record_text(bundled, text, long="split")
    assert "".join(capture.texts) == text
    assert len(capture.texts) == len(capture.records) == len(capture.tokens) == 2
    assert capture.cut_from is None
    assert capture.texts[0][-1] in ".!?"
    assert capture.verify() <= 1e-6


def test_split_before_a_space_where_no_sentence_ends(gpt2: LoadedModel) -> None:
    text = "capybara bird " * 300
    parts, _ = fit_text(gpt2, text, "split")
    assert "".join(parts) == text
    assert len(parts) > 2
    assert all(part.startswith(" ") for part in parts[1:])


def test_a_cut_never_parts_a_character(gpt2: LoadedModel) -> None:
    """Each beaver is four tokens of one byte, and 126 are no multiple of four."""
    parts, n_tokens = fit_text(gpt2, "🦫" * 100, "first")
    assert n_tokens == 402
    assert parts == ["🦫" * 31]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.lists(
        st.sampled_from(["word", " ", "\n", ". ", "。", "é", "🦫", "カピ", "\x00", "the brown"]),
        min_size=1, max_size=400,
    ).map("".join)
)  # fmt: skip
def test_parts_fit_and_join(gpt2: LoadedModel, text: str) -> None:
    try:
        parts, n_tokens = fit_text(gpt2, text, "split")
    except InputError:
        assert not text.strip()
        return
    assert "".join(parts) == text
    assert all(0 < len(encode(gpt2.tokenizer, part)) <= 128 for part in parts)
    assert (len(parts) == 1) == (n_tokens <= 128)
    first, _ = fit_text(gpt2, text, "first")
    assert text.startswith(first[0])
    if first[0] != text:  # one character more and it is too long, spaces of the cut aside
        rest = text[len(first[0]) :]
        more = first[0] + rest[: 1 + len(rest) - len(rest.lstrip())]
        assert len(encode(gpt2.tokenizer, more)) > 128


def test_a_tokenizer_without_offsets(gpt2: LoadedModel) -> None:
    """Cut by counting, where the tokenizer cannot say where its tokens stand."""
    from transformers import ByT5Tokenizer

    module = gpt2.module
    model = LoadedModel("bytes", module, ByT5Tokenizer(extra_ids=0), "cpu", 128, "bytes")
    text = "The brown 🦫 is sleeping. " * 20
    parts, _ = fit_text(model, text, "split")
    assert "".join(parts) == text
    assert max(len(encode(model.tokenizer, p)) for p in parts) <= 128
    first, _ = fit_text(model, text, "first")
    assert len(encode(model.tokenizer, first[0])) in (125, 126, 127, 128)


def test_a_model_that_reads_any_length(bundled: LoadedModel) -> None:
    model = LoadedModel("endless", bundled.module, bundled.tokenizer, "cpu", None, "endless")
    assert fit_text(model, SENTENCES, "split").parts == [SENTENCES]
    assert fit_text(model, SENTENCES, "refuse").parts == [SENTENCES]


def test_a_model_too_small_for_any_text(bundled: LoadedModel) -> None:
    model = LoadedModel("tiny", bundled.module, bundled.tokenizer, "cpu", 2, "tiny")
    with pytest.raises(InputError, match="can read 2 tokens, too few"):
        fit_text(model, "a text", "first")


def test_loading_does_not_change_the_callers_tokenizer(bundled: LoadedModel) -> None:
    """The same text twice gives the same tokens, whatever was run between."""
    again = load_model("bundled", device="cpu")
    before = encode(again.tokenizer, "a b c").ids.tolist()
    with pytest.raises(TextTooLongError):
        attnviz_gui.capture(again, "word " * 1000)
    assert encode(again.tokenizer, "a b c").ids.tolist() == before
