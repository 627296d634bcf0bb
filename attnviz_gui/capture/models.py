"""Find and load a model: the bundled one, a folder, a hub id, a module already in memory.

Whatever is wrong with a model is said in a sentence (`InputError`). Never runs code that comes
with a model, and never unpickles more than weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import transformers
from safetensors import SafetensorError

from attnviz_gui.capture.header import BadFileError, read_header
from attnviz_gui.capture.quiet import quiet
from attnviz_gui.capture.run import text_config
from attnviz_gui.errors import InputError
from attnviz_gui.resources import bundled_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BUNDLED_NAME = "all-MiniLM-L6-v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_SAFE, _SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
_BIN, _BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_TOKENIZER_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "spm.model", "source.spm", "tekken.json", "tokenizer_config.json",
)  # fmt: skip
_HUB_FILES = [
    "*.json", "*.txt", "*.model", "*.spm", "tekken.json", "model.safetensors",
    "model-*-of-*.safetensors",
]  # fmt: skip
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

# Loading sets switches of transformers that all threads share.
_LOADING = threading.Lock()


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to be recorded.

    Attributes
    ----------
    name
        What to call it: the last name of a folder or of a hub repository.
    module
        The module, in eval mode.
    tokenizer
        Its tokenizer, None where it has none.
    device
        Where its weights are: ``cpu``, ``cuda:0``, ``mps``.
    limit
        How many tokens it can read, special ones included; None where nothing bounds it.
    source
        What `load_model` was given, or the module's class for a module in memory.
    """

    name: str
    module: torch.nn.Module = field(repr=False)
    tokenizer: Any = field(repr=False)
    device: str
    limit: int | None
    source: str


def load_model(
    source: str | os.PathLike[str] | torch.nn.Module = "bundled", *, device: str = "auto"
) -> LoadedModel:
    """Return a model, with its tokenizer where it has one.

    Parameters
    ----------
    source
        ``"bundled"`` (all-MiniLM-L6-v2, needs no network), a folder on disk, a hub id
        (``"org/name"``), or a model of transformers that is already in memory.
    device
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. A module in
        memory stays where it is under ``auto``.

    Raises
    ------
    InputError
        When there is no such model or device, or the model is broken or of a kind that cannot be
        read; the message says what to do.
    """
    if isinstance(source, torch.nn.Module):
        return _from_memory(source, device)
    place = _device(device)
    if isinstance(source, str) and source == "bundled":
        folder = bundled_model()
        _check_bundled(folder)
        return _from_folder(folder, place, BUNDLED_NAME, "bundled")
    text = os.fspath(source)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InputError("Name a model: bundled, a folder, or a hub id such as org/name.")
    folder = Path(os.path.expanduser(text))  # noqa: PTH111 - an unknown user's ~ stays as it is
    if _exists(folder):
        return _from_folder(folder, place, _name(folder), text)
    if isinstance(source, Path) or not _HUB_ID.fullmatch(text):
        raise InputError(f"There is no folder {text}; choose a folder that holds a model.")
    return _from_folder(_from_hub(text), place, text.rpartition("/")[2], text)


# -- sources ---------------------------------------------------------------------------------


def _from_memory(module: torch.nn.Module, device: str) -> LoadedModel:
    kind = type(module).__name__
    if not isinstance(module, transformers.PreTrainedModel):
        raise InputError(
            f"{kind} is a plain PyTorch module, and only models of transformers can be read so "
            "far; wrap its weights in one of these, or load a folder."
        )
    if device != "auto":
        module.to(_device(device))
    origin = str(getattr(module.config, "_name_or_path", "") or "")
    name = Path(origin).name or kind
    tokenizer = None
    folder = Path(origin) if origin and _exists(Path(origin)) else _cached(origin)
    if folder is not None and _has_tokenizer(folder):
        with _loading():
            tokenizer = _load_tokenizer(folder, name)
    place = str(next(module.parameters(), torch.empty(0)).device)
    return LoadedModel(name, module, tokenizer, place, token_limit(module, tokenizer), kind)


def _from_folder(folder: Path, device: torch.device, name: str, source: str) -> LoadedModel:
    config = _read_config(folder, name)
    _refuse_remote_code(config, folder, name)
    _check_weights(folder, name)
    if not _has_tokenizer(folder):
        raise InputError(
            f"The model {name} has no tokenizer; put its tokenizer.json (or vocab.txt, ...) into "
            f"{folder}."
        )
    with _loading():
        module = _load_module(folder, config, name)
        try:
            module = module.eval().to(device)
        except (RuntimeError, AssertionError) as error:  # out of memory, a driver that fails
            raise InputError(f"{name} does not fit on {device}: {_first_line(error)}") from error
        tokenizer = _load_tokenizer(folder, name)
    place = str(next(module.parameters()).device)
    return LoadedModel(name, module, tokenizer, place, token_limit(module, tokenizer), source)


