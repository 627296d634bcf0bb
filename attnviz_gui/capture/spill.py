"""Put a capture's arrays on the disk, memory-mapped, where they would not fit into the memory.

They lie in files of a folder of the user's cache. On Linux and macOS a file has no name any more as
soon as it is mapped: it is gone with the capture, also when the program is killed. Elsewhere the
folder is cleared when the capture goes, and `sweep` clears what a crash has left behind.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from platformdirs import user_cache_dir

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from attnviz_gui.capture.record import LayerRecord

SEGMENT = 64 << 20  # bytes of a file at least
_SEGMENTS = 128  # a program may have only so many files open
_KEPT_FREE = 256 << 20  # bytes: nothing else on the disk is to fail
_ALIGNED = 64


def spill_folder() -> Path:
    """Return the folder in which captures are put on the disk."""
    return Path(user_cache_dir("attnviz", appauthor=False)) / "captures-on-disk"


def free_disk() -> int:
    """Return the bytes that may be written there, 0 where that is not known."""
    folder = spill_folder()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return max(shutil.disk_usage(folder).free - _KEPT_FREE, 0)
    except OSError:
        return 0


def sweep() -> None:
    """Clear what programs that crashed have left; what is in use cannot be, and stays."""
    with contextlib.suppress(OSError):
        for folder in list(spill_folder().iterdir()):
            _clear(folder)


class Spill:
    """Copies arrays into mapped files; `n_bytes` is about how many there will be.

    Raises
    ------
    InputError
        When the disk has no room, also while arrays are copied.
    """

    def __init__(self, n_bytes: int = 0) -> None:
        self.folder = spill_folder() / uuid4().hex
        self._size = max(SEGMENT, n_bytes // _SEGMENTS)
        self._map: mmap.mmap | None = None
        self._at = 0
        # The files go when nobody can ask for an array any more, at the latest with the program.
        self._gone = weakref.finalize(self, _clear, self.folder)
        if n_bytes > free_disk():
            raise InputError(
                f"The capture takes about {_size(n_bytes)}, more than the memory's share "
                f"and more than the {_size(free_disk())} that are free on the disk of "
                f"{self.folder.parent}; run fewer or shorter texts."
            )

    def keep(self, records: tuple[LayerRecord, ...]) -> tuple[LayerRecord, ...]:
        """Return a text's records with their arrays on the disk; shared ones stay shared."""
        moved: dict[Any, Any] = {}
        return tuple(self._record(record, moved) for record in records)

    def _record(self, record: LayerRecord, moved: dict[Any, Any]) -> LayerRecord:
        def put(array: Any) -> Any:
            if array is None or (array.size and not any(array.strides)):
                return array  # one number, whatever its shape
            key = array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str
            if key not in moved:
                moved[key] = self._put(array), array  # kept, so that no address is used twice
            return moved[key][0]

        both = record.unrotated
        return replace(
            record,
            query=put(record.query),
            key=put(record.key),
            value=put(record.value),
            mask=put(record.mask),
            bias=put(record.bias),
            unrotated=None if both is None else (put(both[0]), put(both[1])),
            positions=tuple(
                replace(term, table=put(term.table), index=put(term.index))
                for term in record.positions
            ),
        )

    def _put(self, array: Any) -> Any:
        start = -(-self._at // _ALIGNED) * _ALIGNED
        if self._map is None or start + array.nbytes > len(self._map):
            self._map, start = self._segment(max(self._size, array.nbytes)), 0
        view = np.ndarray(array.shape, array.dtype, self._map, start)
        view[...] = array
        view.flags.writeable = False
        self._at = start + array.nbytes
        return view

    def _segment(self, size: int) -> mmap.mmap:
        """Return a new file, mapped. Its room is taken first: a full disk would end the program."""
        path = self.folder / f"{uuid4().hex}.bin"
        try:
            if free_disk() < size:
                raise OSError(28, "No space left on device")
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("xb+") as file:
                try:
                    _take_room(file.fileno(), size)
                    segment = _Map(file.fileno(), size)
                finally:
                    with contextlib.suppress(OSError):  # Windows keeps it while it is mapped
                        path.unlink()
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or error
            raise InputError(
                f"The capture does not fit onto the disk of {self.folder.parent} ({words}); make "
                "room there, or run fewer or shorter texts."
            ) from error
        segment.owner = self
        return segment


class Kept:
    """Records of texts as they come, in the memory or on the disk.

    Attributes
    ----------
    records : list of tuples of LayerRecord
        Of each text; empty where none has come yet.
    """

    def __init__(self, n_texts: int, *, to_file: bool = False, n_bytes: int = 0) -> None:
        self.records: list[tuple[LayerRecord, ...]] = [()] * n_texts
        self._spill = Spill(n_bytes) if to_file else None

    def add(self, text: int, records: tuple[LayerRecord, ...]) -> None:
        """Keep a text's records; raises InputError where the disk has no room."""
        self.records[text] = records if self._spill is None else self._spill.keep(records)

    def finish(self) -> None:
        """No more come."""
        self._spill = None


class _Map(mmap.mmap):
    """A mapped file that keeps its `Spill` for as long as an array of it is held."""

    owner: Spill | None = None


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 10**9 else f"{n_bytes / 1e6:,.0f} MB"


def _take_room(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    zeros = bytes(1 << 20)
    while size > 0:
        size -= os.write(file, zeros[: min(size, len(zeros))])
    os.lseek(file, 0, os.SEEK_SET)


def _clear(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for file in list(folder.iterdir()):
            with contextlib.suppress(OSError):
                file.unlink()
        folder.rmdir()
