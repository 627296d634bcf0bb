"""What one forward call of a model is given: a text's tokens, or a caller's own tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from attnviz_gui.capture.signature import parameters
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import BoolArray
    from attnviz_gui.capture.tokens import Encoded

# Where tokens come from: the text a model reads, what its decoder reads beside that, or no text at
# all (pictures, sound) in a model that reads text as well.
Side = Literal["main", "decoder", "media"]

# Keywords that say which tokens are padding, and whether True (or 1) marks a token or padding.
_PADDING: dict[str, tuple[Side, bool]] = {
    "attention_mask": ("main", True),
    "decoder_attention_mask": ("decoder", True),
    "key_padding_mask": ("main", False),
    "src_key_padding_mask": ("main", False),
    "tgt_key_padding_mask": ("decoder", False),
}


@dataclass(frozen=True, eq=False)
class Forward:
    """One forward call.

    Attributes
    ----------
    arguments, keywords
        As the model is given them; every tensor's first axis is the batch.
    given
        True where a caller gave the tensors, False where they are a text's tokens.
    present : dict of (B, T) bool
        By side: True where a row has a token, False where it has padding. A side that is not
        there has no padding.
    """

    arguments: tuple[Any, ...] = field(default=(), repr=False)
    keywords: dict[str, Any] = field(default_factory=dict, repr=False)
    given: bool = False
    present: dict[Side, BoolArray] = field(default_factory=dict, repr=False)


def text_forward(model: LoadedModel, encoded: Encoded) -> Forward:
    """Return the call for one text, each tensor (1, T)."""
    module: Any = model.module
    table = module.get_input_embeddings()
    size = getattr(table, "num_embeddings", None)
    if size is not None and encoded.ids.max(initial=0) >= size:
        raise InputError(
            f"The tokenizer of {model.name} does not belong to its weights: it gives token number "
            f"{int(encoded.ids.max()):,}, and the model knows {size:,}. Fetch both again."
        )
    accepts = parameters(module.forward)
    ids = torch.from_numpy(encoded.ids)[None].to(model.device)
    keywords: dict[str, Any] = {"input_ids": ids}
    if "attention_mask" in accepts:
        keywords["attention_mask"] = torch.ones_like(ids)
    for name, values in encoded.extras.items():
        if name in accepts:
            keywords[name] = torch.from_numpy(values)[None].to(model.device)
    if "decoder_input_ids" in accepts:
        keywords["decoder_input_ids"] = ids
    if "use_cache" in accepts:
        keywords["use_cache"] = False  # a cache would grow the keys
    return Forward(keywords=keywords)


def tensor_forward(model: LoadedModel, inputs: Any) -> Forward:
    """Return the call for a caller's tensors: a dict of keywords, a tuple, or one tensor.

    Raises
    ------
    InputError
        When it holds no tensor, or one that no run can begin with.
    """
    place = _place(model)
    found: list[torch.Tensor] = []

    def there(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = _tensor(value)
        if isinstance(value, torch.Tensor):
            if value.is_meta:
                raise InputError(
                    "A tensor on the device meta holds no numbers; give one on the cpu or a GPU."
                )
            found.append(value)
            return value if place is None else value.to(place)
        # Plain containers alone: what a class of the caller's holds is its own affair.
        if type(value) is dict:
            return {name: there(part) for name, part in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(there, value))
        return value

    keywords: dict[str, Any] = {}
    arguments: tuple[Any, ...] = ()
    if isinstance(inputs, Mapping):
        keywords = {str(name): there(_numbers(str(name), v)) for name, v in inputs.items()}
    else:
        arguments = tuple(there(v) for v in inputs) if isinstance(inputs, (tuple, list)) else ()
        arguments = arguments or (there(inputs),)
    if not found:
        raise InputError(
            "There is nothing to run: give a text, a list of texts, or the tensors of the model's "
            "forward call as a dict or a tuple."
        )
    for name, value in keywords.items():
        if callable(getattr(value, "get_seq_length", None)):
            raise InputError(
                f"{name} holds what the model has read before and would grow with every run; give "
                f"the whole text instead, without {name}."
            )
    if isinstance(model.module, torch.nn.MultiheadAttention) and len(arguments) == 1:
        wanted = inspect.signature(model.module.forward).parameters.values()
        if sum(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in wanted) > 1:
            arguments *= 3  # self-attention: the same queries, keys and values
    accepts = parameters(model.module.forward)
    if "use_cache" in accepts:
        keywords["use_cache"] = False
    return Forward(arguments, keywords, given=True, present=_present(keywords))


def _numbers(name: str, value: Any) -> Any:
    """Return lists of token numbers, as a tokenizer gives them by itself, as an array."""
    if not isinstance(value, (list, tuple)) or not name.endswith(("_ids", "_mask")):
        return value
    if any(not isinstance(row, (int, list, tuple)) for row in value):
        return value
    try:
        return np.array(value)
    except ValueError as error:
        raise InputError(
            f"The rows of {name} are not of one length; pad them, or give the texts one by one."
        ) from error


def _tensor(array: np.ndarray) -> torch.Tensor:
    """Return a numpy array as a tensor, whatever its strides and the order of its bytes."""
    native = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    try:
        return torch.from_numpy(native)
    except TypeError as error:
        raise InputError(
            f"An array of {array.dtype.name} is no input of a model; give numbers, or a text as a "
            "str."
        ) from error


def fit_rows(forward: Forward, n_rows: int) -> Forward:
    """Return the call with what it says of padding for each of `n_rows`.

    One row of it stands for all; with any other number it is no mask of this batch.
    """
    present = {
        side: np.broadcast_to(tokens, (n_rows, tokens.shape[1]))
        for side, tokens in forward.present.items()
        if len(tokens) in (1, n_rows)
    }
    return replace(forward, present=present)


def _place(model: LoadedModel) -> torch.device | None:
    """Return where a model's weights are, None for one without weights or spread over devices."""
    places = {parameter.device for parameter in model.module.parameters()}
    return places.pop() if len(places) == 1 else None


def _present(keywords: dict[str, Any]) -> dict[Side, BoolArray]:
    """Return which tokens are no padding, where that is said and there is padding."""
    present: dict[Side, BoolArray] = {}
    for name, (side, marks_token) in _PADDING.items():
        mask = keywords.get(name)
        if not isinstance(mask, torch.Tensor) or mask.ndim != 2:
            continue
        if mask.dtype.is_floating_point and not marks_token:
            tokens = mask == 0  # added to the logits
        else:
            tokens = mask.bool() if marks_token else ~mask.bool()
        if not bool(tokens.all()):
            present[side] = tokens.cpu().numpy()
    return present
