"""How alike heads are on one text: the Jensen-Shannon divergence of their rows, and groups by it.

For one query with rows p and q of two heads, JS = H((p + q) / 2) - (H(p) + H(q)) / 2 with entropies
in bits: 0 where they are the same, 1 where they look at nothing in common. Two heads are as far
apart as the mean over the queries that attend to something in both. Source: Lin 1991; for heads,
Clark et al. 2019. Rows are divided by what is left where special tokens are left out or a learned
sink takes a share, as in `measures`.

Attention is computed for a block of queries of all heads at a time, never for all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.analysis.heads import heads_of
from attnviz_gui.analysis.measures import LITTLE
from attnviz_gui.analysis.tokens import tokens_of
from attnviz_gui.errors import InputError
from attnviz_gui.geometry.stopping import stop_where

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from attnviz_gui.analysis.tokens import Tokens
    from attnviz_gui.capture.record import Capture

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    BoolArray = npt.NDArray[np.bool_]
    Place = tuple[int, int]
    Tell = Callable[[int, int], object]

SOURCE = "Lin 1991, Divergence Measures Based on the Shannon Entropy; for heads, Clark et al. 2019"
N_CLUSTERS = 6
SAME = 1e-7  # bits, that the rounding of equal rows comes to
# Numbers of all heads' rows that are held at once, and of one product, which fits a core's cache.
HELD, AT_ONCE = 1 << 24, 1 << 15


@dataclass(frozen=True, eq=False)
class Regrouped:
    """The groups of the same heads elsewhere, beside those here.

    Attributes
    ----------
    labels : (n_heads,) int
        Each group bears the number of the one here that it shares the most heads with; what shares
        none with any that is left bears a number of its own, after those here.
    agreement : float
        The adjusted Rand index of the two: 1 where they are the same, about 0 by chance. Source:
        Hubert and Arabie 1985.
    """

    labels: npt.NDArray[np.int64]
    agreement: float


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of heads that look alike.

    Attributes
    ----------
    capture : Capture
    text : int
    with_special : bool
    heads : tuple of (layer, head)
    labels : (n_heads,) int
        From 1, in the order of the groups' first heads; 0 for a head that attends to nothing.
    typical : dict of (layer, head)
        By label, the head that is nearest to the others of its group.
    baselines : dict of Regrouped
        The groups of the same heads where there is nothing to find, by baseline.
    """

    capture: Capture
    text: int
    with_special: bool
    heads: tuple[Place, ...]
    labels: npt.NDArray[np.int64]
    typical: dict[int, Place]
    baselines: Mapping[str, Regrouped] = field(default_factory=dict)


def like(
    capture: Capture, layer: int, head: int, text: int = 0, *, with_special: bool = True,
    progress: Tell | None = None, cancel: Any = None,
) -> Float64:  # fmt: skip
    """Return how far each head is from one, (n_heads,) in the order of `heads_of`.

    Jensen-Shannon divergence, 0 to 1; NaN for a head that has other queries or keys, or no query
    in common. Cost: O(T²) a head; memory O(T²).

    Raises
    ------
    IndexError
        When there is no such head or text.
    Cancelled
        When `cancel` is set.
    """
    capture.head(layer, head, text)
    here = (layer, head)
    heads = heads_of(capture)
    found = np.full(len(heads), np.nan)
    found[heads.index(here)] = 0.0
    for members in _comparable(capture, text):
        if here not in members:
            continue
        others = [place for place in members if place != here]
        pairs = [(0, i + 1) for i in range(len(others))]
        distances = _divergences(
            capture, text, [here, *others], pairs, with_special, progress, cancel
        )
        for place, distance in zip(others, distances, strict=True):
            found[heads.index(place)] = distance
    return found


