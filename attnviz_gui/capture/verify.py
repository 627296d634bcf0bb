"""Compare recomputed attention with the model's own, layer by layer. Records nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attnviz_gui.capture.call import Place
from attnviz_gui.capture.interface import implementation
from attnviz_gui.capture.run import alone, forward

if TYPE_CHECKING:
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import Capture, FloatArray, LayerRecord
    from attnviz_gui.capture.tokens import Encoded


def head_differences(capture: Capture) -> list[list[FloatArray]]:
    """Return how far each head's recomputed attention is from the model's own.

    Returns
    -------
    list of lists of (H,) float32
        ``[text][layer]``: the largest absolute difference in each head.

    Raises
    ------
    RuntimeError
        When the model is not at hand, as for a capture that was opened from a file.
    """
    if not isinstance(capture.verifier, Verifier):
        raise RuntimeError("the model that was captured is not at hand")
    return capture.verifier.differences(capture)


@dataclass(frozen=True, eq=False)
class Verifier:
    """Runs the captured model once more, with its own eager attention."""

    model: LoadedModel
    encoded: tuple[Encoded, ...] = field(repr=False)
    places: tuple[Place, ...] = field(repr=False)

    def __call__(self, capture: Capture) -> float:
        """Return the largest difference over all texts, layers and heads."""
        return max(float(d.max()) for text in self.differences(capture) for d in text)

    def differences(self, capture: Capture) -> list[list[FloatArray]]:
        """Return ``[text][layer]``, (H,) each."""
        with alone(), implementation(self.model.module, "eager"):
            return [
                self._text(encoded, records)
                for encoded, records in zip(self.encoded, capture.records, strict=True)
            ]

    def _text(self, encoded: Encoded, records: tuple[LayerRecord, ...]) -> list[FloatArray]:
        layers = {place: layer for layer, place in enumerate(self.places)}
        found: dict[int, FloatArray] = {}
        calls: Counter[str] = Counter()

        def compare(name: str, output: Any) -> None:
            layer = layers[Place(name, calls[name])]
            calls[name] += 1
            own = find_attention(output, records[layer])
            if own is not None:
                found[layer] = _difference(own, records[layer])

        hooks = []
        names = {place.name for place in self.places}
        for name, module in self.model.module.named_modules():
            if name in names:

                def hook(_module: Any, _inputs: Any, output: Any, name: str = name) -> None:
                    compare(name, output)

                hooks.append(module.register_forward_hook(hook))
        try:
            forward(self.model, encoded)
        finally:
            for handle in hooks:
                handle.remove()
        if len(found) != len(records):
            raise RuntimeError("the model does not hand out the attention of every layer")
        return [found[layer] for layer in range(len(records))]


def find_attention(output: Any, record: LayerRecord) -> torch.Tensor | None:
    """Return the attention (H, T_q, T_k) among an attention module's outputs.

    It is told by its shape and by being made of shares: a position bias has the same shape.
    """
    shape = (1, record.query.shape[0], record.query.shape[1], record.key.shape[1])
    for part in reversed(output) if isinstance(output, tuple) else ():
        if isinstance(part, torch.Tensor) and part.shape == shape:
            own = part[0].detach().float()
            if bool((own >= 0).all()) and bool((own.sum(-1) < 1.01).all()):
                return own
    return None


def _difference(own: torch.Tensor, record: LayerRecord) -> FloatArray:
    """Return the largest difference in each head, (H,); one head's matrix at a time."""
    weights = own.cpu().numpy()
    return np.array(
        [np.abs(record.head(h).attention - weights[h]).max() for h in range(len(weights))],
        dtype=np.float32,
    )
