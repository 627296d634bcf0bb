"""Compare recomputed attention with the model's own, layer by layer. Records nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.capture.progress import raise_if_cancelled
from attnviz_gui.capture.run import alone, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from attnviz_gui.capture.call import Place
    from attnviz_gui.capture.inputs import Forward
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.progress import CancelToken
    from attnviz_gui.capture.record import BoolArray, Capture, FloatArray, LayerRecord
    from attnviz_gui.capture.ways import Way


def head_differences(capture: Capture, cancel: CancelToken | None = None) -> list[list[FloatArray]]:
    """Return how far each head's recomputed attention is from the model's own.

    Parameters
    ----------
    cancel
        Asked in every layer and head, and while another run is waited for.

    Returns
    -------
    list of lists of (H,) float32
        ``[text][layer]``: the largest absolute difference in each head.

    Raises
    ------
    RuntimeError
        When the model is not at hand, as for a capture that was opened from a file, or does not
        hand out its attention.
    Cancelled
        When `cancel` was set.
    """
    return _verifier(capture).differences(capture, cancel)


def weights_at_once(capture: Capture) -> int:
    """Return how many attention weights a check holds at once: one layer's, of one forward call.

    The model's own attention is computed as whole matrices, whatever kernel it usually takes.
    """
    n_rows = len(capture.records) // len(_verifier(capture).forwards)
    most: int = max(
        record.query.shape[0] * record.query.shape[1] * record.key.shape[1]
        for records in capture.records
        for record in records
    )
    return n_rows * most


def precision(capture: Capture) -> str:
    """Return what the captured model computes in: ``float32``, ``bfloat16`` ..."""
    parameters = _verifier(capture).model.module.parameters()
    kinds = {str(p.dtype).removeprefix("torch.") for p in parameters if p.is_floating_point()}
    # The coarsest has the last word.
    for kind in ("bfloat16", "float16", "float32", "float64"):
        if kind in kinds:
            return kind
    return "float32"


def _verifier(capture: Capture) -> Verifier:
    if not isinstance(capture.verifier, Verifier):
        raise RuntimeError("the model that was captured is not at hand")
    return capture.verifier


@dataclass(frozen=True, eq=False)
class Verifier:
    """Runs the captured model once more, with its own attention.

    Attributes
    ----------
    forwards
        Make the forward calls of the capture, in order; each has one text or more.
    places
        Of the layers, in order.
    kept
        ``[text][layer]``: which queries and which keys are no padding, in a caller's padded
        batch; empty where no text is padded.
    """

    model: LoadedModel
    way: Way
    forwards: tuple[Callable[[], Forward], ...] = field(repr=False)
    places: tuple[Place, ...] = field(repr=False)
    kept: Sequence[Sequence[tuple[BoolArray, BoolArray]]] = field(default=(), repr=False)

    def __call__(self, capture: Capture) -> float:
        """Return the largest difference over all texts, layers and heads."""
        return max(float(d.max()) for text in self.differences(capture) for d in text)

    def differences(
        self, capture: Capture, cancel: CancelToken | None = None
    ) -> list[list[FloatArray]]:
        """Return ``[text][layer]``, (H,) each; `cancel` is asked in every layer and head."""
        found: list[list[FloatArray]] = []
        with alone(cancel):
            for make in self.forwards:
                raise_if_cancelled(cancel)
                forward = make()
                n_rows = len(capture.records) // len(self.forwards)
                rows = slice(len(found), len(found) + n_rows)
                found += self._forward(forward, capture.records[rows], self.kept[rows], cancel)
        return found

    def _forward(
        self,
        forward: Forward,
        records: tuple[tuple[LayerRecord, ...], ...],
        kept: Sequence[Sequence[tuple[BoolArray, BoolArray]]],
        cancel: CancelToken | None,
    ) -> list[list[FloatArray]]:
        layers = {place: layer for layer, place in enumerate(self.places)}
        found: list[dict[int, FloatArray]] = [{} for _ in records]

        def compare(place: Place, weights: torch.Tensor) -> None:
            raise_if_cancelled(cancel)
            layer = layers.get(place)
            if layer is None:
                return
            for row, differences in enumerate(found):
                present = kept[row][layer] if kept else ()
                record = records[row][layer]
                differences[layer] = _difference(weights[row], record, present, cancel)

        with self.way.watching(self.model.module, compare):
            run(self.model, forward)
        if any(len(of_row) != len(self.places) for of_row in found):
            raise RuntimeError("the model does not hand out the attention of every layer")
        return [[of_row[layer] for layer in range(len(self.places))] for of_row in found]


def _difference(
    own: torch.Tensor,
    record: LayerRecord,
    kept: Sequence[BoolArray],
    cancel: CancelToken | None,
) -> FloatArray:
    """Return the largest difference in each head, (H,); one head's matrix at a time.

    `own` is (H, T_q, T_k) with the padding, `kept` says which queries and which keys are none.
    """
    n_queries, n_keys = record.query.shape[1], record.key.shape[1]
    differences = []
    for head in range(len(record.query)):
        raise_if_cancelled(cancel)
        weights = own[head].detach().float().cpu().numpy()
        # Not every padding is left out: some models let their queries see it.
        if kept and len(weights) != n_queries:
            weights = weights[kept[0]]
        if kept and weights.shape[1] != n_keys:
            weights = weights[:, kept[1]]
        difference = np.abs(record.head(head).attention - weights)
        # A row in which nothing is allowed has no weights of its own: models give NaN or evenness.
        allowed = record.mask.any(-1) if record.mask.ndim == 2 else record.mask[head].any(-1)
        difference = np.nan_to_num(difference[allowed], nan=np.inf)
        differences.append(difference.max(initial=0))
    return np.array(differences, dtype=np.float32)
