"""The three pictures without a window: text to heatmap.png, scatter.png and embedding.png.

Of one head, or of many: then each head's pictures, and each kind as one page.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.correlation import OBJECTIVES, objective_named
from attnviz_gui.geometry.fit import fit
from attnviz_gui.geometry.normalization import (
    CENTROID_MODES,
    SHIFT_MODES,
    WIDEST_SCALES,
    ShiftMode,
)
from attnviz_gui.session.document import MOST_SHIFT, Document, Sliders
from attnviz_gui.session.files import as_path
from attnviz_gui.session.words import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.export.gallery import Kind, Place
    from attnviz_gui.jobs.requests import Long

ALL = "all"
Which = int | Literal["all"]
WORDS = ("centroid", "fit")


@dataclass(frozen=True)
class Wish:
    """Where the sliders shall stand; None: where the fit puts them."""

    mode: ShiftMode
    t: float | None
    scale: float | None
    objective: str

    @property
    def fits(self) -> bool:
        """True where something has to be fitted."""
        return self.t is None or self.scale is None


def render(
    text: str,
    out: str | Path,
    *,
    source: str = "bundled",
    layer: Which = 0,
    head: Which = 0,
    shift: str | None = None,
    scale: str = "1",
    mode: str | None = None,
    objective: str | None = None,
    long: Long = "refuse",
    pixels: int = 2,
) -> list[str]:
    """Run a model on a text and write the three pictures of one head, or of many.

    Parameters
    ----------
    text, source
        The text; ``"bundled"``, a model folder or a hub id.
    out
        Folder, made if missing. Of a text split into several, each has a folder in it.
    layer, head
        Counted from 0; ``"all"``: all of them, ``layer-03-head-07-embedding.png`` and so on, and
        each kind as a page of its own, ``gallery-layer-03-embedding.png``.
    shift, scale
        Numbers, or ``"centroid"`` (shift alone) and ``"fit"``. What is not fitted is held.
    mode
        What a shift's number means, as in `attnviz_gui.geometry.normalization.SHIFT_MODES`;
        ``constant`` unless the shift is ``"centroid"``.
    objective
        What a fit rewards; ``cosine`` by default.
    long
        What to do with a text that the model cannot read whole.
    pixels
        Resolution, 1 to 4.

    Returns
    -------
    list of str
        What the caller should know: how much of the text was used, say.

    Raises
    ------
    InputError
        When anything of this is at fault; nothing has been written then, or all of a text.
    """
    wish = wish_of(shift, scale, mode, objective)
    folder = as_path(out)
    if not str(out).strip():
        raise InputError("--out names no folder")
    _check_folder(folder)

    from attnviz_gui.capture.models import load_model
    from attnviz_gui.capture.recorder import record_text

    capture = record_text(load_model(source), text, long=long)
    places = _places(capture, layer, head)

    document = Document()
    document.open(capture)
    notes: list[str] = []
    wished: list[_Wished] = []
    several = len(capture.texts) > 1
    for index in range(len(capture.texts)):
        target = folder / f"text-{index + 1}" if several else folder
        if layer == ALL or head == ALL:
            own = {place: _wished(wish, capture, place, index) for place in places}
            _write_many(document, index, own, wish, target, pixels, (layer, head))
        else:
            own = {places[0]: _wished(wish, capture, places[0], index)}
            document.show_head(*places[0], index)
            _place(document, own[places[0]].sliders)
            _write(document, target, pixels)
        wished += own.values()
    notes += _at_ends(wished)
    if wish.scale is None and wish.mode != "locked" and not OBJECTIVES[wish.objective].uses_scale:
        notes.append(f"c plays no part in {wish.objective}, so it stays 1")
    if several:
        notes.append(f"the text was split into {len(capture.texts)} parts, one folder for each")
    if capture.cut_from is not None:
        notes.append(
            f"the pictures show the first {len(capture.tokens[0])} of {capture.cut_from} tokens: "
            "all that the model can read at once"
        )
    return notes


def wish_of(shift: str | None, scale: str, mode: str | None, objective: str | None) -> Wish:
    """Return where the sliders shall stand.

    Raises
    ------
    InputError
        When a number, a mode or an objective is none, or they contradict each other.
    """
    if mode is not None and mode not in SHIFT_MODES:
        raise InputError(f"--mode is one of {', '.join(SHIFT_MODES)}; not {mode!r}")
    chosen = mode or ("centroid" if shift == "centroid" else "constant")
    if chosen == "locked" and shift is not None:
        raise InputError("--mode locked sets the shift from the scale; leave --shift out")
    if shift == "centroid" and chosen not in CENTROID_MODES:
        raise InputError(
            f"--shift centroid needs --mode {', '.join(CENTROID_MODES)} (or no --mode at all)"
        )
    given = ("1" if chosen in CENTROID_MODES else "0") if shift is None else shift
    t = _number("shift", given)
    c = _number("scale", scale)
    wish = Wish(
        chosen,
        1.0 if t == "centroid" else (None if isinstance(t, str) else t),
        None if isinstance(c, str) else c,
        objective or "cosine",
    )
    if objective is not None:
        try:
            objective_named(objective)
        except InputError as error:
            raise InputError(f"--objective: {error}") from error
        if not wish.fits:
            raise InputError(
                "--objective says what a fit rewards; add --shift fit, --scale fit or both"
            )
    return wish


def _number(what: str, text: str) -> float | str:
    allowed = WORDS if what == "shift" else ("fit",)
    if text in allowed:
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        words = " or ".join(allowed)
        raise InputError(f"--{what} takes a number, {words}; not {text!r}")
    if what == "shift" and abs(value) > MOST_SHIFT:
        raise InputError(
            f"--shift lies between {-MOST_SHIFT:,.0f} and {MOST_SHIFT:,.0f}; {text} does not"
        )
    low, high = WIDEST_SCALES
    if what == "scale" and not low <= value <= high:
        raise InputError(f"--scale lies between {low:g} and {high:g}; {text} does not")
    return value


def _check_folder(folder: Path) -> None:
    """Fail before the model runs, not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {folder} can't be made ({error.strerror}); choose another with --out"
        ) from error


