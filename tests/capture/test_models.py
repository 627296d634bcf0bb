"""Loading: what works, and a sentence that says what to do for what does not."""

from __future__ import annotations

import json
import os
import shutil
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest
import torch
import transformers
from transformers.integrations import hub_kernels

import attnviz_gui
from attnviz_gui.capture import models
from attnviz_gui.capture.loading import loading
from attnviz_gui.capture.models import load_model, token_limit
from attnviz_gui.errors import InputError
from attnviz_gui.resources import bundled_model
from tests.capture.tiny import TEXT, byte_tokenizer, tiny_folder, tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from attnviz_gui.capture.models import LoadedModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good tiny model, for a test to break."""
    return tiny_folder(tmp_path / "tiny-bert", "bert")


def test_the_bundled_model(bundled: LoadedModel) -> None:
    assert bundled.name == "all-MiniLM-L6-v2"
    assert bundled.limit == 512
    assert bundled.device == "cpu"
    assert bundled.source == "bundled"
    assert not any(part.training for part in bundled.module.modules())
    assert bundled.module.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("form", [str, Path, lambda p: str(p) + "/", os.fsencode])
def test_a_folder(folder: Path, form: Callable[[Path], Any]) -> None:
    if form is os.fsencode:
        with pytest.raises(InputError, match="Name a model"):
            load_model(form(folder))
        return
    model = load_model(form(folder), device="cpu")
    assert model.name == "tiny-bert"
    assert model.limit == 128
    assert len(attnviz_gui.capture(model, TEXT).layers) == 3


def test_loading_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A checkpoint of another head makes transformers report keys; none of it is the user's."""
    config = transformers.AutoConfig.from_pretrained(folder)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    capfd.readouterr()
    model = load_model(folder, device="cpu")
    attnviz_gui.capture(model, TEXT)
    assert type(model.module).__name__ == "BertModel"
    assert capfd.readouterr() == ("", "")


