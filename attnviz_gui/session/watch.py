"""Watched pairs: (query, key) tokens that the user follows through heads, texts and models.

A pair is kept by its tokens, not by positions: it is found again wherever both tokens occur, and
waits where they do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class WatchedPair:
    """The `query_nth` occurrence of a query token and the `key_nth` of a key token, from 0."""

    query: str
    key: str
    query_nth: int = 0
    key_nth: int = 0

    def find(
        self, query_tokens: Sequence[str], key_tokens: Sequence[str]
    ) -> tuple[int, int] | None:
        """Return the pair's indices, or None where a token does not occur (so often)."""
        i = _nth(query_tokens, self.query, self.query_nth)
        j = _nth(key_tokens, self.key, self.key_nth)
        return None if i is None or j is None else (i, j)


def watch_at(
    query_tokens: Sequence[str], key_tokens: Sequence[str], query: int, key: int
) -> WatchedPair:
    """Return the watched pair that stands for these indices."""
    return WatchedPair(
        query_tokens[query],
        key_tokens[key],
        query_tokens[:query].count(query_tokens[query]),
        key_tokens[:key].count(key_tokens[key]),
    )


def _nth(tokens: Sequence[str], token: str, nth: int) -> int | None:
    places = [i for i, name in enumerate(tokens) if name == token]
    return places[nth] if nth < len(places) else None
