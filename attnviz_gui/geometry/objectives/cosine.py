"""`cosine`: -Pearson(q'.k', cosine distance) over all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnviz_gui.geometry.few_pairs import few_or_many
from attnviz_gui.geometry.objectives.base import Objective
from attnviz_gui.geometry.pearson import pearson, pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.geometry.objectives.base import Candidates, HeadPairs, Search
    from attnviz_gui.geometry.pearson import Outcome


def prepare(heads: Sequence[HeadPairs]) -> Search:
    """-Pearson(q'.k', cosine distance), all allowed pairs of all heads as one set.

    Formula
        r = -Pearson(q'.k', 1 - cos(q', k')), which is Pearson(q'.k', cos(q', k')).
    Source
        The article's figure, taken per head and over all pairs.
    Range
        -1 to 1; 1 where the cosine distance says all about the dot product. Undefined (NaN) below
        two pairs of vectors that are not zero, and where dot products or distances are all equal.
    Cost
        A closed form (`moments`): O(T d²) once, O(T) a candidate, no T x T matrix; except for
        masks that are neither everything nor causal, which take a pass over the pairs for each
        line of shifts. With few tokens for each dimension (`few_pairs`), one T x T product for each
        head and O(T) a candidate. c has no effect.
    """
    moments = [few_or_many(head.query, head.key, head.mask) for head in heads]

    def search(candidates: Candidates) -> Outcome:
        return pearson(
            pool(
                [
                    head.along(base, direction, candidates.position)
                    for head, (base, direction) in zip(moments, candidates.lines, strict=True)
                ]
            )
        )

    return search


COSINE = Objective(
    "cosine",
    "a high dot product where the cosine distance is small: minus Pearson's r over all pairs",
    "the article's figure, per head",
    uses_scale=False,
    prepare=prepare,
    cost="closed",
    about_scale="c has no effect: it changes neither a dot product nor an angle.",
)
