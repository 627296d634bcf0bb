"""The attention interface read at the level of calls: what is handed on, and that nothing stays."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
import torch

from attnviz_gui.capture.call import Call, OtherWay, Place
from attnviz_gui.capture.ways import interface, standin
from attnviz_gui.capture.ways.stacks import stacks
from attnviz_gui.capture.ways.windows import window_positions
from tests.families.family import Family, build, example


def read(model: Any, inputs: dict[str, Any]) -> list[Call]:
    calls: list[Call] = []
    with torch.no_grad(), interface.recording(model, calls.append):
        model(**inputs)
    return calls


def watched(model: Any, inputs: dict[str, Any]) -> list[tuple[Place, torch.Tensor]]:
    found: list[tuple[Place, torch.Tensor]] = []
    with torch.no_grad(), interface.watching(model, lambda *both: found.append(both)):
        model(**inputs)
    return found


def weights(call: Call) -> torch.Tensor:
    """A call's attention, (B, H, T_q, T_k), from what it holds."""
    keys = call.key.repeat_interleave(call.query.shape[1] // call.key.shape[1], 1)
    logits = call.query @ keys.transpose(2, 3) * call.scaling
    if call.softcap is not None:
        logits = torch.tanh(logits / call.softcap) * call.softcap
    if call.bias is not None:
        logits = logits + call.bias
    if call.mask is not None and call.mask.dtype == torch.bool:
        logits = logits.masked_fill(~call.mask, -torch.inf)
    elif call.mask is not None:
        logits = logits + call.mask
    if call.sink is not None:
        sinks = call.sink[None, :, None, None].expand(*logits.shape[:3], 1)
        return torch.softmax(torch.cat([logits, sinks], -1), -1)[..., :-1]
    return torch.softmax(logits, -1)


def functions() -> dict[str, Any]:
    """What stands wherever a run may put a function of its own."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("transformers.models.") and "modeling" in name:
            for key, value in vars(module).items():
                if "eager_attention_forward" in key or "apply_rotary" in key:
                    found[f"{name}.{key}"] = value
    return found


class Stop(Exception):
    pass


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss", "t5", "swin", "esm"])
@pytest.mark.parametrize("how", ["done", "ended early", "failed", "stopped"])
def test_nothing_stays(family: str, how: str) -> None:
    model = build(family)
    inputs = example(family, model)
    with torch.no_grad():
        outputs = model(**inputs).last_hidden_state
    before = functions()
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    if how == "failed":
        linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
        broken: Any = linear[len(linear) // 2]
        weight, broken.weight = broken.weight, None
        with pytest.raises((TypeError, AttributeError)):
            read(model, inputs)
        broken.weight = weight
    elif how == "stopped":
        calls: list[Call] = []

        def stop(call: Call) -> None:
            calls.append(call)
            if len(calls) == 2:
                raise Stop

        with pytest.raises(Stop), torch.no_grad(), interface.recording(model, stop):
            model(**inputs)
        watched(model, inputs)
    else:
        for _ in range(1 + (how == "ended early")):
            read(model, inputs)
    assert functions() == before
    assert not standin._STANDING
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    with torch.no_grad():
        assert torch.equal(model(**inputs).last_hidden_state, outputs)


def test_a_run_that_is_whole_computes_what_the_model_does() -> None:
    """Recording changes no bit of the eager model's output, and the second run tells the same."""
    for family in ("llama", "gemma2", "gpt_oss", "bart", "swin"):
        model = build(family)
        inputs = example(family, model)
        with torch.no_grad(), interface.implementation(model, "eager"):
            expected = model(**inputs).last_hidden_state
        calls: list[Call] = []
        with torch.no_grad(), interface.recording(model, calls.append):
            output = model(**inputs).last_hidden_state
        assert torch.equal(output, expected), family
        again = read(model, inputs)
        assert [c.place for c in again] == [c.place for c in calls]
        for one, two in zip(calls, again, strict=True):
            assert torch.equal(one.query, two.query) and torch.equal(one.value, two.value)


def test_other_inputs_than_before_are_read_to_their_end() -> None:
    """Text alone comes to fewer attentions than text with an image."""
    model = build("clip")
    inputs = example("clip", model)
    text = {name: t for name, t in inputs.items() if name != "pixel_values"}
    assert len(read(model.text_model, text)) == 2
    assert len(read(model.text_model, text)) == 2
    assert len(read(model, inputs)) == 4
    assert len(read(model, inputs)) == 4


def test_other_threads_compute_as_before() -> None:
    """A model of the same family that is run elsewhere in the middle of a run is not recorded."""
    model, other = build("llama"), build("llama")
    inputs = example("llama", model)
    with torch.no_grad():
        expected = other(**inputs).last_hidden_state
    found: list[torch.Tensor] = []

    def elsewhere() -> None:
        with torch.no_grad():
            found.append(other(**inputs).last_hidden_state)

    calls: list[Call] = []

    def note(call: Call) -> None:
        calls.append(call)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    with torch.no_grad(), interface.recording(model, note):
        model(**inputs)
    assert len(calls) == len(found) == 2
    assert all(torch.equal(output, expected) for output in found)


def test_runs_that_meet_put_everything_back() -> None:
    models = [build("llama"), build("llama")]
    inputs = example("llama", models[0])
    before = functions()
    first, second = [], []  # type: ignore[var-annotated]
    with torch.no_grad():
        one = interface.recording(models[0], first.append)
        two = interface.recording(models[1], second.append)
        one.__enter__()
        two.__enter__()
        models[1](**inputs)
        two.__exit__(None, None, None)
        models[0](**inputs)
        one.__exit__(None, None, None)
    assert len(first) == len(second) == 2
    assert functions() == before


def test_each_row_has_the_mask_of_its_own_text() -> None:
    for family in ("bert", "llama", "t5", "bart"):
        model = build(family)
        inputs = example(family, model, lengths=(7, 4))
        for call in read(model, inputs):
            if "decoder" in call.place.name and not call.cross:
                continue  # the decoder's own tokens are all there
            mask = call.mask.expand(2, -1, 7, 7)[:, 0]  # type: ignore[union-attr]
            allowed = mask > -1e9
            assert allowed[0, -1].all()
            assert allowed[1, 3].tolist() == [True] * 4 + [False] * 3, (family, call.place)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "phi", "stablelm", "esm", "deepseek_v3"])
