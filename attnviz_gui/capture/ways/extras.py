"""Sinks of an attention: logits that take part in every row's softmax and belong to no key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnviz_gui.capture.call import Call

_SINKS = ("s_aux", "sinks")


def sink_of(
    own: Callable[..., Any], module: torch.nn.Module, call: Call, extras: dict[str, Any]
) -> torch.Tensor | None:
    """Return an attention's sinks, (H,), or (B, H, T_q, 1) where each query has its own.

    Some families hand over sinks that act on the output alone, beside weights that sum to 1. The
    last query's weights tell: sinks that these do not know are left out.
    """
    given = [extras.get(name) for name in _SINKS] + [getattr(module, name, None) for name in _SINKS]
    sink = next((s for s in given if isinstance(s, torch.Tensor)), None)
    if sink is None:
        return None
    if sink.ndim == 4 and sink.shape[2] == call.query.shape[2] and sink.shape[3] == 1:
        return sink
    sink = sink.detach().reshape(-1)
    return sink if _counts(own, module, call, extras, sink) else None


def extra_key(call: Call, sink: torch.Tensor) -> Call:
    """Return a call whose sinks, one a query, are the logits of one more key: zero but for a bias.

    Parameters
    ----------
    sink : (B, H, T_q, 1)
    """
    shape = (*call.query.shape[:3], call.key.shape[2])
    key, value = (torch.cat([t, t.new_zeros(*t.shape[:2], 1, t.shape[3])], 2)
                  for t in (call.key, call.value))  # fmt: skip
    bias = torch.zeros(()) if call.bias is None else call.bias
    bias = bias.to(call.query.device, call.query.dtype).expand(shape)
    mask = call.mask
    if mask is not None:
        free = torch.ones if mask.dtype == torch.bool else torch.zeros
        wide = mask.expand(*mask.shape[:-2], *shape[2:])
        column = free(*wide.shape[:-1], 1, dtype=mask.dtype, device=mask.device)
        mask = torch.cat([wide, column], -1)
    unrotated = call.unrotated
    if unrotated is not None:
        before = unrotated[1]
        zero = before.new_zeros(*before.shape[:2], 1, before.shape[3])
        unrotated = unrotated[0], torch.cat([before, zero], 2)
    return call._replace(
        key=key, value=value, mask=mask, unrotated=unrotated,
        bias=torch.cat([bias, sink.to(bias.dtype)], -1),
        kind="self" if call.kind is None and not call.cross else call.kind,
        extra_keys=(*call.extra_keys, "sink"),
    )  # fmt: skip


def _counts(
    own: Callable[..., Any], module: torch.nn.Module, call: Call, extras: dict[str, Any],
    sink: torch.Tensor,
) -> bool:  # fmt: skip
    """Return whether the weights that `own` gives leave the sinks their share."""
    if len(sink) != call.query.shape[1]:
        return False
    last = slice(call.query.shape[2] - 1, None)
    query = call.query[:, :, last]
    mask = call.mask
    if mask is not None and mask.shape[-2] > 1:
        mask = mask[..., last, :]
    cut = {
        name: e[..., last, :] if isinstance(e, torch.Tensor) and e.ndim == 4 else e
        for name, e in extras.items()
    }
    weights = own(module, query, call.key, call.value, mask, **cut)[1]
    if weights is None:
        return False
    group = call.query.shape[1] // call.key.shape[1]
    keys = call.key.repeat_interleave(group, 1)
    logits = (query @ keys.transpose(2, 3)).float() * call.scaling
    if mask is not None:
        logits = (
            logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
        )
    share = torch.sigmoid(sink.float()[:, None] - logits.logsumexp(-1))
    taken = 1 - weights.float().sum(-1)
    return bool((taken - share).abs().mean() < taken.abs().mean() or share.max() < 1e-6)
