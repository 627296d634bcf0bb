"""A family of transformers as a tiny random model, and what such a model is run on."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
import transformers

if TYPE_CHECKING:
    from collections.abc import Sequence

Inputs = Literal["text", "image", "speech", "image+text"]

_TABLES = ("interface_families", "operand_families")

# Numbers below this stand for special tokens in the families' configs.
_FIRST_ID = 5


class Family(NamedTuple):
    """How to build a family's model in no time.

    Attributes
    ----------
    config
        Name of the config's class in transformers.
    small
        The config's settings; a dictionary inside of it is a part's settings.
    model
        Name of the model's class in transformers; None: what `AutoModel` makes of the config.
    inputs
        What the model is run on.
    """

    config: str
    small: dict[str, Any]
    model: str | None = None
    inputs: Inputs = "text"


def build(family: str | Family) -> Any:
    """Return a family's tiny model, the same each time, in eval mode."""
    family = find(family) if isinstance(family, str) else family
    config = getattr(transformers, family.config)(**family.small)
    torch.manual_seed(0)
    if family.model is None:
        model = transformers.AutoModel.from_config(config)
    else:
        model = getattr(transformers, family.model)(config)
    model.eval()
    # Larger weights than usual, so that the attention is far from even; position biases and the
    # like begin at zero, which would hide them.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_()
            elif parameter.ndim > 1:
                parameter.mul_(8 if parameter.std() < 0.1 else 1.5)
    return model


def find(name: str) -> Family:
    """Return a family of the tables by its name."""
    for table in _TABLES:
        found = importlib.import_module(f"tests.families.{table}").FAMILIES.get(name)
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise KeyError(name)


def example(
    family: str | Family, model: Any, lengths: Sequence[int] = (7, 4)
) -> dict[str, torch.Tensor]:
    """Return the keywords of the model's forward call for a batch.

    Texts have `lengths` tokens and are padded to the longest; there are as many images or sounds.
    """
    family = find(family) if isinstance(family, str) else family
    accepts = inspect.signature(model.forward).parameters
    random = torch.Generator().manual_seed(1)
    inputs: dict[str, Any] = {}
    if "text" in family.inputs:
        inputs.update(_texts(model, accepts, lengths, random))
    if "image" in family.inputs:
        inputs["pixel_values"] = _images(model, len(lengths), random)
    if family.inputs == "speech":
        inputs.update(_sounds(model, accepts, len(lengths), random))
    if "decoder_input_ids" in accepts:
        inputs["decoder_input_ids"] = _texts(model, accepts, lengths, random)["input_ids"]
    if "use_cache" in accepts:
        inputs["use_cache"] = False
    return inputs


def _texts(model: Any, accepts: Any, lengths: Sequence[int], random: Any) -> dict[str, Any]:
    """Token numbers and which of them are there, (B, T) each."""
    config = _part(model.config, "vocab_size")
    shape = len(lengths), max(lengths)
    mask = (torch.arange(shape[1])[None] < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(_FIRST_ID, config.vocab_size, shape, generator=random)
    pad = getattr(config, "pad_token_id", None)
    inputs = {"input_ids": ids.masked_fill(mask == 0, 0 if pad is None else pad)}
    if "attention_mask" in accepts:
        inputs["attention_mask"] = mask
    return inputs


def _images(model: Any, n: int, random: Any) -> torch.Tensor:
    """Images, (B, channels, height, width)."""
    config = _part(model.config, "image_size")
    size = config.image_size
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return torch.randn(n, getattr(config, "num_channels", 3), height, width, generator=random)


def _sounds(model: Any, accepts: Any, n: int, random: Any) -> dict[str, torch.Tensor]:
    """Waves, (B, samples), or their spectra, (B, mel, frames) or (B, frames, mel)."""
    config = model.config
    if "input_features" not in accepts:
        bins = getattr(config, "num_mel_bins", None)
        frames = getattr(config, "max_length", None)
        if bins and frames:
            return {"input_values": torch.randn(n, frames, bins, generator=random)}
        return {"input_values": torch.randn(n, 800, generator=random)}
    if hasattr(config, "max_source_positions") and hasattr(config, "num_mel_bins"):
        frames = 2 * config.max_source_positions
        return {"input_features": torch.randn(n, config.num_mel_bins, frames, generator=random)}
    size = getattr(config, "feature_projection_input_dim", getattr(config, "num_mel_bins", 8))
    return {"input_features": torch.randn(n, 24, size, generator=random)}


def _part(config: Any, setting: str) -> Any:
    """Return the part of a config that holds a setting."""
    if hasattr(config, setting):
        return config
    for name in config.sub_configs:
        part = getattr(config, name, None)
        if part is not None and hasattr(part, setting):
            return part
    raise AttributeError(f"{type(config).__name__} has no {setting}")
