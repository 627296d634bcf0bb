"""What is read of each family, measured: the rows of the table in the README."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

import attnviz_gui
from attnviz_gui.capture.ways import name_of, ways_for
from attnviz_gui.capture.ways.interface import implementation
from attnviz_gui.capture.ways.windows import fold_weights
from tests.families import interface_families, operand_families
from tests.families.family import build, example

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture

FAMILIES = {**interface_families.FAMILIES, **operand_families.FAMILIES}

LENGTHS = (7, 4)
EXACT = 1e-5

# Where a model hands out its attention.
_LISTS = (
    "attentions", "encoder_attentions", "decoder_attentions", "cross_attentions",
    "decoder_ngram_attentions", "vision_attentions", "text_attentions",
)  # fmt: skip
# Attentions that a model computes and does not hand out: Swin gives the last of each stage, LiLT
# not the one over the layout, SigLIP not the one that sums up an image.
UNREPORTED = {"swin": 2, "lilt": 2, "siglip": 1}

_PARTS = ("text_model_output", "vision_model_output", "audio_model_output")


class Row(NamedTuple):
    """One family.

    Attributes
    ----------
    found, reported
        Attentions in the capture, and those that the model hands out.
    difference
        Largest difference of a weight to the model's own, both to what the model hands out and to
        what it multiplies its values by.
    unchanged
        Whether the model's outputs under recording, and after it, are those of a plain run.
    padding
        ``alone`` where the shorter text of a padded batch has the attention that it has when it is
        run alone, ``batch`` where it has the model's own in that batch, empty where nothing is
        padded.
    """

    family: str
    way: str
    found: int
    reported: int
    difference: float
    unchanged: bool
    padding: str


def row(name: str) -> Row:
    """Build a family's model and measure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the models' own
        model = build(name)
        inputs = example(name, model, LENGTHS)
        unchanged = _unchanged(model, inputs)
        capture = attnviz_gui.capture(model, inputs)
        own = _own(model, inputs, capture)
        difference = max(_difference(capture, own), capture.verify())
        padding = _padding(name, model, capture, inputs, difference)
    way = capture.verifier.way  # type: ignore[union-attr]
    return Row(name, name_of(way), len(capture.layers), len(own), difference, unchanged, padding)


def markdown(rows: list[Row]) -> str:
    """Return the table."""
    lines = [
        "| Family | Read through | Attentions | Largest difference | Outputs | Padded text |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.family} | {r.way} | {_count(r)} | {r.difference:.0e} | "
        f"{'unchanged' if r.unchanged else 'CHANGED'} | "
        f"{ {'alone': 'as alone', 'batch': 'as in the batch', '': '-'}[r.padding] } |"
        for r in rows
    ]
    return "\n".join(lines)


def _count(measured: Row) -> str:
    silent = UNREPORTED.get(measured.family, 0)
    more = f", {silent} it keeps to itself" if silent else ""
    return f"{measured.found - silent} of {measured.reported}{more}"


def _unchanged(model: Any, inputs: dict[str, Any]) -> bool:
    before = _outputs(model, inputs)
    way = ways_for(model)[0]
    with torch.no_grad(), way.recording(model, lambda _call: None):
        during = _tensors(model(**inputs))
    after = _outputs(model, inputs)
    return _equal(before, during) and _equal(before, after)


def _outputs(model: Any, inputs: dict[str, Any]) -> list[torch.Tensor]:
    with torch.no_grad(), implementation(model, "eager"):
        return _tensors(model(**inputs))


def _tensors(outputs: Any) -> list[torch.Tensor]:
    """Return the tensors of a model's outputs, in order."""
    values = outputs.values() if hasattr(outputs, "values") else outputs
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, (tuple, list)) or hasattr(value, "values"):
            found += _tensors(value) if not isinstance(value, torch.Tensor) else [value]
        elif isinstance(value, torch.Tensor):
            found.append(value)
    return found


def _equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return bool(one) and all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True)
    )


