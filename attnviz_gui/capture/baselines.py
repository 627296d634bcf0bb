"""What a measure is worth nothing without: the same heads where there is nothing to find.

The tokens of a text shuffled, read by the same model; the same architecture with random weights, on
the same text; and a sequence of random tokens repeated once, on which an induction head shows
itself. Every draw has a fixed seed. Nothing is left on the model.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attnviz_gui.capture.faults import first_line
from attnviz_gui.capture.loading import loading
from attnviz_gui.capture.patches import reordered
from attnviz_gui.capture.progress import raise_if_cancelled
from attnviz_gui.capture.recorder import record, record_cut
from attnviz_gui.capture.run import alone
from attnviz_gui.capture.tokens import Encoded, encode
from attnviz_gui.capture.verify import Verifier
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from attnviz_gui.capture.inputs import Forward
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.progress import CancelToken
    from attnviz_gui.capture.record import Capture

    Again = tuple[Sequence[int], Capture]

SEED = 1729  # not 0: a model that was itself made with that seed would be its own baseline
N_REPEATED = 50  # tokens in the sequence that is repeated
AT_ONCE = 32  # texts in one capture, so that all of them never take the memory twice


def model_of(capture: Capture) -> LoadedModel:
    """Return the model that was captured.

    Raises
    ------
    InputError
        When it is not at hand, as for a capture that was opened from a file.
    """
    if not isinstance(capture.verifier, Verifier):
        raise InputError(
            "The model is not at hand, as this capture was opened from a file; run the text to "
            "have baselines."
        )
    return capture.verifier.model


def shuffled(
    capture: Capture, texts: Sequence[int] | None = None, *, seed: int = SEED,
    at_once: int = AT_ONCE, cancel: CancelToken | None = None,
) -> Iterator[Again]:  # fmt: skip
    """Yield captures of the same model on the texts' tokens in random order, special ones in place.

    Of a picture they are its patches.

    A few texts at a time, each capture with the texts' indices.

    Parameters
    ----------
    texts
        Indices of the texts, all by default; what was captured from tensors comes as one capture of
        them all.
    at_once
        How many texts one capture has at most. What is too large for the memory goes to a file, as
        `record_texts` has it.

    Raises
    ------
    InputError
        When the model is not at hand, or was given tensors that are no tokens.
    Cancelled
        When `cancel` is set.
    """
    model = model_of(capture)
    yield from _again(capture, model, texts, seed, at_once, cancel)


def random_weights(
    capture: Capture, texts: Sequence[int] | None = None, *, seed: int = SEED,
    at_once: int = AT_ONCE, cancel: CancelToken | None = None,
) -> Iterator[Again]:  # fmt: skip
    """Yield captures of `random_twin` on the same texts; otherwise as `shuffled`."""
    twin = random_twin(model_of(capture), seed=seed, cancel=cancel)
    yield from _again(capture, twin, texts, None, at_once, cancel)


def repeated(
    model: LoadedModel, n: int = N_REPEATED, *, shuffle: bool = False, seed: int = SEED,
    cancel: CancelToken | None = None,
) -> Capture:  # fmt: skip
    """Return a capture of `n` different random tokens, twice, between the tokenizer's special ones.

    Each token is named by its number. Source: Elhage et al. 2021, Olsson et al. 2022.

    Parameters
    ----------
    shuffle
        The same tokens in random order, so that what follows one of them says nothing of what
        follows it the second time.

    Raises
    ------
    InputError
        When the model has no tokenizer, or can't read as few as two tokens twice.
    Cancelled
        When `cancel` is set.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise InputError(f"{model.name} has no tokenizer, so there are no tokens to draw from.")
    own = encode(tokenizer, "a")
    at = np.flatnonzero(~own.special)
    before, after = own.ids[: at[0]], own.ids[at[-1] + 1 :]
    table = getattr(model.module, "get_input_embeddings", lambda: None)()
    size = min(len(tokenizer), getattr(table, "num_embeddings", len(tokenizer)))
    vocabulary = np.setdiff1d(np.arange(size), np.array(tokenizer.all_special_ids, dtype=int))
    n = min(n, len(vocabulary))
    if model.limit is not None:
        n = min(n, (model.limit - len(before) - len(after)) // 2)
    if n < 2:
        raise InputError(f"{model.name} reads too few tokens for a sequence that is repeated.")
    drawn = np.random.default_rng(seed).choice(vocabulary, n, replace=False)
    ids = np.concatenate([before, drawn, drawn, after]).astype(np.int64)
    special = np.zeros(len(ids), dtype=np.bool_)
    special[: len(before)] = special[len(ids) - len(after) :] = True
    if shuffle:
        ids = ids[_order(special, seed)]
    extras = {name: np.full(len(ids), values[at[0]]) for name, values in own.extras.items()}
    cut = Encoded(ids, special, None, None, extras)
    names = [str(number) for number in ids.tolist()]
    text = f"{n} random tokens, twice"
    return record_cut(model, [text], [cut], [names], cancel=cancel)


def random_twin(
    model: LoadedModel, *, seed: int = SEED, cancel: CancelToken | None = None
) -> LoadedModel:
    """Return the same architecture with weights as they were before any training.

    A model of transformers is built anew from its config. Any other module is copied, and each of
    its parts resets its own parameters; a parameter that no part resets is drawn from a normal
    distribution with its mean and deviation.

    Raises
    ------
    InputError
        When it can't be built, as for want of memory.
    Cancelled
        When `cancel` is set.
    """
    raise_if_cancelled(cancel)
    module = model.module
    first = next(module.parameters(), None)
    gpus = [first.device] if first is not None and first.device.type == "cuda" else []
    with alone(cancel), loading(), torch.random.fork_rng(gpus):
        torch.manual_seed(seed)
        try:
            twin = _from_config(module)
            if twin is None:
                twin = copy.deepcopy(module)
                with torch.no_grad():
                    _reset(twin)
            if first is not None:
                twin = twin.to(first.device, first.dtype)
        except Exception as error:
            raise InputError(
                f"{model.name} can't be built anew with random weights: {first_line(error)}"
            ) from error
    return replace(model, module=twin.eval())


def _from_config(module: torch.nn.Module) -> torch.nn.Module | None:
    """Build a model of transformers anew; None for any other module."""
    from transformers import PreTrainedModel

    if not isinstance(module, PreTrainedModel):
        return None
    twin: torch.nn.Module = type(module)(copy.deepcopy(module.config))
    return twin


def _reset(module: torch.nn.Module) -> None:
    done: set[int] = set()
    for part in module.modules():
        reset: Any = getattr(part, "reset_parameters", None) or getattr(
            part, "_reset_parameters", None
        )
        if callable(reset):
            reset()
            done.update(id(p) for p in part.parameters(recurse=False))
    for parameter in module.parameters():
        if id(parameter) not in done and parameter.is_floating_point() and parameter.numel():
            spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
            parameter.normal_(float(parameter.mean()), spread)


def _again(
    capture: Capture, model: LoadedModel, texts: Sequence[int] | None, seed: int | None,
    at_once: int, cancel: CancelToken | None,
) -> Iterator[Again]:  # fmt: skip
    """Record a capture's texts once more: on another model, or shuffled where there is a seed."""
    assert isinstance(capture.verifier, Verifier)
    chosen = range(len(capture.texts)) if texts is None else texts
    forward = capture.verifier.forwards[0]()
    if forward.given:
        yield range(len(capture.texts)), _from_tensors(capture, model, forward, seed, cancel)
        return
    for start in range(0, len(chosen), at_once):
        raise_if_cancelled(cancel)
        some = chosen[start : start + at_once]
        cuts, names = [], []
        for text in some:
            cut = encode(model.tokenizer, capture.texts[text])
            own = list(capture.tokens[text])
            if seed is not None:
                order = _order(cut.special, seed + text)
                cut = replace(cut, ids=cut.ids[order], starts=None, ends=None)
                own = [own[i] for i in order]
            cuts.append(cut)
            names.append(own)
        texts_ = [capture.texts[text] for text in some]
        yield some, record_cut(model, texts_, cuts, names, cancel=cancel)


def _from_tensors(
    capture: Capture, model: LoadedModel, forward: Forward, seed: int | None,
    cancel: CancelToken | None,
) -> Capture:  # fmt: skip
    arguments, keywords = tuple(forward.arguments), dict(forward.keywords)
    if seed is not None and (pixels := _shuffled_picture(model, forward, seed)) is not None:
        if arguments:
            return record(model, (pixels,), cancel=cancel)
        return record(model, {**keywords, "pixel_values": pixels}, cancel=cancel)
    if arguments:
        if seed is not None:
            raise InputError(
                "This capture was made from tensors that are no tokens, so there is nothing to "
                "shuffle."
            )
        return record(model, arguments, cancel=cancel)
    if seed is not None:
        ids = keywords.get("input_ids")
        if not isinstance(ids, torch.Tensor) or ids.ndim != 2:
            raise InputError(
                "This capture was made from tensors without input_ids, so there is nothing to "
                "shuffle."
            )
        keywords["input_ids"] = ids = ids.clone()
        for row, special in enumerate(capture.special):
            present = forward.present.get("main")
            at = np.arange(ids.shape[1]) if present is None else np.flatnonzero(present[row])
            if len(at) == len(special):
                ids[row, at] = ids[row, at[_order(special, seed + row)]]
    return record(model, keywords, cancel=cancel)


def _shuffled_picture(model: LoadedModel, forward: Forward, seed: int) -> torch.Tensor | None:
    """Return the pictures with their patches in random order; None where there are none."""
    given = forward.keywords.get("pixel_values")
    if given is None and len(forward.arguments) == 1:
        given = forward.arguments[0]
    if not isinstance(given, torch.Tensor) or "input_ids" in forward.keywords:
        return None
    return reordered(
        model, forward, given, lambda row, n: _order(np.zeros(n, dtype=np.bool_), seed + row)
    )


def _order(special: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.intp]:
    """Return a random order of a text's tokens in which the special ones keep their places.

    Another one than theirs, where there are two tokens or more.
    """
    order = np.arange(len(special))
    own = np.flatnonzero(~special)
    rng = np.random.default_rng(seed)
    while len(own) > 1 and (order[own] == own).all():
        order[own] = rng.permutation(own)
    return order
