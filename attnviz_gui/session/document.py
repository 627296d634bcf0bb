"""The one observable state that all views draw and write to. Never imports Qt; knows no view.

What can be derived is not stored: the picture follows from capture, text, layer, head and the
special-token switch; the frame follows from the picture and the sliders.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.correlation import objective_named
from attnviz_gui.geometry.normalization import WIDEST_SCALES, ShiftMode
from attnviz_gui.session.coloring import check
from attnviz_gui.session.colors import Colors
from attnviz_gui.session.fits import ALL_TEXTS, Basis, Fits, HeadFit
from attnviz_gui.session.offload import LIVE_PAIRS, Offload, at_once
from attnviz_gui.session.selection import (
    How,
    Marks,
    Places,
    Selecting,
    Selection,
    TokenLists,
)
from attnviz_gui.session.watch import WatchedPair, watch_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attnviz_gui.analysis.heads import HeadMeasures
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.geometry.together import TextsFrame
    from attnviz_gui.session.corpus import Corpus, CorpusFrames
    from attnviz_gui.session.mix import Mix
    from attnviz_gui.session.picture import Picture

MOST_COORDINATE = 1e9  # of a query or key: their products and squares still fit a float32

ColorScale = Literal["linear", "logarithmic"]
Lines = Literal["each query", "top entries", "none"]
PlaneMode = Literal["before", "after", "both"]

# The largest |t|: far beyond any key, and small enough for every number that is drawn from it.
MOST_SHIFT = 1e6


@dataclass(frozen=True)
class Focus:
    """The chosen query, the chosen key, or both; indices of visible tokens."""

    query: int | None = None
    key: int | None = None

    def __bool__(self) -> bool:
        return self.query is not None or self.key is not None


NOTHING = Focus()


@dataclass(frozen=True)
class Sliders:
    """Where the sliders stand: shift mode, its t in raw units, and the scale c.

    `t` means: ``constant`` adds t to every coordinate, ``centroid`` adds t (mean query - mean
    key), ``locked`` ignores it (a follows c); ``balanced`` does the latter in balanced coordinates,
    ``lifted`` before the lift.
    """

    mode: ShiftMode = "constant"
    t: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Options:
    """How the views draw; none of it changes a number of the model."""

    show_special: bool = True
    rotary: bool = True  # queries and keys after the rotary embedding
    color_scale: ColorScale = "linear"
    lines: Lines = "each query"
    n_lines: int = 20
    plane: PlaneMode = "both"
    animate: bool = True
    together: bool = False  # plane and scatter draw all texts of a capture, not the chosen one
    color_by: str = "side"  # of `coloring.COLORINGS`
    modulo: int = 5  # where points are coloured by their position modulo a number
    size_by_norm: bool = False  # longer queries and keys are larger points


class Document:
    """Capture, head, sliders, focus, watched pairs, options: one of each."""

    wanted_changed = Signal()  # another head was asked for and is being computed
    picture_changed = Signal()  # another capture, text, layer or head, or special tokens switched
    frame_changed = Signal()  # a or c moved; views that draw both listen to picture_changed too
    settled = Signal()  # a drag ended: the frame is the resting one
    focus_changed = Signal()  # hovered or pinned pair
    watched_changed = Signal()
    options_changed = Signal()
    objective_changed = Signal()  # another objective was chosen
    fits_changed = Signal()  # fits were kept or forgotten
    selection_changed = Signal()  # other tokens or pairs are selected
    found_changed = Signal()  # a search has found something else
    head_measures_changed = Signal()  # heads were measured, or their measures forgotten
    head_measures_wanted = Signal()  # somebody would like to have them; see want_head_measures

    def __init__(self) -> None:
        self.offload: Offload = at_once  # for heads with more than LIVE_PAIRS pairs
        self._wanted: Picture | None = None  # the newest that was asked for
        self._sliders = Sliders()
        self._objective = "cosine"
        self._fits = Fits()
        self._head_measures: HeadMeasures | None = None
        self._dragging = False
        self._hovered = NOTHING
        self._pinned = NOTHING
        self._selecting = Selecting()
        self.colors = Colors()
        self._watched: tuple[WatchedPair, ...] = ()
        self._found: tuple[tuple[int, int], ...] = ()
        self._found_in: Picture | None = None
        self._options = Options()
        self._picture: Picture | None = None
        self._frame: Frame | None = None
        self._last_frame: Frame | None = None
        self._corpus: CorpusFrames | None = None
        self._to_come: tuple[Picture, Focus] | None = None  # what is pinned once it is shown

    # -- what is on show ---------------------------------------------------------------------

    @property
    def capture(self) -> Capture | None:
        """The capture that was asked for last, None before the first run."""
        return None if self._wanted is None else self._wanted.capture

    @property
    def text(self) -> int:
        """Index of the text that was asked for last."""
        return 0 if self._wanted is None else self._wanted.text

    @property
    def layer(self) -> int:
        """Index of the layer that was asked for last."""
        return 0 if self._wanted is None else self._wanted.layer

    @property
    def head(self) -> int:
        """Index of the head that was asked for last."""
        return 0 if self._wanted is None else self._wanted.head

    @property
    def picture(self) -> Picture | None:
        """The head on show, None before the first run."""
        return self._picture

    @property
    def pending(self) -> bool:
        """True while the head that was asked for is being computed, and another is on show."""
        return self._wanted is not self._picture

    def open(self, capture: Capture) -> None:
        """Show a new capture; layer and head stay where the new model has them, else the last.

        Raises
        ------
        InputError
            When its numbers are too large to be drawn; what was on show stays.
        """
        _refuse_giants(capture)
        if capture is not self.capture and len(self._fits):
            self._fits.forget()
            self.fits_changed.emit()
        if self._head_measures is not None and capture is not self._head_measures.capture:
            self.keep_head_measures(None)
        self._show(capture, 0, self.layer, self.head)

    def show_head(
        self, layer: int | None = None, head: int | None = None, text: int | None = None
    ) -> None:
        """Show another layer, head or text; numbers beyond the last mean the last."""
        if self._wanted is None:
            return
        before = (self.text, self.layer, self.head)
        text = self.text if text is None else text
        mix = self.mix if layer is None and head is None else None
        layer = self.layer if layer is None else layer
        head = self.head if head is None else head
        if (text, layer, head) != before or mix is not self.mix:
            self._show(self._wanted.capture, text, layer, head, mix)

    @property
    def mix(self) -> Mix | None:
        """The heads that are shown as one, as they were asked for last; None where one is."""
        return None if self._wanted is None else self._wanted.mix

    def show_mix(self, mix: Mix) -> None:
        """Show the mean or maximum of several heads; choosing a layer or a head leaves it.

        Raises
        ------
        InputError
            When nothing is on show, or these heads cannot be taken together.
        """
        if self._wanted is None:
            raise InputError("There are no heads yet: type a text and press Run.")
        mix.check(self._wanted.capture, self.text)
        if mix != self.mix:
            self._show(self._wanted.capture, self.text, self.layer, self.head, mix)

    def show_token(self, text: int, *, query: int | None = None, key: int | None = None) -> None:
        """Show another text, and pin one of its visible queries or keys."""
        self.show_head(text=text)
        focus = Focus(query, key)
        if self.pending and self._wanted is not None:
            self._to_come = self._wanted, focus
        elif focus != self._pinned:
            self.pin(query, key)

    @property
    def corpus(self) -> Corpus | None:
        """The head on show on all texts; None where one text is shown."""
        return None if self._corpus is None else self._corpus.corpus

    @property
    def corpus_frame(self) -> TextsFrame | None:
        """All texts under the sliders' a and c, as `frame`; None where one text is shown."""
        if self._corpus is None:
            return None
        return self._corpus.at(self._sliders, dragging=self._dragging)

    def stay(self) -> None:
        """Ask for nothing else than what is on show: what was asked for could not be computed."""
        if self.pending:
            self._wanted = self._picture
            self.wanted_changed.emit()

    def _show(
        self, capture: Capture, text: int, layer: int, head: int, mix: Mix | None = None
    ) -> None:
        # Here and below, not before there is something to show: a window opens without.
        from attnviz_gui.session.picture import make_picture

        text = min(max(text, 0), len(capture.texts) - 1)
        layer = min(max(layer, 0), len(capture.layers) - 1)
        head = min(max(head, 0), capture.layers[layer].n_heads - 1)
        options = self._options
        picture = make_picture(
            capture, text, layer, head, show_special=options.show_special, rotary=options.rotary
        )
        if mix is not None:
            from attnviz_gui.session.mix import mixed

            with contextlib.suppress(InputError):  # another text may have no such heads in common
                picture = mixed(picture, mix)
        self._wanted = picture
        small = len(picture.query_index) * len(picture.key_index) <= LIVE_PAIRS
        small = small and picture.mix is None  # many heads are computed for it
        frames = self._frames_of_all(picture)
        if small and (frames is None or frames is self._corpus):
            self._take(picture, frames)
            return

        modes = {self._sliders.mode}
        kept = self._fits.of(self.basis, layer, head)
        if kept is not None and kept.found:
            modes.add(kept.mode)  # it comes back with the head

        def work() -> None:
            if not small:
                picture.compute()
            if frames is not None and frames is not self._corpus:
                frames.corpus.compute()
                for mode in modes:
                    frames.corpus.live.prepare(mode)

        self.wanted_changed.emit()
        self.offload(work, lambda _: self._take(picture, frames))

    def _frames_of_all(self, picture: Picture) -> CorpusFrames | None:
        """Return what shows all texts beside a picture: the present one where it still holds."""
        options = self._options
        if not options.together or len(picture.capture.texts) < 2 or picture.mix is not None:
            return None
        if self._corpus is not None and self._corpus.corpus.fits(
            picture, show_special=options.show_special, rotary=options.rotary
        ):
            return self._corpus
        from attnviz_gui.session.corpus import CorpusFrames, make_corpus

        return CorpusFrames(
            make_corpus(picture, show_special=options.show_special, rotary=options.rotary)
        )

    def _take(self, picture: Picture, frames: CorpusFrames | None) -> None:
        """Show what was asked for, unless something else has been since."""
        if picture is not self._wanted:
            return
        self._corpus = frames
        old = self._picture
        same_tokens = (
            old is not None
            and old.capture is picture.capture
            and old.text == picture.text
            and old.query_tokens == picture.query_tokens
            and old.key_tokens == picture.key_tokens
        )
        if not same_tokens:
            self._hovered = self._pinned = NOTHING
        self._picture = picture
        forgotten = self._selecting.take(picture.capture)
        kept = self.fit_here
        if kept is not None and kept.found:
            self._sliders = Sliders(kept.mode, kept.t, kept.scale)
        self._forget_frame()
        to_come, self._to_come = self._to_come, None
        if to_come is not None and to_come[0] is picture:
            self._pinned = to_come[1]
        self._recolor()
        self.picture_changed.emit()
        if forgotten:
            self.selection_changed.emit()
            self.found_changed.emit()

    # -- the sliders -------------------------------------------------------------------------

    @property
    def sliders(self) -> Sliders:
        """Where the sliders stand."""
        return self._sliders

    @property
    def dragging(self) -> bool:
        """True between `begin_drag` and `end_drag`."""
        return self._dragging

    @property
    def frame(self) -> Frame | None:
        """The picture under the sliders' a and c, None before the first run.

        At rest the plane is turned to lie as near as it can to the plane before; during a drag,
        to the frame before it, so that nothing jumps. Where all texts are shown together, a (and
        the transform, and the lift's R) is the one of all texts.
        """
        if self._frame is None and self._picture is not None:
            live = self._picture.live
            s = self._sliders
            near = self._picture.before
            if self._dragging and self._last_frame is not None:
                near = self._last_frame
            texts = self.corpus_frame
            if texts is None:
                frame = live.at(s.mode, s.t, s.scale, near=near.projection)
            else:
                frame = texts.alone(self._picture.text, live, near=near.projection)
            if near is self._picture.before and frame.unmoved:
                frame = near
            self._frame = self._last_frame = frame
        return self._frame

    def move(
        self, *, mode: ShiftMode | None = None, t: float | None = None, scale: float | None = None
    ) -> None:
        """Move the sliders; `t` and `scale` are kept within their ranges.

        Raises
        ------
        InputError
            When either is NaN.
        """
        for name, value in (("shift", t), ("scale", scale)):
            if value is not None and math.isnan(value):
                raise InputError(f"The {name} must be a number.")
        changes: dict[str, Any] = {}
        if mode is not None:
            changes["mode"] = mode
        if t is not None:
            changes["t"] = min(max(float(t), -MOST_SHIFT), MOST_SHIFT)
        if scale is not None:
            changes["scale"] = min(max(float(scale), WIDEST_SCALES[0]), WIDEST_SCALES[1])
        sliders = replace(self._sliders, **changes)
        if sliders == self._sliders:
            return
        corpus = self.corpus
        if corpus is not None and not self.pending and not corpus.live.ready(sliders.mode):
            # What a mode needs of all texts takes a second; until it is there nothing moves.
            self.offload(partial(corpus.live.prepare, sliders.mode), lambda _: self._move(sliders))
            return
        self._move(sliders)

    def _move(self, sliders: Sliders) -> None:
        self._sliders = sliders
        self._frame = None
        self.frame_changed.emit()

    def begin_drag(self) -> None:
        """A slider is held: frames follow each other without a jump."""
        self._dragging = True

    def end_drag(self) -> None:
        """The slider is let go: the frame takes its resting orientation."""
        if self._dragging:
            self._dragging = False
            self._frame = None
            self.settled.emit()

    def reset(self) -> None:
        """Return to a = 0, c = 1."""
        mode = self._sliders.mode
        still = mode in ("constant", "centroid")  # in the others t = 0 and c = 1 are a change too
        self.move(mode=mode if still else "constant", t=0.0, scale=1.0)

    def _forget_frame(self) -> None:
        self._frame = self._last_frame = None

    # -- the objective and its fits ----------------------------------------------------------

    @property
    def objective(self) -> str:
        """The name of the chosen objective."""
        return self._objective

    def choose_objective(self, name: str) -> None:
        """Choose what a fit rewards.

        Raises
        ------
        InputError
            When there is no such objective.
        """
        objective_named(name)
        if name != self._objective:
            self._objective = name
            self.objective_changed.emit()

    @property
    def fits(self) -> Fits:
        """The fits of this capture's heads."""
        return self._fits

    @property
    def basis(self) -> Basis:
        """The vectors that are asked for, as a fit names them; all texts' where they are shown."""
        options = self._options
        capture = self.capture
        together = options.together and capture is not None and len(capture.texts) > 1
        text = ALL_TEXTS if together else self.text
        return Basis(text, options.show_special, options.rotary)

    @property
    def fit_here(self) -> HeadFit | None:
        """The fit that is kept for the head on show, or None."""
        picture = self._picture
        if picture is None or picture.mix is not None:
            return None
        text = picture.text if self._corpus is None else ALL_TEXTS
        basis = replace(self.basis, text=text)
        return self._fits.of(basis, picture.layer, picture.head)

    def keep_fits(self, basis: Basis, fits: Iterable[HeadFit], *, move: bool = True) -> None:
        """Keep what was fitted; where the head on show is among it, the sliders `move` there."""
        before = self.fit_here
        self._fits.keep(basis, fits)
        self.fits_changed.emit()
        kept = self.fit_here
        if move and kept is not None and kept is not before and kept.found:
            self.move(mode=kept.mode, t=kept.t, scale=kept.scale)

    @property
    def head_measures(self) -> HeadMeasures | None:
        """The measures of all heads of this capture, None until they have been asked for."""
        return self._head_measures

    def want_head_measures(self) -> None:
        """Ask whoever measures heads to do so; `head_measures_changed` tells when it is done."""
        if self.capture is not None and self._head_measures is None:
            self.head_measures_wanted.emit()

    def keep_head_measures(self, measures: HeadMeasures | None) -> None:
        """Keep what was measured of all heads; what is of another capture is dropped."""
        if measures is not None and measures.capture is not self.capture:
            return
        if measures is not self._head_measures:
            self._head_measures = measures
            self.head_measures_changed.emit()

    # -- focus and watched pairs -------------------------------------------------------------

    @property
    def focus(self) -> Focus:
        """What is lit up: the hovered pair, else the pinned one."""
        return self._hovered or self._pinned

    @property
    def pinned(self) -> Focus:
        """What a click has pinned."""
        return self._pinned

    def hover(self, query: int | None = None, key: int | None = None) -> None:
        """Light up a query, a key or a pair for as long as the mouse is there; none to end."""
        self._set_focus(Focus(query, key), self._pinned)

    def pin(self, query: int | None = None, key: int | None = None) -> None:
        """Keep a query, a key or a pair lit; pinning the same again lets go."""
        new = Focus(query, key)
        self._set_focus(NOTHING, NOTHING if new == self._pinned else new)

    def clear_focus(self) -> None:
        """Let go of everything that is lit."""
        self._set_focus(NOTHING, NOTHING)

    def _set_focus(self, hovered: Focus, pinned: Focus) -> None:
        if (hovered, pinned) != (self._hovered, self._pinned):
            self._hovered, self._pinned = hovered, pinned
            self.focus_changed.emit()

    @property
    def watched(self) -> tuple[WatchedPair, ...]:
        """The watched pairs, in the order they were added."""
        return self._watched

    @property
    def watched_here(self) -> list[tuple[int, int]]:
        """The watched pairs that occur in the picture, as (query, key) indices."""
        picture = self._picture
        if picture is None:
            return []
        # Looked for once a picture: every view asks for it in every frame.
        if self._found_in is not picture:
            found = [p.find(picture.query_tokens, picture.key_tokens) for p in self._watched]
            self._found = tuple(pair for pair in found if pair is not None)
            self._found_in = picture
        return list(self._found)

    def watch(self, pairs: Iterable[WatchedPair]) -> None:
        """Replace the watched pairs."""
        new = tuple(dict.fromkeys(pairs))
        if new != self._watched:
            self._watched = new
            self._found_in = None
            self.watched_changed.emit()

    def toggle_watch(self, query: int, key: int) -> None:
        """Watch the pair at these indices, or stop watching it."""
        if self._picture is None:
            return
        pair = watch_at(self._picture.query_tokens, self._picture.key_tokens, query, key)
        if pair in self._watched:
            self.watch(p for p in self._watched if p != pair)
        else:
            self.watch((*self._watched, pair))

    # -- what is selected, and what a search has found ----------------------------------------

    @property
    def token_lists(self) -> TokenLists:
        """The lists of tokens that a selection of the capture on show counts in."""
        return self._selecting.lists

    @property
    def selection(self) -> Selection:
        """The selected tokens and pairs; another capture forgets them, another head does not."""
        return self._selecting.selection

    @property
    def found(self) -> Selection:
        """The tokens that a search has found."""
        return self._selecting.found

    @property
    def marks(self) -> Marks | None:
        """What is selected or found among the picture's visible tokens; None where nothing is."""
        return None if self._picture is None else self._selecting.marks(self._picture)

    @property
    def corpus_marks(self) -> Marks | None:
        """What is selected or found among all texts' visible tokens; None where nothing is."""
        corpus = self.corpus
        return None if corpus is None else self._selecting.marks(corpus)

    @property
    def places(self) -> Places | None:
        """Where the visible tokens stand that plane and scatter draw: of all texts, or of one."""
        of = self.corpus or self._picture
        return None if of is None else self._selecting.places(of)

    def select(self, brush: Selection, how: How = "replace") -> None:
        """Select tokens and pairs; a brush that was made of another capture does nothing."""
        if self._selecting.select(brush, how):
            self.selection_changed.emit()

    def find(self, found: Selection) -> None:
        """Take what a search has found."""
        if self._selecting.find(found):
            self.found_changed.emit()

    @property
    def can_undo(self) -> bool:
        """Whether another selection came before this one."""
        return self._selecting.history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a selection was undone."""
        return self._selecting.history.can_redo

    def undo(self) -> None:
        """Return to the selection before."""
        if self._selecting.step(back=True):
            self.selection_changed.emit()

    def redo(self) -> None:
        """Select again what was undone."""
        if self._selecting.step(back=False):
            self.selection_changed.emit()

    # -- options -----------------------------------------------------------------------------

    @property
    def options(self) -> Options:
        """How the views draw."""
        return self._options

    def set_options(self, **changes: Any) -> None:
        """Change some of the options by name.

        Raises
        ------
        InputError
            When points cannot be coloured so; nothing is changed then.
        """
        options = replace(self._options, **changes)
        if options == self._options:
            return
        check(options.color_by, options.modulo)
        before, self._options = self._options, options
        recolored = self._recolor()
        self.options_changed.emit()
        if recolored:
            self.colors.changed.emit()
        named = "show_special", "rotary", "together"
        redraw = any(getattr(options, name) != getattr(before, name) for name in named)
        if redraw and self._wanted is not None:
            self._show(self._wanted.capture, self.text, self.layer, self.head, self.mix)

    def _recolor(self) -> bool:
        """Have the points of what is on show coloured; returns whether they are others at once."""
        if self._picture is None:
            return False
        corpus = self.corpus
        pictures = (self._picture,) if corpus is None else corpus.pictures
        return self.colors.follow(pictures, self._options)


def _refuse_giants(capture: Capture) -> None:
    """Raise InputError where a query or key is beyond `MOST_COORDINATE`, or no number."""
    for records in capture.records:
        for layer, record in zip(capture.layers, records, strict=True):
            for vectors in (record.query, record.key, *(record.unrotated or ())):
                peak = float(max(vectors.max(initial=0), -vectors.min(initial=0)))
                if not peak <= MOST_COORDINATE:
                    raise InputError(
                        f"{capture.model_name} can't be shown: {layer.name} has queries or keys "
                        f"with coordinates of {peak:.0e}, and {MOST_COORDINATE:.0e} is the most "
                        "that can be drawn. Look for weights that have gone astray."
                    )