def test_before_the_rotary_embedding(family: str) -> None:
    """Lengths stay, the first position's vectors stay, and later ones turn."""
    model = build(family)
    for call in read(model, example(family, model, lengths=(7,))):
        assert call.unrotated is not None
        for before, after in zip(call.unrotated, (call.query, call.key), strict=True):
            assert before.shape == after.shape
            assert torch.allclose(before.norm(dim=-1), after.norm(dim=-1), rtol=1e-4)
            assert not torch.allclose(before[:, :, 1:], after[:, :, 1:], atol=1e-3)
        # A token's product with itself knows no position.
        for products in (call.query, call.unrotated[0]):
            assert products.shape[2] == 7
        group = call.query.shape[1] // call.key.shape[1]
        same = [
            (q * k.repeat_interleave(group, 1)).sum(-1)
            for q, k in (call.unrotated, (call.query, call.key))
        ]
        assert torch.allclose(*same, rtol=1e-4, atol=1e-3)


def test_no_rotary_embedding_no_vectors_before_it() -> None:
    for family in ("bert", "gpt2", "t5", "llama4_text"):  # the last norms after it rotates
        model = build(family)
        assert all(call.unrotated is None for call in read(model, example(family, model)))
    model = build("cohere2")  # every fourth layer has none
    calls = read(model, example("cohere2", model))
    assert [call.unrotated is None for call in calls] == [False, False, False, True]


def test_windows_stand_one_after_the_other() -> None:
    """Four windows of 4 x 4 patches; each query sees its own window, and shifted ones a part."""
    model = build("swin")
    inputs = example("swin", model, lengths=(1, 1))
    calls = read(model, inputs)
    assert [call.windows for call in calls] == [4, 4, 1, 1]
    assert [tuple(call.query.shape) for call in calls[:3]] == [
        (2, 2, 64, 8), (2, 2, 64, 8), (2, 4, 16, 8),
    ]  # fmt: skip
    queries, keys = window_positions(calls[0])
    assert queries == keys == [(w, i) for w in range(4) for i in range(16)]
    window = torch.tensor([w for w, _ in queries])
    for call, (place, own) in zip(calls, watched(model, inputs), strict=True):
        assert call.place == place
        assert (weights(call) - own).abs().max() <= 1e-6
    for call in calls[:2]:
        assert call.mask is not None and call.mask.dtype == torch.bool
        within = window[:, None] == window[None]
        assert not (call.mask & ~within).any()
        assert call.bias is not None and not call.bias[..., ~within].any()
    # One image alone gives what it gives in a batch.
    alone = read(model, {"pixel_values": inputs["pixel_values"][1:]})
    assert torch.allclose(alone[0].query[0], calls[0].query[1], atol=1e-5)


