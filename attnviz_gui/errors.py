"""The ways a request can end without a result. Never imports anything of the project."""

from __future__ import annotations


class InputError(ValueError):
    """The user's text, model, file or number is at fault.

    The message is one sentence or two for a person, and says what to do. It is shown as it is: in
    the window's banner, or behind ``error:`` on the command line.
    """


class NoTokensError(InputError):
    """A text is empty, or the tokenizer leaves nothing of it."""


class TextTooLongError(InputError):
    """A text has more tokens than the model can read.

    Attributes
    ----------
    n_tokens, limit
        Tokens in the text and tokens that the model can read, special tokens included.
    """

    def __init__(self, message: str, n_tokens: int, limit: int) -> None:
        super().__init__(message)
        self.n_tokens = n_tokens
        self.limit = limit


class Cancelled(Exception):
    """The request was cancelled before it was complete."""
