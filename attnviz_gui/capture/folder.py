"""What a folder says of the model in it, checked before anything is loaded. Loads nothing.

The checks tell apart what can be wrong with a folder, so that each fault has a sentence of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from attnviz_gui.capture.header import BadFileError, read_header
from attnviz_gui.capture.weights import BIN, SAFE, refuse_many_layers, weight_files
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TOKENIZER_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "spm.model", "source.spm", "tekken.json", "tokenizer_config.json",
)  # fmt: skip


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """Return config.json, checked as far as its `model_type`."""
    try:
        if not folder.is_dir():
            raise InputError(f"{folder} is a file; choose the folder that holds the model.")
        path = folder / "config.json"
        if not path.is_file():
            inside = sorted(p.parent.name for p in folder.glob("*/config.json"))
            also = f", perhaps its folder {inside[0]}" if inside else ""
            raise InputError(
                f"{folder} holds no model: there is no config.json. Choose the folder that "
                f"save_pretrained wrote or the hub gave{also}."
            )
        config = json.loads(path.read_bytes())
    except InputError:  # a ValueError too, and already in the right words
        raise
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The config.json of {name} is not valid JSON; fetch the model again."
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InputError(
            f"The config.json of {name} names no model_type, so its family is unknown; fetch the "
            "model again, in the form that transformers reads."
        )
    return config


def refuse_remote_code(config: dict[str, Any], folder: Path, name: str) -> None:
    """Raise when the model needs code of its own, or is of a family that is not known.

    A model may name its own code and yet be of a family that transformers has since taken up
    under the same class names: then transformers' own classes read it.
    """
    family = config["model_type"]
    known = family in CONFIG_MAPPING
    named = list(_class_names(config.get("auto_map")))
    named += _class_names(_tokenizer_config(folder).get("auto_map"))
    if named and not (known and all(hasattr(transformers, n) for n in named)):
        raise InputError(
            f"The model {name} needs code that comes with it ({named[0]}), and AttnViz never runs "
            "such code; choose a model of a family that transformers knows."
        )
    if not known:
        raise InputError(
            f"The model {name} is of the family {family!r}, which is not known to transformers "
            f"{transformers.__version__}; choose another model or update transformers."
        )


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    """Return tokenizer_config.json, empty where there is none that can be read."""
    try:
        said = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _class_names(auto_map: object) -> Iterator[str]:
    """Yield the class names in an ``auto_map``: ``org/repo--modeling_x.XModel`` gives XModel."""
    if isinstance(auto_map, str):
        yield auto_map.rpartition(".")[2]
    elif isinstance(auto_map, dict):
        for value in auto_map.values():
            yield from _class_names(value)
    elif isinstance(auto_map, list):
        for value in auto_map:
            yield from _class_names(value)


def check_weights(config: dict[str, Any], folder: Path, name: str) -> None:
    """Raise unless every weight file is there, readable and whole, and can be what config says."""
    try:
        files = weight_files(folder)
        if not files:
            raise InputError(
                f"The model {name} has no weights: {folder} holds neither {SAFE} nor {BIN}; "
                "fetch the model again."
            )
        for path in files:
            if not path.is_file():
                raise InputError(
                    f"The weights of {name} are incomplete: {path.name} is missing; fetch the "
                    "model again."
                )
            if path.suffix == ".safetensors":
                read_header(path)
            else:
                with path.open("rb"):
                    pass
        path = files[0]
        refuse_many_layers(config, files, name)
    except BadFileError as error:
        raise InputError(
            f"The weights of {name} are corrupt: {path.name} is unreadable, {error}. Fetch the "
            "model again."
        ) from error
    except OSError as error:
        raise InputError(
            f"The weights of {name} cannot be read: {error.strerror or error}."
        ) from error


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder holds files of a tokenizer."""
    return any((folder / file).is_file() for file in _TOKENIZER_FILES)
