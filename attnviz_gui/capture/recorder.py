"""`record(model, inputs)`: run a model on texts, give back what its attention did.

One entry; it picks the way that fits the model. Leaves no trace on the model: attention
implementation, training flags, hooks and outputs are afterwards what they were, also when the run
fails or is cancelled.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attnviz_gui.capture.batches import MOST_TOKENS, batches, join
from attnviz_gui.capture.budget import (
    BATCH_SHARE,
    LEAST_BATCH,
    batch_tokens,
    budget,
    expected_bytes,
    free_memory,
)
from attnviz_gui.capture.call import OtherWay
from attnviz_gui.capture.convert import (
    check_names,
    convert,
    describe,
    kept,
    main_special,
    main_tokens,
)
from attnviz_gui.capture.images import pictures_of
from attnviz_gui.capture.inputs import fit_rows, tensor_forward, text_forward
from attnviz_gui.capture.models import LoadedModel, load_model
from attnviz_gui.capture.names import Names, names_of_rows, rows_of_names
from attnviz_gui.capture.patches import window_names
from attnviz_gui.capture.progress import raise_if_cancelled
from attnviz_gui.capture.record import Capture
from attnviz_gui.capture.run import alone, cannot_run, count_layers, no_attention, run
from attnviz_gui.capture.spill import Kept
from attnviz_gui.capture.text import check_text, fit_text
from attnviz_gui.capture.tokens import Encoded, encode, labels
from attnviz_gui.capture.verify import Verifier
from attnviz_gui.capture.ways import ways_for
from attnviz_gui.capture.ways.stacks import told_apart
from attnviz_gui.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.capture.call import Call, Place
    from attnviz_gui.capture.inputs import Forward
    from attnviz_gui.capture.progress import CancelToken, Progress
    from attnviz_gui.capture.record import Layer, LayerRecord
    from attnviz_gui.capture.text import Long
    from attnviz_gui.capture.ways import Way


def record(
    model: LoadedModel | torch.nn.Module,
    inputs: Any,
    *,
    tokens: Any = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Capture:
    """Run a model on one or many texts and return what its attention did.

    Parameters
    ----------
    model
        What `load_model` returned, or any module that is already in memory.
    inputs
        A text or a list of texts; of many, those of one length run together, so that none is
        padded. Or the tensors of the model's forward call, run in one call: a dict of keywords, a
        tuple, or one tensor. Each row of their batch becomes a text; padding that an
        ``attention_mask`` (or a ``..._key_padding_mask``) marks is left out. An
        `nn.MultiheadAttention` given one tensor attends from it to itself.
    tokens
        Names to show in place of the tokenizer's, as many as there are tokens: a list, or one for
        each text (or row); for tensors of a model with two stacks also a dict with the keys
        ``encoder`` and ``decoder``.
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
    The decoder of an encoder-decoder model that is given a text reads the same tokens as its
    encoder.
    """
    loaded = _loaded(model)
    texts = _texts(inputs)
    if texts is None:
        return _record_tensors(loaded, inputs, tokens, progress, cancel)
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


def record_texts(
    model: LoadedModel,
    texts: Sequence[str],
    *,
    most_bytes: int | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Capture:
    """Record many texts; when `cancel` is set, those that are done by then.

    `Capture.texts_asked` says how many there were to be.

    Parameters
    ----------
    most_bytes
        What the capture may take of the memory; one that is larger goes to a file. By default a
        share of what is free.

    Raises
    ------
    InputError, TextTooLongError
        As `record`.
    Cancelled
        When `cancel` was set before any text was done.
    """
    encoded = [check_text(model, text) for text in texts]
    names = _names(model, encoded, None)
    return _record(model, texts, encoded, names, progress, cancel, keep=True, most_bytes=most_bytes)


def record_cut(
    model: LoadedModel,
    texts: Sequence[str],
    encoded: Sequence[Encoded],
    names: Sequence[Sequence[str]],
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Capture:
    """Record texts that are cut into tokens already, as the baselines have them.

    Parameters
    ----------
    texts
        What to call them.
    names
        One for each token.

    Raises
    ------
    InputError, Cancelled
        As `record`.
    """
    own = tuple(map(list, names))
    return _record(_loaded(model), texts, list(encoded), own, progress, cancel)


def _loaded(model: Any) -> LoadedModel:
    """Return a model ready to be run; refuse what cannot be looked into."""
    if isinstance(model, LoadedModel):
        loaded = model
    elif isinstance(model, (str, os.PathLike, torch.nn.Module)):
        loaded = load_model(model)
    else:
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise InputError(f"This is no model but {what}; give a module, a folder or a hub id.")
    scripted = (torch.jit.ScriptModule, torch.jit.ScriptFunction)
    if any(isinstance(part, scripted) for part in loaded.module.modules()):
        raise InputError(
            f"{loaded.name} is compiled by torch.jit, so what it computes inside cannot be seen; "
            "give the module that it was made from."
        )
    if loaded.device == "meta":
        raise InputError(f"{loaded.name} has no weights (device meta); load them first.")
    return loaded


def _texts(inputs: object) -> tuple[str, ...] | None:
    """Return the texts that `inputs` stands for, None where it is no text."""
    if isinstance(inputs, str):
        return (inputs,)
    if isinstance(inputs, (list, tuple)) and not inputs:
        raise InputError("There is no text to run; give one text or a list of texts.")
    if isinstance(inputs, (list, tuple)) and any(isinstance(t, str) for t in inputs):
        if all(isinstance(t, str) for t in inputs):
            return tuple(inputs)
        raise InputError("A list of texts holds texts alone; give tensors as a tuple or a dict.")
    return None


def _names(model: LoadedModel, encoded: list[Encoded], tokens: object) -> tuple[list[str], ...]:
    """Return the tokens' labels: the caller's where there are some, else the tokenizer's."""
    if tokens is None:
        return tuple(list(labels(model.tokenizer, e)) for e in encoded)
    if isinstance(tokens, Mapping):
        raise InputError("Names by stack belong to tensors; a text's tokens are one list of names.")
    given = rows_of_names(tokens)
    if len(given) != len(encoded):
        raise InputError(f"tokens names {len(given)} texts, but there are {len(encoded)}.")
    for names, cut in zip(given, encoded, strict=True):
        if len(names) != len(cut):
            raise InputError(
                f"tokens holds {len(names)} names for a text of {len(cut)} tokens (special ones "
                "included); give one name a token."
            )
    return tuple(map(list, given))


