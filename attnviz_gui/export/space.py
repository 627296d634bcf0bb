"""All heads of a capture in one plane, as a file: where each token of each head lies.

The plane is `attnviz_gui.geometry.space.shared_space`. A file is written whole or not at all.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.normalization import Normalization
from attnviz_gui.geometry.space import SharedSpace, shared_space
from attnviz_gui.geometry.stopping import stop_where
from attnviz_gui.session.files import as_path, is_there, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Chosen = Normalization | Mapping[tuple[int, int], Normalization]

ROLES = ("query", "key")
COLUMNS = ("layer", "head", "text", "position", "token", "role", "x", "y")


@dataclass(frozen=True, eq=False)
class CaptureSpace:
    """Every head of a capture in one plane.

    Attributes
    ----------
    capture : Capture
    heads : tuple of (layer, head)
        In the order of `space`.
    space : SharedSpace
        A head's points are those of all texts, one text after the other.
    left_out : tuple of (name, reason)
        Heads that have no place, as ``L3 H7``, and why.
    """

    capture: Capture
    heads: tuple[tuple[int, int], ...]
    space: SharedSpace

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """Heads that have no place, by name, and why."""
        return tuple(
            (f"L{self.heads[i][0]} H{self.heads[i][1]}", reason)
            for i, reason in self.space.left_out
        )

    @property
    def n_rows(self) -> int:
        """Points in the plane: one for each token, role and head."""
        return sum(len(xy) for xy in (*self.space.query_xy, *self.space.key_xy) if xy is not None)

    def parts(self) -> Iterator[tuple[int, int, int, int, Sequence[str], Float64]]:
        """Yield layer, head, text, role (index in `ROLES`), tokens and places (T, 2).

        Head by head, in each the texts, in each the queries and then the keys.
        """
        for i, (layer, head) in enumerate(self.heads):
            query_xy, key_xy = self.space.query_xy[i], self.space.key_xy[i]
            if query_xy is None or key_xy is None:
                continue
            sides, at = (query_xy, key_xy), [0, 0]
            for text in range(len(self.capture.texts)):
                names = (
                    self.capture.query_tokens(layer, text),
                    self.capture.key_tokens(layer, text),
                )
                for role, tokens in enumerate(names):
                    places = sides[role][at[role] : at[role] + len(tokens)]
                    at[role] += len(tokens)
                    yield layer, head, text, role, tokens, places


def space_of(
    capture: Capture,
    normalizations: Chosen | None = None,
    *,
    progress: Callable[[int, int], object] | None = None,
    cancel: Any = None,
) -> CaptureSpace:
    """Return every head of a capture, over all its texts, in one plane.

    Parameters
    ----------
    normalizations
        One for all heads, or those of some heads by (layer, head); the others, and all without
        them, are as they are.
    progress, cancel
        As `shared_space` takes them.

    Raises
    ------
    InputError
        When no head can be placed.
    Cancelled
        When `cancel` is set.
    """
    heads = tuple(
        (number, head)
        for number, layer in enumerate(capture.layers)
        for head in range(layer.n_heads)
    )
    chosen: Normalization | list[Normalization] | None
    if normalizations is None or isinstance(normalizations, Normalization):
        chosen = normalizations
    else:
        unknown = sorted(set(normalizations) - set(heads))
        if unknown:
            raise InputError(
                f"There is no L{unknown[0][0]} H{unknown[0][1]} in this capture, so it has no "
                "normalisation."
            )
        chosen = [normalizations.get(head, Normalization()) for head in heads]
    space = shared_space(_Heads(capture, heads), chosen, progress=progress, cancel=cancel)
    return CaptureSpace(capture, heads, space)


def export_space(space: CaptureSpace, path: str | os.PathLike[str], *, cancel: Any = None) -> Path:
    """Write where every token of every head lies; return the file that was written.

    ``.csv``: UTF-8, a heading and one row for each token, role and head, in the columns `COLUMNS`;
    layers, heads, texts and positions are counted from 0, numbers have all their digits.

    ``.npz``: the same columns as arrays of equal length, where ``token`` and ``role`` are numbers
    of rows of the arrays ``tokens`` and ``roles``; and of the plane ``axes``, ``mean``,
    ``explained``, ``limits`` (see `SharedSpace`), for each placed head its ``factors`` row (layer,
    head, factor), ``left_out`` (names and reasons) and ``model``. Reads without pickle.

    Raises
    ------
    InputError
        When the name has another ending, or nothing can be written there; what was there stays.
    Cancelled
        When `cancel` is set.
    """
    target = Path(os.path.realpath(as_path(path)))
    writers = {".csv": _csv, ".npz": _npz}
    if target.suffix.lower() not in writers:
        raise InputError(f"{target.name} must end in .csv or .npz, the two kinds of file.")
    if is_there(target) and target.is_dir():
        raise InputError(f"{target} is a folder; name a file in it.")

    try:
        replace_file(target, writers[target.suffix.lower()](space, stop_where(cancel)))
    except OSError as error:
        raise InputError(
            f"The places cannot be written to {target} ({error.strerror or error}); choose "
            "another place."
        ) from error
    return target


def _csv(space: CaptureSpace, stop: Callable[[], None]) -> Iterator[bytes]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for layer, head, text, role, tokens, places in space.parts():
        stop()
        writer.writerows(
            (layer, head, text, position, token, ROLES[role], repr(x), repr(y))
            for position, (token, (x, y)) in enumerate(zip(tokens, places.tolist(), strict=True))
        )
        # Half of a surrogate pair is a token of some tokenizers, and no UTF-8.
        yield buffer.getvalue().encode("utf-8", errors="backslashreplace")
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode("utf-8")


def _npz(space: CaptureSpace, stop: Callable[[], None]) -> Iterator[bytes]:
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in COLUMNS}
    numbers: dict[str, int] = {}
    for layer, head, text, role, tokens, places in space.parts():
        stop()
        n = len(tokens)
        of_token = [numbers.setdefault(token, len(numbers)) for token in tokens]
        for name, value in (("layer", layer), ("head", head), ("text", text), ("role", role)):
            columns[name].append(np.full(n, value, dtype=np.int32))
        columns["position"].append(np.arange(n, dtype=np.int32))
        columns["token"].append(np.array(of_token, dtype=np.int32))
        columns["x"].append(places[:, 0])
        columns["y"].append(places[:, 1])
    shared = space.space
    placed = [
        (*head, factor)
        for head, factor in zip(space.heads, shared.factors.tolist(), strict=True)
        if np.isfinite(factor)
    ]
    arrays: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
    arrays |= {
        "tokens": np.array(list(numbers), dtype=np.str_),
        "roles": np.array(ROLES),
        "axes": shared.axes,
        "mean": shared.mean,
        "explained": shared.explained,
        "limits": shared.limits,
        "factors": np.array(placed, dtype=np.float64),
        "left_out": np.array(space.left_out, dtype=np.str_).reshape(-1, 2),
        "model": np.array(space.capture.model_name),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    stop()
    yield buffer.getvalue()


@dataclass(frozen=True, eq=False)
class _Vectors:
    query: Float32
    key: Float32


class _Heads(Sequence[_Vectors]):
    """Every head's vectors of all texts, put together when they are asked for."""

    def __init__(self, capture: Capture, heads: Sequence[tuple[int, int]]) -> None:
        self._capture = capture
        self._heads = heads

    def __len__(self) -> int:
        return len(self._heads)

    def __getitem__(self, index: Any) -> Any:
        layer, head = self._heads[index]
        found = [self._capture.head(layer, head, text) for text in range(len(self._capture.texts))]
        if len(found) == 1:
            return _Vectors(found[0].query, found[0].key)
        return _Vectors(
            np.concatenate([each.query for each in found]),
            np.concatenate([each.key for each in found]),
        )
