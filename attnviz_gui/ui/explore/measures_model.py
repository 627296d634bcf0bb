"""The table of all heads as Qt's tables take it: rows are heads, columns are numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)

from attnviz_gui.analysis.catalogue import (
    BASELINE_TITLES,
    BASELINES,
    CATALOGUE,
    CLUSTER,
    LIKENESS,
    tip,
)
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import font

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from attnviz_gui.analysis.filtering import Condition
    from attnviz_gui.analysis.heads import HeadMeasures
    from attnviz_gui.analysis.likeness import Clusters
    from attnviz_gui.jobs.measuring import Likeness
    from attnviz_gui.ui.theme import Theme

    Index = QModelIndex | QPersistentModelIndex

SORT = Qt.ItemDataRole.UserRole
NOT_ALIKE = "it has other queries or keys, or none in common"
MOST_TINT = 0.30  # the words stay readable in it


@dataclass(frozen=True, eq=False)
class Column:
    """One column.

    Attributes
    ----------
    key : str
        In files and in filters: ``entropy``, ``entropy:shuffled``.
    title, tip : str
    values : (n_heads,)
    reasons : dict of str
        By row, why a number is undefined.
    range : (least, largest) or None
        A cell is tinted by its number's place in it; None: not tinted, whole numbers.
    """

    key: str
    title: str
    tip: str
    values: npt.NDArray[Any]
    reasons: dict[int, str]
    range: tuple[float, float] | None = None


def columns_of(
    measures: HeadMeasures, hidden: Collection[str], baselines: Sequence[str],
    likeness: Likeness | None, clusters: Clusters | None,
) -> list[Column]:  # fmt: skip
    """Return the columns of what is known, those of `hidden` measures left out."""
    places = np.array(measures.heads, dtype=np.float64).reshape(-1, 2)
    found = [
        Column("layer", "layer", "The layer, from 0.", places[:, 0], {}),
        Column("head", "head", "The head, from 0.", places[:, 1], {}),
    ]
    if likeness is not None:
        found += _alike(likeness, baselines)
    if clusters is not None:
        found += _groups(clusters, baselines)
    for name in measures.names:
        if name in hidden:
            continue
        measure = CATALOGUE[name]
        unit = f" ({measure.unit})" if measure.unit else ""
        beside = {
            which: measures.baselines[which]
            for which in baselines
            if which in measures.baselines and name in measures.baselines[which].names
        }
        # One range for a measure and its baselines: the same tint is the same number.
        tables = measures, *beside.values()
        range_ = _range(np.concatenate([each.column(name) for each in tables]))
        found.append(_column(measures, name, name, measure.title + unit, tip(measure), range_))
        for which, table in beside.items():
            key, title, words = _beside(name, measure.title, which)
            found.append(_column(table, name, key, title, words, range_))
    return found


def _beside(name: str, title: str, which: str) -> tuple[str, str, str]:
    """Return a baseline's key, title and words, of a column with this name and title."""
    words = f"{title}, for comparison\n{BASELINES[which]}"
    return f"{name}:{which}", f"{title} · {BASELINE_TITLES[which]}", words


def _alike(likeness: Likeness, baselines: Sequence[str]) -> list[Column]:
    layer, head = likeness.of
    title = f"from L{layer} H{head}"
    known = {which: likeness.baselines[which] for which in baselines if which in likeness.baselines}
    range_ = _range(np.concatenate([likeness.distances, *known.values()]))
    found = [(likeness.distances, LIKENESS.name, title, tip(LIKENESS))]
    found += [(own, *_beside(LIKENESS.name, title, which)) for which, own in known.items()]
    return [
        Column(key, name, words, own, _gaps(own, NOT_ALIKE), range_)
        for own, key, name, words in found
    ]


def _groups(clusters: Clusters, baselines: Sequence[str]) -> list[Column]:
    typical = ", ".join(f"{n}: L{i} H{h}" for n, (i, h) in clusters.typical.items())
    words = f"{tip(CLUSTER)}\nThe most typical head of each: {typical}."
    found = [(clusters.labels, CLUSTER.name, CLUSTER.title, words)]
    for which in baselines:
        if which in clusters.baselines:
            beside = clusters.baselines[which]
            key, title, words = _beside(CLUSTER.name, CLUSTER.title, which)
            words += (
                "\nA group bears the number of the one here that it shares the most heads with."
                f"\nThe same as here: {number(beside.agreement)} by the adjusted Rand index "
                "(1 all, 0 as by chance). Source: Hubert and Arabie 1985."
            )
            found.append((beside.labels, key, title, words))
    columns = []
    for labels, key, title, words in found:
        own = np.where(labels > 0, labels, np.nan)
        columns.append(Column(key, title, words, own, _gaps(own, "it attends to nothing")))
    return columns


def _gaps(values: npt.NDArray[Any], why: str) -> dict[int, str]:
    return dict.fromkeys(np.flatnonzero(np.isnan(values)).tolist(), why)


