"""The requests for many texts: how large they are, and their run, which keeps what is done.

torch is imported here, in the worker, when the first request runs; never when the window starts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnviz_gui.errors import InputError, NoTokensError, TextTooLongError
from attnviz_gui.jobs.requests import model_at_hand

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.progress import Report
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.jobs.requests import Long

_EVERY = 100  # texts between two reports while tokens are counted
_SURE = 1.0  # seconds, before which nobody knows how long the rest takes


@dataclass(frozen=True)
class Plan:
    """What a run of many texts will take.

    Attributes
    ----------
    n_texts, n_tokens, longest
        Special tokens included.
    limit
        Tokens that the model reads at once; None where that has no end.
    n_long
        Texts that are longer.
    n_bytes
        About what the capture takes: of long texts the beginning, their parts, or (``refuse``)
        all of them whole.
    free, disk
        Bytes of memory and of the disk that are free now.
    left_out : tuple of int
        Texts, by their index, of which the tokenizer leaves nothing; they are not counted.
    """

    n_texts: int
    n_tokens: int
    longest: int
    limit: int | None
    n_long: int
    n_bytes: dict[Long, int]
    free: int
    disk: int
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlanRequest:
    """Count the tokens of many texts; runs no model."""

    texts: tuple[str, ...]
    source: Any

    def __call__(self, progress: Report, cancel: threading.Event) -> Plan:
        """Return the plan; raises InputError for a text that cannot be cut into tokens."""
        from attnviz_gui.capture.budget import expected_bytes, free_memory
        from attnviz_gui.capture.progress import raise_if_cancelled
        from attnviz_gui.capture.spill import free_disk
        from attnviz_gui.capture.tokens import encode

        model = _with_tokenizer(model_at_hand(self.source, progress, cancel))
        lengths: list[int] = []
        left_out: list[int] = []
        for index, text in enumerate(self.texts):
            if index % _EVERY == 0:
                raise_if_cancelled(cancel)
                progress(index, len(self.texts), "Counting tokens…")
            try:
                encoded = encode(model.tokenizer, text)
            except InputError as error:
                raise InputError(f"Text {index + 1:,}: {error}") from error
            if encoded.n_own:
                lengths.append(len(encoded))
            else:
                left_out.append(index)
        return Plan(
            n_texts=len(lengths),
            n_tokens=sum(lengths),
            longest=max(lengths, default=0),
            limit=model.limit,
            n_long=sum(model.limit is not None and n > model.limit for n in lengths),
            n_bytes={
                "refuse": expected_bytes(model, lengths),
                "first": expected_bytes(model, _beginnings(lengths, model.limit)),
                "split": expected_bytes(model, _parts(lengths, model.limit)),
            },
            free=free_memory(),
            disk=free_disk(),
            left_out=tuple(left_out),
        )


@dataclass(frozen=True)
class TextsRequest:
    """Run a model on many texts.

    Attributes
    ----------
    long
        What to do with a text that the model cannot read whole: see `record_text`.
    most_bytes
        What the capture may take of the memory; a larger one is put on the disk. None: a share of
        what is free.
    """

    texts: tuple[str, ...]
    source: Any
    long: Long = "first"
    most_bytes: int | None = None
    keeps_done = True  # stopped, it returns what is done: see Runner.stop

    def __call__(self, progress: Report, cancel: threading.Event) -> Capture:
        """Load the model unless it is at hand, and record it on the texts."""
        from attnviz_gui.capture.recorder import record_texts

        progress(0, 0)
        model = _with_tokenizer(model_at_hand(self.source, progress, cancel))
        texts = fitted(model, self.texts, self.long, progress=progress, cancel=cancel)
        progress(0, 0, f"{len(texts):,} texts…")
        started = time.monotonic()

        def tell(done: int, total: int) -> None:
            passed = time.monotonic() - started
            left = passed / done * (total - done) if done else 0.0
            words = f", about {in_words(left)} left" if passed > _SURE and done else "…"
            progress(done, total, f"{len(texts):,} texts{words}")

        return record_texts(
            model, texts, most_bytes=self.most_bytes, progress=tell, cancel=cancel
        )  # fmt: skip


def fitted(
    model: LoadedModel,
    texts: tuple[str, ...],
    long: Long,
    left_out: list[int] | None = None,
    *,
    progress: Report | None = None,
    cancel: threading.Event | None = None,
) -> tuple[str, ...]:
    """Return what the model reads of each text: it whole, its beginning, or its parts.

    Parameters
    ----------
    left_out
        Where given, takes the indices of texts that leave no token, in place of an error.

    Raises
    ------
    InputError, TextTooLongError
        As `fit_text`, with the number of the text from 1; NoTokensError where nothing is left.
    Cancelled
        When `cancel` is set.
    """
    from attnviz_gui.capture.progress import raise_if_cancelled
    from attnviz_gui.capture.text import fit_text

    found: list[str] = []
    for number, text in enumerate(texts, 1):
        raise_if_cancelled(cancel)
        if progress is not None and number % _EVERY == 0:
            progress(0, 0, f"Counting tokens: {number:,} of {len(texts):,} texts…")
        try:
            found += fit_text(model, text, long=long).parts
        except TextTooLongError as error:
            sentence = f"Text {number:,}: {error}"
            raise TextTooLongError(sentence, error.n_tokens, error.limit) from error
        except InputError as error:
            if left_out is not None and isinstance(error, NoTokensError):
                left_out.append(number - 1)
                continue
            raise InputError(f"Text {number:,}: {error}") from error
    if not found:
        raise NoTokensError(f"The tokenizer of {model.name} leaves nothing of any text.")
    return tuple(found)


def sweep() -> None:
    """Clear what captures of a program that crashed have left on the disk."""
    from attnviz_gui.capture.spill import sweep as clear

    clear()


def in_words(seconds: float) -> str:
    """Return a time as a person reads it: ``12 s``, ``3 min``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _beginnings(lengths: Sequence[int], limit: int | None) -> list[int]:
    return [n if limit is None else min(n, limit) for n in lengths]


def _parts(lengths: Sequence[int], limit: int | None) -> list[int]:
    """Return about how long the parts are that texts of these lengths are split into."""
    if limit is None:
        return list(lengths)
    parts = [part for n in lengths for part in (*[limit] * (n // limit), n % limit)]
    return [part for part in parts if part]


def _with_tokenizer(model: LoadedModel) -> LoadedModel:
    if model.tokenizer is None:
        raise InputError(
            f"{model.name} has no tokenizer, so it takes tensors in place of texts. Record it in "
            "Python: attnviz_gui.show(attnviz_gui.capture(module, tensors))"
        )
    return model
