"""Write a capture to one file and read it back, exact to the bit. Never imports torch, no pickle.

Format 1, a safetensors file: its metadata holds ``format``, ``format_version`` and ``capture``, a
JSON text with everything that is no array; layers name their arrays there, and arrays that several
layers share are written once. Masks are packed to bits; one that allows all is not written.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from attnviz_gui.capture.header import BadFileError, Header, read_header
from attnviz_gui.capture.record import Capture, Layer, LayerRecord
from attnviz_gui.errors import InputError
from attnviz_gui.session.files import as_path, is_there, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from attnviz_gui.capture.record import BoolArray, FloatArray

    Array = npt.NDArray[Any]

FORMAT = "attnviz-capture"
VERSION = 1


def save_capture(capture: Capture, path: str | os.PathLike[str]) -> None:
    """Write a capture to `path`, whole or not at all; folders are made where they are missing.

    Raises
    ------
    InputError
        When it cannot be written there.
    """
    target = Path(os.path.realpath(as_path(path)))
    if is_there(target) and target.is_dir():
        raise InputError(f"{target} is a folder; name a file in it to save the capture to.")
    arrays, described = _describe(capture)
    metadata = {
        "format": FORMAT,
        "format_version": str(VERSION),
        "capture": json.dumps(described, separators=(",", ":")),
    }
    try:
        replace_file(target, save(arrays, metadata))
    except OSError as error:
        raise InputError(
            f"The capture cannot be saved to {target} ({error.strerror or error}); choose another "
            "place."
        ) from error


def open_capture(path: str | os.PathLike[str]) -> Capture:
    """Return a capture that was saved before. Its model is not at hand, so it cannot `verify`.

    Raises
    ------
    InputError
        When there is no such file, it is no capture, it is damaged, or a newer version wrote it.
    """
    source = as_path(path)
    try:
        if is_there(source) and source.is_dir():
            raise InputError(f"{source} is a folder; choose a capture, a .safetensors file.")
        header = read_header(source)
        read = _reader(header, source)
        with safe_open(str(source), framework="np") as file:
            return read(_Source(header, file.get_tensor))
    except FileNotFoundError as error:
        raise InputError(f"There is no file {source}; choose a capture that was saved.") from error
    except (BadFileError, SafetensorError) as error:
        raise InputError(
            f"{source} cannot be opened: {error}. Save the capture again, or choose another file."
        ) from error
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror or error}.") from error


def _reader(header: Header, source: Path) -> Callable[[_Source], Capture]:
    """Return the function that reads a file's format."""
    if header.metadata.get("format") != FORMAT:
        raise InputError(
            f"{source} is no capture (weights of a model, perhaps: then choose its folder as the "
            "model)."
        )
    version = header.metadata.get("format_version", "")
    if not version.isascii() or not version.isdigit() or len(version) > 9 or int(version) < 1:
        raise BadFileError("it does not say which format it has")
    if int(version) > VERSION:
        raise InputError(
            f"{source} was saved by a newer AttnViz (format {int(version)}, this one reads up to "
            f"{VERSION}); update AttnViz to open it."
        )
    return _read_1


# -- writing ---------------------------------------------------------------------------------


