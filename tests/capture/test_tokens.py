"""Labels: what a person reads for each token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers

from attnviz_gui.capture.tokens import alphabet, encode, labels, readable_pieces, visible
from attnviz_gui.errors import InputError
from tests.capture.tiny import byte_tokenizer


def _labels(tokenizer: Any, text: str) -> list[str]:
    return list(labels(tokenizer, encode(tokenizer, text)))


@pytest.fixture(scope="module")
def bytes_() -> Any:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def fallback() -> Any:
    """A SentencePiece-like tokenizer that writes unknown characters as bytes."""
    vocabulary = {"<unk>": 0, "▁the": 1, "▁": 2, "b": 3, "▁brown": 4}
    vocabulary |= {f"<0x{b:02X}>": 5 + b for b in range(256)}
    vocabulary |= {c: 300 + i for i, c in enumerate("thebrownxyz")}
    merges: list[tuple[str, str]] = []
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def test_word_pieces_stay(bundled: Any) -> None:
    assert _labels(bundled.tokenizer, "The brown capybara!") == [
        "[CLS]", "the", "brown", "cap", "##y", "##bara", "!", "[SEP]",
    ]  # fmt: skip


def test_only_added_tokens_are_special(bundled: Any) -> None:
    encoded = encode(bundled.tokenizer, "[CLS] hi [SEP]")
    assert list(labels(bundled.tokenizer, encoded)) == ["[CLS]", "[CLS]", "hi", "[SEP]", "[SEP]"]
    assert encoded.special.tolist() == [True, False, False, False, True]


def test_byte_level_pieces_are_decoded(bytes_: Any) -> None:
    assert alphabet(bytes_) == "letters"
    assert _labels(bytes_, "the brown") == ["<s>", "the", "▁brown", "</s>"]


def test_a_character_of_many_tokens_is_shown_in_each(bytes_: Any) -> None:
    assert _labels(bytes_, "é🦫") == [
        "<s>", "é₁", "é₂", "🦫₁", "🦫₂", "🦫₃", "🦫₄", "</s>",
    ]  # fmt: skip


def test_spaces_and_controls_can_be_seen(bytes_: Any) -> None:
    assert _labels(bytes_, "\n\t\r\x00\x1b\x7f  ") == [
        "<s>", "↵", "⇥", "␍", "␀", "␛", "␡", "▁", "▁", "</s>",
    ]  # fmt: skip


def test_bytes_in_brackets(fallback: Any) -> None:
    assert alphabet(fallback) == "hex"
    assert _labels(fallback, "b 🦫x") == ["▁", "b", "▁", "🦫₁", "🦫₂", "🦫₃", "🦫₄", "x"]


def test_bytes_as_characters() -> None:
    tokenizer = transformers.ByT5Tokenizer(extra_ids=0)
    assert alphabet(tokenizer) == "latin"
    assert _labels(tokenizer, "aé") == ["a", "é₁", "é₂", "</s>"]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["ðŁ", "¦", "«"], ["🦫₁", "🦫₂", "🦫₃"]),
        (["aðŁ", "¦«b"], ["a🦫₁", "🦫₂b"]),
        (["ðŁ¦«"], ["🦫"]),
        (["ðŁ", "a"], ["⟨F0⟩⟨9F⟩", "a"]),  # the beginning of a character, and no more of it
        (["«", "Ġa"], ["⟨AB⟩", "▁a"]),
        (["ðŁ"], ["⟨F0⟩⟨9F⟩"]),
        (["<|added|>", "カ"], ["<|added|>", "カ"]),  # not written in bytes
        (["Ċ", "ĉ", "Ġ", "ĠĠ"], ["↵", "⇥", "▁", "▁▁"]),
    ],
)
def test_byte_level_letters(pieces: list[str], expected: list[str]) -> None:
    special = np.zeros(len(pieces), dtype=bool)
    assert list(readable_pieces(pieces, special, "letters")) == expected


def test_a_special_token_stands_between_bytes() -> None:
    special = np.array([False, True, False])
    assert readable_pieces(["ðŁ", "<s>", "¦«"], special, "letters") == (
        "⟨F0⟩⟨9F⟩", "<s>", "⟨A6⟩⟨AB⟩",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["naïve 🦫👨‍👩‍👧 カピバラ\n\t𝔘 …", "\u0301a", "\U0010ffff", "नमस्ते"]
)
def test_every_label_can_be_seen(bytes_: Any, text: str) -> None:
    shown = _labels(bytes_, text)
    assert len(shown) == len(encode(bytes_, text))
    assert all(label and "\ufffd" not in label for label in shown)
    assert not any(c.isspace() or ord(c) < 32 for label in shown for c in label)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("word", "word"),
        ("", "∅"),
        ("\u200d", "⟨U+200D⟩"),
        ("👨\u200d👩", "👨\u200d👩"),
        ("\u0301", "◌\u0301"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\xa0", "⍽"),
        ("\ufffd", "⟨U+FFFD⟩"),
        ("##ा", "##ा"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_what_the_file_says_of_cutting_and_padding_is_left_out() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    for text in ("the brown the brown", "the"):
        expected = encode(byte_tokenizer(), text).ids
        assert encode(tokenizer, text).ids.tolist() == expected.tolist()
    assert len(expected) == 3


def test_a_tokenizer_that_fails() -> None:
    """One that has no token for what it does not know."""
    backend = Tokenizer(models.WordLevel({"known": 0}, unk_token="[UNK]"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    assert _labels(tokenizer, "known") == ["known"]
    with pytest.raises(InputError, match="tokenizer cannot read this text"):
        encode(tokenizer, "unknown")