def _record(
    model: LoadedModel, texts: Sequence[str], encoded: list[Encoded],
    names: tuple[list[str], ...], progress: Progress | None, cancel: CancelToken | None,
    *, cut_from: int | None = None, keep: bool = False, most_bytes: int | None = None,
) -> Capture:  # fmt: skip
    """Run texts, those of one length together, so that none is padded.

    With `keep` a cancelled run gives what it has done, where that is something. Beyond
    `most_bytes`, by default a share of the free memory, vectors go to a file (`spill`).
    """
    way: Way | None = None
    layers: tuple[Layer, ...] = ()
    places: list[Place] = []
    lengths = [len(cut) for cut in encoded]
    room = budget() if most_bytes is None else most_bytes
    for_batch = max(min(room, int(free_memory() * BATCH_SHARE)), LEAST_BATCH)
    fits = batch_tokens(model, for_batch)
    waiting = batches(lengths, lambda length: min(fits(length), MOST_TOKENS))
    report = _Report(progress, cancel, len(waiting), count_layers(model.module))
    n_bytes = expected_bytes(model, lengths)
    store = Kept(len(encoded), to_file=n_bytes > room, n_bytes=n_bytes)
    with alone(cancel):
        started = time.perf_counter()
        while waiting:
            batch = waiting.pop(0)
            forward = join([text_forward(model, encoded[i]) for i in batch])
            try:
                way, calls = _read(model, forward, report, way)
                if len(batch) > 1 and any(len(call.query) != len(batch) for call in calls):
                    raise InputError("the rows of a batch can't be told apart")
            except Cancelled:
                if not (keep and places):
                    raise
                break
            except InputError:
                if len(batch) == 1:
                    raise
                # Not every model takes batches, nor has every machine the memory: one by one.
                waiting[:0] = [[i] for i in batch]
                report.texts_added(len(batch))
                continue
            if not places:
                layers, places = describe(calls), [call.place for call in calls]
            elif places != [call.place for call in calls]:
                raise InputError(
                    f"{model.name} runs other layers for other texts, so they cannot stand in one "
                    "capture; record the texts one at a time."
                )
            for row, i in enumerate(batch):
                store.add(i, convert(calls, forward, row, _of_text(names[i], encoded[i])))
            report.text_done()
        store.finish()
        seconds = time.perf_counter() - started
    assert way is not None
    records = store.records
    done = [i for i, of_text in enumerate(records) if of_text]
    for i in done:
        _refuse_nonsense(model, records[i])
    forwards = tuple(partial(text_forward, model, encoded[i]) for i in done)
    return Capture(
        texts=tuple(texts[i] for i in done),
        tokens=tuple(names[i] for i in done),
        special=tuple(encoded[i].special for i in done),
        layers=layers,
        records=tuple(records[i] for i in done),
        model_name=model.name,
        seconds=seconds,
        cut_from=cut_from,
        texts_asked=len(texts) if len(done) < len(texts) else None,
        verifier=Verifier(model, way, forwards, tuple(places)),
    )


