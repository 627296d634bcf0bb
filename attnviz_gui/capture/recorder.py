"""`record(model, inputs)`: run a model on texts, give back what its attention did.

One entry; it picks the way that fits the model. Leaves no trace on the model: attention
implementation, training flags, hooks and outputs are afterwards what they were, also when the run
fails or is cancelled.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.capture import interface
from attnviz_gui.capture.convert import convert, describe
from attnviz_gui.capture.models import LoadedModel, load_model
from attnviz_gui.capture.progress import raise_if_cancelled
from attnviz_gui.capture.record import Capture
from attnviz_gui.capture.run import alone, cannot_run, count_layers, forward
from attnviz_gui.capture.text import check_text, fit_text
from attnviz_gui.capture.tokens import Encoded, encode, labels
from attnviz_gui.capture.verify import Verifier
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from attnviz_gui.capture.call import Call, Place
    from attnviz_gui.capture.progress import CancelToken, Progress
    from attnviz_gui.capture.record import Layer, LayerRecord
    from attnviz_gui.capture.text import Long


def record(
    model: LoadedModel | torch.nn.Module,
    inputs: str | Sequence[str],
    *,
    tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Capture:
    """Run a model on one or many texts and return what its attention did.

    Parameters
    ----------
    model
        What `load_model` returned, or a model of transformers that is already in memory.
    inputs
        A text or a list of texts. They are run one by one, so none is padded.
    tokens
        Names to show in place of the tokenizer's, as many as there are tokens.
    progress, cancel
        Called after every layer with the layers done and in all; asked in every layer.

    Raises
    ------
    InputError
        When a text is empty or unreadable, or the model's attention cannot be read.
    TextTooLongError
        When a text has more tokens than the model can read; nothing is ever cut in silence.
    Cancelled
        When `cancel` was set.

    Notes
    -----
    The decoder of an encoder-decoder model is given the same tokens as its encoder.
    """
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    texts = _texts(inputs)
    encoded = [check_text(loaded, text) for text in texts]
    names = _names(loaded, encoded, tokens)
    return _record(loaded, texts, encoded, names, progress, cancel)


def record_text(
    model: LoadedModel,
    text: str,
    *,
    long: Long = "refuse",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Capture:
    """Record one text of any length.

    A text that the model cannot read whole is refused (`long` = ``"refuse"``), or its longest
    readable beginning is recorded and `Capture.cut_from` says how many tokens the whole text has
    (``"first"``), or it is recorded in parts that together are the whole text (``"split"``).

    Raises
    ------
    InputError, TextTooLongError, Cancelled
        As `record`.
    """
    if long == "refuse":
        return record(model, text, progress=progress, cancel=cancel)
    parts, n_tokens = fit_text(model, text, long=long)
    encoded = [encode(model.tokenizer, part) for part in parts]
    names = _names(model, encoded, None)
    cut_from = n_tokens if "".join(parts) != text else None
    return _record(model, parts, encoded, names, progress, cancel, cut_from=cut_from)


def _texts(inputs: object) -> tuple[str, ...]:
    """Return the texts that `inputs` stands for."""
    if isinstance(inputs, str):
        return (inputs,)
    if isinstance(inputs, (list, tuple)) and inputs and all(isinstance(t, str) for t in inputs):
        return tuple(inputs)
    if isinstance(inputs, (list, tuple)) and not inputs:
        raise InputError("There is no text to run; give one text or a list of texts.")
    raise InputError(
        "Only texts can be recorded so far, not tensors; give a string or a list of strings."
    )


def _names(model: LoadedModel, encoded: list[Encoded], tokens: object) -> tuple[list[str], ...]:
    """Return the tokens' labels: the caller's where there are some, else the tokenizer's."""
    if tokens is None:
        return tuple(list(labels(model.tokenizer, e)) for e in encoded)
    given = list(tokens) if isinstance(tokens, (list, tuple)) else []
    if given and all(isinstance(t, str) for t in given):
        given = [given]
    if len(given) != len(encoded):
        raise InputError(f"tokens names {len(given)} texts, but there are {len(encoded)}.")
    for names, cut in zip(given, encoded, strict=True):
        if len(names) != len(cut):
            raise InputError(
                f"tokens holds {len(names)} names for a text of {len(cut)} tokens (special ones "
                "included); give one name a token."
            )
    return tuple([str(n) for n in names] for names in given)


