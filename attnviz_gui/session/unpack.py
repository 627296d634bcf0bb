"""Make a capture of a file's description and arrays, believing nothing. No torch, no file.

Every name, count and number is checked before it is used, and every array's shape against the
names of the tokens, so that what comes out is whole. Formats 1 and 2; `store` says what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from attnviz_gui.capture.header import BadFileError
from attnviz_gui.capture.record import Capture, Layer, LayerRecord, PatchImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from attnviz_gui.capture.record import BoolArray, FloatArray

    Array = npt.NDArray[Any]
    Shape = tuple[int | None, ...]

_MISFIT = "its description does not fit its arrays"
_LARGEST = float(np.finfo(np.float32).max)
# What format 1 had no words for.
_NEW = dict.fromkeys(("softcap", "sink", "unrotated", "query_tokens", "key_tokens"))


def unpack(
    said: Any, entries: Mapping[str, Mapping[str, Any]], read: Callable[[str], Array], version: int
) -> Capture:
    """Return the capture that a description and its arrays make.

    Parameters
    ----------
    said
        The description, as JSON gives it.
    entries
        Each array's ``dtype`` (of safetensors) and ``shape``.
    read
        Returns an array by its name; asked once for each.
    version
        Of the format.

    Raises
    ------
    BadFileError
        When they make none.
    """
    source = _Source(entries, read)
    try:
        return _capture(source, said, version)
    except BadFileError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise BadFileError("its description cannot be read") from error


class _Names(NamedTuple):
    """The tokens of one text, and the names that attentions have of their own."""

    tokens: list[str]
    own: list[tuple[str, ...]]


def _capture(source: _Source, said: dict[str, Any], version: int) -> Capture:
    texts = _list_of(said["texts"], str)
    tokens = [_list_of(names, str) for names in said["tokens"]]
    special = [_flags(places, len(t)) for places, t in zip(said["special"], tokens, strict=True)]
    own = [tuple(_list_of(names, str)) for names in said["names"]] if version > 1 else []
    layers = [_layer(entry, version) for entry in said["layers"]]
    records = said["records"]
    if not texts or not layers:
        raise BadFileError("it holds no text or no layer")
    if {len(texts)} != {len(tokens), len(records)}:
        raise BadFileError("its description contradicts itself")
    cut_from, asked = said["cut_from"], said.get("texts_asked")
    return Capture(
        texts=tuple(texts),
        tokens=tuple(tokens),
        special=tuple(special),
        layers=tuple(layers),
        records=tuple(
            tuple(
                _record(source, entry, layer, _Names(names, own), version)
                for entry, layer in zip(text, layers, strict=True)
            )
            for text, names in zip(records, tokens, strict=True)
        ),
        model_name=_one(said["model_name"], str),
        seconds=_at_least_0(_finite(said["seconds"])),
        cut_from=None if cut_from is None else _at_least_0(_one(cut_from, int)),
        texts_asked=None if asked is None else _at_least_0(_one(asked, int)),
        images=_images(source, said.get("images"), len(texts)),
    )


def _images(source: _Source, said: Any, n_texts: int) -> tuple[PatchImage | None, ...]:
    """Return the pictures, one for each text, where there are any."""
    if said is None:
        return ()
    images = tuple(None if one is None else _image(source, one) for one in _one(said, list))
    if len(images) != n_texts:
        raise BadFileError("its description contradicts itself")
    return images


def _image(source: _Source, said: dict[str, Any]) -> PatchImage:
    pixels = source.pixels(said["pixels"])
    rows, columns = (_one(said[name], int) for name in ("rows", "columns"))
    if not (1 <= rows <= pixels.shape[0] and 1 <= columns <= pixels.shape[1]):
        raise BadFileError(_MISFIT)
    if said["scaled"] not in ("processor", "min-max"):
        raise ValueError(said["scaled"])
    return PatchImage(pixels, rows, columns, said["scaled"])


def _layer(said: dict[str, Any], version: int) -> Layer:
    if said["kind"] not in ("self", "cross"):
        raise ValueError(said["kind"])
    return Layer(
        name=_one(said["name"], str),
        kind=said["kind"],
        n_heads=_one(said["n_heads"], int),
        head_dim=_one(said["head_dim"], int),
        stack=_one(said["stack"], str) if version > 1 else "",
    )


def _record(
    source: _Source, said: dict[str, Any], layer: Layer, names: _Names, version: int
) -> LayerRecord:
    if version == 1:
        said = {**said, **_NEW}
    heads, d = layer.n_heads, layer.head_dim
    query_tokens = _own(said["query_tokens"], names)
    key_tokens = _own(said["key_tokens"], names)
    n_queries = len(names.tokens if query_tokens is None else query_tokens)
    n_keys: int | None = len(names.tokens if key_tokens is None else key_tokens)
    if version == 1 and layer.kind == "cross":
        n_keys = None  # format 1 did not name them

    query = source.floats(said["query"], (heads, n_queries, d))
    key = source.floats(said["key"], (None, n_keys, d))
    value = source.floats(said["value"], (*key.shape[:2], None), may_be_flat=True)
    if heads % key.shape[0]:
        raise BadFileError(_MISFIT)
    if n_keys is None and key.shape[1] != len(names.tokens):
        key_tokens = tuple(f"key {j}" for j in range(key.shape[1]))

    shape = query.shape[1], key.shape[1]
    bias, softcap, sink, unrotated = (
        said[name] for name in ("bias", "softcap", "sink", "unrotated")
    )
    return LayerRecord(
        query=query,
        key=key,
        value=value,
        scaling=_finite(said["scaling"]),
        mask=source.mask(said["mask"], heads, shape),
        bias=None if bias is None else source.floats(bias, source.by_head(bias, heads, shape)),
        softcap=None if softcap is None else _positive(_finite(softcap)),
        sink=None if sink is None else source.floats(sink, (heads,)),
        unrotated=None if unrotated is None else _pair(source, unrotated, query, key),
        query_tokens=query_tokens,
        key_tokens=key_tokens,
    )


def _pair(
    source: _Source, said: Any, query: FloatArray, key: FloatArray
) -> tuple[FloatArray, FloatArray]:
    first, second = _list_of(said, str)
    return source.floats(first, query.shape), source.floats(second, key.shape)


def _own(place: Any, names: _Names) -> tuple[str, ...] | None:
    """Return an attention's own names; None where they are the text's tokens."""
    if place is None:
        return None
    index: int = _at_least_0(_one(place, int))
    return names.own[index]


class _Source:
    """The arrays of a file, each read once."""

    def __init__(
        self, entries: Mapping[str, Mapping[str, Any]], read: Callable[[str], Array]
    ) -> None:
        self._entries, self._read = entries, read
        self._done: dict[str, Array] = {}
        self._masks: dict[str, BoolArray] = {}

    def floats(self, name: object, shape: Shape, *, may_be_flat: bool = False) -> FloatArray:
        """Return an array of finite float32 whose shape is `shape`; None there fits any length.

        No length may be 0, but for the last one where it `may_be_flat`.
        """
        return self._get(name, "F32", shape, may_be_flat=may_be_flat)

    def mask(self, name: object, n_heads: int, shape: tuple[int, int]) -> BoolArray:
        """Return a mask, (T_q, T_k) or (H, T_q, T_k); none allows all."""
        if name is None:
            return np.broadcast_to(np.True_, shape)
        packed_shape = (shape[0], -(-shape[1] // 8))
        packed = self._get(name, "U8", self.by_head(name, n_heads, packed_shape))
        assert isinstance(name, str)
        if name not in self._masks:
            mask = np.unpackbits(packed, axis=-1, count=shape[1]).view(bool)
            mask.flags.writeable = False
            self._masks[name] = mask
        if self._masks[name].shape[-2:] != shape:
            raise BadFileError(_MISFIT)
        return self._masks[name]

    def pixels(self, name: object) -> npt.NDArray[np.uint8]:
        """Return a picture, (height, width, 3) uint8."""
        return self._get(name, "U8", (None, None, 3))

    def by_head(self, name: object, n_heads: int, shape: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape that an array must have, which may be one for each head."""
        return shape if len(self._entry(name)["shape"]) == 2 else (n_heads, *shape)

    def _entry(self, name: object) -> Mapping[str, Any]:
        entry = self._entries.get(name) if isinstance(name, str) else None
        if entry is None:
            raise BadFileError("it lacks an array that its description names")
        return entry

    def _get(self, name: object, dtype: str, shape: Shape, *, may_be_flat: bool = False) -> Array:
        entry = self._entry(name)
        have = entry["shape"]
        fits = len(shape) == len(have) and all(
            want in (None, n) for want, n in zip(shape, have, strict=True)
        )
        if entry["dtype"] != dtype or not fits or 0 in (have[:-1] if may_be_flat else have):
            raise BadFileError(_MISFIT)
        assert isinstance(name, str)
        if name not in self._done:
            self._done[name] = _finite_array(self._read(name))
        return self._done[name]


def _finite_array(array: Array) -> Array:
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        total = array.sum(dtype=np.float64)  # which no float32 can make overflow
    if not np.isfinite(total):
        raise BadFileError("it holds numbers that are none (NaN or infinity)")
    return array


def _one(value: Any, *kinds: type) -> Any:
    """Return a value that is of one of these kinds (a bool is no int)."""
    if type(value) not in kinds:
        raise TypeError(value)
    return value


def _finite(value: Any) -> float:
    number = float(_one(value, int, float))
    if not abs(number) <= _LARGEST:  # nor is NaN
        raise ValueError(value)
    return number


def _positive(number: float) -> float:
    if number <= 0:
        raise ValueError(number)
    return number


def _at_least_0(number: Any) -> Any:
    if number < 0:
        raise ValueError(number)
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
