"""Write a capture to one file and read it back, exact to the bit. Never imports torch, no pickle.

A safetensors file: its metadata holds ``format``, ``format_version`` and ``capture``, a JSON text
with everything that is no array. Layers name their arrays there, and arrays that several layers
share are written once. Masks are packed to bits; one that allows all is not written.

Format 1 knew neither stacks, soft caps, sinks and vectors before rotation nor names of an
attention's own; all else is the same. Every format that ever was is read for ever.

A file is read whole, never mapped into memory: a capture that is open stays what it is when the
file is replaced, cut short or deleted, where a map would end the program.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.capture.header import BadFileError, Header, header_of, open_file, read_json
from attnviz_gui.errors import InputError
from attnviz_gui.session.files import as_path, is_there, replace_file
from attnviz_gui.session.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    import numpy.typing as npt

    from attnviz_gui.capture.record import BoolArray, Capture, LayerRecord

    Array = npt.NDArray[Any]

FORMAT = "attnviz-capture"
VERSION = 2

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "U8": np.dtype("u1")}


def save_capture(capture: Capture, path: str | os.PathLike[str]) -> None:
    """Write a capture to `path`, whole or not at all; folders are made where they are missing.

    Raises
    ------
    InputError
        When it cannot be written there, or holds what no capture may (NaN, counts that differ).
    """
    target = Path(os.path.realpath(as_path(path)))
    if is_there(target) and target.is_dir():
        raise InputError(f"{target} is a folder; name a file in it to save the capture to.")
    arrays, described = _describe(capture)
    entries = _entries(arrays)
    text = json.dumps(described, separators=(",", ":"))
    metadata = {"format": FORMAT, "format_version": str(VERSION), "capture": text}
    try:
        # Read as it will be read: what is written can be opened.
        unpack(json.loads(text), entries, arrays.__getitem__, VERSION)
        replace_file(target, _content(arrays, {"__metadata__": metadata, **entries}))
    except BadFileError as error:
        raise InputError(f"The capture cannot be saved: {error}. Record it again.") from error
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
        with open_file(source) as file:
            header = header_of(file)
            version = _version(header, source)
            said = read_json(header.metadata.get("capture", ""), header.size)
            if not isinstance(said, dict):
                raise BadFileError("its description cannot be read")
            return unpack(said, header.arrays, lambda name: _read(file, header, name), version)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {source}; choose a capture that was saved.") from error
    except BadFileError as error:
        raise InputError(
            f"{source} cannot be opened: {error}. Save the capture again, or choose another file."
        ) from error
    except MemoryError as error:
        raise InputError(
            f"{source} does not fit into this computer's memory; close other programs, or record "
            "a shorter text."
        ) from error
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror or error}.") from error


# -- writing ---------------------------------------------------------------------------------


class _Arrays(dict[str, "Array"]):
    """A capture's arrays by name; one that is handed in again keeps its name."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[object, str] = {}

    def put(self, array: Array, kind: str) -> str:
        """Return the name of an array of float32."""
        if array.dtype != np.float32:
            raise TypeError(f"{kind} is {array.dtype}, not float32")
        return self._put(array, kind)

    def put_mask(self, mask: BoolArray) -> str | None:
        """Return the name of a mask; None for a (T_q, T_k) mask that allows all."""
        if mask.dtype != np.bool_:
            raise TypeError(f"mask is {mask.dtype}, not bool")
        if mask.ndim == 2 and mask.all():
            return None
        return self._put(mask, "mask")

    def put_pixels(self, pixels: Array) -> str:
        """Return the name of a picture, (height, width, 3) uint8."""
        if pixels.dtype != np.uint8:
            raise TypeError(f"a picture is {pixels.dtype}, not uint8")
        return self._put(pixels, "image")

    def _put(self, array: Array, kind: str) -> str:
        at = _memory(array)
        if at not in self._names:
            self._names[at] = name = f"{kind}.{len(self)}"
            self[name] = np.packbits(array, axis=-1) if kind == "mask" else array
        return self._names[at]


