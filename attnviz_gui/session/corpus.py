"""What is on show when all texts are shown together: one head on every text of a capture.

A `Corpus` stands beside the `Picture` of the chosen text: the plane and the scatter draw all texts,
the others the chosen one. It depends on the capture, the layer, the head and which tokens are
shown, and not on the chosen text. Its indices count the visible tokens of all texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.lines import strongest_keys
from attnviz_gui.geometry.normalization import shift_range
from attnviz_gui.geometry.together import LiveTexts, TextsFrame
from attnviz_gui.lazy import lazy
from attnviz_gui.session.offload import LIVE_PAIRS, MOVING_PAIRS
from attnviz_gui.session.picture import make_picture

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.geometry.masks import TextPairs
    from attnviz_gui.geometry.sample import PairSample
    from attnviz_gui.session.document import Sliders
    from attnviz_gui.session.picture import Picture

    Float64 = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Token:
    """Where a point of the corpus comes from.

    Attributes
    ----------
    text : int
        Index of the text.
    index : int
        Of the query or key among the text's visible tokens.
    place : int
        Of the same in the whole text.
    name : str
        As a person reads it.
    """

    text: int
    index: int
    place: int
    name: str


@dataclass(frozen=True, eq=False)
class Corpus:
    """One head on all texts of a capture.

    Attributes
    ----------
    chosen : Picture
        The head on the text that was chosen when this was made.
    """

    capture: Capture
    layer: int
    head: int
    show_special: bool
    rotary: bool
    chosen: Picture

    @lazy
    def pictures(self) -> tuple[Picture, ...]:
        """The head on each text."""
        return tuple(
            self.chosen
            if text == self.chosen.text
            else make_picture(
                self.capture,
                text,
                self.layer,
                self.head,
                show_special=self.show_special,
                rotary=self.rotary,
            )
            for text in range(len(self.capture.texts))
        )

    def fits(self, picture: Picture, *, show_special: bool, rotary: bool) -> bool:
        """Return whether it is the one beside a picture."""
        return self.capture is picture.capture and (
            (self.layer, self.head, self.show_special, self.rotary)
            == (picture.layer, picture.head, show_special, rotary)
        )

    @lazy
    def query_start(self) -> IndexArray:
        """Where each text's queries begin, and where the last text's end, (n_texts + 1,)."""
        return _starts(len(picture.query_tokens) for picture in self.pictures)

    @lazy
    def key_start(self) -> IndexArray:
        """Where each text's keys begin, and where the last text's end, (n_texts + 1,)."""
        return _starts(len(picture.key_tokens) for picture in self.pictures)

    @lazy
    def words(self) -> str:
        """What it is made of: ``all 100 texts, 50,000 tokens``."""
        n_queries, n_keys = int(self.query_start[-1]), int(self.key_start[-1])
        one = all(not picture.two_sided for picture in self.pictures)
        counted = f"{n_queries:,} tokens" if one else f"{n_queries:,} queries, {n_keys:,} keys"
        return f"all {len(self.pictures):,} texts, {counted}"

    @lazy
    def live(self) -> LiveTexts:
        """The geometry of all visible tokens."""
        parts = [
            (p.drawn.query[p.query_index], p.drawn.key[p.key_index], p.mask) for p in self.pictures
        ]
        queries, keys, masks = zip(*parts, strict=True)
        return LiveTexts(
            np.concatenate(queries), np.concatenate(keys), self.query_start, self.key_start, masks
        )

    @lazy
    def before(self) -> TextsFrame:
        """The frame at a = 0, c = 1."""
        return self.live.at("constant", 0.0, 1.0)

    @lazy
    def sample(self) -> PairSample:
        """The pairs that are drawn in every frame: all of them, or a random part of very many."""
        few = self.live.n_pairs <= LIVE_PAIRS
        return self.live.sample(LIVE_PAIRS if few else MOVING_PAIRS)

    def compute(self) -> None:
        """Compute what every frame needs; many texts take a second or two, so in a worker."""
        _ = self.live.pairs, self.sample, self.before.projection, self.before.correlation
        _ = self.reach

    @lazy
    def reach(self) -> float:
        """How far a reaches to either side at first, of all texts; see `shift_range`."""
        return shift_range("constant", self.live.key)[1]

    @lazy
    def as_head(self) -> HeadOfTexts:
        """All texts as one head, for a fit or a curve of what is drawn."""
        return HeadOfTexts(self.pictures, self.live)

    def query_token(self, query: int) -> Token:
        """Return where a query of the corpus comes from."""
        text = int(np.searchsorted(self.query_start, query, side="right")) - 1
        index, picture = query - int(self.query_start[text]), self.pictures[text]
        return Token(text, index, int(picture.query_index[index]), picture.query_tokens[index])

    def key_token(self, key: int) -> Token:
        """Return where a key of the corpus comes from."""
        text = int(np.searchsorted(self.key_start, key, side="right")) - 1
        index, picture = key - int(self.key_start[text]), self.pictures[text]
        return Token(text, index, int(picture.key_index[index]), picture.key_tokens[index])


@dataclass(frozen=True, eq=False)
class HeadOfTexts:
    """All texts as one head: one set of queries, keys and pairs, and so one a, M and R.

    What `fit` and `Landscape` take as a head.

    Attributes
    ----------
    pictures : tuple of Picture
        The head on each text.
    live : LiveTexts
        Their geometry.
    """

    pictures: tuple[Picture, ...]
    live: LiveTexts

    @property
    def query(self) -> Float64:
        """Visible queries of all texts, (N_q, d)."""
        return self.live.query

    @property
    def key(self) -> Float64:
        """Visible keys of all texts, (N_k, d)."""
        return self.live.key

    @property
    def mask(self) -> TextPairs:
        """The pairs within each text that the model allows."""
        return self.live.allowed

    @lazy
    def strongest(self) -> IndexArray:
        """Each query's most attended key of its text, (N_q,); -1 where it has none.

        One text's attention at a time is computed, and dropped.
        """
        found = []
        for start, picture in zip(self.live.key_start, self.pictures, strict=False):
            keys = strongest_keys(picture.attention_once(), picture.mask)
            found.append(np.where(keys >= 0, keys + start, -1))
        return np.concatenate(found)


class CorpusFrames:
    """A corpus under moving sliders: the newest frame, computed once, near to the one before it."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._at: tuple[Sliders, bool] | None = None
        self._frame: TextsFrame | None = None

    def at(self, sliders: Sliders, *, dragging: bool) -> TextsFrame:
        """Return the frame under these sliders; in a drag, turned to the frame before."""
        moved = self._at is None or self._at[0] != sliders or (self._at[1] and not dragging)
        if self._frame is None or moved:
            near = (self._frame if dragging else None) or self.corpus.before
            frame = self.corpus.live.at(
                sliders.mode, sliders.t, sliders.scale, near=near.projection
            )
            raw = frame.live is self.corpus.live and not frame.lifted and sliders.scale == 1
            unmoved = near is self.corpus.before and raw and not frame.shift.any()
            self._frame = near if unmoved else frame
            self._at = sliders, dragging
        return self._frame


def make_corpus(picture: Picture, *, show_special: bool, rotary: bool) -> Corpus:
    """Return the corpus beside a picture: the same head on all texts of its capture."""
    return Corpus(
        picture.capture, picture.layer, picture.head, show_special, rotary, chosen=picture
    )


def corpus_of(
    capture: Capture, layer: int, head: int, *, show_special: bool = True, rotary: bool = True
) -> Corpus:
    """Return a head on all texts."""
    first = make_picture(capture, 0, layer, head, show_special=show_special, rotary=rotary)
    return make_corpus(first, show_special=show_special, rotary=rotary)


def under(picture: Picture, sliders: Sliders, texts: Corpus | None = None) -> Frame:
    """Return a picture under the sliders, its a that of all texts where they are given."""
    near, s = picture.before.projection, sliders
    if texts is None or s.mode == "constant":  # there each text's a is the same anyway
        return picture.live.at(s.mode, s.t, s.scale, near=near)
    frame = texts.live.at(s.mode, s.t, s.scale)
    return frame.alone(picture.text, picture.live, near=near)


def _starts(counts: Iterable[int]) -> IndexArray:
    return np.cumsum([0, *counts], dtype=np.intp)