def _cached(repository: str) -> Path | None:
    """Return the folder of a hub repository in the local cache, None where it is not there."""
    import huggingface_hub as hub
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    if not _HUB_ID.fullmatch(repository):
        return None
    try:
        return Path(hub.snapshot_download(repository, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, OSError):
        return None


def _from_hub(repository: str) -> Path:
    """Return the local folder of a hub repository; on disk first, then the network."""
    import huggingface_hub as hub
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    folder = _cached(repository)
    if folder is not None and (folder / "config.json").is_file() and _weight_files(folder):
        return folder
    if hub.constants.is_offline_mode():
        raise InputError(
            f"There is no folder {repository}; as a hub model it is not on this machine either, "
            "and HF_HUB_OFFLINE forbids the network; " + _on_disk()
        )
    try:
        with _loading():
            folder = Path(hub.snapshot_download(repository, allow_patterns=_HUB_FILES))
            if not _weight_files(folder):
                patterns = [*_HUB_FILES, "pytorch_model*.bin"]
                folder = Path(hub.snapshot_download(repository, allow_patterns=patterns))
            return folder
    except HFValidationError as error:
        raise InputError(f"{repository} is no folder and no hub id such as org/name.") from error
    except GatedRepoError as error:
        raise InputError(
            f"{repository} asks for its licence to be accepted on huggingface.co first; then log "
            "in with: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"There is no folder {repository}, and huggingface.co has no such model (or it is "
            "private); check the name."
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{repository} is not on this machine and huggingface.co cannot be reached; "
            + _on_disk()
        ) from error


def _on_disk() -> str:
    """Return half a sentence that lists the models of the local hub cache."""
    import huggingface_hub as hub
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = hub.scan_cache_dir(hub.constants.HF_HUB_CACHE).repos
    except (CacheNotFound, OSError):
        repos = frozenset()
    names = sorted(repo.repo_id for repo in repos if repo.repo_type == "model")
    return "on disk there are: " + ", ".join(["bundled", *names]) + "."


# -- what a folder holds ---------------------------------------------------------------------


def _read_config(folder: Path, name: str) -> dict[str, Any]:
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


def _refuse_remote_code(config: dict[str, Any], folder: Path, name: str) -> None:
    """Raise when the model needs code of its own, or is of a family that is not known.

    A model may name its own code and yet be of a family that transformers has since taken up
    under the same class names: then transformers' own classes read it.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

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


def _weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights, whether or not each is there."""
    for single, index in ((_SAFE, _SAFE_INDEX), (_BIN, _BIN_INDEX)):
        if (folder / single).is_file():
            return [folder / single]
        if (folder / index).is_file():
            try:
                shards = json.loads((folder / index).read_bytes())["weight_map"].values()
                names = sorted({str(s) for s in shards})
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                names = []
            if not names or any(Path(n).name != n for n in names):
                raise InputError(f"{folder / index} is corrupt; fetch the model again.")
            return [folder / name for name in names]
    return []


def _check_weights(folder: Path, name: str) -> None:
    """Raise unless every weight file is there, readable and whole."""
    try:
        files = _weight_files(folder)
        if not files:
            raise InputError(
                f"The model {name} has no weights: {folder} holds neither {_SAFE} nor {_BIN}; "
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
    except BadFileError as error:
        raise InputError(
            f"The weights of {name} are corrupt: {path.name} is unreadable, {error}. Fetch the "
            "model again."
        ) from error
    except OSError as error:
        raise InputError(
            f"The weights of {name} cannot be read: {error.strerror or error}."
        ) from error


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / file).is_file() for file in _TOKENIZER_FILES)


def _check_bundled(folder: Path) -> None:
    """Raise unless the bundled weights are the published ones."""
    path = folder / _SAFE
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"The bundled model cannot be read ({error.strerror or error}); install AttnViz again."
        ) from error
    if digest != BUNDLED_SHA256:
        raise InputError(
            f"The bundled model is not the published one: {path} has SHA-256 {digest[:12]}... "
            f"instead of {BUNDLED_SHA256[:12]}...; install AttnViz again."
        )


# -- loading ---------------------------------------------------------------------------------


def _load_module(folder: Path, config_dict: dict[str, Any], name: str) -> torch.nn.Module:
    """Return the module with every weight of its attention read from the folder."""
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        # What a config asks to be returned is nothing that is needed here, and hinders recording.
        config.output_attentions = config.output_hidden_states = False
    except Exception as error:
        raise InputError(
            f"The config.json of {name} does not describe a model: {_first_line(error)}"
        ) from error
    missing: list[str] = []
    for cls in _candidates(config_dict):
        try:
            module, report = cls.from_pretrained(
                folder, config=config, output_loading_info=True, local_files_only=True,
                weights_only=True,
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
    return InputError(f"{name} cannot be loaded: {_first_line(error)}")


def _load_tokenizer(folder: Path, name: str) -> Any:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if len(tokenizer) == 0:
            raise ValueError("it is empty")
    except Exception as error:
        raise InputError(
            f"The tokenizer of {name} cannot be read: {_first_line(error)} Fetch its tokenizer "
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


# -- small things ----------------------------------------------------------------------------


def _device(device: str) -> torch.device:
    """Return the device, checked to exist."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a driver that does not fit says so on stderr
        cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda:0" if cuda else "mps" if mps else "cpu")
    if device == "cpu" or (device == "mps" and mps):
        return torch.device(device)
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", str(device))
    if match and int(match[1] or 0) < cuda:
        return torch.device("cuda", int(match[1] or 0))
    here = ["cpu", *(f"cuda:{i}" for i in range(cuda)), *(["mps"] if mps else [])]
    raise InputError(f"There is no device {device!r} here; choose auto or {', '.join(here)}.")


@contextmanager
def _loading() -> Iterator[None]:
    """Let transformers load something: one at a time, and without a word on stderr."""
    with _LOADING, quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError as error:
        raise InputError(
            f"{path} may not be read by you ({error.strerror}); change its permissions, or choose "
            "another folder."
        ) from error
    except OSError:  # a name that no file can have
        return False


def _name(folder: Path) -> str:
    """Return what to call the model in a folder: its last name, or its repository's in a cache."""
    folder = folder.resolve()
    if folder.parent.name == "snapshots" and folder.parents[1].name.startswith("models--"):
        return folder.parents[1].name.rpartition("--")[2]
    return folder.name or str(folder)


def _first_line(error: BaseException) -> str:
    """Return an error's first line, as the end of a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0].strip()[:200]
    return line if line.endswith(".") else line + "."
