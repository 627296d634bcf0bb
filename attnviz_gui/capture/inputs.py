"""What one forward call of a model is given: a text's tokens, or a caller's own tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import BoolArray
    from attnviz_gui.capture.tokens import Encoded

Side = Literal["main", "decoder"]

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
    accepts = inspect.signature(module.forward).parameters
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
        When it holds no tensor.
    """
    place = _place(model)

    def there(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        return value.to(place) if isinstance(value, torch.Tensor) and place else value

    keywords: dict[str, Any] = {}
    arguments: tuple[Any, ...] = ()
    if isinstance(inputs, Mapping):
        keywords = {str(name): there(value) for name, value in inputs.items()}
    else:
        arguments = tuple(there(v) for v in inputs) if isinstance(inputs, (tuple, list)) else ()
        arguments = arguments or (there(inputs),)
    if not any(isinstance(v, torch.Tensor) for v in (*arguments, *keywords.values())):
        raise InputError(
            "There is nothing to run: give a text, a list of texts, or the tensors of the model's "
            "forward call as a dict or a tuple."
        )
    if isinstance(model.module, torch.nn.MultiheadAttention) and len(arguments) == 1:
        arguments *= 3  # self-attention: the same queries, keys and values
    accepts = inspect.signature(model.module.forward).parameters
    if "use_cache" in accepts:
        keywords["use_cache"] = False
    return Forward(arguments, keywords, given=True, present=_present(keywords))


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
