"""Recording a text, against the plain forward pass of the same model on the same tokens.

Recording is the whole call, from the text to the capture: tokens, run, arrays, labels. The plain
pass has its tokens at hand and runs as transformers loads the model, with the fast kernel. The two
take turns, so that a machine that slows down slows both. Run alone: ``python -m tests.benchmarks
recording``.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import Capture

# Models without the attention interface, of the width of BERT-base; their own bias is a function of
# each layer's queries and keys (DeBERTa), one for all layers (MPNet), none (GPT-J).
WIDE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 6,
        "num_attention_heads": 12, "vocab_size": 3000, "max_position_embeddings": 514}  # fmt: skip
BY_OPERANDS = {
    "DeBERTa": ("DebertaConfig", {
        **WIDE, "relative_attention": True, "pos_att_type": ["c2p", "p2c"],
        "max_relative_positions": 512, "position_biased_input": False,
    }),
    "MPNet": ("MPNetConfig", WIDE),
    "GPT-J": ("GPTJConfig", {
        "vocab_size": 3000, "n_embd": 768, "n_layer": 6, "n_head": 12, "n_positions": 512,
        "rotary_dim": 64, "bos_token_id": 1, "eos_token_id": 2,
    }),
}  # fmt: skip

SIZES = {128: 25, 512: 15}  # tokens, and how often they are run


def rows() -> list[tuple[Any, ...]]:
    """Return what is measured, its median time, that of the plain pass, and the goal.

    Rows of bytes end in the function that writes them.
    """
    import torch

    from attnviz_gui.capture.inputs import text_forward
    from attnviz_gui.capture.models import load_model
    from attnviz_gui.capture.recorder import record
    from attnviz_gui.capture.tokens import encode
    from attnviz_gui.capture.ways import ending

    model = load_model("bundled", device="cpu")
    found: list[tuple[Any, ...]] = []
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
            ending.forget()  # a model's first run goes on beyond its last attention
            assert len(record(model, text).layers) == 6

        found += [
            (f"recording, {n_tokens} tokens", *in_turn(recording, plain, times), "≤ 1.15"),
            (f"a model's first recording, {n_tokens} tokens", *in_turn(first, plain, times), ""),
        ]
        if n_tokens == max(SIZES):
            pair = in_turn(recording, with_attentions, times)
            found.append((f"recording or output_attentions, {n_tokens} tokens", *pair, "≤ 1"))
    for name, (config, settings) in BY_OPERANDS.items():
        found += by_operands(name, config, settings)
    return found


def by_operands(name: str, config: str, settings: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Recording a model that is read by the operands of its softmax, and what is held in the end.

    Recording is the call with the tokens' numbers at hand, as for the plain pass.
    """
    import torch
    import transformers

    from attnviz_gui.capture.models import load_model
    from attnviz_gui.capture.recorder import record

    torch.manual_seed(0)
    module = transformers.AutoModel.from_config(getattr(transformers, config)(**settings)).eval()
    model = load_model(module)
    ids = torch.randint(5, 3000, (1, max(SIZES)))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    last: list[Capture] = []

    def plain() -> None:
        with torch.no_grad():
            module(**inputs)

    def recording() -> None:
        last[:] = [record(model, inputs)]

    times = in_turn(recording, plain, max(SIZES.values()))
    held, vectors = bytes_held(last[0])
    return [
        (f"recording {name}, {max(SIZES)} tokens", *times, "≤ 1.15"),
        (f"held of {name}, beside q, k and v alone", held, vectors, "", megabytes),
    ]


def bytes_held(capture: Capture) -> tuple[int, int]:
    """Bytes of all arrays of a capture's first text, each once; those of q, k and v alone."""
    arrays: dict[int, np.ndarray] = {}
    vectors = 0
    for r in capture.records[0]:
        vectors += r.query.nbytes + r.key.nbytes + r.value.nbytes
        parts = [r.query, r.key, r.value, r.mask, r.bias]
        parts += [array for term in r.positions for array in (term.table, term.index)]
        for array in parts:
            if array is not None:
                arrays[array.__array_interface__["data"][0]] = array
    return sum(a.nbytes if 0 not in a.strides else 1 for a in arrays.values()), vectors


def megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


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
    for what, seconds, plain_, goal, *how in rows():
        write = how[0] if how else (lambda s: f"{s * 1e3:.1f} ms")
        print(
            f"{what:<50} {write(seconds):>11} {write(plain_):>11} {seconds / plain_:>6.2f}  {goal}"
        )
