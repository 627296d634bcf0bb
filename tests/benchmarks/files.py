"""Opening a capture file, against `numpy.load` of an ``.npz`` file with the same arrays.

512 tokens, 12 layers of 12 heads, 64 dimensions: 57 MB. Both files were just written, so they are
read from the system's cache. Run alone: ``python -m tests.benchmarks files``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import qInstallMessageHandler

from attnviz_gui.session.store import open_capture
from attnviz_gui.ui.application import start_on_screen
from attnviz_gui.ui.main_window import MainWindow
from tests.benchmarks.recording import in_turn
from tests.benchmarks.slider import Painted
from tests.samples import random_capture

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture

TIMES = 15


def rows() -> list[tuple[str, float, float | None, str]]:
    """Return what is measured, its median time, that of the plain way, and the goal."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        capture = random_capture(512, layers=12, heads=12, head_dim=64)
        ours, plain = folder / "capture.safetensors", folder / "arrays.npz"

        def save() -> None:
            capture.save(ours)

        def save_plainly() -> None:
            np.savez(plain, **arrays_of(capture))

        def read() -> None:
            assert len(open_capture(ours).layers) == 12

        def read_plainly() -> None:
            with np.load(plain) as file:
                assert len([file[name] for name in file.files]) == 36

        what = "512 tokens, 144 heads"
        return [
            (f"saving a capture, {what}", *in_turn(save, save_plainly, 7), ""),
            (f"opening a capture, {what}", *in_turn(read, read_plainly, TIMES), "≤ 1"),
            (f"opening to painted panels, {what}", to_paint(ours), None, "≤ 1 s"),
        ]


def arrays_of(capture: Capture) -> dict[str, np.ndarray]:
    return {
        f"{kind}.{layer}": getattr(record, kind)
        for layer, record in enumerate(capture.records[0])
        for kind in ("query", "key", "value")
    }


def to_paint(path: Path) -> float:
    """Median seconds from the file to painted panels, in a window that is open already."""
    qInstallMessageHandler(lambda *_: None)  # the offscreen platform remarks on size hints
    app = start_on_screen()
    window = MainWindow(capture=random_capture(12))
    window.resize(1280, 800)
    window.show()
    painted = Painted([window.heatmap, window.scatter, window.embedding])
    taken = [painted.time(app, lambda: window.document.open(open_capture(path))) for _ in range(5)]
    window.close()
    return float(np.median(taken))


if __name__ == "__main__":
    for what, seconds, plain, goal in rows():
        beside = f"{plain * 1e3:>9.1f} ms" if plain else ""
        print(f"{what:<52} {seconds * 1e3:>9.1f} ms {beside}  {goal}")
