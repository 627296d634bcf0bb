"""What recording holds and what it takes on the way, against a run with `output_attentions=True`.

Each runs in a process of its own, on a random model of BERT-base's size at 512 tokens: what the
process takes at its peak beyond what it held before the run, and what is left when it is done.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

N_TOKENS = 512


def rows() -> list[tuple[str, float, float, str, Callable[[float], str]]]:
    """Return what is measured, ours, that of the plain way, the goal, and how to write it."""
    ours, plain = measured("record"), measured("attentions")
    what = f"{N_TOKENS} tokens, 144 heads"
    return [
        (f"memory at the peak of a run, {what}", ours["peak"], plain["peak"], "≤ 1", megabytes),
        (f"memory of what is kept, {what}", ours["kept"], plain["kept"], "q, k, v", megabytes),
    ]  # fmt: skip


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def measured(way: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.memory", way],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(way: str) -> None:
    import torch
    import transformers

    import attnviz_gui

    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig()).eval()
    ids = torch.randint(1000, 30000, (1, N_TOKENS))

    def record(n: int) -> list[Any]:
        capture = attnviz_gui.capture(model, {"input_ids": ids[:, :n]})
        return [a for r in capture.records[0] for a in (r.query, r.key, r.value)]

    def attentions(n: int) -> list[Any]:
        model.set_attn_implementation("eager")
        with torch.no_grad():
            return list(model(ids[:, :n], output_attentions=True).attentions)

    run = {"record": record, "attentions": attentions}[way]
    run(8)  # what is set up once
    before = peak()
    kept = run(N_TOKENS)
    print(json.dumps({"peak": peak() - before, "kept": sum(a.nbytes for a in kept)}))


def peak() -> int:
    """The most bytes that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1])
