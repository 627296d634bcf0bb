"""Where the scatter's pairs come from: one text, or all texts of a capture together.

A source is one position of the sliders. It says which pairs are drawn at once, and where that is
only a part, fetches all of them in a worker: listed for one text, counted text by text for many.
Knows no Qt widget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from attnviz_gui.ui.views.pairs import (
    Extent,
    Pairs,
    around,
    exact_line,
    take_pairs,
    take_text,
    take_texts,
)
from attnviz_gui.ui.views.points import CELL, Counted, Counter, count
from attnviz_gui.ui.views.raster import Area, count_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.geometry.together import TextPart, TextsFrame
    from attnviz_gui.session.corpus import Corpus
    from attnviz_gui.session.picture import Picture

    Float32 = npt.NDArray[np.float32]

Wanted = Callable[[], bool]  # whether anybody still waits
AreaOf = Callable[[Pairs, Pairs], Area | None]  # the axes that these pairs will be shown under


class Cloud(NamedTuple):
    """All pairs of one frame: listed, or counted with a way to count them for other axes."""

    pairs: Pairs
    counted: Counted | None = None
    counter: Counter | None = None


class Unwanted(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, eq=False)
class OneText:
    """The pairs of the chosen text."""

    picture: Picture
    frame: Frame

    @property
    def frames(self) -> tuple[Frame, Frame]:
        """Before and after."""
        return self.picture.before, self.frame

    @property
    def n_pairs(self) -> int:
        """All that the mask allows."""
        return self.picture.n_pairs

    @property
    def live(self) -> bool:
        """Whether every frame shows all pairs."""
        return self.picture.sample is None

    def drawn(self, which: int) -> Pairs:
        """Return what is drawn at once, before (0) or after (1)."""
        return take_pairs(self.frames[which], self.picture.mask, self.picture.sample)

    def all(self, before: Cloud, area_of: AreaOf, wanted: Wanted) -> tuple[Cloud, Cloud]:
        """In a worker: every pair. `before` may be whole already."""
        if not wanted():
            raise Unwanted
        mask = self.picture.mask
        first = before.pairs if before.pairs.whole else take_pairs(self.picture.before, mask)
        second = take_pairs(self.frame, mask)
        area = area_of(first, second)
        if area is None:
            return Cloud(first), Cloud(second)
        return Cloud(first, count(first.x, first.y, area)), Cloud(
            second, count(second.x, second.y, area)
        )


@dataclass(frozen=True, eq=False)
class AllTexts:
    """The pairs within each text of a corpus, `text` being the chosen one."""

    corpus: Corpus
    frame: TextsFrame
    text: int

    @property
    def frames(self) -> tuple[TextPart, TextPart]:
        """Before and after, of the chosen text."""
        return self.corpus.before.text(self.text), self.frame.text(self.text)

    @property
    def n_pairs(self) -> int:
        """All that the masks allow."""
        return self.corpus.live.n_pairs

    @property
    def live(self) -> bool:
        """Whether every frame shows all pairs."""
        return self.corpus.sample.whole

    def like(self, other: AllTexts) -> bool:
        """Whether the texts are the same ones, whichever is chosen."""
        return self.corpus is other.corpus

    def _frame(self, which: int) -> TextsFrame:
        return self.frame if which else self.corpus.before

    def drawn(self, which: int) -> Pairs:
        """Return what is drawn at once, before (0) or after (1)."""
        return take_texts(self._frame(which), self.corpus.sample)

    def mine(self, which: int) -> Pairs:
        """The pairs that answer to the mouse: those of the chosen text."""
        mask = self.corpus.pictures[self.text].mask
        return take_text(self._frame(which).text(self.text), mask)

    def all(self, before: Cloud, area_of: AreaOf, wanted: Wanted) -> tuple[Cloud, Cloud]:
        """In a worker: count every pair, text by text. `before` may be known already."""
        raw = self.corpus.before
        known = before if before.pairs.whole else Cloud(survey(raw, wanted))
        after = survey(self.frame, wanted)
        area = area_of(known.pairs, after)
        clouds = []
        for frame, some, counted in (
            (raw, known.pairs, known.counted), (self.frame, after, None),
        ):  # fmt: skip
            if area is not None and (counted is None or counted.area != area):
                counted = count_texts(frame, area, wanted)
            clouds.append(Cloud(some, counted, partial(count_texts, frame)))
        return clouds[0], clouds[1]


Source = OneText | AllTexts


def survey(frame: TextsFrame, wanted: Wanted = lambda: True) -> Pairs:
    """Return how many pairs of all texts there are and how far they reach, without listing them."""
    lows, highs, n = [], [], 0
    for x, y in _blocks(frame, wanted):
        if x.size:
            lows.append((x.min(), y.min()))
            highs.append((x.max(), y.max()))
            n += x.size
    none = np.empty(0, dtype=np.float32)
    undefined = frame.live.n_pairs - n
    if not n:
        return Pairs(none, none, None, None, undefined, True, 0)
    (left, bottom), (right, top) = np.min(lows, axis=0), np.max(highs, axis=0)
    extent = Extent(float(left), float(right), float(bottom), float(top))
    line = exact_line(frame, extent.left, extent.right)
    return Pairs(none, none, line, around(extent, line), undefined, True, n)


def count_texts(frame: TextsFrame, area: Area, wanted: Wanted = lambda: True) -> Counted:
    """Count the pairs of all texts in the cells of an area, as `count` counts listed ones."""
    counts: npt.NDArray[np.intp] | int = 0
    for x, y in _blocks(frame, wanted):
        counts = counts + count_cells(x, y, area, CELL)
    return Counted(area, np.asarray(counts))


def _blocks(frame: TextsFrame, wanted: Wanted) -> Iterator[tuple[Float32, Float32]]:
    """Yield distances and dot products (n,) of each text's allowed pairs that have both."""
    for text, mask in enumerate(frame.live.masks):
        for rows in frame.live.row_blocks(text):
            if not wanted():
                raise Unwanted
            x, y = (values.ravel() for values in frame.block(text, rows))
            kept = None if mask is None else mask[rows].ravel()
            if x.size and np.isnan(x.min()):
                kept = np.isfinite(x) if kept is None else kept & np.isfinite(x)
            yield (x, y) if kept is None else (x[kept], y[kept])
