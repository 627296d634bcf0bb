"""The three pictures without a window: text to heatmap.png, scatter.png and embedding.png."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.fit import fit
from attnviz_gui.geometry.normalization import SCALE_RANGE
from attnviz_gui.session.document import MOST_SHIFT, Document
from attnviz_gui.session.files import as_path

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.jobs.requests import Long

WORDS = ("centroid", "fit")


def render(
    text: str,
    out: str | Path,
    *,
    source: str = "bundled",
    layer: int = 0,
    head: int = 0,
    shift: str = "0",
    scale: str = "1",
    long: Long = "refuse",
    pixels: int = 2,
) -> list[str]:
    """Run a model on a text and write the three pictures of one head.

    Parameters
    ----------
    text, source
        The text; ``"bundled"``, a model folder or a hub id.
    out
        Folder, made if missing. Of a text split into several, each has a folder in it.
    layer, head
        Counted from 0.
    shift, scale
        Numbers, or ``"centroid"`` (shift alone) and ``"fit"``.
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
    shift_wish, scale_wish = _wish("shift", shift), _wish("scale", scale)
    folder = as_path(out)
    if not str(out).strip():
        raise InputError("--out names no folder")
    _check_folder(folder)

    from attnviz_gui.capture.models import load_model
    from attnviz_gui.capture.recorder import record_text

    capture = record_text(load_model(source), text, long=long)
    _check_head(capture, layer, head)

    document = Document()
    document.open(capture)
    notes = []
    several = len(capture.texts) > 1
    for index in range(len(capture.texts)):
        document.show_head(layer, head, index)
        _place(document, shift_wish, scale_wish)
        _write(document, folder / f"text-{index + 1}" if several else folder, pixels)
    if several:
        notes.append(f"the text was split into {len(capture.texts)} parts, one folder for each")
    if capture.cut_from is not None:
        notes.append(
            f"the pictures show the first {len(capture.tokens[0])} of {capture.cut_from} tokens: "
            "all that the model can read at once"
        )
    return notes


def _wish(what: str, text: str) -> float | str:
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
    low, high = SCALE_RANGE
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


def _check_head(capture: Capture, layer: int, head: int) -> None:
    if not 0 <= layer < len(capture.layers):
        last = len(capture.layers) - 1
        raise InputError(f"there is no layer {layer}; --layer goes from 0 to {last}")
    if not 0 <= head < capture.layers[layer].n_heads:
        last = capture.layers[layer].n_heads - 1
        raise InputError(f"there is no head {head}; --head goes from 0 to {last} in this layer")


def _place(document: Document, shift: float | str, scale: float | str) -> None:
    """Put the sliders where they are wished."""
    picture = document.picture
    assert picture is not None
    c = 1.0 if isinstance(scale, str) else scale
    if shift == "centroid":
        document.move(mode="centroid", t=1.0, scale=c)
    elif isinstance(shift, str):
        found = fit(picture.live)
        document.move(mode="constant", t=found.t, scale=c)
    else:
        document.move(mode="constant", t=shift, scale=c)


def _write(document: Document, folder: Path, pixels: int) -> None:
    from attnviz_gui.ui.application import start_offscreen
    from attnviz_gui.ui.figure import draw_figure, write_png
    from attnviz_gui.ui.views.catalogue import VIEWS

    start_offscreen()
    for view in VIEWS:
        write_png(draw_figure(view, document, scale=pixels), folder / f"{view.name}.png")
