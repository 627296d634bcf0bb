"""Has all heads measured in a worker, one request after the other; draws nothing.

What is wanted is a set of ticks; `Measuring` looks what of it is missing, asks for that, and keeps
the answer in the document. Another capture or text, or another tick, and it looks anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from attnviz_gui.analysis.catalogue import BASELINES, KEPT, PICTURE, REPEATED
from attnviz_gui.analysis.heads import ALL_TEXTS, HeadMeasures
from attnviz_gui.analysis.measures import MEASURES
from attnviz_gui.errors import InputError
from attnviz_gui.jobs.baselines import BaselineFitsRequest, BaselineRequest, RepeatedRequest
from attnviz_gui.jobs.measuring import (
    ClusterRequest,
    Likeness,
    LikeRequest,
    MeasureRequest,
    PictureRequest,
)
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.session.fits import Fits
from attnviz_gui.session.head_measures import fitted, unfitted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnviz_gui.analysis.likeness import Clusters
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.jobs.elsewhere import Baseline
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.head_measures import Fitted

REST_MS = 200  # going through texts waits for no measure
N_GROUPS = 6
# The first column of each part of the table.
FIRST = {"attention": MEASURES[0].name, "pictures": PICTURE[0].name, "repeated": REPEATED.name}


@dataclass(frozen=True)
class Wanted:
    """What the table is to show.

    Attributes
    ----------
    all_texts : bool
        The mean over all texts in place of the text on show.
    with_special : bool
    pictures, repeated, fits : bool
        What the picture keeps, induction on a repeated sequence, fitted a and c.
    shuffled, random : bool
        The two baselines.
    like : (layer, head) or None
        The head that all others are compared with.
    groups : int
        How many groups of heads that are alike; 0: none.
    """

    all_texts: bool = False
    with_special: bool = True
    pictures: bool = False
    repeated: bool = False
    fits: bool = False
    shuffled: bool = False
    random: bool = False
    like: tuple[int, int] | None = None
    groups: int = 0


class Measuring(QObject):
    """What is known of all heads, and what is being found out."""

    changed = Signal()  # numbers came, or went
    wanted_changed = Signal()
    said = Signal(str)  # what is being done, or why something is not; empty: nothing
    progressed = Signal(int, int)
    running_changed = Signal(bool)

    def __init__(
        self, document: Document, model_worker: Worker | None = None, runs: Runner | None = None,
        parent: QObject | None = None,
    ) -> None:  # fmt: skip
        """`model_worker` is the one that runs models, and its `runs` go before the baselines."""
        super().__init__(parent)
        self.document = document
        self.wanted = Wanted()
        self.likeness: Likeness | None = None
        self.clusters: Clusters | None = None
        # By baseline, and "" for the text itself: all distances and what they are of; and fits.
        self._near: dict[str, tuple[Any, Any]] = {}
        self._fits: dict[str, Fits] = {}
        self._capture = document.capture
        self._pictures_of: tuple[str, bool] | None = None
        self._active = False
        self._halted = False  # until something else is wanted
        self._worker = Worker("heads")
        self._runs = runs
        self._runners = Runner(self._worker, self), Runner(model_worker or self._worker, self)
        self._option = ""  # of `Wanted` whose request is under way
        # What the request under way is about, and what the answers before were.
        self._of: tuple[Any, ...] = ()
        self._basis_of: tuple[Any, ...] = ()
        self._like_of: tuple[Any, ...] = ()
        self._groups_of = 0
        for runner in self._runners:
            runner.told.connect(self.said)
            runner.progressed.connect(self.progressed)
            runner.finished.connect(self._take)
            runner.failed.connect(self._failed)
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._next)
        if runs is not None:
            runs.started.connect(self._give_way)
            runs.stopped.connect(self._look)
        document.picture_changed.connect(self._on_picture)
        document.fits_changed.connect(self._on_fits)
        document.objective_changed.connect(self._on_objective)
        document.head_measures_changed.connect(self._on_measures)
        document.head_measures_wanted.connect(self._look_once)

    # -- what is wanted ----------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """True while something is being found out."""
        return any(runner.running for runner in self._runners)

    @property
    def measures(self) -> HeadMeasures | None:
        """What is known, None where it is of another text or other tokens."""
        found = self.document.head_measures
        return found if found is not None and self._fits_what_is_wanted(found) else None

    @property
    def alike(self) -> Likeness | None:
        """How far all heads are from the wanted one; None where that is of another text."""
        return self.likeness if self._is_of(self.likeness, self._here()) else None

    @property
    def groups(self) -> Clusters | None:
        """Groups of the text on show, perhaps as many as were wanted before; None without."""
        found = self.clusters
        if found is None or not self.wanted.groups:
            return None
        of = (found.capture, found.text, found.with_special)
        return found if of == self._here() else None

    def set_active(self, active: bool) -> None:
        """Measure whenever something changes, as long as somebody looks."""
        self._active = active
        if active:
            self._look()

    def want(self, **changes: Any) -> None:
        """Want something else."""
        wanted = replace(self.wanted, **changes)
        if wanted == self.wanted:
            return
        self.wanted = wanted
        self._halted = False
        self._stop()
        self.said.emit("")
        self._on_fits()
        self.wanted_changed.emit()
        self.changed.emit()
        self._next()

    def cancel(self) -> None:
        """Stop what is under way and what waits for it; what is known stays.

        What was ticked for them is ticked no longer.
        """
        if not self.running:
            return
        option = self._option
        self._stop()
        if option:
            self._untick(option, all_missing=True)
        else:
            self._halted = True
        self.said.emit("Cancelled; what was found before stays.")

    def measure(self) -> None:
        """Measure now, also after a cancel."""
        self._halted = False
        self._next()

    def close(self) -> None:
        """Cancel what runs, wait for it, and follow nothing any longer."""
        self._rest.stop()
        d = self.document
        for signal, slot in (
            (d.picture_changed, self._on_picture),
            (d.fits_changed, self._on_fits),
            (d.objective_changed, self._on_objective),
            (d.head_measures_changed, self._on_measures),
            (d.head_measures_wanted, self._look_once),
        ):
            signal.disconnect(slot, missing_ok=True)
        for runner in self._runners:
            runner.close()
        self._worker.close()

    # -- what is missing ---------------------------------------------------------------------

    def _look(self) -> None:
        if self._active:
            self._rest.start()

    def _look_once(self) -> None:
        """Somebody else wants to see the measures: though nobody looks at the table."""
        if self.measures is None and not self.running:
            self._begin("", MeasureRequest(*self._basis()), 0)

    def _next(self) -> None:
        """Ask for the next thing that is missing."""
        capture = self.document.capture
        if capture is None or not self._active or self._halted or self.running:
            return
        basis, here, found = self._basis(), self._here(), self.measures
        if found is None:
            self._begin("", MeasureRequest(*basis), 0)
            return
        wanted, option = self.wanted, next(self._missing(), "")
        if option == "like" and wanted.like is not None:
            self._begin(option, LikeRequest(capture, wanted.like, here[1], wanted.with_special), 0)
        elif option == "groups":
            self._begin(option, self._groups_request(), 0)
        elif option == "pictures":
            self._pictures_of = self._picture_kind()
            self._begin(option, PictureRequest(*basis, *self._picture_kind()), 0)
        elif self._runs is not None and self._runs.running:
            return  # the model is busy; `_look` comes when it is not
        elif option == "repeated":
            self._begin(option, RepeatedRequest(*basis), 1)
        elif option:
            self._begin(option, self._beside(option), 1)

    def _missing(self) -> Iterator[str]:
        """Yield what is ticked and not known yet, in the order in which it is asked for."""
        wanted, here, found = self.wanted, self._here(), self.measures
        if found is None:
            return
        if wanted.like and not self._is_of(self.likeness, here):
            yield "like"
        if wanted.groups and not self._grouped(here):
            yield "groups"
        if wanted.pictures and (
            PICTURE[0].name not in found.names or self._pictures_of != self._picture_kind()
        ):
            yield "pictures"
        if wanted.repeated and REPEATED.name not in found.names:
            yield "repeated"
        for which in BASELINES:
            if getattr(wanted, which) and self._beside(which) is not None:
                yield which

    def _beside(self, name: str) -> Any:
        """Return what asks for the next thing that a baseline lacks; None where it lacks none."""
        found, wanted, here = self.measures, self.wanted, self._here()
        assert found is not None
        which: Baseline = "shuffled" if name == "shuffled" else "random"
        capture, text, with_special = self._basis()
        if parts := self._lacking(found, which):
            kind = self._picture_kind()
            return BaselineRequest(capture, which, text, with_special, parts, *kind)
        if wanted.fits and (fits := self._unfitted(found, which)):
            return BaselineFitsRequest(capture, which, fits)
        likeness, groups = self.alike, self.groups
        if likeness is not None and which not in likeness.baselines:
            return LikeRequest(capture, likeness.of, here[1], with_special, which)
        if groups is not None and self._grouped(here) and which not in groups.baselines:
            return self._groups_request(which)
        return None

    def _groups_request(self, which: Baseline | None = None) -> ClusterRequest:
        capture, text, with_special = self._here()
        assert capture is not None
        of, known = self._near.get(which or "", (None, None))
        return ClusterRequest(
            capture, self.wanted.groups, text, with_special,
            known if of == self._here() else None, which, self.clusters if which else None,
        )  # fmt: skip

    def _unfitted(self, found: HeadMeasures, which: str) -> list[Fitted]:
        there = self._fits.setdefault(which, Fits())
        rotary = self.document.options.rotary
        return unfitted(found, self.document.fits, there, rotary=rotary)

    def _lacking(self, found: HeadMeasures, which: str) -> tuple[str, ...]:
        """Return which parts of the table a baseline has not been measured for."""
        beside = found.baselines.get(which)
        names = () if beside is None else beside.names
        wanted = {
            "attention": True, "pictures": self.wanted.pictures, "repeated": self.wanted.repeated,
        }  # fmt: skip
        return tuple(
            part for part, first in FIRST.items() if wanted[part] and first not in names
        )  # fmt: skip

    def _basis(self) -> tuple[Capture, int, bool]:
        capture = self.document.capture
        assert capture is not None
        every = self.wanted.all_texts and len(capture.texts) > 1
        return capture, ALL_TEXTS if every else self.document.text, self.wanted.with_special

    def _here(self) -> tuple[Capture | None, int, bool]:
        """Return what heads are compared on: the text on show."""
        return self.document.capture, self.document.text, self.wanted.with_special

    def _picture_kind(self) -> tuple[str, bool]:
        return self.document.objective, self.document.options.rotary

    def _fits_what_is_wanted(self, found: HeadMeasures) -> bool:
        if self.document.capture is None:
            return False
        capture, text, with_special = self._basis()
        return (
            found.capture is capture and (found.text, found.with_special) == (text, with_special)
        )  # fmt: skip

    def _is_of(self, likeness: Likeness | None, here: tuple[Any, ...]) -> bool:
        return (
            likeness is not None
            and self._like_of == here
            and likeness.of == self.wanted.like
        )  # fmt: skip

    def _grouped(self, here: tuple[Any, ...]) -> bool:
        found = self.clusters
        return (
            found is not None
            and (found.capture, found.text, found.with_special) == here
            and self._groups_of == self.wanted.groups
        )

    # -- asking and being answered -----------------------------------------------------------

    def _begin(self, option: str, request: Any, worker: int) -> None:
        self._option = option
        self._of = self._here()
        self._basis_of = self._basis()
        self._runners[worker].submit(request)
        self.running_changed.emit(True)

    def _stop(self) -> None:
        for runner in self._runners:
            runner.cancel()
        self._option = ""
        self.running_changed.emit(False)

    def _take(self, found: Any) -> None:
        """Keep an answer, and ask for the next."""
        option, self._option = self._option, ""
        if self._basis_of == self._basis():
            self._keep(option, found)
        self.running_changed.emit(False)
        self.said.emit("")
        self.changed.emit()
        self._next()

    def _keep(self, option: str, found: Any) -> None:
        before = self.measures
        if option == "like":
            self.likeness, self._like_of = found, self._of
        elif option == "groups":
            self.clusters, distances = found
            self._groups_of, self._near[""] = self.wanted.groups, (self._of, distances)
        elif option == "":
            self._pictures_of = None
            self._show(found)
        elif before is not None:
            if option in BASELINES:
                self._keep_beside(option, found, before)
            elif option == "pictures":
                for which, there in before.baselines.items():  # of another objective, perhaps
                    before = before.beside(which, there.without(KEPT))
                self._show(before.extended(found))
            else:
                self._show(before.extended(found))

    def _keep_beside(self, which: str, found: Any, before: HeadMeasures) -> None:
        if isinstance(found, HeadMeasures):
            there = before.baselines.get(which)
            self._show(before.beside(which, there.extended(found) if there else found))
        elif isinstance(found, Likeness):
            if self.likeness is not None and self._like_of == self._of:
                beside = {**self.likeness.baselines, which: found.distances}
                self.likeness = replace(self.likeness, baselines=beside)
        elif isinstance(found, list):
            for basis, fit in found:
                self._fits[which].keep(basis, [fit])
            self._show(before)
        else:
            clusters, distances = found
            self._near[which] = self._of, distances
            if self._grouped(self._of):
                self.clusters = clusters

    def _show(self, measures: HeadMeasures) -> None:
        if self.wanted.fits:
            own, rotary = self.document.fits, self.document.options.rotary
            measures = fitted(measures, own, rotary=rotary)
            for which, there in measures.baselines.items():
                fits = self._fits.setdefault(which, Fits())
                measures = measures.beside(which, fitted(there, fits, rotary=rotary, asked=own))
        self.document.keep_head_measures(measures)

    def _failed(self, fault: BaseException) -> None:
        option = self._option
        self._stop()
        if not isinstance(fault, InputError):
            self._halted = True
            raise fault
        if option:
            self._untick(option)
        self.said.emit(str(fault))

    def _untick(self, option: str, *, all_missing: bool = False) -> None:
        none: dict[str, Any] = {"like": None, "groups": 0}
        while option:
            self.wanted = replace(self.wanted, **{option: none.get(option, False)})
            option = next(self._missing(), "") if all_missing else ""
        self.wanted_changed.emit()
        self.changed.emit()
        self._next()

    def _give_way(self) -> None:
        """A run of the model goes before its baselines, which begin anew after it."""
        if self._runners[1].running:
            self._runners[1].cancel()
            self._option = ""
            self.running_changed.emit(False)

    # -- following the document --------------------------------------------------------------

    def _forget(self) -> None:
        """Forget what is known of another capture, which would keep its memory."""
        self.likeness, self.clusters = None, None
        self._near, self._fits = {}, {}
        self._like_of = ()

    def _on_picture(self) -> None:
        if self._capture is not self.document.capture:
            self._capture = self.document.capture
            self._forget()
        if self.running and self._basis_of != self._basis():
            self._stop()
        if self.wanted.like is not None:
            layer, head = self.wanted.like
            layers = self._basis()[0].layers
            if layer >= len(layers) or head >= layers[layer].n_heads:
                self.want(like=None)
        if self._basis_of != self._basis():  # another head of the same text begins nothing anew
            self._halted = False
        self.changed.emit()
        self._look()

    def _on_objective(self) -> None:
        if self.wanted.pictures:
            self._look()

    def _on_measures(self) -> None:
        self.changed.emit()

    def _on_fits(self) -> None:
        found = self.measures
        if self.wanted.fits and found is not None:
            self._show(found)
            self._look()
