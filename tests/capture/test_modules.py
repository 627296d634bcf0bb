"""`nn.MultiheadAttention` in every form: exact, complete, told apart, and without a trace."""

from __future__ import annotations

import gc
import json
import threading
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import attnviz_gui
from attnviz_gui.capture.convert import convert
from attnviz_gui.capture.inputs import Forward
from attnviz_gui.capture.ways.modules import BIAS_KEY, ZERO_KEY, reads, recording, watching
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from attnviz_gui.capture.call import Call, Place

causal_mask = nn.Transformer.generate_square_subsequent_mask


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def read(model: nn.Module, *args: Any, **kw: Any) -> tuple[list[Call], Any]:
    """The calls of one recorded run, and what the model gave."""
    calls: list[Call] = []
    with recording(model, calls.append):
        output = model(*args, **kw)
    return calls, output


def watch(model: nn.Module, *args: Any, **kw: Any) -> list[tuple[Place, torch.Tensor]]:
    seen: list[tuple[Place, torch.Tensor]] = []
    with watching(model, lambda place, weights: seen.append((place, weights))):
        model(*args, **kw)
    return seen


def unfused(model: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    """What a model gives without its fused path."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        return model(*args, **kw)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def own_weights(model: nn.Module, *args: Any, **kw: Any) -> list[torch.Tensor]:
    """Each attention's weights by ``average_attn_weights=False``, (B, H, T_q, T_k), in order."""
    found: list[torch.Tensor] = []

    def ask(part: nn.Module, args: Any, kw: Any) -> None:
        asked = {**kw, "need_weights": True, "average_attn_weights": False}
        training, part.training = part.training, False
        weights = unfused(part.forward, *args, **asked)[1]
        part.training = training
        found.append(weights if weights.ndim == 4 else weights[None])

    hooks = [
        part.register_forward_pre_hook(ask, with_kwargs=True)
        for part in model.modules()
        if isinstance(part, nn.MultiheadAttention)
    ]
    try:
        unfused(model, *args, **kw)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def attention(call: Call) -> torch.Tensor:
    """softmax(scaling q kᵀ + mask) of a call, (B, H, T_q, T_k)."""
    logits = call.scaling * call.query @ call.key.mT
    if call.mask is None:
        pass
    elif call.mask.dtype == torch.bool:
        logits = logits.masked_fill(~call.mask, float("-inf"))
    else:
        logits = logits + call.mask
    return torch.softmax(logits, -1)


def records_attention(call: Call, row: int) -> torch.Tensor:
    """The same of one row, by way of its record, (H, T_q, T_k)."""
    (record,) = convert([call], Forward(), row)
    heads = [record.head(head).attention for head in range(call.query.shape[1])]
    return torch.from_numpy(np.stack(heads))


def mixed(call: Call, module: nn.MultiheadAttention) -> torch.Tensor:
    """The attention's output from a call, (B, T_q, E)."""
    heads = attention(call) @ call.value  # (B, H, T_q, d)
    return module.out_proj(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference; shapes must agree."""
    assert a.shape == b.shape
    return float((a.float() - b.float()).abs().max())


# -- every argument ------------------------------------------------------------------------------


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """All arguments of the class and of its forward, mixed."""
    flag = st.booleans()
    heads, head_dim = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    embed = heads * head_dim
    cross = draw(flag)
    module: dict[str, Any] = {
        "embed_dim": embed, "num_heads": heads, "bias": draw(flag), "add_bias_kv": draw(flag),
        "add_zero_attn": draw(flag), "batch_first": draw(flag),
        "dropout": draw(st.sampled_from([0.0, 0.4])),
    }  # fmt: skip
    if cross:
        module["kdim"] = draw(st.sampled_from([None, embed, embed + 3]))
        module["vdim"] = draw(st.sampled_from([None, embed + 1]))
    need = draw(flag)
    mask = draw(st.sampled_from(["none", "causal", "2-D", "3-D"]))
    return {
        "module": module,
        "batch": draw(st.sampled_from([None, 1, 3])),
        "queries": (queries := draw(st.integers(1, 6))),
        "keys": draw(st.integers(1, 6)) if cross else queries,
        # Self-attention of one tensor, or of three that are equal.
        "same": "no" if cross else draw(st.sampled_from(["object", "values"])),
        "mask": mask,
        "mask_bool": draw(flag),
        "padding": draw(st.sampled_from(["none", "bool", "float"])),
        "is_causal": mask == "causal" and draw(flag),
        "need_weights": need,
        "average_attn_weights": need and draw(flag),
        "seed": draw(st.integers(0, 10**6)),
    }


def _tensors(
    drawn: dict[str, Any],
) -> tuple[nn.MultiheadAttention, tuple[Any, ...], dict[str, Any]]:
    torch.manual_seed(drawn["seed"])
    module = nn.MultiheadAttention(**drawn["module"]).eval()
    for parameter in module.parameters():  # PyTorch begins with biases of zero
        parameter += 0.3 * torch.randn_like(parameter)
    batch, n_q, n_k = drawn["batch"], drawn["queries"], drawn["keys"]
    heads, rows = module.num_heads, drawn["batch"] or 1

    def tokens(n: int, size: int) -> torch.Tensor:
        shape = (n,) if batch is None else (batch, n) if module.batch_first else (n, batch)
        return torch.randn(*shape, size)

    query = tokens(n_q, module.embed_dim)
    inputs = (query, query, query)
    if drawn["same"] == "values":
        inputs = (query, query.clone(), query.clone())
    elif drawn["same"] == "no":
        inputs = (query, tokens(n_k, module.kdim), tokens(n_k, module.vdim))

    def masked(*shape: int, as_bool: bool) -> torch.Tensor:
        refused = torch.rand(*shape) < 0.4
        refused[..., 0] = False  # a row in which nothing is allowed has a test of its own
        if as_bool:
            return refused
        return torch.randn(*shape).masked_fill(refused, float("-inf"))

    mask = None
    if drawn["mask"] == "causal":
        mask = torch.ones(n_q, n_k).triu(1).bool()
        if not drawn["mask_bool"]:
            mask = torch.zeros(n_q, n_k).masked_fill(mask, float("-inf"))
    elif drawn["mask"] != "none":
        shape = (n_q, n_k) if drawn["mask"] == "2-D" else (rows * heads, n_q, n_k)
        mask = masked(*shape, as_bool=drawn["mask_bool"])
    padding = None
    if drawn["padding"] != "none":
        shape = (n_k,) if batch is None else (batch, n_k)
        padding = masked(*shape, as_bool=drawn["padding"] == "bool")
    names = ("is_causal", "need_weights", "average_attn_weights")
    keywords = {name: drawn[name] for name in names}
    return module, inputs, {**keywords, "attn_mask": mask, "key_padding_mask": padding}


@settings(max_examples=60, deadline=None)
@given(configurations())
def test_every_configuration(drawn: dict[str, Any]) -> None:
    module, inputs, keywords = _tensors(drawn)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        plain = unfused(module, *inputs, **keywords)
        (call,), output = read(module, *inputs, **keywords)
        ((place, watched),) = watch(module, *inputs, **keywords)
        (own,) = own_weights(module, *inputs, **keywords)

    assert torch.equal(output[0], plain[0])
    assert (output[1] is None) == (plain[1] is None)
    if plain[1] is not None:
        assert torch.equal(output[1], plain[1])

    assert place == call.place == ("", 0)
    rows, heads = drawn["batch"] or 1, module.num_heads
    added = [BIAS_KEY] * (module.bias_k is not None) + [ZERO_KEY] * module.add_zero_attn
    assert call.extra_keys == tuple(added)
    n_keys = drawn["keys"] + len(added)
    assert call.query.shape == (rows, heads, drawn["queries"], module.head_dim)
    assert call.key.shape == call.value.shape == (rows, heads, n_keys, module.head_dim)
    assert call.kind == ("cross" if drawn["same"] == "no" else "self")

    # The hint and extra keys together: PyTorch's kernel then sees other keys than its weights.
    kernel = drawn["is_causal"] and not drawn["need_weights"] and drawn["padding"] == "none"
    if not (kernel and added):
        assert far(attention(call), own) <= 1e-6
    assert far(attention(call), watched) <= 1e-6
    for row in range(rows):
        assert far(records_attention(call, row), watched[row]) <= 1e-6
    result = output[0][None] if drawn["batch"] is None else output[0]
    if drawn["batch"] is not None and not module.batch_first:
        result = result.transpose(0, 1)
    assert far(mixed(call, module), result) <= 1e-5


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_the_causal_hint_counts_where_pytorch_goes_by_it(
    added: bool, need_weights: bool, padded: bool
) -> None:
    """A hint that is wrong, or hides the added keys, is taken or not as the kernel takes it."""
    torch.manual_seed(1)
    module = nn.MultiheadAttention(12, 3, add_bias_kv=added, batch_first=True).eval()
    x, free = torch.randn(2, 5, 12), torch.zeros(5, 5)
    padding = torch.zeros(2, 5) if padded else None
    keywords: dict[str, Any] = {
        "attn_mask": free, "is_causal": True, "need_weights": need_weights,
        "key_padding_mask": padding,
    }  # fmt: skip
    (call,), output = read(module, x, x, x, **keywords)
    weights = attention(call)
    future = weights[..., :5].triu(1).sum()
    if need_weights or padded:
        assert future > 1
    else:
        assert future == 0
        assert weights[..., 5:].sum() == 0
    assert far(mixed(call, module), output[0]) <= 1e-6
    assert far(watch(module, x, x, x, **keywords)[0][1], weights) <= 1e-6


def test_added_keys_are_always_allowed() -> None:
    module = nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True).eval()
    x = torch.randn(4, 1, 8)
    nothing = torch.ones(1, 4).bool()
    (call,), _ = read(module, x, x, x, key_padding_mask=nothing)
    assert call.mask is not None
    assert call.extra_keys == ("⟨bias_k⟩", "⟨zero⟩")
    weights = attention(call)
    assert weights[..., :4].abs().max() == 0
    assert far(weights.sum(-1), torch.ones(1, 2, 4)) <= 1e-6
    assert torch.equal(call.key[:, :, -1], torch.zeros(1, 2, 4))
    assert module.bias_k is not None
    assert torch.equal(call.key[0, :, -2].flatten(), module.bias_k.flatten())


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_row_in_which_nothing_is_allowed(need_weights: bool) -> None:
    module = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x, mask = torch.randn(1, 4, 8), torch.zeros(4, 4).bool()
    mask[2] = True
    (call,), _ = read(module, x, x, x, attn_mask=mask, need_weights=need_weights)
    (watched,) = (weights for _, weights in watch(module, x, x, x, attn_mask=mask))
    weights = records_attention(call, 0)
    assert weights[:, 2].abs().max() == 0
    others = [0, 1, 3]
    assert far(weights[:, others], watched[0][:, others]) <= 1e-6


def test_layers_that_share_a_mask_share_its_tensor() -> None:
    """A decoder hands each layer a mask of bools, of which each makes a tensor of its own."""
    layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerDecoder(layer, 3).eval()
    x, padding = torch.randn(2, 4, 8), torch.zeros(2, 4).bool()
    padding[1, 2:] = True
    future = torch.ones(4, 4).triu(1).bool()
    calls, _ = read(model, x, x, tgt_mask=future, tgt_key_padding_mask=padding)
    masks = {id(call.mask) for call in calls if call.kind == "self"}
    assert len(masks) == 1
    layers = convert([call for call in calls if call.kind == "self"], Forward(), 1)
    assert layers[0].mask is layers[2].mask
    assert layers[0].mask.tolist()[3] == [True, True, False, False]
    assert all(layer.bias is None for layer in layers)


def test_a_mask_that_changes_later_is_recorded_as_it_was() -> None:
    module = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x, mask = torch.randn(1, 3, 8), torch.zeros(3, 3)
    calls: list[Call] = []
    with recording(module, calls.append):
        module(x, x, x, attn_mask=mask)
        mask[:, 0] = 5.0
        module(x, x, x, attn_mask=mask)
    assert [float(call.mask.max()) for call in calls if call.mask is not None] == [0, 5]


# -- PyTorch's stacks ----------------------------------------------------------------------------


def _layer(cls: Any, **options: Any) -> Any:
    return cls(24, 4, 32, dropout=0.2, **options)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("masked", ["no", "padding", "causal", "both"])
def test_an_encoder(training: bool, batch_first: bool, norm_first: bool, masked: str) -> None:
    torch.manual_seed(3)
    layer = _layer(nn.TransformerEncoderLayer, batch_first=batch_first, norm_first=norm_first)
    model = nn.TransformerEncoder(
        layer, 3, norm=nn.LayerNorm(24), enable_nested_tensor=batch_first and not norm_first
    ).train(training)
    x = torch.randn(*((2, 6) if batch_first else (6, 2)), 24)
    keywords: dict[str, Any] = {}
    if masked in ("causal", "both"):
        keywords["mask"] = causal_mask(6)
    if masked in ("padding", "both"):
        padding = torch.zeros(2, 6)
        padding[1, 4:] = float("-inf")
        keywords["src_key_padding_mask"] = padding
    torch.manual_seed(4)
    plain = unfused(model, x, **keywords)
    torch.manual_seed(4)
    calls, output = read(model, x, **keywords)
    assert torch.equal(output, plain)
    assert [call.place.name for call in calls] == [f"layers.{i}.self_attn" for i in range(3)]
    assert {(call.kind, call.stack, call.place.nth) for call in calls} == {("self", None, 0)}
    torch.manual_seed(4)
    own = own_weights(model, x, **keywords)
    torch.manual_seed(4)
    watched = watch(model, x, **keywords)
    for call, weights, (place, other) in zip(calls, own, watched, strict=True):
        assert place == call.place
        assert far(attention(call), weights) <= 1e-6
        assert far(attention(call), other) <= 1e-6
    assert all(part.training == training for part in model.modules())
    if not training and masked == "no":  # the fused path is the same up to rounding
        assert far(model(x), output) <= 1e-5


def test_an_encoder_with_padding_takes_no_nested_tensors() -> None:
    """Its own shortcut leaves padded rows at zero; recorded, they are computed as ever."""
    torch.manual_seed(3)
    model = nn.TransformerEncoder(_layer(nn.TransformerEncoderLayer, batch_first=True), 2).eval()
    x, padding = torch.randn(2, 5, 24), torch.zeros(2, 5).bool()
    padding[1, 3:] = True
    calls, output = read(model, x, src_key_padding_mask=padding)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The PyTorch API of nested tensors")
        fused = model(x, src_key_padding_mask=padding)
    assert fused[1, 3:].abs().max() == 0
    assert far(fused[~padding], output[~padding]) <= 1e-5
    assert [tuple(call.query.shape) for call in calls] == [(2, 4, 5, 6)] * 2


@pytest.mark.parametrize("training", [False, True])
def test_a_decoder(training: bool) -> None:
    torch.manual_seed(5)
    model = nn.TransformerDecoder(_layer(nn.TransformerDecoderLayer), 2).train(training)
    x, memory = torch.randn(4, 2, 24), torch.randn(4, 2, 24)
    for source in (memory, x):
        torch.manual_seed(6)
        plain = unfused(model, x, source, tgt_mask=causal_mask(4))
        torch.manual_seed(6)
        calls, output = read(model, x, source, tgt_mask=causal_mask(4))
        assert torch.equal(output, plain)
        assert [(c.place.name, c.kind, c.stack) for c in calls] == [
            (f"layers.{i}.{name}", kind, "decoder")
            for i in range(2)
            for name, kind in (("self_attn", "self"), ("multihead_attn", "cross"))
        ]
        torch.manual_seed(6)
        own = own_weights(model, x, source, tgt_mask=causal_mask(4))
        assert max(map(far, map(attention, calls), own)) <= 1e-6


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_transformer_tells_its_three_attentions_apart(batch_first: bool) -> None:
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "enable_nested_tensor is True")
        model = nn.Transformer(24, 4, 2, 1, 32, batch_first=batch_first).eval()
    shapes = [(2, 5), (2, 3)] if batch_first else [(5, 2), (3, 2)]
    inputs = [torch.randn(*shape, 24) for shape in shapes]
    keywords = {"tgt_mask": causal_mask(3), "tgt_is_causal": True}
    calls, output = read(model, *inputs, **keywords)
    assert torch.equal(output, unfused(model, *inputs, **keywords))
    assert [(c.place.name, c.kind, c.stack, c.query.shape[2], c.key.shape[2]) for c in calls] == [
        ("encoder.layers.0.self_attn", "self", "encoder", 5, 5),
        ("encoder.layers.1.self_attn", "self", "encoder", 5, 5),
        ("decoder.layers.0.self_attn", "self", "decoder", 3, 3),
        ("decoder.layers.0.multihead_attn", "cross", "decoder", 3, 5),
    ]
    own = own_weights(model, *inputs, **keywords)
    assert max(map(far, map(attention, calls), own)) <= 1e-6
    assert far(output, model(*inputs, **keywords)) <= 1e-5


# -- in the middle of other code -----------------------------------------------------------------


class Mixture(nn.Module):
    """An encoder, one attention used three times, one called by its forward, and a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 24)
        self.body = nn.Sequential(nn.Linear(24, 24), _layer(nn.TransformerEncoderLayer))
        self.shared = nn.MultiheadAttention(24, 3, add_zero_attn=True)
        self.inner = nn.ModuleDict({"pool": nn.MultiheadAttention(24, 2, kdim=24, vdim=10)})
        self.tight = nn.utils.parametrizations.weight_norm(
            nn.MultiheadAttention(24, 4), "in_proj_weight"
        )
        self.conv = nn.Conv1d(24, 10, 3, padding=1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.body(self.words(ids))  # (T, B, 24)
        for step in range(3):
            x = x + self.shared(x + step, x, x)[0]
        x = x + self.tight(x, x, x, need_weights=False)[0]
        values = self.conv(x.permute(1, 2, 0)).permute(2, 0, 1)  # (T, B, 10)
        pool: Any = self.inner["pool"]
        pooled, _ = pool.forward(x.mean(0, keepdim=True), x, values)
        return F.softmax(pooled[0], -1)


def test_modules_in_the_middle_of_other_code() -> None:
    torch.manual_seed(8)
    model = Mixture().eval()
    ids = torch.randint(0, 50, (7, 2))
    calls, output = read(model, ids)
    assert torch.equal(output, unfused(model, ids))
    assert [(*c.place, c.kind, c.stack, len(c.extra_keys)) for c in calls] == [
        ("body.1.self_attn", 0, "self", None, 0),
        ("shared", 0, "self", None, 1),  # x + 0: other objects, equal values
        ("shared", 1, "cross", None, 1),
        ("shared", 2, "cross", None, 1),
        ("tight", 0, "self", None, 0),
        ("inner.pool", 0, "cross", None, 0),
    ]
    watched = watch(model, ids)
    assert [place for place, _ in watched] == [call.place for call in calls]
    for call, (_, weights) in zip(calls, watched, strict=True):
        assert far(attention(call), weights) <= 1e-6
    *by_hooks, _ = calls  # the last is called by its forward, past all hooks
    assert max(map(far, map(attention, by_hooks), own_weights(model, ids))) <= 1e-6


class Pool(nn.Module):
    """Calls PyTorch's function itself, with weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(12, 12) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = torch.cat([self.q.bias, self.k.bias, self.v.bias])
        mask = torch.ones(len(x), len(x)).triu(1).bool()
        result, _ = F.multi_head_attention_forward(
            x, x, x, 12, 3, torch.empty(0), bias, None, None, False, 0.0,
            self.out.weight, self.out.bias, training=False, attn_mask=mask,
            use_separate_proj_weight=True, q_proj_weight=self.q.weight,
            k_proj_weight=self.k.weight, v_proj_weight=self.v.weight,
        )  # fmt: skip
        return result


def test_a_call_of_pytorchs_function_from_another_module() -> None:
    torch.manual_seed(9)
    model = nn.ModuleDict({"pool": Pool(), "unused": nn.MultiheadAttention(12, 3)})
    x = torch.randn(4, 1, 12)
    calls: list[Call] = []
    with recording(model, calls.append):
        model["pool"](x)
    (call,) = calls
    assert call.place == ("pool", 0)
    weights = attention(call)
    assert weights.triu(1).abs().max() == 0
    assert far(call.query[0].transpose(0, 1).flatten(1), model["pool"].q(x)[:, 0]) <= 1e-6  # type: ignore[operator, union-attr]


def test_what_is_read() -> None:
    assert reads(nn.MultiheadAttention(4, 2))
    assert reads(nn.Transformer(8, 2, 1, 1, 8, batch_first=True))
    assert reads(nn.Sequential(nn.ModuleList([Mixture()])))
    assert not reads(nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 3)))


def test_a_compiled_module_is_run_as_it_was_written() -> None:
    torch.manual_seed(10)
    model = nn.TransformerEncoder(_layer(nn.TransformerEncoderLayer, batch_first=True), 2).eval()
    compiled: Any = torch.compile(model, backend="eager")
    x = torch.randn(2, 4, 24)
    compiled(x)
    calls, output = read(compiled, x)
    assert len(calls) == 2
    assert torch.equal(output, unfused(model, x))


class Marked(torch.Tensor):
    """A tensor of a class of its own, as image libraries have them."""


@pytest.mark.parametrize("how", ["functional", "subclass", "inference", "autocast"])
def test_other_ways_of_being_called(how: str) -> None:
    torch.manual_seed(22)
    model = nn.TransformerEncoderLayer(24, 4, 32, batch_first=True).eval()
    x = torch.randn(2, 4, 24)
    doubled = {name: 2 * weight for name, weight in model.named_parameters()}

    def run() -> Any:
        if how == "functional":
            return torch.func.functional_call(model, doubled, (x,))
        if how == "subclass":
            return model(x.as_subclass(Marked))
        with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
            return model(x)

    calls: list[Call] = []
    with torch.inference_mode(how == "inference"), recording(model, calls.append):
        output = run()
    plain = unfused(run)
    assert type(output) is type(plain)
    assert torch.equal(output, plain)
    (call,) = calls
    assert call.place == ("self_attn", 0)
    assert far(records_attention(call, 1).sum(-1), torch.ones(4, 4)) <= 1e-5


# -- subclasses ----------------------------------------------------------------------------------


class Louder(nn.MultiheadAttention):
    """Changes what goes in and out, and leaves the attention to PyTorch."""

    def forward(self, query: Any, key: Any, value: Any, **keywords: Any) -> Any:
        result, weights = super().forward(3 * query, key, value, **keywords)
        return result.relu(), weights


class Written(nn.MultiheadAttention):
    """The standard attention, written out."""

    temperature = 1.0

    def forward(self, query: Any, key: Any, value: Any, **keywords: Any) -> Any:
        weights = self.in_proj_weight.chunk(3)
        biases = self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(x, w, b).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, w, b in zip((query, key, value), weights, biases, strict=True)
        )
        q = q * self.temperature
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.out_proj(mixed), None


class Tempered(Written):
    """Not the standard attention."""

    temperature = 1.3


def test_a_subclass_that_goes_on_to_pytorchs_function() -> None:
    torch.manual_seed(11)
    model = nn.Sequential(Louder(12, 3, batch_first=True)).eval()
    x, y = torch.randn(2, 4, 12), torch.randn(2, 6, 12)
    calls: list[Call] = []
    with recording(model, calls.append):
        result, weights = model[0](x, y, y, average_attn_weights=False)
    assert [call.place for call in calls] == [("0", 0)]
    assert far(attention(calls[0]), weights) <= 1e-6
    assert torch.equal(result, model[0](x, y, y)[0])


def test_a_subclass_that_computes_the_same_by_itself() -> None:
    torch.manual_seed(12)
    module = Written(12, 3, batch_first=True).eval()
    x = torch.randn(2, 4, 12)
    plain = module(x, x, x)[0]
    calls: list[Call] = []
    with recording(module, calls.append):
        outputs = [module(x, x, x)[0] for _ in range(2)]
    assert all(torch.equal(output, plain) for output in outputs)
    assert [call.place for call in calls] == [("", 0), ("", 1)]
    assert far(mixed(calls[1], module), plain) <= 1e-6
    ((place, weights),) = watch(module, x, x, x)
    assert place == ("", 0)
    assert far(attention(calls[0]), weights) <= 1e-6


def test_a_subclass_with_an_attention_of_its_own_is_refused_by_name() -> None:
    torch.manual_seed(13)
    model = nn.Sequential()
    model.odd = Tempered(12, 3, batch_first=True).eval()
    x = torch.randn(2, 4, 12)
    for context in (recording, watching):
        with (
            pytest.raises(InputError, match=r"attention odd is of the class .*\.Tempered"),
            context(model, lambda *_: pytest.fail("handed on")),
        ):
            model.odd(x, x, x)
        assert not model.odd._forward_hooks
        assert not model.odd._forward_pre_hooks


def test_a_forward_put_on_one_module() -> None:
    torch.manual_seed(14)
    model = nn.TransformerEncoderLayer(12, 3, 16, batch_first=True).eval()
    standard = model.self_attn.forward
    model.self_attn.forward = lambda *args, **kw: standard(*args, **kw)  # type: ignore[method-assign]
    x = torch.randn(2, 4, 12)
    assert len(read(model, x)[0]) == 1
    model.self_attn.forward = lambda query, *_args, **_kw: (query.cumsum(1), None)  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"self_attn is of the class torch.*MultiheadAttention"):
        read(model, x)


@pytest.mark.parametrize("batch_first", [False, True])
def test_pytorchs_quantizable_attention(batch_first: bool) -> None:
    quantizable = pytest.importorskip("torch.ao.nn.quantizable")
    torch.manual_seed(15)
    module = quantizable.MultiheadAttention(
        12, 3, kdim=7, vdim=5, add_bias_kv=True, batch_first=batch_first
    ).eval()
    shape = (2, 4) if batch_first else (4, 2)
    inputs = [torch.randn(*shape, size) for size in (12, 7, 5)]
    _, averaged = module(*inputs)
    (call,), _ = read(module, *inputs)
    assert far(attention(call).mean(1), averaged) <= 1e-6


# -- no trace ------------------------------------------------------------------------------------


def _trace(model: nn.Module) -> list[Any]:
    """Everything that a run might leave behind, on the model and in PyTorch."""
    functions = ("multi_head_attention_forward", "_in_projection_packed", "_in_projection")
    return [
        [(part.training, len(part._forward_hooks), len(part._forward_pre_hooks))
         for part in model.modules()],
        [sorted(vars(part)) for part in model.modules()],
        [(p.requires_grad, p._version, p.grad) for p in model.parameters()],
        torch.backends.mha.get_fastpath_enabled(),
        torch.overrides._len_torch_function_stack(),
        [getattr(F, name) for name in (*functions, "scaled_dot_product_attention")],
        torch.is_grad_enabled(),
    ]  # fmt: skip


class Stop(BaseException):
    """No `Exception`: what a cancelled run may raise."""


class Both(nn.Module):
    """An encoder, an attention with a forward of its own, and something that may fail."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.own = Written(12, 3, batch_first=True)
        self.fails = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.encoder(x)
        x = self.own(x, x, x)[0]
        if self.fails:
            raise RuntimeError("failed")
        return x


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("context", [recording, watching])
@pytest.mark.parametrize(
    "how", ["done", "failed", "refused", "stopped at 0", "stopped at 1", "stopped at 2"]
)
def test_a_run_leaves_no_trace(how: str, context: Any, fused: bool) -> None:
    torch.manual_seed(16)
    model = Both().eval()
    model.encoder.layers[1].train()  # flags that are not all the same
    x = torch.randn(2, 4, 12)
    before_flag = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fused)
    try:
        torch.manual_seed(17)
        before, output = _trace(model), model(x)
        seen: list[Any] = []

        def note(*what: Any) -> None:
            if how == f"stopped at {len(seen)}":
                raise Stop
            seen.append(what)

        if how == "failed":
            model.fails = True
        elif how == "refused":
            model.own.temperature = 0.5
        raised = {"failed": RuntimeError, "refused": InputError}.get(how, Stop)
        for _ in range(2):
            if how == "done":
                with context(model, note):
                    model(x)
            else:
                with pytest.raises(raised), context(model, note):
                    model(x)
        model.fails, model.own.temperature = False, 1.0
        expected = {"done": 6, "failed": 6, "refused": 4}
        assert len(seen) == (expected[how] if how in expected else int(how[-1]))
        vars(model.own).pop("temperature")
        assert _trace(model) == before
        torch.manual_seed(17)
        assert torch.equal(model(x), output)
        assert torch.backends.mha.get_fastpath_enabled() is fused
    finally:
        torch.backends.mha.set_fastpath_enabled(before_flag)


def test_two_recordings_are_equal() -> None:
    model = Both().eval()
    x = torch.randn(2, 4, 12)
    first, second = read(model, x)[0], read(model, x)[0]
    for a, b in zip(first, second, strict=True):
        assert a.place == b.place
        assert torch.equal(a.query, b.query)
        assert torch.equal(a.key, b.key)
        assert torch.equal(a.value, b.value)


def test_hooks_of_the_caller_are_called_as_ever() -> None:
    model = Both().eval()
    x, ends = torch.randn(2, 4, 12), []
    model.own.register_forward_hook(lambda _m, _i, output: (2 * output[0], None))
    model.own.register_forward_hook(lambda _m, _i, output: ends.append(output[0]))
    plain = unfused(model, x)
    calls, output = read(model, x)  # the doubled output is not the module's own
    assert len(calls) == 3
    assert torch.equal(output, plain)
    assert len(ends) == 2
    assert len(model.own._forward_hooks) == 2


def test_gradients_go_on_and_records_hold_none() -> None:
    model = Both()
    with torch.enable_grad():
        calls, output = read(model.eval(), torch.randn(2, 4, 12))
        output.sum().backward()
    assert model.own.in_proj_weight.grad is not None
    assert all(p.grad is not None for p in model.encoder.layers[0].parameters())
    for call in calls:
        assert not any(t.requires_grad for t in (call.query, call.key, call.value))
        assert all(t.grad_fn is None for t in (call.query, call.key, call.value))


def test_recordings_hold_no_memory() -> None:
    model = Both().eval()
    x = torch.randn(2, 4, 12)

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    calls, output = read(model, x)
    gone = [weakref.ref(tensor) for call in calls for tensor in (call.query, call.key, call.value)]
    gc.disable()
    try:
        del calls, output
        assert not any(ref() is not None for ref in gone)  # at once, not when cycles are looked for
    finally:
        gc.enable()
    watch(model, x)
    before = tensors()
    for _ in range(20):
        read(model, x)
        watch(model, x)
    assert tensors() <= before


def test_other_threads_are_not_recorded_and_the_flag_comes_back() -> None:
    torch.manual_seed(18)
    models = [Both().eval(), Both().eval()]
    x = torch.randn(2, 4, 12)
    alone = [read(model, x)[0] for model in models]
    inside, calls = threading.Barrier(2, timeout=30), [[], []]  # type: ignore[var-annotated]

    def record(index: int) -> None:
        with torch.no_grad(), recording(models[index], calls[index].append):
            inside.wait()
            models[index](x)
            models[1 - index].encoder(x)
            inside.wait()

    threads = [threading.Thread(target=record, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert torch.backends.mha.get_fastpath_enabled()
    for own, other in zip(calls, alone, strict=True):
        for a, b in zip(own[:3], other, strict=True):
            assert a.place == b.place
            assert torch.equal(a.query, b.query)


# -- other types, other places -------------------------------------------------------------------


def _devices() -> list[Any]:
    absent = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    return ["cpu", pytest.param("cuda", marks=absent)]


@pytest.mark.parametrize("device", _devices())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype, device: str) -> None:
    torch.manual_seed(19)
    model = nn.MultiheadAttention(
        16, 4, add_bias_kv=True, add_zero_attn=True, batch_first=True, dtype=dtype, device=device
    ).eval()
    x = torch.randn(2, 5, 16, dtype=dtype, device=device)
    mask = torch.ones(5, 5, device=device).triu(1).bool()
    (call,), output = read(model, x, x, x, attn_mask=mask, need_weights=False)
    assert torch.equal(output[0], unfused(model, x, x, x, attn_mask=mask, need_weights=False)[0])
    for tensor in (call.query, call.key, call.value, call.mask):
        assert tensor is not None
        assert (tensor.dtype, tensor.device.type) == (dtype, device)
    ((_, weights),) = watch(model, x, x, x, attn_mask=mask, need_weights=False)
    within = {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(dtype, 1e-6)
    for row in range(2):
        assert far(records_attention(call, row), weights[row].cpu()) <= within


# -- by way of `capture` -------------------------------------------------------------------------

FIGURES = json.loads((Path(__file__).parent / "multihead_seed55.json").read_text("utf-8"))


def test_the_worked_example_to_four_decimals() -> None:
    """The numbers are drawn before the module: its weights come from the same generator."""
    torch.manual_seed(55)
    x = torch.randn(1, 5, 4)
    module = nn.MultiheadAttention(4, 2, bias=False, batch_first=True).eval()
    calls, output = read(module, x, x, x)
    close = 0.5001 * 10.0 ** -FIGURES["decimals"]
    assert far(attention(calls[0])[0], torch.tensor(FIGURES["attention"])) <= close
    assert far(output[0][0], torch.tensor(FIGURES["output"])) <= close
    first = torch.cat(
        [t[0, :, 0].flatten() for t in (calls[0].query, calls[0].key, calls[0].value)]
    )
    assert far(first, torch.tensor(FIGURES["qkv_row_0"])) <= close

    for inputs in (x, x[0], (x, x, x), {"query": x, "key": x, "value": x}):
        capture = attnviz_gui.capture(module, inputs)
        assert [(e.kind, e.n_heads, e.head_dim) for e in capture.layers] == [("self", 2, 2)]
        for head in range(2):
            own = torch.from_numpy(capture.head(0, head).attention)
            assert far(own, torch.tensor(FIGURES["attention"][head])) <= close
        assert capture.verify() <= 1e-6


def test_a_capture_names_the_keys_that_are_no_tokens() -> None:
    torch.manual_seed(20)
    module: Callable[..., Any] = nn.MultiheadAttention(
        8, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True
    ).train()
    x, padding = torch.randn(2, 4, 8), torch.zeros(2, 4).bool()
    padding[1, 3] = True
    capture = attnviz_gui.capture(
        module, {"query": x, "key": x, "value": x, "key_padding_mask": padding}
    )
    assert capture.query_tokens(0, 1) == ("0", "1", "2")
    assert capture.key_tokens(0, 1) == ("0", "1", "2", "⟨bias_k⟩", "⟨zero⟩")
    assert capture.head(0, 0, 1).attention.shape == (3, 5)
    assert capture.verify() <= 1e-6
    assert module.training  # type: ignore[attr-defined]


def test_a_capture_of_a_transformer() -> None:
    torch.manual_seed(21)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "enable_nested_tensor is True")
        model = nn.Transformer(24, 4, 1, 1, 32)
    capture = attnviz_gui.capture(model, (torch.randn(5, 2, 24), torch.randn(3, 2, 24)))
    assert [(e.name, e.kind, e.stack) for e in capture.layers] == [
        ("encoder.layers.0.self_attn", "self", "encoder"),
        ("decoder.layers.0.self_attn", "self", "decoder"),
        ("decoder.layers.0.multihead_attn", "cross", "decoder"),
    ]
    assert capture.verify() <= 1e-6
