"""Every layer and head as a small cell; any of them are chosen by clicks, drags and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from attnviz_gui.ui.signals import quiet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PySide6.QtGui import QResizeEvent

    Index = QModelIndex | QPersistentModelIndex
    Place = tuple[int, int]  # layer, head

LEAST, MOST = 17, 32  # pixels of a cell's side


class HeadsMatrix(QTableView):
    """Rows are layers, columns are heads; a click on a number takes the whole row or column."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heads = _Heads(self)
        self.setModel(self.heads)
        self.setItemDelegate(_Cell(self))
        self.setSelectionMode(QAbstractItemView.SelectionMode.MultiSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)  # Tab leaves it
        self.setShowGrid(False)
        self.setFrameShape(QTableView.Shape.NoFrame)
        self.setCornerButtonEnabled(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        for header, line in (
            (self.horizontalHeader(), self._column),
            (self.verticalHeader(), self._row),
        ):
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            header.setDefaultAlignment(Qt.AlignmentFlag.AlignCenter)
            header.setHighlightSections(False)
            header.setMinimumSectionSize(1)
            header.sectionPressed.disconnect()  # a row of Qt's own would let go of all others
            header.sectionClicked.connect(lambda at, line=line: self._toggle(line(at)))
        self.horizontalHeader().setFixedHeight(self.fontMetrics().height() + 2)
        self._fit()

    def show_heads(self, counts: Sequence[int]) -> None:
        """List so many heads of each layer, none of them chosen."""
        self.heads.show(counts)
        self._fit()

    def mark(self, place: Place | None) -> None:
        """Frame the head on show."""
        if place != self.heads.current:
            self.heads.current = place
            self.viewport().update()

    @property
    def chosen(self) -> tuple[Place, ...]:
        """The chosen heads, layer by layer."""
        return tuple(sorted((at.row(), at.column()) for at in self.selectedIndexes()))

    def choose(self, places: Iterable[Place]) -> None:
        """Choose these heads and no others."""
        wanted = QItemSelection()
        for place in places:
            at = self.heads.index(*place)
            wanted.select(at, at)
        with quiet(self.selectionModel()):
            self.clearSelection()
        self.selectionModel().select(wanted, QItemSelectionModel.SelectionFlag.Select)
        self.viewport().update()

    def _row(self, layer: int) -> list[Place]:
        return [(layer, head) for head in range(self.heads.counts[layer])]

    def _column(self, head: int) -> list[Place]:
        return [(layer, head) for layer, n in enumerate(self.heads.counts) if head < n]

    def _toggle(self, places: list[Place]) -> None:
        """Take these heads too; where all of them are chosen, none of them."""
        chosen = set(self.chosen)
        self.choose(chosen.difference(places) if chosen.issuperset(places) else chosen | {*places})

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Have cells as large as there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        counts = self.heads.counts
        numbers = self.fontMetrics().horizontalAdvance(f" {max(len(counts) - 1, 0)} ") + 4
        self.verticalHeader().setFixedWidth(max(numbers, 22))
        n = max(counts, default=1)
        digits = self.fontMetrics().horizontalAdvance(str(n - 1)) + 4
        side = (self.width() - self.verticalHeader().width() - 14) // max(n, 1)
        side = max(min(side, MOST), LEAST, digits)
        self.horizontalHeader().setDefaultSectionSize(side)
        height = (self.height() - self.horizontalHeader().height() - 2) // max(len(counts), 1)
        self.verticalHeader().setDefaultSectionSize(max(min(side, height), LEAST))

    def sizeHint(self) -> QSize:
        """Room for a small model's heads."""
        return QSize(250, 140)

    def minimumSizeHint(self) -> QSize:
        """Room for a few layers; the others are scrolled to."""
        return QSize(120, self.horizontalHeader().height() + 3 * LEAST)


class _Heads(QAbstractTableModel):
    """Which heads there are; a layer may have fewer than others."""

    def __init__(self, parent: HeadsMatrix) -> None:
        super().__init__(parent)
        self.counts: tuple[int, ...] = ()
        self.current: Place | None = None

    def show(self, counts: Sequence[int]) -> None:
        self.beginResetModel()
        self.counts = tuple(counts)
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.counts)

    def columnCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else max(self.counts, default=0)

    def flags(self, index: Index) -> Qt.ItemFlag:
        there = index.isValid() and index.column() < self.counts[index.row()]
        can = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return can if there else Qt.ItemFlag.NoItemFlags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        words = Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole
        if role in words and self.flags(index):
            return f"L{index.row()} H{index.column()}"
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        across = orientation == Qt.Orientation.Horizontal
        if role == Qt.ItemDataRole.DisplayRole:
            return str(section)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"Head {section} of every layer" if across else f"Every head of layer {section}"
        return None


class _Cell(QStyledItemDelegate):
    """A square, filled where it is chosen, framed where it is the head on show."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        model = index.model()
        if not model.flags(index):
            return
        place: Any = option
        palette = place.palette
        box = QRectF(place.rect).adjusted(1.5, 1.5, -1.5, -1.5)
        painter.save()
        painter.fillRect(place.rect, palette.base())  # over the colour of a chosen row
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        chosen = bool(place.state & QStyle.StateFlag.State_Selected)
        painter.setPen(QPen(palette.placeholderText().color(), 1))
        painter.setBrush(palette.highlight() if chosen else palette.base())
        painter.drawRoundedRect(box, 2, 2)
        if (index.row(), index.column()) == getattr(model, "current", None):
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(palette.text().color(), 2))
            painter.drawRoundedRect(box, 2, 2)
        elif place.state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(palette.text().color(), 1, Qt.PenStyle.DotLine))
            painter.drawRoundedRect(box.adjusted(2, 2, -2, -2), 1, 1)
        painter.restore()