def _places(capture: Capture, layer: Which, head: Which) -> list[Place]:
    """Return the heads that are asked for, in order."""
    layers = range(len(capture.layers)) if layer == ALL else [int(layer)]
    if not 0 <= layers[0] < len(capture.layers):
        last = len(capture.layers) - 1
        raise InputError(f"there is no layer {layer}; --layer goes from 0 to {last}, or all")
    most = max(capture.layers[i].n_heads for i in layers)
    if head != ALL and not 0 <= int(head) < most:
        where = "" if layer == ALL else " in this layer"
        raise InputError(f"there is no head {head}; --head goes from 0 to {most - 1}{where}")
    heads = [[h for h in range(capture.layers[i].n_heads) if head in (ALL, h)] for i in layers]
    return [(i, h) for i, own in zip(layers, heads, strict=True) for h in own]


class _Wished(NamedTuple):
    """Where a head's sliders stand; `edges`: "t" or "c" that a fit put at the end of its range."""

    sliders: Sliders
    edges: tuple[str, ...] = ()


def _wished(wish: Wish, capture: Capture, place: Place, text: int) -> _Wished:
    """Return where a head's sliders stand, fitted where that is wished.

    Raises
    ------
    InputError
        When the objective has no value for this head.
    """
    from attnviz_gui.jobs.fitting import Vectors, groups
    from attnviz_gui.session.picture import make_picture

    if not wish.fits:
        return _Wished(Sliders(wish.mode, wish.t or 0.0, wish.scale or 1.0))
    pools = OBJECTIVES[wish.objective].pools_layer
    (group,) = groups(capture, "head", place, pools_layer=pools)
    heads = [Vectors(make_picture(capture, text, *of)) for of in group]
    locked = wish.mode == "locked"
    found = fit(
        heads, wish.objective, shift_mode=wish.mode, t=None if locked else wish.t,
        scale=None if locked else wish.scale,
    )  # fmt: skip
    return _Wished(Sliders(wish.mode, 0.0 if locked else found.t, found.scale), found.edges)


def _at_ends(wished: Sequence[_Wished]) -> list[str]:
    """Say of what a fit found that it is where the search ended."""
    notes = []
    for edge, option in (("t", "shift"), ("c", "scale")):
        at_end = [sliders for sliders, edges in wished if edge in edges]
        if not at_end:
            continue
        best = f"the best {option} "
        if len(wished) == 1:
            best += f"found, {number(at_end[0].t if edge == 't' else at_end[0].scale)}, lies"
        else:
            best += f"lies, in {len(at_end):,} of {len(wished):,} fits,"
        notes.append(
            f"{best} at the end of the range that was searched; to try beyond it, give --{option} "
            "a number"
        )
    return notes


def _place(document: Document, sliders: Sliders) -> None:
    """Put the sliders where they are wished."""
    document.move(mode=sliders.mode, t=sliders.t, scale=sliders.scale)


def _write(document: Document, folder: Path, pixels: int, stem: str = "") -> None:
    from attnviz_gui.ui.application import start_offscreen
    from attnviz_gui.ui.figure import draw_figure, write_png
    from attnviz_gui.ui.views.catalogue import VIEWS

    start_offscreen()
    for view in VIEWS:
        write_png(draw_figure(view, document, scale=pixels), folder / f"{stem}{view.name}.png")


def _write_many(
    document: Document, text: int, wished: Mapping[Place, _Wished], wish: Wish, folder: Path,
    pixels: int, asked: tuple[Which, Which],
) -> None:  # fmt: skip
    """Write the pictures of each head, and each kind as one page."""
    from attnviz_gui.export import gallery
    from attnviz_gui.ui.application import start_offscreen
    from attnviz_gui.ui.explore.gallery_page import GalleryPage
    from attnviz_gui.ui.figure import write_png

    start_offscreen()
    capture = document.capture
    assert capture is not None
    places, own = list(wished), {place: found.sliders for place, found in wished.items()}
    layer, head = (None if which == ALL else int(which) for which in asked)
    kind: Kind
    for kind in gallery.KINDS:
        shown = gallery.Gallery(
            capture, text, places, kind, own[places[0]], own if wish.fits else {},
            side=150 * pixels,
        )  # fmt: skip
        page = GalleryPage(
            kind, places, heading=gallery.heading(capture, layer, head, kind),
            caption=gallery.caption(shown), levels=shown.levels(), pixels=pixels,
        )  # fmt: skip
        for n, cell in enumerate(shown(lambda *_: None, threading.Event())):
            page.draw(n, cell)
        write_png(page.image, folder / gallery.page_name(capture, layer, head, kind))
    for place in places:
        document.show_head(*place, text)
        _place(document, own[place])
        _write(document, folder, pixels, gallery.file_stem(capture, place) + "-")