def _record_tensors(
    model: LoadedModel, inputs: Any, tokens: Any,
    progress: Progress | None, cancel: CancelToken | None,
) -> Capture:  # fmt: skip
    """Run a caller's tensors in one forward call; each row of the batch becomes a text."""
    forward = tensor_forward(model, inputs)
    report = _Report(progress, cancel, 1, count_layers(model.module))
    with alone(cancel):
        started = time.perf_counter()
        way, calls = _read(model, forward, report, None)
        report.text_done()
        seconds = time.perf_counter() - started
    n_rows = calls[0].query.shape[0]
    for call in calls:
        if call.query.shape[0] != n_rows:
            raise InputError(
                f"{model.name} works on batches of {n_rows} and of {call.query.shape[0]} in one "
                f"call (in {call.place.name}), so its rows can't be told apart; give one input."
            )
    forward = fit_rows(forward, n_rows)
    names, texts = names_of_rows(model, forward, n_rows, tokens)
    for row in range(n_rows):
        if not all(rows.any() and columns.any() for rows, columns in kept(forward, calls, row)):
            raise InputError(
                f"Row {row + 1} of the batch has no tokens that are not padding; leave it out."
            )
        check_names(calls, forward, row, names[row])
    records = tuple(
        _placed(model, calls, convert(calls, forward, row, names[row]), names[row])
        for row in range(n_rows)
    )
    for row_records in records:
        _refuse_nonsense(model, row_records)
    return Capture(
        texts=tuple(texts),
        tokens=tuple(list(main_tokens(calls, forward, r, names[r])) for r in range(n_rows)),
        special=tuple(main_special(calls, forward, r, names[r]) for r in range(n_rows)),
        layers=describe(calls),
        records=records,
        model_name=model.name,
        seconds=seconds,
        verifier=Verifier(
            model,
            way,
            (lambda: forward,),
            tuple(call.place for call in calls),
            [kept(forward, calls, row) for row in range(n_rows)],
        ),
        images=pictures_of(model, forward, names),
    )


def _placed(
    model: LoadedModel, calls: list[Call], records: tuple[LayerRecord, ...], names: Names
) -> tuple[LayerRecord, ...]:
    """Return a row's records, the patches named where they stand window by window."""
    patches = names.patches
    if patches is None or names.given:
        return records
    own = [window_names(model, call, patches) for call in calls]
    return tuple(
        replace(record, query_tokens=tokens, key_tokens=tokens) if tokens else record
        for record, tokens in zip(records, own, strict=True)
    )


def _of_text(names: list[str], cut: Encoded) -> Names:
    """Return a text's names: both sides of an encoder-decoder read the same tokens."""
    both = tuple(names)
    return Names({"main": both, "decoder": both}, {"main": cut.special, "decoder": cut.special})


def _read(
    model: LoadedModel, forward: Forward, report: _Report, way: Way | None
) -> tuple[Way, list[Call]]:
    """Run the model once; return the way that read it, and what its attentions were handed."""
    ways = ways_for(model.module) if way is None else [way]
    missed: OtherWay | None = None
    for fitting in ways:
        try:
            calls = _run(model, forward, report, fitting)
        except OtherWay as error:
            missed = error
            continue
        if calls:
            return fitting, calls
    if missed is not None:
        raise missed
    raise no_attention(model)


def _run(model: LoadedModel, forward: Forward, report: _Report, way: Way) -> list[Call]:
    """Run the model once and return what its attentions were handed, in order."""
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
    with way.recording(model.module, note):
        try:
            run(model, forward)
        except Exception as error:
            # Ours pass as they are; what the model itself raises is put in a sentence.
            if fault or isinstance(error, InputError):
                raise
            raise cannot_run(model, error, forward) from error
    report.check()
    return told_apart(calls)


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

    def texts_added(self, n: int) -> None:
        """So many are run in the place of one that was not read."""
        self._texts_left += n - 1
        self._here = 0

    def _tell(self) -> None:
        if self._progress is not None:
            expected = self._texts_left * self._layers
            started = self._here + (self._texts_left > 0)
            self._progress(self._before + self._here, self._before + max(expected, started))