def _describe(capture: Capture) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return a capture's arrays by name, and the rest with the arrays' names in it."""
    arrays: dict[str, Array] = {}
    names: dict[int, str] = {}

    def put(array: Array, kind: str) -> str:
        if id(array) not in names:
            names[id(array)] = f"{kind}.{len(arrays)}"
            packed = np.packbits(array, axis=-1) if array.dtype == bool else array
            arrays[names[id(array)]] = np.ascontiguousarray(packed)
        return names[id(array)]

    def describe(record: LayerRecord) -> dict[str, Any]:
        return {
            "query": put(record.query, "query"),
            "key": put(record.key, "key"),
            "value": put(record.value, "value"),
            "scaling": record.scaling,
            "mask": None if record.mask.all() else put(record.mask, "mask"),
            "bias": None if record.bias is None else put(record.bias, "bias"),
        }

    return arrays, {
        "model_name": capture.model_name,
        "seconds": capture.seconds,
        "cut_from": capture.cut_from,
        "texts": capture.texts,
        "tokens": capture.tokens,
        "special": [np.flatnonzero(special).tolist() for special in capture.special],
        "layers": [
            {"name": e.name, "kind": e.kind, "n_heads": e.n_heads, "head_dim": e.head_dim}
            for e in capture.layers
        ],
        "records": [[describe(record) for record in text] for text in capture.records],
    }


# -- reading ---------------------------------------------------------------------------------


class _Source:
    """The arrays of a file, each read once, and its JSON text."""

    def __init__(self, header: Header, read: Callable[[str], Array]) -> None:
        self._header, self._read = header, read
        self._done: dict[str, Array] = {}

    @property
    def described(self) -> Any:
        try:
            return json.loads(self._header.metadata["capture"])
        except (KeyError, ValueError, RecursionError):
            raise BadFileError("its description cannot be read") from None

    def floats(self, name: object, shape: tuple[int | None, ...]) -> FloatArray:
        """Return an array of finite float32 whose shape is `shape`; None there fits any length."""
        array = self._get(name, "F32", shape)
        if not np.isfinite(array.sum(dtype=np.float64)):
            raise BadFileError("it holds numbers that are none (NaN or infinity)")
        return array

    def mask(self, name: object, n_heads: int, shape: tuple[int, int]) -> BoolArray:
        """Return a mask, (T_q, T_k) or (H, T_q, T_k); none allows all."""
        if name is None:
            return np.broadcast_to(np.True_, shape)
        key = f"{name} unpacked"
        if key not in self._done:
            packed_shape = (shape[0], -(-shape[1] // 8))
            packed = self._get(name, "U8", _by_head(self, name, n_heads, packed_shape))
            mask = np.unpackbits(packed, axis=-1, count=shape[1]).view(bool)
            mask.flags.writeable = False
            self._done[key] = mask
        if self._done[key].shape[-2:] != shape:
            raise BadFileError("its description does not fit its arrays")
        return self._done[key]

    def n_dims(self, name: object) -> int:
        return len(self._entry(name)["shape"])

    def _entry(self, name: object) -> dict[str, Any]:
        entry = self._header.arrays.get(name) if isinstance(name, str) else None
        if entry is None:
            raise BadFileError("it lacks an array that its description names")
        return entry

    def _get(self, name: object, dtype: str, shape: tuple[int | None, ...]) -> Array:
        entry = self._entry(name)
        fits = len(shape) == len(entry["shape"]) and all(
            want in (None, have) and have > 0
            for want, have in zip(shape, entry["shape"], strict=True)
        )
        if entry["dtype"] != dtype or not fits:
            raise BadFileError("its description does not fit its arrays")
        assert isinstance(name, str)
        if name not in self._done:
            array = self._read(name)
            array.flags.writeable = False
            self._done[name] = array
        return self._done[name]


def _by_head(
    source: _Source, name: object, n_heads: int, shape: tuple[int, int]
) -> tuple[int, ...]:
    return shape if source.n_dims(name) == 2 else (n_heads, *shape)


def _read_1(source: _Source) -> Capture:
    """Return the capture in a file of format 1; every count is checked against the arrays."""
    said = source.described
    try:
        texts = _list_of(said["texts"], str)
        tokens = [_list_of(names, str) for names in said["tokens"]]
        special = [
            _flags(places, len(t)) for places, t in zip(said["special"], tokens, strict=True)
        ]
        layers = [
            Layer(
                _one(e["name"], str), e["kind"], _one(e["n_heads"], int), _one(e["head_dim"], int)
            )
            for e in said["layers"]
        ]
        records = said["records"]
        if not texts or not layers or any(e.kind not in ("self", "cross") for e in layers):
            raise BadFileError("it holds no text or no layer")
        if {len(texts)} != {len(tokens), len(records)}:
            raise BadFileError("its description contradicts itself")
        seconds, cut_from = said["seconds"], said["cut_from"]
        return Capture(
            texts=tuple(texts),
            tokens=tuple(tokens),
            special=tuple(special),
            layers=tuple(layers),
            records=tuple(
                tuple(
                    _record(source, e, layer, len(names))
                    for e, layer in zip(text, layers, strict=True)
                )
                for text, names in zip(records, tokens, strict=True)
            ),
            model_name=_one(said["model_name"], str),
            seconds=_finite(seconds),
            cut_from=None if cut_from is None else _one(cut_from, int),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, BadFileError):
            raise
        raise BadFileError("its description cannot be read") from error


def _record(source: _Source, said: dict[str, Any], layer: Layer, n_tokens: int) -> LayerRecord:
    heads, d = layer.n_heads, layer.head_dim
    query = source.floats(said["query"], (heads, n_tokens, d))
    key = source.floats(said["key"], (None, n_tokens if layer.kind == "self" else None, d))
    value = source.floats(said["value"], (*key.shape[:2], None))
    if heads % key.shape[0]:
        raise BadFileError("its description does not fit its arrays")
    shape = query.shape[1], key.shape[1]
    bias = said["bias"]
    return LayerRecord(
        query=query,
        key=key,
        value=value,
        scaling=_finite(said["scaling"]),
        mask=source.mask(said["mask"], heads, shape),
        bias=None if bias is None else source.floats(bias, _by_head(source, bias, heads, shape)),
    )


def _one(value: Any, *kinds: type) -> Any:
    """Return a value that is of one of these kinds (a bool is no int)."""
    if type(value) not in kinds:
        raise TypeError(value)
    return value


def _finite(value: Any) -> float:
    number = float(_one(value, int, float))
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _list_of(values: Any, kind: type) -> list[Any]:
    return [_one(value, kind) for value in _one(values, list)]


def _flags(places: Any, n: int) -> BoolArray:
    """Return (n,) bool, True at these places."""
    flags = np.zeros(n, dtype=bool)
    for place in _list_of(places, int):
        if not 0 <= place < n:
            raise ValueError(place)
        flags[place] = True
    return flags
