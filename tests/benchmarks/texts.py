"""Recording 1,000 texts of 20 tokens, against the model's plain forward pass in batches.

The plain pass has its tokens at hand, and takes the batch that it is fastest with of a few.
"""

from __future__ import annotations

from typing import Any

from tests.benchmarks.recording import in_turn

N_TEXTS, N_TOKENS = 1000, 20
BATCHES = (64, 100, 200)
TIMES = 3


def rows() -> list[tuple[Any, ...]]:
    """Return what is measured, its median time, that of the plain pass, and the goal."""
    import torch

    from attnviz_gui.capture.models import load_model
    from attnviz_gui.capture.recorder import record_cut, record_texts
    from attnviz_gui.capture.tokens import encode, labels

    model = load_model("bundled", device="cpu")
    texts = [text(i) for i in range(N_TEXTS)]
    cut = [encode(model.tokenizer, one) for one in texts]
    names = [labels(model.tokenizer, one) for one in cut]
    ids = torch.stack([torch.from_numpy(one.ids) for one in cut])
    assert ids.shape == (N_TEXTS, N_TOKENS)

    def plain(size: int) -> None:
        with torch.no_grad():
            for some in ids.split(size):
                model.module(input_ids=some, attention_mask=torch.ones_like(some))

    timed = {n: in_turn(lambda n=n: plain(n), lambda: None, 1)[0] for n in BATCHES}
    best = min(timed, key=timed.__getitem__)
    cases = (
        ("tokens at hand", lambda: record_cut(model, texts, cut, names), "≤ 1.25"),
        ("from their letters", lambda: record_texts(model, texts), ""),
        ("put on the disk", lambda: record_texts(model, texts, most_bytes=0), ""),
    )
    return [
        (f"1,000 texts of 20 tokens, {what}", *in_turn(ours, lambda: plain(best), TIMES), goal)
        for what, ours, goal in cases
    ]


def text(number: int) -> str:
    """A text of 20 tokens, [CLS] and [SEP] with them."""
    few = ["the", "brown", "river", "runs", "over", "old", "stone", "and", "a", "small", "bird"]
    return " ".join(few[(number * i + i // 7 + number) % len(few)] for i in range(N_TOKENS - 2))
