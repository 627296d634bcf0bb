"""Fits and answers about many heads: asked for in the window, computed in a worker of their own.

Apart from the geometry of the frames: a fit of every head takes seconds to minutes, and the picture
goes on moving meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.correlation import OBJECTIVES
from attnviz_gui.jobs.fitting import CloserRequest, FitRequest, SpaceRequest, groups
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.session.document import Sliders
from attnviz_gui.session.fits import ALL_TEXTS, Basis, HeadFit

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.geometry.honesty import Closer
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.ui.main_window import MainWindow


_OF_ALL_TEXTS = (
    "Fitted on all texts as one, with the mean query and key of all; one text alone has others. "
    "Show all texts together to see it; it is in the table."
)


class Fitting(QObject):
    """Submits fits, keeps what they find in the document, and says how they went."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.window = window
        self.document = window.document
        self.panel, self.bar = window.normalization_panel, window.normalization_panel.bar
        self.honesty = window.honesty
        self.workers = Worker("fits"), Worker("answers")
        self.runner, self.answerer = (Runner(worker, self) for worker in self.workers)
        self._request: FitRequest | None = None
        self._sliders: Sliders | None = None
        self._asked: CloserRequest | None = None
        self.bar.wanted.connect(self.fit)
        self.bar.cancel_wanted.connect(self.cancel)
        self.bar.table_wanted.connect(self.show_table)
        self.panel.wider_fit_wanted.connect(self.fit)
        self.runner.progressed.connect(self.bar.set_progress)
        self.runner.told.connect(self.panel.say)
        self.runner.finished.connect(self._found)
        self.runner.failed.connect(self._failed)
        self.runner.stopped.connect(lambda: self.bar.set_running(False))
        self.honesty.answers_wanted.connect(self.answer)
        self.answerer.finished.connect(self._answered)
        self.answerer.failed.connect(self._not_answered)
        self.document.picture_changed.connect(self._on_picture)
        self.document.fits_changed.connect(self._drop_old_answers)

    def fit(self) -> None:
        """Fit a and c, for the heads of the chosen scope."""
        document = self.document
        picture = document.picture
        if picture is None:
            return
        if picture.mix is not None:
            self.panel.say(picture.mix.no_vectors)
            return
        objective = OBJECTIVES[document.objective]
        basis = self._basis(picture)
        if self.bar.all_texts.isVisibleTo(self.bar) and self.bar.all_texts.isChecked():
            basis = replace(basis, text=ALL_TEXTS)
        here = (picture.layer, picture.head)
        heads = groups(
            picture.capture, self.bar.scope_name, here, pools_layer=objective.pools_layer
        )
        mode = document.sliders.mode
        self._request = FitRequest(
            picture.capture,
            basis,
            heads,
            objective.name,
            mode,
            self.panel.widened,
            self.panel.widened_scale,
        )
        self._sliders = document.sliders
        self.panel.say("Fitting…")
        self.bar.set_running(True)
        self.runner.submit(self._request)

    def cancel(self) -> None:
        """Stop the fit; what was kept before stays."""
        self.runner.cancel()
        self.panel.say("The fit was cancelled.")

    def _found(self, fits: list[HeadFit]) -> None:
        request = self._request
        assert request is not None
        if request.capture is not self.document.capture:
            self.panel.say("")
            return
        document, picture = self.document, self.document.picture
        moved = document.sliders != self._sliders
        document.keep_fits(request.basis, fits, move=not moved)
        now = document.basis
        if request.basis.text == ALL_TEXTS != now.text and request.mode != "constant":
            self.panel.say(_OF_ALL_TEXTS)
            return
        if replace(request.basis, text=now.text) != now or request.basis.text not in (
            ALL_TEXTS, now.text,
        ):  # fmt: skip
            self.panel.say("The fit of the vectors that were on show before is in the table.")
            return
        here = picture is not None and any(
            (fit.layer, fit.head) == (picture.layer, picture.head) for fit in fits
        )
        self.panel.show_fits(fits, moved=moved and here)

    def _failed(self, fault: BaseException) -> None:
        self.panel.say("")
        if not isinstance(fault, InputError):
            raise fault
        self.window.banner.say(str(fault), fault=True)

    # -- the article's question --------------------------------------------------------------

    def answer(self) -> None:
        """Ask whether pairs with high attention come closer, in this layer and in this model."""
        self._asked = self._question()
        if self._asked is not None:
            self.answerer.submit(self._asked)

    def _question(self) -> CloserRequest | None:
        document = self.document
        picture = document.picture
        if picture is None:
            return None
        basis = replace(document.basis, text=picture.text)
        return CloserRequest(
            picture.capture, basis, picture.layer, document.sliders, self._own_fits(picture),
            together=document.corpus is not None,
        )  # fmt: skip

    def _basis(self, picture: Picture) -> Basis:
        """Return the vectors that are on show: a text's, or all texts'."""
        text = picture.text if self.document.corpus is None else ALL_TEXTS
        return replace(self.document.basis, text=text)

    def _still_asked(self) -> bool:
        """Return whether what was asked is of the same vectors, each head still where it stood."""
        asked, now = self._asked, self._question()
        if asked is None or now is None or asked.capture is not now.capture:
            return False
        places = [(i, h) for i, of in enumerate(now.capture.layers) for h in range(of.n_heads)]
        same = (asked.basis, asked.together) == (now.basis, now.together)
        return same and all(
            asked.fits.get(place, asked.sliders) == now.fits.get(place, now.sliders)
            for place in places
        )

    def _drop_old_answers(self) -> None:
        """Take away answers of fits that are no longer those of the heads."""
        if self.honesty.answered and not self._still_asked():
            self.honesty.show_answers(None, None)

    def places(self, path: Path) -> SpaceRequest:
        """Return what writes the places of all heads, each under its own fit."""
        document = self.document
        picture = document.picture
        assert picture is not None
        basis = replace(document.basis, text=picture.text)
        return SpaceRequest(
            picture.capture, basis, document.sliders, self._own_fits(picture), path,
            together=document.corpus is not None,
        )  # fmt: skip

    def _own_fits(self, picture: Picture) -> dict[tuple[int, int], Sliders]:
        """Return where each head's own fit stands; the head on show stands as it is drawn."""
        basis = self._basis(picture)
        fits = {}
        for layer, of in enumerate(picture.capture.layers):
            for head in range(of.n_heads):
                kept = self.document.fits.of(basis, layer, head)
                if kept is not None and kept.found:
                    fits[layer, head] = Sliders(kept.mode, kept.t, kept.scale)
        fits.pop((picture.layer, picture.head), None)
        return fits

    def _answered(self, answers: tuple[Closer, Closer]) -> None:
        asked = self._asked
        assert asked is not None
        if not self._still_asked():
            self.honesty.show_answers(None, None)  # to be asked for anew
            return
        layer, model = answers
        self.honesty.show_answers(layer if asked.layer == self.document.layer else None, model)

    def _not_answered(self, fault: BaseException) -> None:
        if not isinstance(fault, InputError):
            self.honesty.show_answers(None, None)
            raise fault
        self.honesty.show_answers(str(fault), str(fault))

    # -- the table ---------------------------------------------------------------------------

    def show_table(self) -> None:
        """Open the table of all fits, or bring it to the front."""
        from attnviz_gui.ui.dialogs.fits_table import FitsTable

        FitsTable.open_for(self.document, self.window)

    def _on_picture(self) -> None:
        picture = self.document.picture
        several = picture is not None and len(picture.capture.texts) > 1
        self.bar.all_texts.setVisible(several)
        # What is drawn of all texts has one a, so that a fit of one alone would not be it.
        together = self.document.corpus is not None
        self.bar.all_texts.setEnabled(not together)
        if together:
            self.bar.all_texts.setChecked(True)
        request = self._request
        if request is not None and request.capture is not self.document.capture:
            self.runner.cancel()
        asked = self._asked
        if asked is not None and asked.capture is not self.document.capture:
            self._asked = None
            self.answerer.cancel()
        # Another head may bring its own fit: that is no move of the user's.
        self._sliders = self.document.sliders
        self._drop_old_answers()

    def close(self) -> None:
        """Cancel what runs, and wait for it."""
        self.document.picture_changed.disconnect(self._on_picture, missing_ok=True)
        self.document.fits_changed.disconnect(self._drop_old_answers, missing_ok=True)
        self.runner.close()
        self.answerer.close()
        for worker in self.workers:
            worker.close()
