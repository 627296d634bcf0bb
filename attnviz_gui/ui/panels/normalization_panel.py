"""Shift a and scale c: sliders, the fit, and the proof that the attention stays the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.geometry.correlation import OBJECTIVES
from attnviz_gui.geometry.normalization import (
    SCALE_RANGE,
    SHIFT_MODES,
    WIDEST_SCALES,
    ShiftMode,
    shift_range,
)
from attnviz_gui.session.curve import reach_of_scale
from attnviz_gui.session.document import MOST_SHIFT
from attnviz_gui.session.offload import LIVE_PAIRS, at_once
from attnviz_gui.session.words import number
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.panels.fit_bar import FitBar
from attnviz_gui.ui.panels.slider import RealSlider
from attnviz_gui.ui.signals import quiet
from attnviz_gui.ui.steady import Steady
from attnviz_gui.ui.views.curve import CurveView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtWidgets import QToolButton

    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.fits import HeadFit
    from attnviz_gui.session.offload import Offload
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.ui.theme import Theme

_PROVEN_AT_ONCE = 1 << 16  # pairs; more of them are proved in the worker, a few ms later
_MODES = {
    "constant": "the number a is added to every coordinate of every key",
    "centroid": "a = t · (mean query − mean key): at t = 1 keys and queries share their centre",
    "locked": "a follows c, a = c² · mean query − mean key: the centres stay together at every c",
    "balanced": "as centroid, after a change of axes that gives queries and keys equal spread in "
    "every direction; products stay as they are",
    "lifted": "as centroid, with one more coordinate that makes all keys equally long: distance "
    "then ranks the keys of a query exactly as attention does",
}


class NormalizationPanel(QGroupBox):
    """q' = c q, k' = (k + a) / c."""

    wider_fit_wanted = Signal()  # after the range was widened

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__("Normalisation", parent)
        self.document = document
        self.offload: Offload = at_once
        # How many times its first range each slider covers.
        self.widened = self.widened_scale = 1.0
        self._steady = Steady(self._follow_drag, self)
        formula = QLabel("q′ = c·q    k′ = (k + a) / c")
        formula.setToolTip("What the sliders do to every query q and every key k of the head.")

        self.mode = QComboBox()
        self.mode.setObjectName("shift_mode")
        self.mode.setAccessibleName("Shift mode")
        for mode in SHIFT_MODES:
            self.mode.addItem(mode, mode)
            self.mode.setItemData(self.mode.count() - 1, _MODES[mode], 3)  # Qt.ToolTipRole
        self.shift = RealSlider(
            "shift_slider", "Shift a", "Shift a: moves the keys; the attention stays the same."
        )
        self.wider = _wider("widen_button", "Widen the range of a")
        self.wider.setToolTip("Make the range of a twice as wide.")
        self.scale = RealSlider(
            "scale_slider",
            "Scale c",
            "Scale c, on a logarithmic scale: makes queries longer and keys shorter;\n"
            "the attention stays the same.",
            logarithmic=True,
        )
        self.scale.set_range(*SCALE_RANGE)
        self.wider_scale = _wider("widen_scale_button", "Widen the range of c")
        self.wider_scale.setToolTip(
            f"Make the range of c ten times as wide at both ends, at most from "
            f"{WIDEST_SCALES[0]:g} to {WIDEST_SCALES[1]:,.0f}."
        )

        self.objective = QComboBox()
        self.objective.setObjectName("objective_select")
        self.objective.setAccessibleName("Objective")
        for objective in OBJECTIVES.values():
            self.objective.addItem(objective.name, objective.name)
            tip = f"Rewards {objective.rewards}.\nFrom: {objective.source}."
            self.objective.setItemData(self.objective.count() - 1, tip, 3)
        self.objective.setToolTip("What Fit makes as large as it can.")
        self.curve = CurveView(document, theme)
        self.bar = FitBar()

        self.about_scale = self._line("about_scale")
        self.fitted = self._line("fit_line")
        self.proof = self._line("proof")
        self.proof.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.proof.setToolTip(
            "The attention is computed anew from q′ and k′ after every move.\n"
            "The difference that is left is rounding: q′·k′ = q·k + q·a, and the softmax\n"
            "ignores what is the same along a row."
        )

        form = QFormLayout()
        form.addRow("mode", self.mode)
        form.addRow("shift a", _row(self.shift, self.wider))
        form.addRow("scale c", _row(self.scale, self.wider_scale))
        form.addRow("objective", self.objective)
        column = QVBoxLayout(self)
        column.addWidget(formula)
        column.addLayout(form)
        column.addWidget(self.about_scale)
        column.addWidget(self.curve)
        column.addWidget(self.bar)
        column.addWidget(self.fitted)
        column.addWidget(self.proof)

        self.mode.currentIndexChanged.connect(self._on_mode)
        self.shift.moved.connect(lambda t: document.move(t=t))
        self.scale.moved.connect(lambda c: document.move(scale=c))
        for slider in (self.shift, self.scale):
            slider.held.connect(document.begin_drag)
            slider.let_go.connect(document.end_drag)
        self.shift.reset_wanted.connect(lambda: document.move(t=0.0))
        self.scale.reset_wanted.connect(lambda: document.move(scale=1.0))
        self.wider.clicked.connect(self._on_wider)
        self.wider_scale.clicked.connect(self._on_wider_scale)
        self.bar.reset.clicked.connect(self._on_reset)
        self.objective.currentIndexChanged.connect(
            lambda index: document.choose_objective(self.objective.itemData(index))
        )
        self.fitted.linkActivated.connect(self._on_widen_and_fit)
        document.picture_changed.connect(self._on_picture)
        document.frame_changed.connect(self._on_frame)
        document.settled.connect(self._prove)
        document.objective_changed.connect(self._on_objective)
        self._on_picture()

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.picture_changed.disconnect(self._on_picture, missing_ok=True)
        self.document.frame_changed.disconnect(self._on_frame, missing_ok=True)
        self.document.settled.disconnect(self._prove, missing_ok=True)
        self.document.objective_changed.disconnect(self._on_objective, missing_ok=True)
        self.curve.stop()

    def follow(self) -> None:
        """Show where the document's sliders stand, and what that leaves of the attention."""
        d = self.document
        sliders = d.sliders
        ready = d.picture is not None
        locked = sliders.mode == "locked"
        with quiet(self.mode):
            self.mode.setCurrentIndex(SHIFT_MODES.index(sliders.mode))
        self.mode.update()
        self.mode.setToolTip("How a is made from one number: " + _MODES[sliders.mode] + ".")
        self._set_shift_range()
        self._set_scale_range()
        self.shift.set_value(sliders.t)
        self.scale.set_value(sliders.scale)
        for widget in (self.mode, self.scale, self.bar, self.objective):
            widget.setEnabled(ready)
        self.shift.setEnabled(ready and not locked)
        widest = self.shift.reach >= MOST_SHIFT
        self.wider.setEnabled(ready and not locked and not widest)
        self.wider_scale.setEnabled(ready and self.scale.reach < WIDEST_SCALES[1])
        with quiet(self.objective):
            self.objective.setCurrentIndex(self.objective.findData(self.document.objective))
        self.about_scale.setText(self._about_scale())
        self._prove()

    def _on_frame(self) -> None:
        """Follow a moving slider: its number and the proof are all that is new then.

        The slider under the mouse is where it is already.
        """
        sliders = self.document.sliders
        if self.document.dragging and sliders.mode == self.mode.currentData():
            self._steady.soon()
        else:
            self.follow()

    def _follow_drag(self) -> None:
        self.shift.set_value(self.document.sliders.t)
        self.scale.set_value(self.document.sliders.scale)
        self._prove()

    def show_fits(self, fits: Sequence[HeadFit], *, moved: bool) -> None:
        """Say what a fit found; `moved`: the sliders were moved meanwhile, and stay."""
        picture = self.document.picture
        found = [fit for fit in fits if fit.found]
        if not found:
            self.say(fits[0].reason if fits else "")
            return
        own = [f for f in found if picture and (f.layer, f.head) == (picture.layer, picture.head)]
        fit = (own or found)[0]
        names = {"constant": "a", "locked": "c"}
        t = fit.scale if fit.mode == "locked" else fit.t
        where = f"{names.get(fit.mode, 't')} = {number(t)}"
        if OBJECTIVES[fit.objective].uses_scale and fit.mode != "locked":
            where += f", c = {number(fit.scale)}"
        head = "" if own else f"L{fit.layer} H{fit.head}: "
        line = f"{head}Best {where}: {fit.objective} {number(fit.before)} → {number(fit.value)}."
        if fit.together > 1:
            line += f" One for {fit.together:,} heads."
        elif len(fits) > 1:
            line += f" {len(found):,} of {len(fits):,} heads fitted: see the table."
        if moved:
            line += " The sliders were moved meanwhile and stay."
        if fit.edges:
            line += f" It lies at the end of the range{_of(fit)}; there may be a better one beyond."
            # What chooses from a list of its own, as `article`, has no range to widen.
            listed = fit.mode == "constant" and OBJECTIVES[fit.objective].candidates is not None
            ends = "t" if "t" in fit.edges and not listed and self.shift.reach < MOST_SHIFT else ""
            ends += "c" if "c" in fit.edges and self.scale.reach < WIDEST_SCALES[1] else ""
            if ends:
                line += f' <a href="widen {ends}">Widen and fit again</a>'
        self.say(line)

    def say(self, line: str) -> None:
        """Say what the last fit found, or why it found nothing."""
        self.fitted.setText(line)
        self.fitted.setVisible(bool(line))

    def _on_picture(self) -> None:
        self.say("")
        picture = self.document.picture
        n = 2
        if picture is not None:
            n += self.document.corpus is not None
            n += 2 * picture.before_rotary + (picture.drawn.sink is not None)
            n += 2 * (picture.drawn.softcap is not None)
        # As many lines as it may have with this head, always: one line more or less would lay out
        # the panel anew.
        self.proof.setMinimumHeight(n * self.proof.fontMetrics().lineSpacing() + 2)
        self.follow()

    def _on_objective(self) -> None:
        self.say("")
        self.follow()

    def _on_widen_and_fit(self, link: str) -> None:
        ends = link.split()[-1]
        if "t" in ends:
            self._on_wider()
        if "c" in ends:
            self._on_wider_scale()
        self.wider_fit_wanted.emit()

    def _on_mode(self, index: int) -> None:
        mode: ShiftMode = self.mode.itemData(index)
        t = {"constant": 0.0, "locked": 0.0}.get(mode, 1.0)
        if mode != self.document.sliders.mode:
            self.document.move(mode=mode, t=t)

    def _on_wider(self) -> None:
        self.widened *= 2
        self._widen()

    def _on_wider_scale(self) -> None:
        self.widened_scale *= 10
        self._widen()

    def _widen(self) -> None:
        self.curve.widen(self.widened, self.widened_scale)
        self.follow()

    def _on_reset(self) -> None:
        self.widened = self.widened_scale = 1.0
        self.curve.widen(1.0, 1.0)
        self.document.reset()
        self.follow()

    def _set_shift_range(self) -> None:
        picture = self.document.picture
        if picture is None:
            return
        sliders = self.document.sliders
        if sliders.mode == "constant":
            corpus = self.document.corpus
            if corpus is not None:
                high = corpus.reach
            else:
                high = shift_range("constant", picture.drawn.key)[1]
            reach = min(max(high * self.widened, abs(sliders.t), 1e-6), MOST_SHIFT)
            low, high = -reach, reach
        else:
            low, high = min(1.0 - self.widened, sliders.t), max(self.widened, sliders.t)
        self.shift.set_range(low, high, typed=(-MOST_SHIFT, MOST_SHIFT))

    def _set_scale_range(self) -> None:
        low, high = reach_of_scale(self.document.sliders.scale, self.widened_scale)
        self.scale.set_range(low, high, typed=WIDEST_SCALES)

    def _about_scale(self) -> str:
        if self.document.sliders.mode == "locked":
            return "a follows c: a = c²·q̄ − k̄."
        return OBJECTIVES[self.document.objective].about_scale

    def _prove(self) -> None:
        picture, frame = self.document.picture, self.document.frame
        if picture is None or frame is None:
            self.proof.setText("")
            return
        if picture.mix is not None:
            self.proof.setText(f"A {picture.mix.how} of heads has no a and no c.")
            return
        if picture.n_pairs <= _PROVEN_AT_ONCE:
            self._show_proof(picture.attention_difference(frame))
            return
        if self.document.dragging and picture.n_pairs > LIVE_PAIRS:
            # Millions of pairs at once beside the frames would take the frames' time.
            self.proof.setText("attention: proved where the slider rests")
            return
        # While a slider moves the line says what was last proved, a frame or two behind.
        if not self.document.dragging:
            self.proof.setText("attention: checking…")
        self.offload(
            lambda: (frame, picture.attention_difference(frame)), self._show_proof_if_current
        )

    def _show_proof_if_current(self, answer: Any) -> None:
        frame, difference = cast("tuple[Frame, float]", answer)
        now = self.document.frame
        if now is not None and frame.live is now.live and (frame is now or self.document.dragging):
            self._show_proof(difference)

    def _show_proof(self, difference: float) -> None:
        unchanged = difference < 1e-5
        size = "0" if difference == 0 else f"{difference:.0e}".replace("e-0", "e-")
        size = size.replace("-", "−")
        word = "unchanged" if unchanged else "CHANGED"
        mark = " ✓" if unchanged else ""
        picture = self.document.picture
        of = " of these vectors" if picture is not None and picture.before_rotary else ""
        line = f"attention{of} {word}: largest difference {size}{mark}"
        if picture is not None:
            line += _beside(picture, changed=not unchanged)
            if self.document.corpus is not None:
                line += f" (text {picture.text + 1}, under the a of all)"
        self.proof.setText(line)

    def _line(self, name: str) -> QLabel:
        label = QLabel()
        label.setObjectName(name)
        label.setWordWrap(True)
        label.setProperty("quiet", True)
        return label


def _wider(name: str, accessible: str) -> QToolButton:
    button = tool_button("↔")
    button.setObjectName(name)
    button.setAccessibleName(accessible)
    return button


def _row(slider: RealSlider, wider: QToolButton) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(2)
    row.addWidget(slider, 1)
    row.addWidget(wider)
    return row


def _of(fit: HeadFit) -> str:
    """Return of what a range is, where that is not plain."""
    return " of c" if fit.edges == ("c",) and fit.mode != "locked" else ""


def _beside(picture: Picture, *, changed: bool) -> str:
    """Return what has to be said beside the difference for it to be the whole truth."""
    words = ""
    head = picture.drawn
    if head.sink is not None:
        words += ", the sink's share held as it is"
    if changed and head.softcap is not None:
        words += ". This model caps its logits, so a is not free: the cap bends what a adds"
    if picture.before_rotary:
        words += ". The model's own attention also has the rotation"
    return words + "." if ". " in words else words
