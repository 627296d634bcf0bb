"""Attention rollout up to the layer on show, as a matrix: computed away from the window's thread.

The view asks `compute` for what it shows, and shows a sentence until it is there. What was computed
is kept with the capture for as long as somebody holds that, so that a figure need not compute it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from attnviz_gui.analysis.rollout import mean_attention, rolled_layers, rollout
from attnviz_gui.errors import InputError
from attnviz_gui.session.words import number
from attnviz_gui.ui.views.other_matrix import OtherMatrix
from attnviz_gui.ui.views.painted import Choosable

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.other_matrix import FloatArray

    Compute = Callable[["RolloutRequest", Callable[[FloatArray], None]], None]

KEPT = 2  # matrices of one capture: going back and forth computes nothing
DEFINITION = (
    "How much of each token (key) has reached each place (query) after all layers up to this one: "
    "in each layer the heads are averaged to A, the residual connection counts half, 0.5 A + 0.5 I "
    "with rows that sum to 1, and the layers are multiplied (Abnar & Zuidema 2020)."
)

_kept: WeakKeyDictionary[Capture, dict[tuple[int, int, str], FloatArray]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class RolloutRequest:
    """All that a rollout needs.

    Attributes
    ----------
    through
        ``"all"`` layers up to this one, or this ``"one"``: its heads' mean.
    """

    capture: Capture
    layer: int
    text: int
    through: str

    @property
    def key(self) -> tuple[int, int, str]:
        """What tells it apart from others of the same capture."""
        return self.text, self.layer, self.through

    def __call__(self, progress: Any, cancel: Any) -> FloatArray:
        """Compute it, (T, T); raises Cancelled."""
        if self.through == "one":
            return mean_attention(self.capture, self.layer, self.text, cancel=cancel)

        def tell(done: int, total: int) -> None:
            progress(done, total, "Rolling out…")

        return rollout(self.capture, self.layer, self.text, progress=tell, cancel=cancel)


def compute_here(request: RolloutRequest, then: Callable[[FloatArray], None]) -> None:
    """Compute here and now, as a figure does."""
    then(request(lambda *_: None, None))


class RolloutView(OtherMatrix):
    """Rollout through the layers, or the mean over one layer's heads."""

    name = "rollout"
    legend = "rollout"
    choosable: ClassVar = (
        Choosable(
            "through",
            "Layers",
            (
                ("all", "all layers up to here", DEFINITION),
                ("one", "this layer", "The mean over the heads of this layer alone."),
            ),
        ),
    )

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Attention rollout")
        self.setToolTip(DEFINITION)
        self.compute: Compute = compute_here
        self.stopped = False  # the user has cancelled what is shown next
        self._asked: RolloutRequest | None = None

    # -- what is shown -----------------------------------------------------------------------

    def request(self) -> RolloutRequest | None:
        """Return what the document asks for, None without a picture."""
        picture = self.document.picture
        if picture is None:
            return None
        through = self.choices["through"]
        return RolloutRequest(picture.capture, picture.layer, picture.text, through)

    def chosen(self) -> None:
        """Another choice of layers."""
        self.bar.title = "rollout" if self.choices["through"] == "all" else "mean attention"
        self._asked, self.stopped = None, False

    def whole(self) -> FloatArray | None:
        """Return the matrix of all tokens, where it has been computed."""
        request = self.request()
        return None if request is None else _kept.get(request.capture, {}).get(request.key)

    def values(self) -> FloatArray | None:
        """Return the matrix among the visible tokens."""
        picture, whole = self.document.picture, self.whole()
        if picture is None or whole is None:
            return None
        if picture.whole:
            return whole
        return np.ascontiguousarray(whole[np.ix_(picture.query_index, picture.key_index)])

    def refusal(self) -> str:
        """Say why a rollout has no meaning here; empty where it has one."""
        request = self.request()
        if request is None or request.through == "one":
            return ""
        try:
            rolled_layers(request.capture, request.layer, request.text)
        except InputError as error:
            return str(error)
        return ""

    def reason(self) -> str:
        """Say why there is nothing to see, or that it is being computed."""
        refusal = self.refusal()
        if refusal or self.whole() is not None:
            return refusal
        return (
            "Cancelled; choose another layer and come back to begin anew."
            if self.stopped
            else ("Being computed…")
        )

    def draw_picture(self) -> None:
        """Ask for what the document shows, unless it is there."""
        request = self.request()
        asked = self._asked
        if request is not None and not self.refusal() and self.whole() is None:
            same = asked is not None and (asked.capture, asked.key) == (
                request.capture, request.key,
            )  # fmt: skip
            if not same:
                self._asked, self.stopped = request, False
                self.compute(request, partial(self.take, request))
                if self.whole() is not None:
                    return  # computed at once, and drawn
        elif request is not None:
            self._asked = None
        super().draw_picture()

    def take(self, request: RolloutRequest, values: FloatArray) -> None:
        """Keep what was computed, and draw it if it is still what is asked for."""
        kept = _kept.setdefault(request.capture, {})
        while len(kept) >= KEPT:
            del kept[next(iter(kept))]
        kept[request.key] = values
        self._asked = None
        if self.document.picture is not None:
            self._picture_changed()

    def give_up(self) -> None:
        """What was asked for is not coming: it was cancelled."""
        if self._asked is not None:
            self.stopped = True
            if self.document.picture is not None:
                self._picture_changed()

    def mask_of(self, picture: Picture) -> npt.NDArray[np.bool_]:
        """Return the pairs that can have anything: for a causal model, keys not after the query."""
        if self.choices["through"] == "one":
            return picture.mask
        values = self.values()
        assert values is not None
        return values > 0 if not picture.mask.all() else picture.mask

    # -- in words ----------------------------------------------------------------------------

    def title(self) -> str:
        """Which layers."""
        picture = self.document.picture
        if picture is None:
            return "Attention rollout"
        if self.choices["through"] == "one":
            return f"Mean attention of layer {picture.layer}"
        if self.refusal():
            return f"Attention rollout  layer {picture.layer}"
        layers = rolled_layers(picture.capture, picture.layer, picture.text)
        told = f"layers {layers[0]}–{layers[-1]}" if len(layers) > 1 else f"layer {layers[0]}"
        return f"Attention rollout  {told}"

    def numbers(self) -> str:
        """The definition in short, and the largest entry."""
        words = super().numbers()
        if not words:
            return ""
        return words if self.choices["through"] == "one" else f"∏ (½ A + ½ I) · {words}"

    def describe_pair(self, picture: Picture, query: int, key: int, value: float) -> list[str]:
        """The rollout, and the head's own attention."""
        attention = number(float(picture.attention[query, key]))
        if self.choices["through"] == "one":
            return [f"mean over the heads {number(value)}", f"{picture.name} alone {attention}"]
        return [
            f"{number(100 * value)} % of what is here came from there",
            f"attention of {picture.name} {attention}",
        ]