def divergences(
    capture: Capture, text: int = 0, *, with_special: bool = True,
    progress: Tell | None = None, cancel: Any = None,
) -> Float64:  # fmt: skip
    """Return how far all heads are from each other, (n_heads, n_heads), as `like` has it.

    Cost: O(T²) a pair of heads; the memory is bounded however long the text is.
    """
    heads = heads_of(capture)
    found = np.full((len(heads), len(heads)), np.nan)
    np.fill_diagonal(found, 0.0)
    groups = _comparable(capture, text)
    work = [len(members) * (len(members) - 1) // 2 for members in groups]
    done = 0
    for members, n_pairs in zip(groups, work, strict=True):
        where = [heads.index(place) for place in members]
        pairs = [(i, j) for i in range(len(members)) for j in range(i + 1, len(members))]
        before = done

        def tell(at: int, of: int, before: int = before, n_pairs: int = n_pairs) -> None:
            if progress is not None:
                progress(before + n_pairs * at // max(of, 1), sum(work))

        values = _divergences(capture, text, members, pairs, with_special, tell, cancel)
        for (i, j), value in zip(pairs, values, strict=True):
            found[where[i], where[j]] = found[where[j], where[i]] = value
        done += n_pairs
    return found


def cluster(
    capture: Capture, text: int = 0, n: int = N_CLUSTERS, *, with_special: bool = True,
    progress: Tell | None = None, cancel: Any = None,
) -> Clusters:  # fmt: skip
    """Return heads in at most `n` groups of such as look alike.

    `average_linkage` of `divergences`. Heads of other queries or keys, as those of a decoder's
    cross attention, are never in one group: those of each kind are in at most `n` of their own.

    Raises
    ------
    InputError
        When `n` is below 1.
    Cancelled
        When `cancel` is set.
    """
    if n < 1:
        raise InputError("There must be one cluster at least.")
    distances = divergences(
        capture, text, with_special=with_special, progress=progress, cancel=cancel
    )
    return clusters_of(capture, text, distances, n, with_special=with_special)


def clusters_of(
    capture: Capture, text: int, distances: Float64, n: int, *, with_special: bool = True
) -> Clusters:
    """Return the groups of heads whose distances are known, (n_heads, n_heads)."""
    heads = heads_of(capture)
    raw = np.zeros(len(heads), dtype=np.int64)
    for members in _comparable(capture, text):
        where = np.array([heads.index(place) for place in members])
        # A head that attends to nothing is like none.
        known = np.isfinite(distances[np.ix_(where, where)]).sum(axis=1) > 1
        where = where[known] if len(where) > 1 else where
        if len(where):
            near = np.nan_to_num(distances[np.ix_(where, where)], nan=1.0)
            raw[where] = raw.max() + average_linkage(near, n)
    labels = np.zeros_like(raw)
    for number, old in enumerate(dict.fromkeys(raw[raw > 0].tolist()), start=1):
        labels[raw == old] = number
    typical = {}
    for number in range(1, int(labels.max(initial=0)) + 1):
        own = np.flatnonzero(labels == number)
        typical[number] = heads[own[distances[np.ix_(own, own)].sum(axis=1).argmin()]]
    return Clusters(capture, text, with_special, heads, labels, typical)


def compared(here: Clusters, there: Clusters, name: str) -> Clusters:
    """Return `here` with the groups of the same heads elsewhere beside it."""
    from sklearn.metrics import adjusted_rand_score

    labels = renumbered(there.labels, here.labels)
    found = Regrouped(labels, float(adjusted_rand_score(here.labels, labels)))
    return replace(here, baselines={**here.baselines, name: found})


def renumbered(labels: npt.NDArray[np.int64], like: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return groups (n,) in the numbers of other groups of the same, (n,); 0 stays 0.

    Those that share the most come first; each number is given once.
    """
    own, others = int(labels.max(initial=0)), int(like.max(initial=0))
    shared = np.zeros((own + 1, others + 1), dtype=np.int64)
    np.add.at(shared, (labels, like), 1)
    shared[0], shared[:, 0] = 0, 0
    number = np.zeros(own + 1, dtype=np.int64)
    while shared.any():
        group, into = np.unravel_index(shared.argmax(), shared.shape)
        number[group] = into
        shared[group], shared[:, into] = 0, 0
    left = np.flatnonzero(number[1:] == 0) + 1
    number[left] = others + 1 + np.arange(len(left))
    return number[labels]


def average_linkage(distances: Float64, n: int) -> npt.NDArray[np.int64]:
    """Return to which of at most `n` groups each belongs, (N,) from 1, by average linkage.

    The two groups with the least mean distance between their members become one, until `n` are
    left and none are the same. Source: Sokal and Michener 1958 (UPGMA). O(N³), without a library
    that would make the program twice as large.
    """
    between = np.array(distances, dtype=np.float64)
    np.fill_diagonal(between, np.inf)
    size = np.ones(len(between))
    group = np.arange(len(between))
    for left in range(len(between), 1, -1):
        if left <= n and between.min() > SAME:
            break
        i, j = sorted(divmod(int(between.argmin()), len(between)))
        mean = (size[i] * between[i] + size[j] * between[j]) / (size[i] + size[j])
        between[i] = between[:, i] = mean
        between[i, i] = between[j] = between[:, j] = np.inf
        size[i] += size[j]
        group[group == j] = i
    return np.unique(group, return_inverse=True)[1].astype(np.int64) + 1


def _comparable(capture: Capture, text: int) -> list[list[Place]]:
    """Return heads in groups that have the same queries and keys."""
    groups: dict[tuple[object, ...], list[Place]] = {}
    for layer, head in heads_of(capture):
        key = (capture.query_tokens(layer, text), capture.key_tokens(layer, text))
        groups.setdefault((capture.layers[layer].kind, *key), []).append((layer, head))
    return list(groups.values())


def _divergences(
    capture: Capture, text: int, heads: Sequence[Place], pairs: Sequence[tuple[int, int]],
    with_special: bool, progress: Tell | None, cancel: Any,
) -> Float64:  # fmt: skip
    """Return the divergence of each pair of heads, (n_pairs,)."""
    stop = stop_where(cancel)
    tokens = tokens_of(capture, heads[0][0], text, with_special=with_special)
    n_queries, n_keys = len(tokens.rows), len(tokens.columns)
    sums, counts = np.zeros(len(pairs)), np.zeros(len(pairs))
    step = max(1, HELD // max(1, len(heads) * n_keys))
    starts = range(0, n_queries, step)
    for nth, start in enumerate(starts):
        block = tokens.rows[start : start + step]
        rows, counted, entropies = _block(capture, text, heads, tokens, block, stop)
        every = counted.all()
        for k, (i, j) in enumerate(pairs):
            if k % 64 == 0:
                stop()
                if progress is not None:
                    progress(nth * len(pairs) + k, len(starts) * len(pairs))
            both = _middle(rows[i], rows[j]) - 0.5 * (entropies[i] + entropies[j])
            if every:
                sums[k] += both.sum()
                counts[k] += len(both)
            else:
                own = counted[i] & counted[j]
                sums[k] += both[own].sum()
                counts[k] += np.count_nonzero(own)
    means = np.divide(sums, counts, out=np.full(len(pairs), np.nan), where=counts > 0)
    bits: Float64 = np.clip(means / np.log(2), 0.0, 1.0)
    return bits


def _block(
    capture: Capture, text: int, heads: Sequence[Place], tokens: Tokens,
    block: npt.NDArray[np.intp], stop: Callable[[], None],
) -> tuple[Float32, BoolArray, Float64]:  # fmt: skip
    """Return rows of all heads (n, B, n_k), which of them count (n, B), their entropies in nats."""
    rows = np.empty((len(heads), len(block), len(tokens.columns)), dtype=np.float32)
    for own, (layer, head) in zip(rows, heads, strict=True):
        stop()
        whole = capture.head(layer, head, text)
        part = replace(
            whole, query=whole.query[block], mask=whole.mask[block], unrotated=None,
            bias=None if whole.bias is None else whole.bias[block],
        )  # fmt: skip
        attention = part.attention
        own[:] = attention if tokens.whole else attention[:, tokens.columns]
    total = rows.sum(axis=2, dtype=np.float64)
    counted = total > LITTLE
    rows /= np.where(counted, total, 1.0).astype(np.float32)[:, :, None]
    rows += np.float32(LITTLE)  # so that every logarithm is finite
    entropies = np.empty(total.shape)
    for own, into in zip(rows, entropies, strict=True):
        into[:] = _middle(own, own)
    return rows, counted, entropies


def _middle(p: Float32, q: Float32) -> Float64:
    """Return the entropy of each row of (p + q) / 2, (B,) in nats; in pieces that fit a cache."""
    entropies: Float64 = np.empty(len(p))
    step = max(1, AT_ONCE // max(1, p.shape[1]))
    for start in range(0, len(p), step):
        rows = slice(start, start + step)
        middle = p[rows] + q[rows]
        middle *= np.float32(0.5)
        entropies[rows] = np.einsum("qk,qk->q", middle, np.log(middle))
    entropies *= -1
    return entropies