def _own(model: Any, inputs: dict[str, Any], capture: Capture) -> list[torch.Tensor]:
    """Return the weights that the eager model hands out, (B, H, T_q, T_k) each."""
    with torch.no_grad(), implementation(model, "eager"):
        outputs = model(**inputs, output_attentions=True)
    found: list[torch.Tensor] = []
    for part in (outputs, *(outputs.get(name) for name in _PARTS)):
        for name in _LISTS if part is not None else ():
            weights = part.get(name)
            weights = weights if isinstance(weights, (tuple, list)) else (weights,)
            found += [_shaped(w, capture) for w in weights if w is not None]
    return found


def _shaped(weights: torch.Tensor, capture: Capture) -> torch.Tensor:
    """Return weights (B, H, T_q, T_k) of what a model hands out."""
    if bool((weights < 0).any()):
        weights = weights.softmax(-1)  # some hand out the logits
    if weights.ndim == 5:  # windows before the heads or after them
        heads = {layer.n_heads for layer in capture.layers}
        weights = weights if weights.shape[2] in heads else weights.transpose(1, 2)
        weights = weights.flatten(0, 1)
    windows = len(weights) // len(capture.texts)
    return fold_weights(weights, windows) if windows > 1 else weights


def _difference(capture: Capture, own: list[torch.Tensor]) -> float:
    """Return the largest difference to the attentions that the model hands out, each taken once."""
    layers = range(len(capture.layers))
    pairs = sorted((_layers_apart(capture, i, w), i, j) for i in layers for j, w in enumerate(own))
    worst = 0.0
    mine, theirs = set(layers), set(range(len(own)))
    for apart, i, j in pairs:
        if i in mine and j in theirs:
            mine.remove(i)
            theirs.remove(j)
            worst = max(worst, apart)
    return worst


def _layers_apart(capture: Capture, layer: int, own: torch.Tensor) -> float:
    n_heads = capture.layers[layer].n_heads
    if own.shape[1] != n_heads:
        return np.inf
    worst = 0.0
    for text in range(len(capture.texts)):
        for index in range(n_heads):
            head = capture.head(layer, index, text)
            apart = _apart(head.attention, head.mask, own[text, index].float().numpy())
            worst = max(worst, apart)
            if worst > 100 * EXACT:  # another layer's
                return worst
    return worst


def _apart(mine: np.ndarray, mask: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference; padding stands last."""
    if mine.shape[0] > theirs.shape[0] or mine.shape[1] > theirs.shape[1]:
        return np.inf
    theirs = theirs[: mine.shape[0], : mine.shape[1]]
    seeing = mask.any(axis=1)  # what sees nothing has no attention of its own
    return float(np.abs(mine - theirs)[seeing].max(initial=0))


def _padding(
    name: str, model: Any, capture: Capture, inputs: dict[str, Any], difference: float
) -> str:
    if "attention_mask" not in inputs or bool(inputs["attention_mask"].all()):
        return ""
    alone = {n: t[1:] if isinstance(t, torch.Tensor) else t for n, t in inputs.items()}
    for key in ("input_ids", "attention_mask", "decoder_input_ids"):
        if key in alone:
            alone[key] = alone[key][:, : LENGTHS[1]]
    try:
        apart = _to_alone(capture, attnviz_gui.capture(model, alone))
    except attnviz_gui.errors.InputError:
        apart = np.inf
    if apart <= EXACT:
        return "alone"
    return "batch" if difference <= EXACT else "no"


def _to_alone(capture: Capture, alone: Capture) -> float:
    """Return how far the second text's attention in a batch is from that of the text alone."""
    worst = 0.0
    for layer, described in enumerate(capture.layers):
        for head in range(described.n_heads):
            mine, theirs = capture.head(layer, head, 1), alone.head(layer, head, 0)
            n, m = theirs.attention.shape
            worst = max(worst, float(np.abs(mine.attention[:n, :m] - theirs.attention).max()))
    return worst
