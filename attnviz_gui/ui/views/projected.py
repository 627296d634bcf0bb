"""What another projection is asked for, what of it is there, and the words about it.

The choices of one view and the layouts that it has been given; what was computed by t-SNE or UMAP
is kept with its capture, so that a figure need not compute it again. Draws nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from attnviz_gui.analysis.projections import (
    PERPLEXITY,
    WORDS,
    usual_neighbours,
    usual_perplexity,
    why_not,
)
from attnviz_gui.errors import InputError
from attnviz_gui.jobs.projecting import Layout, ProjectionRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from attnviz_gui.analysis.projections import Method
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.jobs.projecting import Moving
    from attnviz_gui.session.document import Document, Sliders

    Float = npt.NDArray[np.float64]

KEPT = 8  # of one capture: going back and forth computes nothing
AT_ONCE = 4_000  # points whose PCA is computed here; more of them in a worker
VIEWED_FROM = math.radians(30), math.radians(20)  # azimuth, elevation: all three axes in sight


class Key(NamedTuple):
    """What tells a layout from those of other points and parameters of the same capture."""

    text: int  # -1: all
    layer: int
    head: int
    special: bool
    before_rotary: bool
    sliders: Sliders
    method: Method
    seed: int
    perplexity: float


@dataclass(frozen=True)
class Choices:
    """Which projection, with what, and from where space is looked at (radians)."""

    method: Method = "pca"
    seed: int = 0
    perplexity: float = PERPLEXITY
    azimuth: float = VIEWED_FROM[0]
    elevation: float = VIEWED_FROM[1]


_kept: WeakKeyDictionary[Capture, dict[Key, Layout]] = WeakKeyDictionary()


class Projected:
    """The layouts of a document's points.

    Attributes
    ----------
    later : callable or None
        Has a PCA of very many points computed, and brings it by `take`.
    running : bool
        What is asked for is being computed.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.choices = Choices()
        self.later: Callable[[], object] | None = None
        self.running = False
        self._fault: tuple[Key, str] | None = None  # why something has no layout
        self._moving: tuple[Key, Layout] | None = None  # on its way, or where it was stopped
        self._plain: tuple[Key, Layout] | None = None  # a PCA
        self._axes: Float | None = None  # of the last PCA
        self._of: Capture | None = None  # what these are of

    def like(self, other: Projected) -> None:
        """Take the choices of another, and what it has."""
        self.choices = other.choices
        self._of, self._moving, self._axes = other._of, other._moving, other._axes
        self._plain, self._fault = other._plain, other._fault

    # -- what is asked for -------------------------------------------------------------------

    @property
    def n_points(self) -> int:
        """How many queries and keys are on show."""
        picture, corpus = self.document.picture, self.document.corpus
        if picture is None:
            return 0
        if corpus is not None:
            return int(corpus.query_start[-1] + corpus.key_start[-1])
        return len(picture.query_tokens) + len(picture.key_tokens)

    def key(self) -> Key | None:
        """Return what the document and the choices ask for; None where nothing has a layout."""
        picture, corpus, n = self.document.picture, self.document.corpus, self.n_points
        method = self.choices.method
        if picture is None or picture.mix is not None or why_not(method, n):
            return None
        if corpus is None:
            of = picture.text, picture.layer, picture.head, picture.whole, picture.before_rotary
        else:
            of = -1, corpus.layer, corpus.head, corpus.show_special, not corpus.rotary
        seed = 0 if method == "pca" else self.choices.seed
        perplexity = usual_perplexity(n, self.choices.perplexity) if method == "tsne" else 0.0
        return Key(*of, self.document.sliders, method, seed, perplexity)

    def request(self, moving: Moving | None = None) -> ProjectionRequest | None:
        """Return what computes that; None where nothing has a layout."""
        key, picture, chosen = self.key(), self.document.picture, self.choices
        if key is None or picture is None:
            return None
        texts = self.document.corpus_frame
        if texts is not None:
            both = texts.vectors
        else:
            frame = self.document.frame
            assert frame is not None
            both = frame.query, frame.key
        return ProjectionRequest(
            chosen.method, np.concatenate(both), picture.capture, key, chosen.seed,
            chosen.perplexity, moving, self._axes if self.document.dragging else None,
        )  # fmt: skip

    def asks_for(self, request: ProjectionRequest) -> bool:
        """Return whether a request is of what is on show, under the choices of now."""
        picture = self.document.picture
        same = picture is not None and request.capture is picture.capture
        return same and request.key == self.key()

    # -- what is there -----------------------------------------------------------------------

    def layout(self) -> Layout | None:
        """Return the layout that is asked for; None where it has not been computed."""
        picture, key = self.document.picture, self.key()
        if picture is None or key is None:
            return None
        found = _kept.get(picture.capture, {}).get(key)
        for own in (self._moving, self._plain):
            if found is None and own is not None and own[0] == key and self._of is picture.capture:
                found = own[1]
        return found

    @property
    def complete(self) -> bool:
        """Whether all is there that is asked for."""
        layout = self.layout()
        return layout is not None and layout.done == layout.total

    def follow(self) -> Layout | None:
        """Return the layout that is asked for, after a PCA has been computed, here or `later`."""
        picture = self.document.picture
        if picture is not None and picture.capture is not self._of:
            self._of = picture.capture
            self._moving = self._plain = self._fault = self._axes = None
        layout = self.layout()
        if layout is None and self.choices.method == "pca" and not self.fault:
            self._compute()
            layout = self.layout()
        if layout is not None and layout.axes is not None:
            self._axes = layout.axes
        return layout

    def _compute(self) -> None:
        if self.n_points > AT_ONCE and self.later is not None:
            if not self.document.dragging:
                self.later()
            return
        request = self.request()
        if request is None:
            return
        try:
            self._plain = request.key, request(lambda *_: None, None)
        except InputError as error:
            self._fault = request.key, str(error)

    def begin(self) -> None:
        """Forget what was stopped: it is begun anew."""
        self._moving = self._fault = None

    def take(self, request: ProjectionRequest, layout: Layout) -> None:
        """Keep what was computed."""
        self._moving = None
        if request.method == "pca":
            self._plain = request.key, layout
            return
        assert request.capture is not None
        kept = _kept.setdefault(request.capture, {})
        kept.pop(request.key, None)
        while len(kept) >= KEPT:
            del kept[next(iter(kept))]
        kept[request.key] = layout

    def take_step(self, request: ProjectionRequest, layout: Layout) -> bool:
        """Take what has been reached on the way; returns whether it is the first of it."""
        first, self._moving = self._moving is None, (request.key, layout)
        return first

    def take_fault(self, request: ProjectionRequest, reason: str) -> None:
        """Take why it has no layout."""
        self._fault = request.key, reason

    @property
    def fault(self) -> str:
        """Why what is asked for has no layout; empty where that is not known."""
        return self._fault[1] if self._fault is not None and self._fault[0] == self.key() else ""

    # -- in words ----------------------------------------------------------------------------

    def sentence(self) -> str:
        """Say why there is nothing to see, or how to have it; empty where there is."""
        n, method = self.n_points, self.choices.method
        why = why_not(method, n) or self.fault
        if why or self.layout() is not None:
            return why
        if self.running or method == "pca":
            return f"{WORDS[method]} of {n:,} points is being computed…"
        return f"Press Run for {WORDS[method]} of these {n:,} queries and keys."

    def parameters(self) -> str:
        """Return what the picture was made with, in words."""
        n, chosen, layout = self.n_points, self.choices, self.layout()
        if chosen.method == "pca":
            azimuth, tilt = (round(math.degrees(a)) for a in (chosen.azimuth, chosen.elevation))
            return f"turned {azimuth}°, tilted {tilt}°".replace("-", "−")
        if chosen.method == "umap":
            return f"{usual_neighbours(n)} neighbours, seed {chosen.seed}"
        used = usual_perplexity(n, chosen.perplexity)
        told = f"perplexity {used:g}"
        if used < chosen.perplexity:
            told += f" (at most {used:g} for {n:,} points)"
        told += f", seed {chosen.seed}"
        if layout is not None and layout.total:
            done = f"{layout.done} of {layout.total}" if layout.done < layout.total else layout.done
            told += f", {done} iterations"
        return told

    def facts(self) -> str:
        """Return what a figure's caption tells; empty where there is nothing to see."""
        layout, name = self.layout(), WORDS[self.choices.method]
        if layout is None:
            return ""
        return f"{name}{f' ({layout.software})' if layout.software else ''}, {self.parameters()}"
