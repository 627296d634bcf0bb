"""Find and load a model: the bundled one, a folder, a hub id, a module already in memory.

Whatever is wrong with a model is said in a sentence (`InputError`). Never runs code that comes
with a model, and never unpickles more than weights.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from attnviz_gui.capture.faults import first_line
from attnviz_gui.capture.folder import (
    check_weights,
    has_tokenizer,
    read_config,
    refuse_remote_code,
)
from attnviz_gui.capture.hub import download, is_hub_id, snapshot
from attnviz_gui.capture.loading import load_module, load_tokenizer, loading, token_limit
from attnviz_gui.capture.progress import raise_if_cancelled
from attnviz_gui.errors import InputError
from attnviz_gui.resources import bundled_model

if TYPE_CHECKING:
    from attnviz_gui.capture.progress import CancelToken, Report

BUNDLED_NAME = "all-MiniLM-L6-v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


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
    source: str | os.PathLike[str] | torch.nn.Module = "bundled",
    *,
    device: str | torch.device = "auto",
    progress: Report | None = None,
    cancel: CancelToken | None = None,
) -> LoadedModel:
    """Return a model, with its tokenizer where it has one.

    Parameters
    ----------
    source
        ``"bundled"`` (all-MiniLM-L6-v2, needs no network), a folder on disk, a hub id
        (``"org/name"``), or a model of transformers that is already in memory.
    device
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``, also
        as PyTorch's object of that name. A module in memory stays where it is under ``auto``.
    progress, cancel
        Told what is being done, with the kilobytes of a download; asked between the stages, and
        all the time during a download.

    Raises
    ------
    InputError
        When there is no such model or device, or the model is broken or of a kind that cannot be
        read; the message says what to do.
    Cancelled
        When `cancel` was set.
    """
    if isinstance(device, torch.device):
        device = str(device)
    if isinstance(source, torch.nn.Module):
        return _from_memory(source, device)
    stages = _Stages(progress, cancel)
    place = _device(device)
    if isinstance(source, str) and source == "bundled":
        folder = bundled_model()
        stages.next(f"Loading {BUNDLED_NAME}…")
        _check_bundled(folder)
        return _from_folder(folder, place, BUNDLED_NAME, "bundled", stages)
    text = os.fspath(source)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InputError("Name a model: bundled, a folder, or a hub id such as org/name.")
    folder = Path(os.path.expanduser(text))  # noqa: PTH111 - an unknown user's ~ stays as it is
    if _exists(folder):
        return _from_folder(folder, place, _name(folder), text, stages)
    if isinstance(source, Path) or not is_hub_id(text):
        raise InputError(f"There is no folder {text}; choose a folder that holds a model.")
    return _from_folder(_from_hub(text, stages), place, text.rpartition("/")[2], text, stages)


class _Stages:
    """Between two stages of loading: say what comes next, unless it is no longer wanted."""

    def __init__(self, progress: Report | None, cancel: CancelToken | None) -> None:
        self.progress, self.cancel = progress, cancel

    def next(self, words: str) -> None:
        raise_if_cancelled(self.cancel)
        if self.progress is not None:
            self.progress(0, 0, words)


def _from_hub(repository: str, stages: _Stages) -> Path:
    """Return the local folder of a hub repository; on disk first, then the network."""
    folder = snapshot(repository)
    if folder is not None:
        return folder
    try:
        return download(repository, progress=stages.progress, cancel=stages.cancel)
    except InputError as error:
        raise InputError(f"There is no folder {repository}. {error}") from error


def _from_memory(module: torch.nn.Module, device: str) -> LoadedModel:
    kind = type(module).__name__
    if device != "auto":
        module.to(_device(device))
    config = getattr(module, "config", None)
    origin = str(getattr(config, "_name_or_path", "") or "")
    name = Path(origin).name or kind
    tokenizer = None
    folder = Path(origin) if origin and _exists(Path(origin)) else snapshot(origin)
    if folder is not None and has_tokenizer(folder):
        with loading():
            tokenizer = load_tokenizer(folder, name)
    place = str(next(module.parameters(), torch.empty(0)).device)
    return LoadedModel(name, module, tokenizer, place, token_limit(module, tokenizer), kind)


def _from_folder(
    folder: Path, device: torch.device, name: str, source: str, stages: _Stages
) -> LoadedModel:
    stages.next(f"Loading {name}…")
    config = read_config(folder, name)
    refuse_remote_code(config, folder, name)
    check_weights(config, folder, name)
    with loading():
        module = load_module(folder, config, name)
        reads_text = getattr(module, "main_input_name", "input_ids") == "input_ids"
        if reads_text and not has_tokenizer(folder):
            raise InputError(
                f"The model {name} has no tokenizer; put its tokenizer.json (or vocab.txt, ...) "
                f"into {folder}."
            )
        stages.next(f"Loading {name}…")
        try:
            module = module.eval().to(device)
        except (RuntimeError, AssertionError) as error:  # out of memory, a driver that fails
            raise InputError(f"{name} does not fit on {device}: {first_line(error)}") from error
        stages.next(f"Loading {name}…")
        tokenizer = load_tokenizer(folder, name) if has_tokenizer(folder) else None
    raise_if_cancelled(stages.cancel)
    place = str(next(module.parameters()).device)
    return LoadedModel(name, module, tokenizer, place, token_limit(module, tokenizer), source)


def _check_bundled(folder: Path) -> None:
    """Raise unless the bundled weights are the published ones."""
    path = folder / "model.safetensors"
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
