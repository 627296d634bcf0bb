"""The grid of all heads beside BertViz 1.4.1's model view, each in a process of its own.

From token ids to what can be looked at: ours to the painted grid, theirs to the HTML. The same
random model of BERT-base's size and the same tokens; BertViz is installed for the benchmark alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests.benchmarks.memory import megabytes, peak

LENGTHS = 128, 512
LONG = 1_024, 4_096
TIMES = {128: 3, 512: 1}  # of each, in turns; the least counts
NEEDS = ("bertviz==1.4.1",)


def rows() -> list[tuple[Any, ...]]:
    """Return what is measured, ours, BertViz's, the goal, and how to write it."""
    found: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder, *NEEDS],
            check=True, stdout=sys.stderr,
        )  # fmt: skip
        subprocess.run(  # which BertViz imports, with what it needs in turn
            [sys.executable, "-m", "pip", "install", "-q", "--target", folder, "ipython"],
            check=True, stdout=sys.stderr,
        )  # fmt: skip
        for n, times, memory in zip(LENGTHS, ("≤ 0.33", "≤ 0.05"), ("", "≤ 0.125"), strict=True):
            turns = [(measured("ours", n), measured("bertviz", n, folder)) for _ in range(TIMES[n])]
            ours, theirs = (least([turn[i] for turn in turns]) for i in (0, 1))
            what = f"{n} tokens, 144 heads, beside BertViz"
            found.append((f"ids to grid, {what}", ours["s"], theirs["s"], times))
            found.append((f"memory, {what}", ours["peak"], theirs["peak"], memory, megabytes))
            if n == 512:
                found.append(("grid of 144 heads once captured", ours["build"], None, "≤ 300 ms"))
                for how in ("zoom", "pan"):
                    found.append((f"grid, frame of a {how}, p95", ours[how], None, "≤ 33 ms"))
                for mode in ("plane", "density"):
                    goal = "≤ 300 ms or filling in"
                    found.append((f"grid, to {mode}", ours[mode], None, goal))
    for n in LONG:
        ours = measured("ours", n)
        found.append((f"ids to grid, {n} tokens, 144 heads", ours["s"], None, ""))
        found.append((f"memory, {n} tokens, 144 heads", ours["peak"], None, "bounded", megabytes))
    return found


def least(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the least of each number: what else ran has only added to it."""
    return {name: min(run[name] for run in runs) for name in runs[0]}


def measured(way: str, n: int, folder: str = "") -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.grid", way, str(n), folder],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(way: str, n: int, folder: str) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(max_position_embeddings=max(512, n))
    model = transformers.BertModel(config).eval()
    ids = torch.randint(1000, 30000, (1, n))
    if way == "ours":
        found = ours(model, ids)
    else:
        if folder:
            sys.path.append(folder)
        found = bertviz(model, ids)
    print(json.dumps(found))


def ours(model: Any, ids: Any) -> dict[str, float]:
    from PySide6.QtWidgets import QApplication

    import attnviz_gui
    from attnviz_gui.geometry.process import prepare_for_frames
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.theme import LIGHT
    from attnviz_gui.ui.views.grid_layout import Sight
    from attnviz_gui.ui.views.head_grid import HeadGridView

    _app = QApplication([])
    prepare_for_frames()
    attnviz_gui.capture(model, {"input_ids": ids[:, :8]})  # what is set up once
    before, start = peak(), time.perf_counter()
    document = Document()
    capture = attnviz_gui.capture(model, {"input_ids": ids})
    captured = time.perf_counter()
    document.open(capture)
    opened = time.perf_counter()
    view = HeadGridView(document, LIGHT)
    view.resize(1280, 800)
    view.start()
    view.grab()
    done = time.perf_counter()
    found = {"s": done - start, "capture": captured - start, "build": done - opened}
    found["peak"] = peak() - before
    if ids.shape[1] > 512:
        return found
    for mode in ("plane", "density"):
        begin = time.perf_counter()
        view.choose("mode", mode)
        view.grab()
        found[mode] = time.perf_counter() - begin
    view.choose("mode", "attention")
    view.grab()
    for how in ("zoom", "pan"):
        frames = []
        for _ in range(60):
            if how == "zoom":
                view.zoom(1.05)
            else:
                view._move(Sight(view.sight.scale, view.sight.x + 7, view.sight.y + 4))
            begin = time.perf_counter()
            view.grab()
            frames.append(time.perf_counter() - begin)
        found[how] = sorted(frames)[int(0.95 * len(frames))]
    view.stop()
    return found


def bertviz(model: Any, ids: Any) -> dict[str, float]:
    import torch
    from bertviz import model_view

    model.set_attn_implementation("eager")
    before, start = peak(), time.perf_counter()
    with torch.no_grad():
        attention = model(ids, output_attentions=True).attentions
    model_view(attention, [str(i) for i in ids[0].tolist()], html_action="return")
    return {"s": time.perf_counter() - start, "peak": peak() - before}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
