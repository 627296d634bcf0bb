"""A slider over real numbers, with a box beside it in which the number can be typed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

from attnviz_gui.ui.signals import quiet

if TYPE_CHECKING:
    from PySide6.QtGui import QMouseEvent

STEPS = 2000  # of a whole slider: finer than its pixels


class ResetSlider(QSlider):
    """A horizontal slider that a double click puts back."""

    reset_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setRange(0, STEPS)
        self.setSingleStep(STEPS // 200)
        self.setPageStep(STEPS // 20)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Ask for the resting value."""
        self.reset_wanted.emit()
        event.accept()


class NumberBox(QDoubleSpinBox):
    """A box for a number with a decimal point, or with a decimal comma: ``1,5`` is 1.5."""

    def validate(self, text: str, position: int) -> object:
        """Say whether a text is a number."""
        state, _, position = cast(
            "tuple[object, str, int]", super().validate(_point(text), position)
        )
        return state, text, position

    def valueFromText(self, text: str) -> float:
        """Return the number that a text stands for."""
        return super().valueFromText(_point(text))


def _point(text: str) -> str:
    return text.replace(",", ".")


class RealSlider(QWidget):
    """Slider and box for one real number; linear, or logarithmic for positive ranges."""

    moved = Signal(float)  # by the user, with the mouse, the keyboard or typed
    held = Signal()
    let_go = Signal()
    reset_wanted = Signal()

    def __init__(self, name: str, accessible: str, tip: str, *, logarithmic: bool = False) -> None:
        super().__init__()
        self._log = logarithmic
        self._low, self._high = (0.1, 10.0) if logarithmic else (-1.0, 1.0)
        self._value = 1.0 if logarithmic else 0.0
        self.slider = ResetSlider()
        self.slider.setObjectName(name)
        self.slider.setAccessibleName(accessible)
        self.slider.setToolTip(tip + "\nDouble click resets it.")
        self.box = NumberBox()
        self.box.setObjectName(name.replace("slider", "value"))
        self.box.setAccessibleName(f"{accessible}, typed")
        self.box.setToolTip(tip)
        self.box.setDecimals(4)
        self.box.setKeyboardTracking(False)
        self.box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.box.setFixedWidth(74)
        self.box.setAlignment(Qt.AlignmentFlag.AlignRight)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.box)
        self.slider.valueChanged.connect(self._on_slider)
        self.box.valueChanged.connect(self._on_box)
        self.slider.sliderPressed.connect(self.held)
        self.slider.sliderReleased.connect(self.let_go)
        self.slider.reset_wanted.connect(self.reset_wanted)
        self.set_range(self._low, self._high)

    @property
    def value(self) -> float:
        """The number as it stands."""
        return self._value

    @property
    def reach(self) -> float:
        """The number at the slider's right end."""
        return self._high

    def set_range(self, low: float, high: float, typed: tuple[float, float] | None = None) -> None:
        """Set the slider's ends, and what may be typed where that is more."""
        self._low, self._high = low, high
        with quiet(self.slider, self.box):
            self.box.setRange(*(typed or (low, high)))
            self.slider.setValue(self._to_step(self._value))
            self.box.setValue(self._value)

    def set_value(self, value: float) -> None:
        """Show a number; tells nobody."""
        if value == self._value and value == self.box.value():
            return
        self._value = value
        with quiet(self.slider, self.box):
            self.slider.setValue(self._to_step(value))
            self.box.setValue(value)

    def _to_step(self, value: float) -> int:
        low, high, at = self._low, self._high, value
        if self._log:
            low, high, at = math.log(low), math.log(high), math.log(value)
        share = (at - low) / (high - low) if high > low else 0.5
        return round(min(max(share, 0.0), 1.0) * STEPS)

    def _from_step(self, step: int) -> float:
        share = step / STEPS
        if self._log:
            ratio = math.log(self._high / self._low)
            return self._low * math.exp(share * ratio)
        return self._low + share * (self._high - self._low)

    def _on_slider(self, step: int) -> None:
        value = self._from_step(step)
        # The middle of a symmetric range is the resting value itself, not nearly so.
        middle = math.sqrt(self._low * self._high) if self._log else (self._low + self._high) / 2
        self._value = middle if 2 * step == STEPS else value
        with quiet(self.box):
            self.box.setValue(self._value)
        self.moved.emit(self._value)

    def _on_box(self, value: float) -> None:
        self._value = value
        with quiet(self.slider):
            self.slider.setValue(self._to_step(value))
        self.moved.emit(value)
