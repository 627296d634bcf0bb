"""Fits of one head or many, and what many heads answer: requests that run in a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.session.document import Sliders
from attnviz_gui.session.fits import ALL_TEXTS, Basis, HeadFit

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from attnviz_gui.capture.progress import Report
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.geometry.fit import Fit
    from attnviz_gui.geometry.honesty import Closer
    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.geometry.normalization import ShiftMode
    from attnviz_gui.session.corpus import Corpus, HeadOfTexts
    from attnviz_gui.session.picture import Picture

Scope = Literal["head", "layer", "all", "layer together", "all together"]
SCOPES: dict[Scope, str] = {
    "head": "this head",
    "layer": "each head of the layer",
    "all": "every head",
    "layer together": "the layer, as one",
    "all together": "all heads, as one",
}
Place = tuple[int, int]  # layer, head


def groups(capture: Capture, scope: Scope, here: Place, *, pools_layer: bool) -> list[list[Place]]:
    """Return which heads are fitted, and which of them together.

    Parameters
    ----------
    here
        The head on show.
    pools_layer
        The objective is one of a whole layer: the heads of a layer are always fitted together.
    """
    layers = [[(i, h) for h in range(layer.n_heads)] for i, layer in enumerate(capture.layers)]
    own = layers[here[0]]
    if scope == "all together":
        return [[place for layer in layers for place in layer]]
    if scope == "layer together" or (pools_layer and scope in ("head", "layer")):
        return [own]
    if scope == "all":
        return layers if pools_layer else [[place] for layer in layers for place in layer]
    return [[here]] if scope == "head" else [[place] for place in own]


@dataclass(frozen=True, eq=False)
class Vectors:
    """The visible vectors of a head on a text; its attention only if an objective asks for it."""

    picture: Picture

    @property
    def query(self) -> npt.NDArray[np.floating]:
        """Queries, (T_q, d)."""
        return self.picture.drawn.query[self.picture.query_index]

    @property
    def key(self) -> npt.NDArray[np.floating]:
        """Keys, (T_k, d)."""
        return self.picture.drawn.key[self.picture.key_index]

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Allowed pairs, (T_q, T_k)."""
        return self.picture.mask

    @property
    def attention(self) -> npt.NDArray[np.float32]:
        """The model's own attention, (T_q, T_k)."""
        return self.picture.attention


