"""Run a loaded model once: alone, in eval mode, without gradients. Records nothing."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from attnviz_gui.capture.faults import first_line
from attnviz_gui.capture.progress import raise_if_cancelled
from attnviz_gui.capture.quiet import quiet
from attnviz_gui.capture.ways.interface import family
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnviz_gui.capture.inputs import Forward
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.progress import CancelToken

# A run swaps the attention implementation in the model's config, which all threads share.
_RUNNING = threading.RLock()


@contextmanager
def alone(cancel: CancelToken | None = None) -> Iterator[None]:
    """Wait until no other run is under way, and keep others out; waiting can be cancelled."""
    while not _RUNNING.acquire(timeout=0.05):
        raise_if_cancelled(cancel)
    try:
        yield
    finally:
        _RUNNING.release()


def run(model: LoadedModel, forward: Forward) -> Any:
    """Run the model once and return its outputs; training flags are as before afterwards."""
    module = model.module
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        with torch.no_grad(), quiet(), _uncompiled():
            return module(*forward.arguments, **forward.keywords)
    finally:
        for part in training:
            part.training = True


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Let modules run as they are written: what a compiled graph computes cannot be seen."""
    if "torch._dynamo" not in sys.modules:  # nothing has been compiled
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def text_config(module: Any) -> Any:
    """Return the part of a model's config that is about text, the whole where there is no one."""
    config: Any = getattr(module, "config", None)
    try:
        return config.get_text_config()
    except (AttributeError, ValueError):
        return config


def count_layers(module: Any) -> int:
    """Return how many attentions a run will probably have, 1 at least."""
    config = text_config(module)

    def layers(name: str) -> int:
        count = getattr(config, name, None)
        return count if isinstance(count, int) else 0  # some families count by kind

    encoder = layers("num_hidden_layers") or 1
    decoder = 0
    if getattr(config, "is_encoder_decoder", False):
        decoder = layers("decoder_layers") or encoder
    return encoder + 2 * decoder


def cannot_run(model: LoadedModel, error: Exception, forward: Forward) -> InputError:
    """Return the sentence for a model whose forward call failed."""
    text = first_line(error)
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in text:
        return InputError(
            f"{model.name} needs more memory for this text than {model.device} has; shorten the "
            "text or choose a smaller model."
        )
    whole = re.search(r"HigherOrderOperator (\w+)", text)
    if isinstance(error, NotImplementedError) and whole:
        return InputError(
            f"{model.name} (family {family(model.module)}) cannot be read: it computes {whole[1]} "
            "in one piece that can't be looked into. Choose another model, or let it use "
            "scaled_dot_product_attention instead."
        )
    given = {f"number {i + 1}": value for i, value in enumerate(forward.arguments)}
    for name, value in (given | forward.keywords).items():
        if isinstance(value, torch.Tensor) and not value.is_nested and not value.numel():
            return InputError(
                f"The tensor {name} is empty, of the shape {tuple(value.shape)}; give one row and "
                "one token at least."
            )
    return InputError(
        f"{model.name} (family {family(model.module)}) could not be run on this: {text}"
    )


def no_attention(model: LoadedModel) -> InputError:
    """Return the sentence for a model that was run, and no attention was seen."""
    name = family(model.module)
    if not type(model.module).__module__.startswith("transformers."):
        return InputError(
            f"No attention was seen in {model.name} (family {name}): it may have none, or compute "
            "it in a way that can't be followed. Choose another model."
        )
    reason = "none of their parts is called an attention"
    for part in model.module.modules():
        if any("attention" in type(each).__name__.lower() for each in part.children()):
            continue  # it holds the one that computes
        if "attention" in type(part).__name__.lower():
            kind = type(part).__name__
            reason = f"{kind} makes its weights without a softmax of products of queries and keys"
            break
    return InputError(
        f"Models of the family {name} cannot be read: {reason}. Choose another model."
    )