def test_weights_in_a_bin_file(folder: Path) -> None:
    whole = load_model(folder, device="cpu")
    torch.save(whole.module.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    same = load_model(folder, device="cpu")
    for a, b in zip(whole.module.parameters(), same.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_bin_file_that_would_run_code(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(trap),)

    torch.save({"embeddings.word_embeddings.weight": Trap()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    _refused(folder, "tiny-bert")
    assert not trap.exists()


def test_weights_in_shards(folder: Path) -> None:
    model = transformers.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert len(attnviz_gui.capture(load_model(folder, device="cpu"), TEXT).layers) == 3
    shards[1].unlink()
    _refused(folder, f"incomplete: {shards[1].name} is missing")


def test_an_encoder_alone_is_loaded_by_its_own_class(tmp_path: Path) -> None:
    """AutoModel would make up the decoder that a T5 encoder was saved without."""
    folder = tiny_folder(tmp_path / "t5", "t5")
    config = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(0)
    transformers.T5EncoderModel(config).save_pretrained(folder)
    model = load_model(folder, device="cpu")
    assert type(model.module).__name__ == "T5EncoderModel"
    assert len(attnviz_gui.capture(model, TEXT).layers) == 2


def test_a_missing_pooler_is_no_fault(folder: Path) -> None:
    _edit_weights(folder, lambda w: {k: v for k, v in w.items() if "pooler" not in k})
    assert len(attnviz_gui.capture(load_model(folder, device="cpu"), TEXT).layers) == 3


def test_what_a_config_asks_to_be_returned_is_left_out(folder: Path) -> None:
    _edit_config(folder, output_attentions=True, output_hidden_states=True)
    assert attnviz_gui.capture(load_model(folder, device="cpu"), TEXT).verify() <= 1e-6


# -- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "changes", "limit"),
    [
        ("bert", {}, 128),
        ("roberta", {"pad_token_id": 1, "max_position_embeddings": 66}, 64),
        ("gpt2", {}, 128),
        ("opt", {}, 128),
        ("bart", {}, 128),
        ("llama", {"max_position_embeddings": 77}, 77),
        ("t5", {}, None),
    ],
)
def test_how_many_tokens_a_model_reads(
    family: str, changes: dict[str, Any], limit: int | None
) -> None:
    model = tiny_model(family, **changes)
    assert token_limit(model) == limit
    if limit is not None and family != "llama":  # it can read as many, and not one more
        with torch.no_grad():
            model(input_ids=torch.full((1, limit), 5))
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.full((1, limit + 1), 5))


def test_the_tokenizer_bounds_a_model_without_a_table() -> None:
    model = tiny_model("t5")
    assert token_limit(model, byte_tokenizer(model_max_length=99)) == 99
    assert token_limit(model, byte_tokenizer()) is None


# -- devices ---------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cuda:x", "", "cpu:1:2", "meta", "CPU"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(InputError, match=f"no device '{device}' here; choose auto or cpu"):
        load_model("bundled", device=device)


def test_a_module_in_memory_goes_where_it_is_told() -> None:
    module = tiny_model("bert")
    assert load_model(module).device == "cpu"
    assert load_model(module, device="cpu").module is module
    with pytest.raises(InputError, match="no device"):
        load_model(module, device="cuda:99")


def test_a_plain_module_without_attention_says_so() -> None:
    with pytest.raises(InputError, match="No attention was seen in Linear"):
        attnviz_gui.capture(torch.nn.Linear(3, 3), torch.zeros(1, 3))


# -- what is no model ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", ["", "  ", "no such folder", "./nowhere", "/nowhere", "a/b/c", "~nobody-at-all/x"]
)
def test_there_is_no_such_folder(source: str) -> None:
    with pytest.raises(InputError, match=r"There is no folder|Name a model"):
        load_model(source)


@pytest.mark.parametrize("source", ["x" * 5000, "nul\0byte", Path("nowhere"), "org/" + "y" * 300])
def test_names_that_no_file_can_have(source: Any) -> None:
    with pytest.raises(InputError, match=r"There is no folder|Name a model|hub id"):
        load_model(source)


def test_a_file_is_no_folder(folder: Path) -> None:
    _refused(folder / "config.json", "is a file; choose the folder")


def test_a_folder_without_a_config(tmp_path: Path) -> None:
    _refused(tmp_path, "holds no model: there is no config.json")


def test_a_folder_above_the_model_says_where_it_is(folder: Path) -> None:
    _refused(folder.parent, "perhaps its folder tiny-bert")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1]", "names no model_type"),
        (b"{}", "names no model_type"),
        (b'{"model_type": 7}', "names no model_type"),
        (b'{"model_type": "no_such_family"}', "family 'no_such_family', which is not known"),
    ],
)
def test_a_config_that_cannot_be_read(folder: Path, text: bytes, said: str) -> None:
    (folder / "config.json").write_bytes(text)
    _refused(folder, said)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "many"},
        {"num_attention_heads": 0},
        {"num_attention_heads": 5},
        {"num_hidden_layers": 0},
        {"num_hidden_layers": -1},
        {"hidden_act": "no_such_function"},
        {"vocab_size": None},
        {"architectures": 5},
        {"dtype": "no_such_type"},
        {"attn_implementation": "flash_attention_2"},
    ],
)
def test_a_config_that_says_nonsense(folder: Path, changes: dict[str, Any]) -> None:
    _edit_config(folder, **changes)
    try:
        capture = attnviz_gui.capture(load_model(folder, device="cpu"), TEXT)
    except InputError as error:
        _is_a_sentence(error)
    else:  # what does no harm may be passed over
        assert capture.verify() <= 1e-6


@pytest.mark.parametrize(
    "kernel",
    [
        {"attn_implementation": "kernels-community/flash-attn"},
        {"_attn_implementation": "kernels-community/vllm-flash-attn3"},
        {"attn_implementation": "flash_attention_2"},
        {"experts_implementation": "somebody/experts"},
    ],
    ids=str,
)
def test_a_kernel_that_a_config_asks_for_is_never_looked_for(
    kernel: dict[str, Any], tmp_path: Path
) -> None:
    folder = tiny_folder(tmp_path / "gpt2", "gpt2")
    _edit_config(folder, **kernel)
    model = load_model(folder, device="cpu")
    assert model.module.config._attn_implementation in ("sdpa", "eager")
    assert attnviz_gui.capture(model, "A bird.").verify() <= 1e-5


