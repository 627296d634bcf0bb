"""Measures of a head's attention: what each is, where it comes from, and its formula.

Each is a number of one head on one text. With A the attention, p_ij = A_ij / Σ_j A_ij over the keys
that count: where special tokens are left out, or a learned sink takes a share, a query's row is
divided by what is left. A query that may attend to nothing, or attends to nothing that counts, is
left out, and so is a key that no query that counts may see: a padded text has the measures of the
text without its padding. Positions i and j are those in the text, special tokens counted. Sums are
taken in float64; O(T_q T_k) each.

Nothing here says that one value is better than another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from attnviz_gui.analysis.tokens import Pairs, Tokens

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    BoolArray = npt.NDArray[np.bool_]
    Value = tuple[float, str]  # NaN, and why; or a number, and nothing

# A row that has less than this left is its rounding.
LITTLE = 1e-30

NO_QUERY = "no query attends to a token that counts"
CROSS = "queries and keys are not the same tokens, so they have no positions to compare"
ONE_TOKEN = "there is one token only"


@dataclass(frozen=True)
class Measure:
    """What one number of a head says.

    Attributes
    ----------
    name : str
        The same in files and in Python.
    title : str
        What to call it in a table.
    definition : str
        What it is, as a sentence, with its formula.
    source : str
    range : (lowest, highest)
    unit : str
        ``bits``, ``tokens``, or nothing.
    better : ``"higher"``, ``"lower"`` or nothing
    compute : callable or None
        From `Weights`; None where it is no function of the attention alone.
    """

    name: str
    title: str
    definition: str
    source: str
    range: tuple[float, float] = (0.0, 1.0)
    unit: str = ""
    better: str = ""
    compute: Callable[[Weights], Value] | None = None


class Weights:
    """One head's attention on one text, as the measures take it.

    Parameters
    ----------
    attention : (T_q, T_k) float32
    mask : (T_q, T_k) bool
    tokens : Tokens
    """

    def __init__(self, attention: Float32, mask: BoolArray, tokens: Tokens) -> None:
        if not tokens.whole:
            grid = np.ix_(tokens.rows, tokens.columns)
            attention, mask = attention[grid], mask[grid]
        self.attention = attention
        self.mask = mask
        self.tokens = tokens

    @lazy
    def total(self) -> Float64:
        """What each query gives to the keys that count, (n_q,)."""
        total: Float64 = self.attention.sum(axis=1, dtype=np.float64)
        return total

    @lazy
    def seen(self) -> BoolArray:
        """Keys that some query may attend to, (n_k,): no padding."""
        return np.asarray(self.mask.any(axis=0))

    @lazy
    def counted(self) -> BoolArray:
        """Queries that give something to the keys that count, (n_q,)."""
        return self.total > LITTLE

    def mean(self, sums: Float64, asked: BoolArray | None = None, none: str = "") -> Value:
        """Return the mean of sums of attention, each over its row's total, over queries.

        Parameters
        ----------
        sums : (n_q,)
        asked : (n_q,) bool
            Queries that are asked; all by default.
        none
            Why there is no value where none is asked.
        """
        if asked is not None and not asked.any():
            return math.nan, none
        rows = self.counted if asked is None else self.counted & asked
        if not rows.any():
            return math.nan, NO_QUERY
        return float((sums[rows] / self.total[rows]).mean()), ""

    def share(self, pairs: Pairs, none: str) -> Value:
        """Return the mean share of attention that queries give to some pairs."""
        row, column, asked = pairs.row, pairs.column, pairs.asked
        seen = self.seen[column]
        if not seen.all():
            row, column = row[seen], column[seen]
            asked = np.bincount(row, minlength=len(self.total)) > 0
        given = self.attention[row, column].astype(np.float64)
        sums: Float64 = np.zeros(len(self.total))
        np.add.at(sums, row, given)
        value, reason = self.mean(sums, asked, none)
        return min(value, 1.0), reason

    @lazy
    def entropies(self) -> Float64:
        """Entropy of each query's row, (n_q,) in bits; 0 where it does not count."""
        # Divided first: rounding of a small rest's logarithm would be large beside it.
        p = self.attention / np.where(self.counted, self.total, 1.0).astype(np.float32)[:, None]
        logs = np.log(np.maximum(p, np.float32(LITTLE)))
        logs *= p
        nats = -logs.sum(axis=1, dtype=np.float64)
        bits: Float64 = np.where(self.counted, np.maximum(nats, 0.0) / math.log(2), 0.0)
        return bits


def _entropy(w: Weights) -> Value:
    return w.mean(w.entropies * w.total)


def _normalised_entropy(w: Weights) -> Value:
    visible = w.mask.sum(axis=1, dtype=np.float64)
    asked = visible > 1
    most = np.log2(np.maximum(visible, 2.0))
    value, reason = w.mean(
        w.entropies / most * w.total, asked, "no query sees more than one token that counts"
    )
    return min(value, 1.0), reason


