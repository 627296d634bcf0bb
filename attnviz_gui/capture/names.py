"""Names for the tokens of each attention: the tokenizer's, the caller's, patches of an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attnviz_gui.capture.patches import Patches, patches_of
from attnviz_gui.capture.tokens import Encoded, labels, visible
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from attnviz_gui.capture.inputs import Forward, Side
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import BoolArray

_IDS: dict[Side, str] = {"main": "input_ids", "decoder": "decoder_input_ids"}
_SIDES: dict[str, Side] = {
    "main": "main", "encoder": "main", "source": "main", "src": "main", "key": "main",
    "memory": "main",
    "decoder": "decoder", "target": "decoder", "tgt": "decoder", "query": "decoder",
}  # fmt: skip


class Names:
    """The names of one row's tokens, by side; padding has none.

    Attributes
    ----------
    known : dict of tuples of str
        Names that the caller or the tokenizer gave.
    special : dict of (T,) bool
    patches : Patches or None
        Of the row's image.
    given : tuple of sides
        Whose names are the caller's: they have to fit.
    """

    def __init__(
        self, known: dict[Side, tuple[str, ...]], special: dict[Side, BoolArray],
        patches: Patches | None = None, given: tuple[Side, ...] = (),
    ) -> None:  # fmt: skip
        self.known, self.special, self.patches, self.given = known, special, patches, given

    def of(self, side: Side, n: int) -> tuple[str, ...]:
        """Return names for `n` tokens of a side."""
        if side == "media":  # a text of as many tokens has other names
            return self._of_patches(n) or _numbers(n)
        for names in (self.known.get(side), *self.known.values()):
            if names is not None and len(names) == n:
                return names
        return self._of_patches(n) or _numbers(n)

    def special_of(self, side: Side, n: int) -> BoolArray:
        """Return which of `n` tokens are special."""
        special = self.special.get(side)
        if special is not None and len(special) == n:
            return special
        flags = np.zeros(n, dtype=bool)
        texts = () if side == "media" else self.known.values()
        if not any(len(names) == n for names in texts):
            flags[[i for i, name in enumerate(self._of_patches(n)) if name.startswith("[")]] = True
        return flags

    def _of_patches(self, n: int) -> tuple[str, ...]:
        return () if self.patches is None else self.patches.names(n)


def _numbers(n: int) -> tuple[str, ...]:
    return tuple(str(i) for i in range(n))


def names_of_rows(
    model: LoadedModel, forward: Forward, n_rows: int, given: Any
) -> tuple[list[Names], list[str]]:
    """Return the names in each row of a caller's batch, and what to call each row's text.

    Parameters
    ----------
    given
        None; the names of one row; a list of those; or a dict of either by stack (``encoder``,
        ``decoder``).
    """
    own = _given(given, n_rows)
    rows: list[Names] = []
    texts: list[str] = []
    for row in range(n_rows):
        known: dict[Side, tuple[str, ...]] = {}
        special: dict[Side, BoolArray] = {}
        text = ""
        for side, keyword in _IDS.items():
            ids = forward.keywords.get(keyword)
            if not isinstance(ids, torch.Tensor) or ids.ndim != 2 or len(ids) != n_rows:
                continue
            numbers = ids[row].cpu().numpy().astype(np.int64)
            if side in forward.present:
                numbers = numbers[forward.present[side][row]]
            if model.tokenizer is None:
                known[side] = tuple(str(i) for i in numbers)
                continue
            flags = np.isin(numbers, model.tokenizer.all_special_ids)
            known[side] = labels(model.tokenizer, Encoded(numbers, flags, None, None, {}))
            special[side] = flags
            text = text or str(model.tokenizer.decode(numbers[~flags]))
        for side, names in own.items():
            known[side] = names[row]
        rows.append(Names(known, special, patches_of(model, forward, row), tuple(own)))
        texts.append(text or f"input {row + 1}")
    return rows, texts


def _given(given: Any, n_rows: int) -> dict[Side, list[tuple[str, ...]]]:
    """Return the caller's names by side, a tuple for each row."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in _SIDES]
        if unknown:
            raise InputError(f"tokens has no stack {unknown[0]!r}; name encoder, decoder or both.")
        return {_SIDES[name]: _rows(names, n_rows) for name, names in given.items()}
    return {"main": _rows(given, n_rows)}


def _rows(given: Any, n_rows: int) -> list[tuple[str, ...]]:
    rows = rows_of_names(given)
    if len(rows) != n_rows:
        raise InputError(
            f"tokens names {len(rows)} rows, but the batch has {n_rows}; give one list of names "
            "for each."
        )
    return rows


def rows_of_names(given: Any) -> list[tuple[str, ...]]:
    """Return a caller's names as a tuple for each text: of one list of names, or a list of those.

    Raises
    ------
    InputError
        When it is neither.
    """
    items = _listed(given)
    if items and not any(_is_list(item) for item in items):
        items = [items]
    return [tuple(map(_name, _listed(item))) for item in items]


def _is_list(value: Any) -> bool:
    single = (str, bytes, Mapping, set, frozenset, torch.Tensor)
    return isinstance(value, Iterable) and not isinstance(value, single)


def _listed(value: Any) -> list[Any]:
    if not _is_list(value):
        raise InputError(
            f"tokens holds {type(value).__name__} where a list of names belongs; give a list of "
            "str, or one for each text."
        )
    return list(value)


def _name(value: Any) -> str:
    if isinstance(value, (str, int, float, np.number)):
        # As the tokenizer's: what cannot be seen, or written to a file, is shown as a symbol.
        # The spaces in a name of several words are seen well enough.
        words = str(value).split() or [str(value)]
        return " ".join(map(visible, words))
    raise InputError(
        f"tokens holds {type(value).__name__} where a token's name belongs; name tokens by str."
    )