def _record(
    model: LoadedModel, texts: Sequence[str], encoded: list[Encoded],
    names: tuple[list[str], ...], progress: Progress | None, cancel: CancelToken | None,
    *, cut_from: int | None = None,
) -> Capture:  # fmt: skip
    module = model.module
    if not interface.readable(module):
        raise InputError(
            f"Models of the family {interface.family(module)} cannot be read yet: their attention "
            "does not go through the interface of transformers. Choose another model."
        )
    report = _Report(progress, cancel, len(texts), count_layers(module))
    layers: tuple[Layer, ...] = ()
    places: list[Place] = []
    records: list[tuple[LayerRecord, ...]] = []
    with alone(cancel):
        started = time.perf_counter()
        for cut in encoded:
            calls = _run(model, cut, report)
            if not records:
                layers, places = describe(calls), [call.place for call in calls]
            elif places != [call.place for call in calls]:
                raise InputError(
                    f"{model.name} runs other layers for other texts, so they cannot stand in one "
                    "capture; record the texts one at a time."
                )
            records.append(convert(calls))
            report.text_done()
        seconds = time.perf_counter() - started
    for text_records in records:
        _refuse_nonsense(model, text_records)
    return Capture(
        texts=tuple(texts),
        tokens=names,
        special=tuple(cut.special for cut in encoded),
        layers=layers,
        records=tuple(records),
        model_name=model.name,
        seconds=seconds,
        cut_from=cut_from,
        verifier=Verifier(model, tuple(encoded), tuple(places)),
    )


def _run(model: LoadedModel, encoded: Encoded, report: _Report) -> list[Call]:
    """Run the model on one text and return what its attentions were handed, in order."""
    calls: list[Call] = []
    fault: list[BaseException] = []

    def note(call: Call) -> None:
        try:
            report.layer()
            calls.append(call)
        except BaseException as error:
            fault.append(error)
            raise

    report.check()
    with interface.recording(model.module, note):
        try:
            forward(model, encoded)
        except Exception as error:
            # Ours pass as they are; what the model itself raises is put in a sentence.
            if fault or isinstance(error, InputError):
                raise
            raise cannot_run(model, error) from error
    report.check()
    if not calls:
        raise InputError(
            f"No attention was seen in {model.name} (family {interface.family(model.module)}); "
            "choose another model."
        )
    return calls


def _refuse_nonsense(model: LoadedModel, records: tuple[LayerRecord, ...]) -> None:
    """Raise where a model's numbers are no numbers: they spread to the last layer."""
    last = records[-1]
    if not all(np.isfinite(array.sum()) for array in (last.query, last.key, last.value)):
        raise InputError(
            f"{model.name} computes no finite numbers on this text (NaN or infinity); its weights "
            "are corrupt or too coarse, so load another copy of it."
        )


class _Report:
    """Counts the layers of all texts, tells `progress` of them and asks `cancel`."""

    def __init__(
        self, progress: Progress | None, cancel: CancelToken | None, texts: int, layers: int
    ) -> None:
        self._progress, self._cancel = progress, cancel
        self._texts_left, self._layers = texts, layers
        self._before = self._here = 0  # layers of the texts before, of this text

    def check(self) -> None:
        raise_if_cancelled(self._cancel)

    def layer(self) -> None:
        """A layer's attention begins, so that the one before it is done."""
        self.check()
        self._tell()
        self._here += 1

    def text_done(self) -> None:
        self._layers = self._here  # counted now, no longer guessed
        self._texts_left -= 1
        self._before, self._here = self._before + self._here, 0
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            expected = self._texts_left * self._layers
            started = self._here + (self._texts_left > 0)
            self._progress(self._before + self._here, self._before + max(expected, started))