def _distance(w: Weights) -> Value:
    if not w.tokens.same:
        return math.nan, CROSS
    return w.mean((w.attention * w.tokens.distances).sum(axis=1, dtype=np.float64))


def _beside(of: Callable[[Tokens], Pairs], none: str) -> Callable[[Weights], Value]:
    def compute(w: Weights) -> Value:
        return w.share(of(w.tokens), none) if w.tokens.same else (math.nan, CROSS)

    return compute


def _first(w: Weights) -> Value:
    if not w.seen.any():
        return math.nan, NO_QUERY
    first = int(w.seen.argmax())
    others = w.counted.copy()
    if w.tokens.same:
        others &= w.tokens.rows != w.tokens.columns[first]
    return w.mean(w.attention[:, first].astype(np.float64), others, ONE_TOKEN)


def _special(w: Weights) -> Value:
    if not w.tokens.with_special:
        return math.nan, "special tokens are left out"
    if not w.tokens.special_key.any():
        return math.nan, "the text has no special tokens"
    sums = w.attention[:, w.tokens.special_key].sum(axis=1, dtype=np.float64)
    value, reason = w.mean(sums)
    return min(value, 1.0), reason


def _confidence(w: Weights) -> Value:
    return w.mean(w.attention.max(axis=1, initial=0).astype(np.float64))


_CLARK = "Clark et al. 2019, What Does BERT Look At?"
_OLSSON = "Olsson et al. 2022, In-context Learning and Induction Heads"

MEASURES: tuple[Measure, ...] = (
    Measure(
        "entropy",
        "entropy",
        "How widely a query spreads its attention: −Σ_j p_ij log₂ p_ij, mean over queries. 0: all "
        "on one key; log₂ T: evenly over T keys.",
        _CLARK,
        (0.0, math.inf),
        "bits",
        compute=_entropy,
    ),
    Measure(
        "entropy_normalised",
        "entropy / most",
        "Each query's entropy over log₂ of the number of keys that it may see, mean over queries "
        "that see two or more. 1: evenly over all that it sees, however many.",
        "the entropy, made independent of the text's length and of causal masks",
        compute=_normalised_entropy,
    ),
    Measure(
        "distance",
        "mean distance",
        "How far away a query looks: Σ_j p_ij |i − j|, mean over queries.",
        "Vig and Belinkov 2019, Analyzing the Structure of Attention in a Transformer Language "
        "Model",
        (0.0, math.inf),
        "tokens",
        compute=_distance,
    ),
    Measure(
        "self",
        "self",
        "Attention of a token to itself: p_ii, mean over queries.",
        _CLARK,
        compute=_beside(lambda t: t.itself, NO_QUERY),
    ),
    Measure(
        "previous",
        "previous token",
        "Attention to the token just before: p_i,i−1, mean over queries that have one before them "
        "that counts.",
        _CLARK,
        compute=_beside(lambda t: t.previous, "no token has one before it that counts"),
    ),
    Measure(
        "next",
        "next token",
        "Attention to the token just after: p_i,i+1, mean over queries that have one after them "
        "that counts; 0 where a causal mask hides it.",
        _CLARK,
        compute=_beside(lambda t: t.next, "no token has one after it that counts"),
    ),
    Measure(
        "diagonal",
        "diagonal",
        "Attention to the token itself and the ones beside it: Σ p_ij over |i − j| ≤ 1, mean over "
        "queries.",
        "Kovaleva et al. 2019, Revealing the Dark Secrets of BERT",
        compute=_beside(lambda t: t.near, NO_QUERY),
    ),
    Measure(
        "first",
        "first token",
        "Attention to the first token that counts, mean over all other queries: high where it "
        "serves as a sink.",
        "Xiao et al. 2024, Efficient Streaming Language Models with Attention Sinks",
        compute=_first,
    ),
    Measure(
        "special",
        "special tokens",
        "Attention to the tokens that the tokenizer added ([CLS], [SEP], <s> ...), mean over "
        "queries.",
        _CLARK,
        compute=_special,
    ),
    Measure(
        "confidence",
        "confidence",
        "The largest attention of a query: max_j p_ij, mean over queries.",
        "Voita et al. 2019, Analyzing Multi-Head Self-Attention",
        compute=_confidence,
    ),
    Measure(
        "duplicate",
        "duplicate token",
        "Attention to earlier occurrences of the same token, as it is written: Σ p_ij over j < i "
        "with that token, mean over queries that have one.",
        "Wang et al. 2023, Interpretability in the Wild",
        compute=_beside(lambda t: t.duplicates, "no token occurs twice"),
    ),
    Measure(
        "induction",
        "induction",
        "Attention to the token that followed an earlier occurrence of the current one: Σ p_ij "
        "over j < i where token j − 1 is token i, mean over queries that have one.",
        f"prefix matching of {_OLSSON}",
        compute=_beside(lambda t: t.followers, "no token occurs twice with another one between"),
    ),
)

BY_NAME = {measure.name: measure for measure in MEASURES}