@dataclass(frozen=True, eq=False)
class FitRequest:
    """Fit a and c for some heads.

    Attributes
    ----------
    basis
        Which vectors: a text, or all texts of the capture as one set.
    groups
        The heads; those of a group share one t and c.
    range_factor
        How many times the slider's first range of a is searched.
    scale_factor
        The same of c.
    """

    capture: Capture
    basis: Basis
    groups: Sequence[Sequence[Place]]
    objective: str
    mode: ShiftMode
    range_factor: float = 1.0
    scale_factor: float = 1.0

    def __call__(self, progress: Report, cancel: threading.Event) -> list[HeadFit]:
        """Return a fit of every head, in the order of the groups.

        Raises
        ------
        Cancelled
            When `cancel` is set.
        """
        found: list[HeadFit] = []
        total = 100 * len(self.groups)
        for i, group in enumerate(self.groups):
            words = f"Fitting {_name(group)}"
            words += f" ({i + 1} of {len(self.groups)})" if len(self.groups) > 1 else ""
            done = 100 * i
            progress(done, total, words)
            found += self._fit(
                group,
                lambda n, of, done=done, words=words: progress(done + 99 * n // of, total, words),
                cancel,
            )
        return found

    def _fit(self, group: Sequence[Place], step: object, cancel: threading.Event) -> list[HeadFit]:
        from attnviz_gui.geometry.fit import Landscape, fit

        heads = [self._head(place) for place in group]
        before = float("nan")
        try:
            raw = Landscape(heads, self.objective, "constant")
            before = float(raw.value([0.0], 1.0).value[0])
            found = fit(
                heads, self.objective, shift_mode=self.mode, range_factor=self.range_factor,
                scale_factor=self.scale_factor, progress=step, cancel=cancel,  # type: ignore[arg-type]
            )  # fmt: skip
        except InputError as error:
            return [self._kept(place, None, before, group, str(error)) for place in group]
        return [self._kept(place, found, before, group) for place in group]

    def _head(self, place: Place) -> Vectors | HeadOfTexts:
        """Return what is fitted of a head: its vectors on one text, or all texts' as one set."""
        if self.basis.text == ALL_TEXTS:
            return _texts(self.capture, self.basis, place).as_head
        return Vectors(pictures(self.capture, self.basis, place)[0])

    def _kept(
        self, place: Place, fit: Fit | None, before: float, group: Sequence[Place],
        reason: str = "",
    ) -> HeadFit:  # fmt: skip
        nan = float("nan")
        t = scale = value = nan
        if fit is not None:
            t, scale = (0.0, fit.t) if self.mode == "locked" else (fit.t, fit.scale)
            value = fit.value
        return HeadFit(
            *place, self.objective, self.mode, t, scale, value, before,
            () if fit is None else fit.edges,
            tuple(group) if len(group) > 1 else (), reason, self.range_factor, self.scale_factor,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class CloserRequest:
    """Whether pairs with high attention come closer, for a layer and for the whole model.

    Each head stands under its own fit, and where it has none under `sliders`.

    Attributes
    ----------
    together
        A shift that follows means takes those of all texts, not those of the basis' text.
    """

    capture: Capture
    basis: Basis
    layer: int
    sliders: Sliders
    fits: Mapping[Place, Sliders]
    together: bool = False

    def __call__(self, progress: Report, cancel: threading.Event) -> tuple[Closer, Closer]:
        """Return the layer's answer and the model's."""
        from attnviz_gui.geometry.honesty import closer, join_closer

        n = len(self.capture.layers)
        answers = []
        for layer in range(n):
            progress(layer, n, f"Measuring layer {layer}")
            answers.append(closer(self._frames(layer), cancel=cancel))
        return answers[self.layer], join_closer(answers)

    def _frames(self, layer: int) -> Iterator[tuple[Frame, Frame]]:
        from attnviz_gui.session.corpus import under

        for head in range(self.capture.layers[layer].n_heads):
            s = self.fits.get((layer, head), self.sliders)
            texts = _texts(self.capture, self.basis, (layer, head)) if self.together else None
            for picture in pictures(self.capture, self.basis, (layer, head)):
                yield picture.before, under(picture, s, texts)


@dataclass(frozen=True, eq=False)
class SpaceRequest:
    """Write where every token of every head lies in one plane of all layers.

    Each head stands under its own fit, and where it has none under `sliders`; a shift that
    follows means takes those of the basis' text, or `together` those of all texts.
    """

    capture: Capture
    basis: Basis
    sliders: Sliders
    fits: Mapping[Place, Sliders]
    path: Path
    together: bool = False

    def __call__(self, progress: Report, cancel: threading.Event) -> tuple[Path, int, int]:
        """Return the file, how many heads it holds, and how many have no place in the plane."""
        from attnviz_gui.export.space import export_space, space_of
        from attnviz_gui.session.corpus import under

        chosen = {}
        places = [
            (i, h) for i, layer in enumerate(self.capture.layers) for h in range(layer.n_heads)
        ]
        for n, place in enumerate(places):
            if cancel.is_set():
                raise Cancelled("cancelled")
            progress(n, len(places), "Placing all heads")
            s = self.fits.get(place, self.sliders)
            if s == Sliders():
                continue
            picture = pictures(self.capture, self.basis, place)[0]
            texts = _texts(self.capture, self.basis, place) if self.together else None
            chosen[place] = under(picture, s, texts).normalization
        space = space_of(self.capture, chosen, cancel=cancel)
        path = export_space(space, self.path, cancel=cancel)
        return path, len(places) - len(space.left_out), len(space.left_out)


def pictures(capture: Capture, basis: Basis, place: Place) -> list[Picture]:
    """Return a head's pictures on the basis' texts."""
    from attnviz_gui.session.picture import make_picture

    texts = range(len(capture.texts)) if basis.text == ALL_TEXTS else [basis.text]
    return [
        make_picture(capture, text, *place, show_special=basis.show_special, rotary=basis.rotary)
        for text in texts
    ]


def _texts(capture: Capture, basis: Basis, place: Place) -> Corpus:
    """Return a head on all texts."""
    from attnviz_gui.session.corpus import corpus_of

    return corpus_of(capture, *place, show_special=basis.show_special, rotary=basis.rotary)


def _name(group: Sequence[Place]) -> str:
    (layer, head), last = group[0], group[-1]
    if len(group) == 1:
        return f"L{layer} H{head}"
    return f"layer {layer}" if layer == last[0] else f"{len(group)} heads as one"
