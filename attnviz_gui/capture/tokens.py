"""Cut a text into tokens, and make the pieces readable.

A tokenizer's pieces are written in its own alphabet: bytes as letters, spaces as marks. Here they
become what a person reads, one label a token, and never a replacement character.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.capture.faults import first_line
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

# Calls set switches of the tokenizer itself.
_LOCK = threading.Lock()

_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_SYMBOLS = {
    " ": "▁",
    "\n": "↵",
    "\t": "⇥",
    "\r": "␍",
    "\x7f": "␡",
    "\xa0": "⍽",
    "\ufffd": "⟨U+FFFD⟩",
}
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True, eq=False)
class Encoded:
    """One text, cut.

    Attributes
    ----------
    ids : (T,) int64
    special : (T,) bool
        True for the tokens that the tokenizer added.
    ends, starts : (T,) int64 or None
        Where each token begins and ends in the text; None where the tokenizer cannot say.
    extras
        What else the tokenizer hands to the model (``token_type_ids``), each (T,).
    """

    ids: npt.NDArray[np.int64]
    special: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64] | None
    ends: npt.NDArray[np.int64] | None
    extras: dict[str, npt.NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_own(self) -> int:
        """Number of tokens that come from the text."""
        return int((~self.special).sum())


def encode(tokenizer: Any, text: str) -> Encoded:
    """Cut a text, whole: whatever truncation or padding a tokenizer's file asks for is left out.

    Raises
    ------
    InputError
        When the text holds half a character (a lone surrogate), or the tokenizer fails.
    """
    check_characters(text)
    fast = bool(getattr(tokenizer, "is_fast", False))
    try:
        with _LOCK:
            cut = tokenizer(
                text, truncation=False, padding=False, verbose=False,
                return_special_tokens_mask=True, return_offsets_mapping=fast,
            )  # fmt: skip
    except Exception as error:
        raise InputError(
            "The model's tokenizer cannot read this text; change the text, or choose another "
            f"model. It says: {first_line(error)}"
        ) from error
    offsets = np.array(cut["offset_mapping"], dtype=np.int64).reshape(-1, 2) if fast else None
    extras = {
        name: np.array(cut[name], dtype=np.int64)
        for name in ("token_type_ids",)
        if name in cut and name in tokenizer.model_input_names
    }
    return Encoded(
        ids=np.array(cut["input_ids"], dtype=np.int64),
        special=np.array(cut["special_tokens_mask"], dtype=bool),
        starts=None if offsets is None else offsets[:, 0],
        ends=None if offsets is None else offsets[:, 1],
        extras=extras,
    )


def check_characters(text: str) -> None:
    """Raise for half a character, which no tokenizer can read."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"Character {error.start + 1:,} of the text is half of a pair (a lone surrogate, "
            f"U+{ord(text[error.start]):04X}); delete it or paste the text again."
        ) from None


def labels(tokenizer: Any, encoded: Encoded) -> tuple[str, ...]:
    """Return one label a token, as a person reads it.

    Word pieces stay as they are (``##bara``). Where pieces are bytes they are decoded; a space is
    written ``▁`` as in SentencePiece. A character whose bytes are spread over several tokens is
    written in each of them, numbered: ``🦫₁ 🦫₂``.
    """
    pieces = [str(p) for p in tokenizer.convert_ids_to_tokens(encoded.ids.tolist())]
    return readable_pieces(pieces, encoded.special, alphabet(tokenizer))


def alphabet(tokenizer: Any) -> str:
    """Return how a tokenizer writes bytes: ``letters``, ``hex``, ``latin`` or ``none``."""
    if type(tokenizer).__name__.startswith("ByT5"):
        return "latin"
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "none"
    state = ""
    for part in (backend.decoder, backend.pre_tokenizer):
        with suppress(Exception):  # a part written in Python says nothing of itself
            state += "" if part is None else part.__getstate__().decode()
    if '"ByteLevel"' in state:
        return "letters"
    return "hex" if '"ByteFallback"' in state else "none"


def readable_pieces(
    pieces: Sequence[str], special: npt.NDArray[np.bool_], alphabet: str
) -> tuple[str, ...]:
    """Return the labels of pieces written in an alphabet of `alphabet`."""
    made: list[str] = []
    broken: list[bytes] = []  # pieces that begin or end inside a character

    def mend() -> None:
        if broken:
            made.extend(_mend(broken))
            broken.clear()

    for piece, added in zip(pieces, special.tolist(), strict=True):
        data = None if added else _bytes(piece, alphabet)
        try:
            text = piece if data is None else data.decode()
        except UnicodeDecodeError:
            assert data is not None
            broken.append(data)
        else:
            mend()
            made.append(visible(text))
    mend()
    return tuple(made)


def _bytes(piece: str, alphabet: str) -> bytes | None:
    """Return the bytes that a piece stands for, None where it stands for itself."""
    if alphabet == "letters":
        # A piece with other letters was added to the vocabulary as it is.
        table = _letters()
        return bytes(table[c] for c in piece) if all(c in table for c in piece) else None
    if alphabet == "latin" and len(piece) == 1 and ord(piece) < 256:
        return bytes([ord(piece)])
    if alphabet == "hex" and (match := _BYTE_PIECE.fullmatch(piece)):
        return bytes([int(match[1], 16)])
    return None


@lru_cache(maxsize=1)
def _letters() -> dict[str, int]:
    """Return the letters in which byte-level tokenizers write bytes.

    Printable Latin-1 characters stand for themselves, the others for the characters from U+0100 on,
    in order (Radford et al. 2019, the encoder of GPT-2).
    """
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(0x100 + i): b for i, b in enumerate(others)}


def _mend(parts: list[bytes]) -> list[str]:
    """Return the labels of tokens that share characters: each part of one is numbered."""
    whole = b"".join(parts)
    owner = [token for token, part in enumerate(parts) for _ in part]
    texts = [""] * len(parts)
    place = 0
    while place < len(whole):
        char, length = _first_character(whole, place)
        owners = sorted(set(owner[place : place + length]))
        for nth, token in enumerate(owners, start=1):
            texts[token] += char if len(owners) == 1 else char + chr(0x2080 + nth)
        place += length
    return [visible(text) for text in texts]


def _first_character(data: bytes, place: int) -> tuple[str, int]:
    """Return the character that begins here and its length; a stray byte gives ``⟨E3⟩``."""
    lead = data[place]
    length = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    try:
        return data[place : place + length].decode(), length
    except UnicodeDecodeError:
        return f"⟨{lead:02X}⟩", 1


def visible(text: str) -> str:
    """Return a label in which every character can be seen."""
    if text.isascii() and text.isprintable() and text and " " not in text:
        return text
    if not text:
        return "∅"
    joined = len(text) > 1
    shown = "".join(c if joined and c in _JOINERS else _symbol(c) for c in text)
    return "◌" + shown if unicodedata.category(shown[0]).startswith("M") else shown


def _symbol(char: str) -> str:
    if char in _SYMBOLS:
        return _SYMBOLS[char]
    if char.isprintable():
        return char
    if char < " ":
        return chr(0x2400 + ord(char))
    return f"⟨U+{ord(char):04X}⟩"