def test_code_of_the_hub_is_never_fetched_while_a_model_loads() -> None:
    """Many families ask for some where the package that fetches it is installed."""
    own = hub_kernels.get_kernel
    with loading():
        with pytest.raises(ImportError, match="code kernels-community/yoso of the hub"):
            hub_kernels.get_kernel("kernels-community/yoso", version=1)
        assert hub_kernels.lazy_load_kernel("causal-conv1d", mapping={}) is None
    assert hub_kernels.get_kernel is own


@pytest.mark.parametrize(
    "auto_map",
    [
        {"AutoModel": "modeling_mine.MyModel"},
        {"AutoModel": "org/repo--modeling_mine.MyModel", "AutoConfig": "c.BertConfig"},
        {"AutoTokenizer": ["tokenization_mine.MyTokenizer", None]},
    ],
)
@pytest.mark.parametrize("family", ["bert", "no_such_family"])
def test_a_model_that_needs_its_own_code(
    folder: Path, auto_map: dict[str, Any], family: str, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    for name in ("modeling_mine.py", "tokenization_mine.py", "c.py"):
        (folder / name).write_text(f"import os; os.mkdir({str(trap)!r})")
    _edit_config(folder, auto_map=auto_map, model_type=family)
    _refused(folder, "needs code that comes with it .*never runs")
    assert not trap.exists()


def test_a_tokenizer_that_needs_its_own_code(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    (folder / "tokenization_mine.py").write_text(f"import os; os.mkdir({str(trap)!r})")
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text())
    said["auto_map"] = {"AutoTokenizer": ["tokenization_mine.MyTokenizer", None]}
    said["tokenizer_class"] = "MyTokenizer"
    path.write_text(json.dumps(said))
    _refused(folder, "needs code that comes with it")
    assert not trap.exists()


def test_code_that_transformers_has_taken_up_is_not_needed(folder: Path) -> None:
    _edit_config(folder, auto_map={"AutoModel": "modeling_bert.BertModel"})
    (folder / "modeling_bert.py").write_text("raise SystemExit('run')")
    assert load_model(folder, device="cpu").module.__module__.startswith("transformers.")


# -- weights ---------------------------------------------------------------------------------


def test_weights_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    _refused(folder, "has no weights")


def test_weights_of_length_0(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")
    _refused(folder, "corrupt: model.safetensors is unreadable, it is empty")


@pytest.mark.parametrize("keep", [4, 8, 300, -1, -1000])
def test_weights_cut_short(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    _refused(folder, "corrupt: model.safetensors")


def test_weights_that_are_something_else(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 3)
    _refused(folder, "corrupt: model.safetensors")
    (folder / "model.safetensors").unlink()
    for content in (b"", b"not a checkpoint", b"PK\x03\x04" + bytes(50)):
        (folder / "pytorch_model.bin").write_bytes(content)
        _refused(folder, "tiny-bert")


def test_weights_whose_header_lies(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 2**62) + data[8:])
    _refused(folder, "corrupt: model.safetensors")


@pytest.mark.parametrize("layers", [1, 2])
def test_weights_of_more_layers(folder: Path, layers: int) -> None:
    _edit_config(folder, num_hidden_layers=layers)
    _refused(folder, r"more layers than its config.json says \(encoder.layer.\d")


def test_weights_of_other_shapes(folder: Path) -> None:
    _edit_config(folder, hidden_size=64)
    _refused(folder, "do not fit its config.json")


@pytest.mark.parametrize("part", ["attention.self.query", "layer.2.", "embeddings"])
def test_weights_that_would_be_made_up(folder: Path, part: str) -> None:
    _edit_weights(folder, lambda w: {k: v for k, v in w.items() if part not in k})
    _refused(folder, "incomplete: .* are missing, among them .* made-up")


def test_weights_of_another_family(folder: Path, tmp_path: Path) -> None:
    other = tiny_folder(tmp_path / "gpt2", "gpt2")
    shutil.copy(other / "model.safetensors", folder)
    _refused(folder, "tiny-bert are incomplete")


@pytest.mark.parametrize(
    "index",
    ["{", "[]", '{"weight_map": 5}', '{"weight_map": {}}',
     '{"weight_map": {"a": "../../../etc/passwd"}}'],
)  # fmt: skip
def test_an_index_that_cannot_be_read(folder: Path, index: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    _refused(folder, "index.json is corrupt")


# -- tokenizer -------------------------------------------------------------------------------


def _tokenizer_files(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name not in ("config.json", "model.safetensors")]


def test_tokenizer_missing(folder: Path) -> None:
    for path in _tokenizer_files(folder):
        path.unlink()
    _refused(folder, "has no tokenizer; put its tokenizer.json")


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"\xff"])
def test_tokenizer_corrupt(folder: Path, content: bytes) -> None:
    for path in _tokenizer_files(folder):
        path.unlink()
    (folder / "tokenizer.json").write_bytes(content)
    _refused(folder, "tokenizer of tiny-bert cannot be read")


def test_tokenizer_config_alone(folder: Path) -> None:
    for path in _tokenizer_files(folder):
        if path.name != "tokenizer_config.json":
            path.unlink()
    _refused(folder, "tokenizer")


def test_tokenizer_of_another_model(folder: Path) -> None:
    for path in _tokenizer_files(folder):
        path.unlink()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bundled_model() / name, folder)
    model = load_model(folder, device="cpu")
    with pytest.raises(InputError, match="does not belong to its weights"):
        attnviz_gui.capture(model, TEXT)