def _memory(array: Array) -> object:
    """Return where an array stands in memory: the same for all views of the same numbers."""
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str


def _describe(capture: Capture) -> tuple[_Arrays, dict[str, Any]]:
    """Return a capture's arrays by name, and the rest with the arrays' names in it."""
    arrays = _Arrays()
    names: dict[tuple[str, ...], int] = {}

    def own(tokens: tuple[str, ...] | None) -> int | None:
        return None if tokens is None else names.setdefault(tokens, len(names))

    def describe(record: LayerRecord) -> dict[str, Any]:
        bias = record.whole_bias()
        return {
            "query": arrays.put(record.query, "query"),
            "key": arrays.put(record.key, "key"),
            "value": arrays.put(record.value, "value"),
            "scaling": float(record.scaling),
            "mask": arrays.put_mask(record.mask),
            "bias": None if bias is None else arrays.put(bias, "bias"),
            "softcap": None if record.softcap is None else float(record.softcap),
            "sink": None if record.sink is None else arrays.put(record.sink, "sink"),
            "unrotated": None
            if record.unrotated is None
            else [arrays.put(array, "unrotated") for array in record.unrotated],
            "query_tokens": own(record.query_tokens),
            "key_tokens": own(record.key_tokens),
        }

    records = [[describe(record) for record in text] for text in capture.records]
    described = {
        "model_name": capture.model_name,
        "seconds": capture.seconds,
        "cut_from": capture.cut_from,
        "texts_asked": capture.texts_asked,
        "texts": capture.texts,
        "tokens": capture.tokens,
        "special": [np.flatnonzero(special).tolist() for special in capture.special],
        "names": list(names),
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "n_heads": layer.n_heads,
                "head_dim": layer.head_dim,
                "stack": layer.stack,
            }
            for layer in capture.layers
        ],
        "records": records,
    }
    if any(capture.images):
        # What reads format 2 and knows no pictures leaves this out.
        described["images"] = [
            None
            if image is None
            else {
                "pixels": arrays.put_pixels(image.pixels),
                "rows": image.rows,
                "columns": image.columns,
                "scaled": image.scaled,
            }
            for image in capture.images
        ]
    return arrays, described


def _entries(arrays: _Arrays) -> dict[str, dict[str, Any]]:
    """Return what a header says of arrays, in the order in which they stand in the file."""
    entries: dict[str, dict[str, Any]] = {}
    place = 0
    # The wider numbers first, so that each stands at a multiple of its width.
    for name in sorted(arrays, key=lambda name: -arrays[name].itemsize):
        array = arrays[name]
        entries[name] = {
            "dtype": "U8" if array.dtype == np.uint8 else "F32",
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    return entries


def _content(arrays: _Arrays, header: dict[str, Any]) -> Iterator[bytes | memoryview]:
    """Yield a file's content bit by bit: never is there a second copy of all arrays."""
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little")
    yield text
    for name, entry in header.items():
        if name != "__metadata__" and arrays[name].size:
            array = np.ascontiguousarray(arrays[name], dtype=_DTYPES[entry["dtype"]])
            yield array.reshape(-1).view(np.uint8).data


# -- reading ---------------------------------------------------------------------------------


def _version(header: Header, source: Path) -> int:
    """Return the format of a capture; raises where it is none that can be read."""
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
    return int(version)


def _read(file: BufferedReader, header: Header, name: str) -> Array:
    """Return an array of an open file. Its header was checked, so it cannot be a large lie."""
    entry = header.arrays[name]
    begin, end = entry["data_offsets"]
    data = np.empty(end - begin, np.uint8)
    file.seek(header.start + begin)
    if file.readinto(data.data) != len(data):
        raise BadFileError("it is cut short")
    array: Array = data.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    array.flags.writeable = False
    return array
