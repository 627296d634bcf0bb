"""Read and check the header of a safetensors file before anything is allocated. No torch here.

A file may lie: about the length of its header, about shapes, about where its arrays stand. All of
it is compared with the file's true size, in plain integers, before a byte of data is read.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

_MAX_HEADER = 100_000_000  # the format's own bound
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_VALUE = re.compile(r'[,[{]|"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)  # a beginning, or a string
# What a header may hold however little data there is: bytes, and values.
_FREE_BYTES, _FREE_VALUES = 10_000_000, 100_000


class BadFileError(ValueError):
    """The file is no whole safetensors file; the message says why, as half a sentence."""


class Header(NamedTuple):
    """What a safetensors file says of itself, checked against its size.

    Attributes
    ----------
    metadata
        Its own strings.
    arrays
        Each array's ``dtype``, ``shape`` and ``data_offsets``.
    start, size
        Where in the file the arrays begin, and their length; bytes.
    """

    metadata: dict[str, str]
    arrays: dict[str, dict[str, Any]]
    start: int
    size: int


def read_header(path: Path) -> Header:
    """Return the checked header of a safetensors file.

    Raises
    ------
    BadFileError
        When the header lies or the file is cut short.
    OSError
        When the file cannot be read.
    """
    with open_file(path) as file:
        return header_of(file)


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading; a pipe, which would never open, or a device is refused.

    Raises
    ------
    BadFileError, OSError
        As `read_header`.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadFileError("it is no file but a folder, a device or a pipe")
    return path.open("rb")


def header_of(file: BufferedReader) -> Header:
    """Return the checked header of an open safetensors file; raises as `read_header`."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    if len(start) < 8:
        raise BadFileError("it is empty or cut short")
    length = int.from_bytes(start, "little")
    if length > min(size - 8, _MAX_HEADER):
        raise BadFileError("it is cut short, or no safetensors file")
    data = size - 8 - length
    if length > _FREE_BYTES + data:
        raise BadFileError("its header is larger than its arrays")
    try:
        header = read_json(file.read(length).decode("utf-8"), data)
    except UnicodeDecodeError:
        header = None
    if not isinstance(header, dict):
        raise BadFileError("its header cannot be read")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise BadFileError("its header cannot be read")
    _check(header, data)
    return Header(metadata, header, 8 + length, data)


def read_json(text: str, data: int) -> Any:
    """Return what a JSON text holds, None where it is none.

    A list of empty lists takes thirty times its text when it is read. So there may be no more
    values than a file with `data` bytes of arrays can have use for.

    Raises
    ------
    BadFileError
        When there are more, or when an object names one thing twice.
    """
    most = _FREE_VALUES + data // 16
    if sum(map(text.count, ",[{")) > most and _has_more(text, most):
        raise BadFileError("its header names more than its arrays can hold")
    try:
        return json.loads(text, object_pairs_hook=_once)
    except BadFileError:
        raise
    except (ValueError, RecursionError):
        return None


def _has_more(text: str, most: int) -> bool:
    """Return whether a JSON text has more than `most` values; what stands in strings is none."""
    values = 0
    for match in _VALUE.finditer(text):
        values += match[0][0] != '"'
        if values > most:
            return True
    return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadFileError("its header says one thing twice")
    return found


def _check(arrays: dict[str, Any], data: int) -> None:
    """Raise unless the arrays fill `data` bytes, one after the other."""
    spans = []
    for name, entry in arrays.items():
        try:
            bits, shape = _BITS[entry["dtype"]], entry["shape"]
            begin, end = entry["data_offsets"]
            whole = [begin, end, *shape]
        except (KeyError, TypeError, ValueError):
            raise BadFileError(f"its header says nothing sensible of {name[:80]!r}") from None
        if not all(type(n) is int and n >= 0 for n in whole):
            raise BadFileError(f"its header says nothing sensible of {name[:80]!r}")
        if end > data:
            raise BadFileError(f"it is cut short: {name[:80]!r} ends beyond the end of the file")
        # Few dimensions, none beyond the file: the product stays a small number.
        if len(shape) > 8 or any(n > 8 * data for n in shape if n):
            raise BadFileError(f"its header lies about the shape of {name[:80]!r}")
        if begin > end or math.prod(shape) * bits != 8 * (end - begin):
            raise BadFileError(f"its header lies about the shape of {name[:80]!r}")
        spans.append((begin, end))
    place = 0
    for begin, end in sorted(spans):
        if begin != place:
            raise BadFileError("its arrays overlap or leave holes")
        place = end
    if place != data:
        raise BadFileError("it is longer than its arrays")
