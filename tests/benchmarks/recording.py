"""Recording a text, against the plain forward pass of the same model on the same tokens.

Recording is the whole call, from the text to the capture: tokens, run, arrays, labels. The plain
pass has its tokens at hand and runs as transformers loads the model, with the fast kernel. The two
take turns, so that a machine that slows down slows both. Run alone: ``python -m tests.benchmarks
recording``.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnviz_gui.capture.models import LoadedModel

SIZES = {128: 25, 512: 15}  # tokens, and how often they are run


def rows() -> list[tuple[str, float, float, str]]:
    """Return what is measured, its median time, that of the plain pass, and the goal."""
    import torch

    from attnviz_gui.capture.inputs import text_forward
    from attnviz_gui.capture.models import load_model
    from attnviz_gui.capture.recorder import record
    from attnviz_gui.capture.tokens import encode
    from attnviz_gui.capture.ways import interface

    model = load_model("bundled", device="cpu")
    found = []
    for n_tokens, times in SIZES.items():
        text = words(n_tokens - 2)
        inputs = text_forward(model, encode(model.tokenizer, text)).keywords
        assert inputs["input_ids"].shape == (1, n_tokens)

        def plain(inputs: dict[str, torch.Tensor] = inputs) -> None:
            with torch.no_grad():
                model.module(**inputs)

        def with_attentions(inputs: dict[str, torch.Tensor] = inputs) -> None:
            model.module.set_attn_implementation("eager")
            with torch.no_grad():
                model.module(**inputs, output_attentions=True)
            model.module.set_attn_implementation("sdpa")
            remove_hooks(model)

        def recording(text: str = text) -> None:
            assert len(record(model, text).layers) == 6

        def first(text: str = text) -> None:
            interface._SEEN.clear()  # a model's first run goes on beyond its last attention
            assert len(record(model, text).layers) == 6

        found += [
            (f"recording, {n_tokens} tokens", *in_turn(recording, plain, times), "≤ 1.15"),
            (f"a model's first recording, {n_tokens} tokens", *in_turn(first, plain, times), ""),
        ]
        if n_tokens == max(SIZES):
            pair = in_turn(recording, with_attentions, times)
            found.append((f"recording or output_attentions, {n_tokens} tokens", *pair, "≤ 1"))
    return found


def words(n: int) -> str:
    """A text of `n` words that are one token each."""
    few = ["the", "brown", "river", "runs", "over", "old", "stone", "and", "a", "small", "bird"]
    return " ".join(few[(i * i + i // 7) % len(few)] for i in range(n))


def remove_hooks(model: LoadedModel) -> None:
    """Take away what transformers puts on a model to collect its attentions, and never removes."""
    for module in model.module.modules():
        module._forward_hooks.clear()
    vars(model.module).pop("_output_capturing_hooks_installed", None)


def in_turn(
    ours: Callable[[], object], plain: Callable[[], object], times: int
) -> tuple[float, float]:
    """Median seconds of two functions that are called in turn, after two turns to warm up."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(times + 2):
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.perf_counter()
            (ours, plain)[which]()
            taken[which].append(time.perf_counter() - start)
    return statistics.median(taken[0][2:]), statistics.median(taken[1][2:])


if __name__ == "__main__":
    for what, seconds, plain_, goal in rows():
        times = f"{seconds * 1e3:>9.1f} ms {plain_ * 1e3:>9.1f} ms {seconds / plain_:>6.2f}"
        print(f"{what:<50} {times}  {goal}")