# -- permissions -----------------------------------------------------------------------------


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Read as a user who owns nothing, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="permissions work otherwise there")
@pytest.mark.parametrize("what", ["model.safetensors", "config.json", "tokenizer.json", "."])
def test_what_may_not_be_read(folder: Path, what: str) -> None:
    for path in [*folder.parents][:3]:
        if path.stat().st_uid == os.geteuid():
            path.chmod(0o755)
    (folder / what).chmod(0)
    try:
        with _as_nobody():
            _refused(folder, "cannot be read|may not be read")
    finally:
        (folder / what).chmod(0o755)


# -- the bundled model's own checks ----------------------------------------------------------


def test_a_bundled_model_that_was_changed(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    (copy / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"not the published one: .* install AttnViz again"):
        models._check_bundled(copy)
    with pytest.raises(InputError, match="cannot be read"):
        models._check_bundled(tmp_path)


# -- the hub, without a network --------------------------------------------------------------


@pytest.fixture
def cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local hub cache that holds one model, org/tiny."""
    cache = tmp_path / "hub"
    repository = cache / "models--org--tiny"
    commit = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(folder, repository / "snapshots" / commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


def test_a_hub_id_that_is_on_disk(cache: Path) -> None:
    model = load_model("org/tiny", device="cpu")
    assert (model.name, model.source) == ("tiny", "org/tiny")
    snapshot = next(cache.glob("models--org--tiny/snapshots/*"))
    assert load_model(snapshot, device="cpu").name == "tiny"
    assert attnviz_gui.capture(model, TEXT).verify() <= 1e-6


def test_a_module_from_the_hub_finds_its_tokenizer(cache: Path) -> None:
    module = tiny_model("bert")
    module.config._name_or_path = "org/tiny"
    assert len(attnviz_gui.capture(module, "a").tokens[0]) == 3


@pytest.mark.usefixtures("cache")
def test_offline_is_said_with_what_is_on_disk() -> None:
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE .* there are: bundled, org/tiny"):
        load_model("org/other")


def test_offline_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="there are: bundled\\."):
        load_model("org/other")


# -- helpers ---------------------------------------------------------------------------------


def _refused(folder: Path, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_model(folder, device="cpu")
    _is_a_sentence(caught.value)


def _is_a_sentence(error: InputError) -> None:
    text = str(error)
    assert text[0].isupper() or text[0] == "/" or text.startswith("tiny-bert")
    assert text.endswith(".")
    assert len(text) < 500
    assert "\n" not in text
    assert "Traceback" not in text


def _edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _edit_weights(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})
