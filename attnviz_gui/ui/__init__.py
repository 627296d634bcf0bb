"""The window: PySide6 and pyqtgraph over frozen records of arrays. Never imports torch."""