def test_windows_too_many_for_one_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    from attnviz_gui.capture.ways import windows
    from attnviz_gui.errors import InputError

    model = build("swin")
    monkeypatch.setattr(windows, "_MOST_BYTES", 64 * 64)
    with pytest.raises(InputError, match=r"family swin.* 4 windows of 16 tokens"):
        read(model, example("swin", model))


def test_sinks_that_the_weights_do_not_know() -> None:
    """Granite's sinks scale the output alone; GPT-OSS's take a share of each row."""
    granite = build(
        Family(
            "GraniteSWAConfig",
            {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "head_dim": 8,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
        )
    )  # fmt: skip
    inputs = example("llama", granite)
    assert any(hasattr(module, "sinks") for module in granite.modules())
    for call, (_, own) in zip(read(granite, inputs), watched(granite, inputs), strict=True):
        assert call.sink is None
        assert (weights(call) - own)[0].abs().max() <= 1e-6
    model = build("gpt_oss")
    inputs = example("gpt_oss", model)
    for call, (_, own) in zip(read(model, inputs), watched(model, inputs), strict=True):
        assert call.sink is not None and call.sink.shape == (4,)
        assert (own.sum(-1) < 0.999).any()
        assert (weights(call) - own)[0].abs().max() <= 1e-6


def test_an_attention_taken_twice_is_one() -> None:
    """DiffLlama takes each attention of one half of the values, and then of the other."""
    model = build("diffllama")
    inputs = example("diffllama", model)
    assert [c.place.nth for c in read(model, inputs)] == [0, 0]
    assert [place.nth for place, _ in watched(model, inputs)] == [0, 0]


def test_attention_that_passes_the_interface_by() -> None:
    """LongT5's encoder has bands of its own, its decoder the interface: half is not enough."""
    t5 = build("t5").config.to_dict()
    sizes = ("vocab_size", "d_model", "d_ff", "d_kv", "num_layers", "num_heads")
    model = build(Family("LongT5Config", {name: t5[name] for name in sizes}))
    assert interface.reads(model)
    inputs = example("t5", model)
    with pytest.raises(OtherWay, match=r"family longt5 .*LongT5LocalAttention"):
        read(model, inputs)
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_model_that_draws_random_numbers_is_watched_on_the_same_ones() -> None:
    model = build(
        Family(
            "ViTMAEConfig",
            {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
             "num_attention_heads": 4, "image_size": 32, "patch_size": 8},
            inputs="image",
        )
    )  # fmt: skip
    inputs = example("vit", model)
    first, calls = read(model, inputs), read(model, inputs)
    assert not torch.equal(first[0].key, calls[0].key)  # other patches were left out
    state = torch.get_rng_state()
    for call, (_, own) in zip(calls, watched(model, inputs), strict=True):
        assert (weights(call) - own).abs().max() <= 1e-6
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["encoder.layer.0.attention.self", "encoder.layer.1.attention.self"], ["", ""]),
        (["layer.0.attention.self", "layer.0.crossattention.self"], ["", ""]),
        (["encoder.layers.0.self_attn", "decoder.layers.0.encoder_attn"], ["encoder", "decoder"]),
        (["model.encoder.block.0.layer.0.a", "model.decoder.block.0.layer.0.a"],
         ["encoder", "decoder"]),
        (["text_model.encoder.layers.0.a", "vision_model.encoder.layers.0.a"], ["text", "vision"]),
        (["visual.blocks.0.attn", "language_model.layers.0.self_attn"], ["vision", "text"]),
        (["text_encoder.layers.0.a", "text_decoder.layers.0.a", "speech_encoder.layers.0.a"],
         ["text encoder", "text decoder", "audio"]),
        (["vision.layers.0.a", "lm.encoder.block.0.a", "lm.decoder.block.0.a"],
         ["vision", "lm encoder", "lm decoder"]),
    ],
)  # fmt: skip
def test_stacks(names: list[str], expected: list[str]) -> None:
    assert list(stacks(names).values()) == expected
