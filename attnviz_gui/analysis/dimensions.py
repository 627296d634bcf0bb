"""Which coordinates make a logit: the product q·k taken apart, dimension by dimension.

Pure functions on arrays. What a model adds to the product afterwards (a soft cap, a bias) belongs
to no coordinate and is not taken apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.capture.record import Head

    FloatArray = npt.NDArray[np.float32]
    IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class PairProducts:
    """One logit's content, coordinate by coordinate.

    Attributes
    ----------
    products : (d,) float64
        scaling q_d k_d; their sum is the content, scaling q·k.
    rotated
        True where the vectors are those whose product the model takes; False where they are the
        vectors before the rotary embedding, whose product it does not.
    """

    products: npt.NDArray[np.float64]
    rotated: bool = True

    @property
    def content(self) -> float:
        """The sum over all coordinates."""
        return float(self.products.sum())

    @property
    def order(self) -> IndexArray:
        """The coordinates from the largest product to the smallest, by size."""
        return np.argsort(-np.abs(self.products), kind="stable")

    @property
    def n_half(self) -> int:
        """How many coordinates hold half of what there is: of the sum of the products' sizes."""
        sizes = np.abs(self.products)[self.order]
        total = float(sizes.sum())
        return int(np.searchsorted(sizes.cumsum(), 0.5 * total) + 1) if total > 0 else 0


def pair_products(head: Head, query: int, key: int, *, rotated: bool = True) -> PairProducts:
    """Take one pair's product apart.

    Parameters
    ----------
    query, key
        Among all tokens of the head.
    rotated
        False: with the vectors before the rotary embedding, where there is one.
    """
    queries, keys, rotated = _vectors(head, rotated)
    products = queries[query].astype(np.float64) * keys[key].astype(np.float64)
    return PairProducts(products * head.scaling, rotated)


def query_products(head: Head, query: int, *, rotated: bool = True) -> FloatArray:
    """Take one query's products with all keys apart, (T_k, d) float32: scaling q_d k_jd."""
    queries, keys, _ = _vectors(head, rotated)
    made: FloatArray = keys * (queries[query] * np.float32(head.scaling))
    return made


def strongest_dimensions(products: npt.NDArray[np.floating], n: int) -> IndexArray:
    """Return the `n` coordinates that tell the keys of a query apart the most.

    By the spread (standard deviation) of their products over the keys: what is the same for all
    keys of a query changes no attention.

    Parameters
    ----------
    products : (T_k, d)
    """
    spread = products.std(axis=0, dtype=np.float64)
    return np.argsort(-spread, kind="stable")[:n]


def _vectors(head: Head, rotated: bool) -> tuple[FloatArray, FloatArray, bool]:
    if rotated or head.unrotated is None:
        return head.query, head.key, True
    return (*head.unrotated, False)