def _column(
    measures: HeadMeasures, name: str, key: str, title: str, words: str,
    range_: tuple[float, float],
) -> Column:  # fmt: skip
    values = measures.column(name)
    rows = np.flatnonzero(np.isnan(values)).tolist()
    reasons = {row: measures.reason(*measures.heads[row], name) for row in rows}
    return Column(key, title, words, values, reasons, range_)


def _range(values: npt.NDArray[Any]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


class HeadsModel(QAbstractTableModel):
    """Every head, layer by layer."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.heads: tuple[tuple[int, int], ...] = ()
        self.columns: list[Column] = []
        self.current: tuple[int, int] | None = None
        self._bold = font(bold=True)

    def show(self, heads: tuple[tuple[int, int], ...], columns: list[Column]) -> None:
        """Show other heads or columns."""
        self.beginResetModel()
        self.heads, self.columns = heads, columns
        self.endResetModel()

    def mark(self, current: tuple[int, int] | None) -> None:
        """Mark the head on show."""
        if current == self.current:
            return
        self.current = current
        if self.heads and self.columns:
            last = self.index(len(self.heads) - 1, len(self.columns) - 1)
            self.dataChanged.emit(self.index(0, 0), last)
            self.headerDataChanged.emit(Qt.Orientation.Vertical, 0, len(self.heads) - 1)

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self.theme = theme
        self._bold = font(bold=True)
        self.beginResetModel()
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - as Qt has it
        """Number of heads."""
        return 0 if parent.isValid() else len(self.heads)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of columns."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Titles and definitions; at the left the head, and a mark for the one on show."""
        display = Qt.ItemDataRole.DisplayRole
        if orientation == Qt.Orientation.Horizontal:
            if section >= len(self.columns):
                return None
            if role == display:
                return self.columns[section].title.replace(" · ", "\n")
            return self.columns[section].tip if role == Qt.ItemDataRole.ToolTipRole else None
        if role == display:
            layer, head = self.heads[section]
            return f"{'▸ ' if self.heads[section] == self.current else ''}L{layer} H{head}"
        return None

    def data(self, index: Index, role: int = 0) -> Any:
        """Return a number in words, how it is drawn, and what it is sorted by."""
        roles = Qt.ItemDataRole
        row, column = index.row(), self.columns[index.column()]
        value = float(column.values[row])
        if role == SORT:
            return value
        if role == roles.DisplayRole:
            if math.isnan(value):
                return "—"
            return number(value) if column.range else f"{value:.0f}"
        if role == roles.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == roles.FontRole and self.heads[row] == self.current:
            return self._bold
        if role == roles.BackgroundRole:
            return self._tint(column, value)
        if role == roles.ToolTipRole:
            return self._tip(row, column, value)
        return None

    def _tint(self, column: Column, value: float) -> Any:
        if column.range is None or math.isnan(value) or column.range[0] >= column.range[1]:
            return None
        share = (value - column.range[0]) / (column.range[1] - column.range[0])
        return self.theme.color("query", MOST_TINT * share)

    def _tip(self, row: int, column: Column, value: float) -> str:
        layer, head = self.heads[row]
        if math.isnan(value):
            return f"L{layer} H{head}: undefined: {column.reasons.get(row) or 'it has no value'}."
        digits = number(value, 6) if column.range else f"{value:.0f}"
        return f"L{layer} H{head} · {column.title}: {digits}"


class HeadsProxy(QSortFilterProxyModel):
    """Sorted by numbers, those that are undefined last; rows by layer and by conditions."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setSortRole(SORT)
        self.setDynamicSortFilter(True)
        self.hidden_layers: frozenset[int] = frozenset()
        self.conditions: tuple[Condition, ...] = ()

    def show_only(
        self, *, hidden_layers: frozenset[int] | None = None,
        conditions: tuple[Condition, ...] | None = None,
    ) -> None:  # fmt: skip
        """Hide the heads of some layers, and those that do not fulfil all conditions."""
        if hidden_layers is not None:
            self.hidden_layers = hidden_layers
        if conditions is not None:
            self.conditions = conditions
        self.invalidate()

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        """Return whether a head is shown."""
        model = self.sourceModel()
        assert isinstance(model, HeadsModel)
        if model.heads[row][0] in self.hidden_layers:
            return False
        by_key = {column.key: column for column in model.columns}
        return all(
            condition.holds(float(by_key[condition.column].values[row]))
            for condition in self.conditions
            if condition.column in by_key
        )

    def lessThan(self, left: Index, right: Index) -> bool:
        """Order by number; what is undefined comes last whichever way."""
        a, b = left.data(SORT), right.data(SORT)
        if math.isnan(a) or math.isnan(b):
            if math.isnan(a) and math.isnan(b):
                return False
            return math.isnan(a) == (self.sortOrder() == Qt.SortOrder.DescendingOrder)
        return bool(a < b)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Say what the model says of the row or column that stands there."""
        model = self.sourceModel()
        if orientation == Qt.Orientation.Horizontal:
            return model.headerData(section, orientation, role)
        row = self.mapToSource(self.index(section, 0)).row()
        return model.headerData(row, orientation, role) if row >= 0 else None
