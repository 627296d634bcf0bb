"""Which files of a folder hold a model's weights, and whether they can be all that a config says.

Reads names and headers only; imports neither torch nor transformers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnviz_gui.capture.header import read_header
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
BIN, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"

_LAYERS = re.compile(r"n(um)?_(\w+_)?(layers?|blocks?|groups)|(en|de)coder_layers|depth")
# So many layers are built in seconds, whether or not the weights have them.
_FEW = 256


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights, whether or not each is there.

    Raises
    ------
    InputError
        When the index of weights in several files cannot be read, or names files elsewhere.
    """
    for single, index in ((SAFE, SAFE_INDEX), (BIN, BIN_INDEX)):
        if (folder / single).is_file():
            return [folder / single]
        if (folder / index).is_file():
            return [folder / name for name in _shards(folder / index)]
    return []


def _shards(index: Path) -> list[str]:
    try:
        said = json.loads(index.read_bytes())["weight_map"].values()
        names = sorted({str(shard) for shard in said})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        names = []
    if not names:
        raise InputError(f"{index} is corrupt; fetch the model again.")
    for name in names:
        # A backslash parts folders on some machines only, and stands in no name of a shard.
        if Path(name).name != name or "\\" in name or name in (".", ".."):
            raise InputError(
                f"{index} is corrupt or hostile: it names weights outside its own folder "
                f"({name[:80]!r}), and such files are never opened. Choose another model."
            )
    return names


def is_whole(folder: Path) -> bool:
    """Return whether a folder holds a config and every file of its weights."""
    try:
        files = weight_files(folder)
        there = all(file.is_file() for file in files)
        return there and bool(files) and (folder / "config.json").is_file()
    except (InputError, OSError):
        return False


def refuse_many_layers(config: dict[str, Any], files: Iterable[Path], name: str) -> None:
    """Raise where a config claims more layers than there are arrays: building them takes hours.

    Layers may share their weights, so a few more than there are arrays are no lie.

    Raises
    ------
    InputError
        When it does.
    BadFileError, OSError
        As `read_header`.
    """
    most, key = max(_layers(config), default=(0, ""))
    if most <= _FEW:
        return
    room = 0
    for path in files:
        if path.suffix == ".safetensors":
            room += len(read_header(path).arrays)
        else:
            room += path.stat().st_size // 1024  # an array and its name take more
    if most > room:
        raise InputError(
            f"The config.json of {name} claims {most:,} layers ({key}), but its weights have only "
            f"{room:,} arrays; fetch both again."
        )


def _layers(config: object) -> Iterator[tuple[int, str]]:
    """Yield each number of layers that a config names, at any depth, and its key."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            for key, value in part.items():
                if isinstance(value, int) and _LAYERS.fullmatch(key):
                    yield value, key
                elif isinstance(value, dict | list):
                    waiting.append(value)
        elif isinstance(part, list):
            waiting += [value for value in part if isinstance(value, dict)]
