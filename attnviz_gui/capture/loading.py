"""Load the module and the tokenizer of a folder that was checked, without a word on stderr."""

from __future__ import annotations

import pickle
import re
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, cast

import torch
import transformers
from safetensors import SafetensorError
from transformers.integrations import hub_kernels

from attnviz_gui.capture.faults import first_line
from attnviz_gui.capture.quiet import quiet
from attnviz_gui.capture.run import text_config
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# Loading sets switches of transformers that all threads share.
_LOADING = threading.Lock()


@contextmanager
def loading() -> Iterator[None]:
    """Let transformers load something: one at a time, and without a word on stderr."""
    with _LOADING, quiet(), _no_code_of_the_hub(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _no_code_of_the_hub() -> Iterator[None]:
    """Keep transformers from compiled code that it would fetch from the hub, and run.

    Families look for some where the package ``kernels`` is installed; all do without.
    """

    def get_kernel(name: str, *_args: object, **_keywords: object) -> NoReturn:
        raise ImportError(f"it asks for the code {name} of the hub, which AttnViz never runs")

    instead = {"get_kernel": get_kernel, "_kernels_enabled": False}
    before = {name: vars(hub_kernels)[name] for name in instead if name in vars(hub_kernels)}
    vars(hub_kernels).update(instead)
    try:
        yield
    finally:
        vars(hub_kernels).update(before)


def load_module(folder: Path, config_dict: dict[str, Any], name: str) -> torch.nn.Module:
    """Return the module with every weight of its attention read from the folder."""
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        # What a config asks to be returned is nothing that is needed here, and hinders recording.
        config.output_attentions = config.output_hidden_states = False
        # Nor is the kernel that it asks for, which may name code on the hub.
        config._attn_implementation = config._experts_implementation = None
    except Exception as error:
        raise InputError(
            f"The config.json of {name} does not describe a model: {first_line(error)}"
        ) from error
    missing: list[str] = []
    for cls in _candidates(config_dict):
        try:
            module, report = cls.from_pretrained(
                folder, config=config, output_loading_info=True, local_files_only=True,
                weights_only=True, trust_remote_code=False,
            )  # fmt: skip
        except Exception as error:
            if "Unrecognized configuration class" in str(error):
                continue
            raise _broken(name, error) from error
        # A pooler stands behind the attention: heads trained without one are saved without one.
        lacking = sorted(k for k in report["missing_keys"] if "pooler" not in k)
        if not lacking:
            _refuse_more_layers(module, report["unexpected_keys"], name)
            return cast("torch.nn.Module", module)
        missing = missing or lacking
    if missing:
        raise InputError(
            f"The weights of {name} are incomplete: {len(missing)} are missing, among them "
            f"{missing[0]}, and made-up ones would take their place; fetch the model again."
        )
    raise InputError(
        f"{name} is of the family {config_dict['model_type']!r}, which has no model that reads "
        "text; choose another model."
    )


def _refuse_more_layers(module: Any, unread: Iterable[str], name: str) -> None:
    """Raise when weights were left unread that differ from the model's by a layer's number."""

    def shape(key: str) -> str:
        return re.sub(r"\.\d+\.", ".N.", "." + key.removeprefix(module.base_model_prefix + "."))

    own = {shape(key) for key in module.state_dict()}
    more = sorted(key for key in unread if "N" in shape(key) and shape(key) in own)
    if more:
        raise InputError(
            f"The weights of {name} hold more layers than its config.json says ({more[0]} is among "
            "them); fetch both again."
        )


def _candidates(config: dict[str, Any]) -> Iterator[Any]:
    """Yield classes that may read the weights, the best first."""
    architectures = config.get("architectures")
    names = (
        [n for n in architectures if isinstance(n, str)] if isinstance(architectures, list) else []
    )
    classes = [getattr(transformers, n) for n in names if hasattr(transformers, n)]
    classes = [c for c in classes if hasattr(c, "from_pretrained")]
    # The class itself where it is a bare model: spares the import of all that AutoModel may load.
    bare = [c for c in classes if c.__name__.endswith("Model") and "Head" not in c.__name__]
    yield from bare
    yield transformers.AutoModel
    yield from (c for c in classes if c not in bare)
    for auto in ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForMaskedLM"):
        yield getattr(transformers, auto)


def _broken(name: str, error: Exception) -> InputError:
    """Return the sentence for weights that transformers could not read."""
    text = str(error)
    if "mismatch" in text or ("size" in text.lower() and "shape" in text.lower()):
        return InputError(
            f"The weights of {name} do not fit its config.json (other shapes); fetch both again."
        )
    if isinstance(error, (SafetensorError, pickle.UnpicklingError, EOFError)):
        return InputError(f"The weights of {name} are corrupt; fetch the model again.")
    if isinstance(error, MemoryError) or "alloc" in text:
        return InputError(f"{name} needs more memory than there is; choose a smaller model.")
    return InputError(f"{name} cannot be loaded: {first_line(error)}")


def load_tokenizer(folder: Path, name: str) -> Any:
    """Return the tokenizer of a folder, one that is not empty."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if len(tokenizer) == 0:
            raise ValueError("it is empty")
    except Exception as error:
        raise InputError(
            f"The tokenizer of {name} cannot be read: {first_line(error)} Fetch its tokenizer "
            "files again."
        ) from error
    return tokenizer


def token_limit(module: torch.nn.Module, tokenizer: Any = None) -> int | None:
    """Return how many tokens a model can read, special ones included; None for no bound.

    A table of learned positions bounds it by its length, less what the family keeps at the table's
    start (RoBERTa counts positions from `padding_idx` + 1, OPT and BART from 2). Without a table
    the config's `max_position_embeddings` counts, then the tokenizer's `model_max_length`.
    """
    limits = []
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.Embedding) and _is_position_table(name):
            skipped = getattr(part, "offset", None)
            if not isinstance(skipped, int):
                skipped = 0 if part.padding_idx is None else part.padding_idx + 1
            limits.append(part.num_embeddings - skipped)
    if limits:
        return min(limits)
    bound = getattr(text_config(module), "max_position_embeddings", None)
    if isinstance(bound, int) and bound > 0:
        return bound
    bound = getattr(tokenizer, "model_max_length", None)
    return bound if isinstance(bound, int) and 0 < bound < 10**9 else None


def _is_position_table(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last == "wpe" or ("position" in last and "relative" not in last and "bias" not in last)
