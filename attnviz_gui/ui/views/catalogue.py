"""The views that have a panel and a figure, in the order they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnviz_gui.ui.views.embedding import EmbeddingView
from attnviz_gui.ui.views.heatmap import HeatmapView
from attnviz_gui.ui.views.scatter import ScatterView

if TYPE_CHECKING:
    from attnviz_gui.ui.views.base import View

VIEWS: tuple[type[View], ...] = (HeatmapView, ScatterView, EmbeddingView)
