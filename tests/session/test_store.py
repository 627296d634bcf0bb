"""Captures on disk: exact to the bit, whole or not at all, and nothing believed unchecked."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import attnviz_gui
from attnviz_gui.capture.header import header_of, read_header
from attnviz_gui.errors import InputError
from attnviz_gui.session.store import open_capture
from tests.samples import random_capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import Capture


FORMAT_1 = Path(__file__).parent / "data" / "format-1.safetensors"


def _equal(a: Capture, b: Capture) -> None:
    for name in ("texts", "tokens", "layers", "model_name", "seconds", "cut_from", "texts_asked"):
        assert getattr(a, name) == getattr(b, name), name
    for first, second in zip(a.special, b.special, strict=True):
        assert first.dtype == second.dtype == bool
        assert np.array_equal(first, second)
    for text_a, text_b in zip(a.records, b.records, strict=True):
        for x, y in zip(text_a, text_b, strict=True):
            for entry in fields(x):
                _same(getattr(x, entry.name), getattr(y, entry.name))


def _same(value: object, other: object) -> None:
    """Of one type, and equal to the bit."""
    assert type(value) is type(other)
    if isinstance(value, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert value.dtype == other.dtype
        assert value.shape == other.shape
        assert value.tobytes() == other.tobytes()
    elif isinstance(value, tuple):
        assert isinstance(other, tuple)
        for one, another in zip(value, other, strict=True):
            _same(one, another)
    else:
        assert value == other


def full_capture() -> Capture:
    """Two stacks, two texts, and a record with everything that a record can hold."""
    plain = random_capture(5, layers=3, heads=4, head_dim=6, texts=2)
    rng = np.random.default_rng(1)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    capped = replace(
        plain.records[0][0],
        softcap=0.1 + 0.2,
        sink=numbers(4),
        unrotated=(numbers(4, 5, 6), numbers(4, 5, 6)),
        scaling=-0.0,
    )
    pictures = tuple(f"row {i // 3}, column {i % 3}" for i in range(6))
    cross = replace(
        capped,
        key=numbers(2, 6, 6),
        value=np.zeros((2, 6, 0), dtype=np.float32),  # no values were to be had
        mask=rng.random((4, 5, 6)) < 0.8,
        bias=numbers(5, 6),
        unrotated=(numbers(4, 5, 6), numbers(2, 6, 6)),
        key_tokens=pictures,
    )
    windows = replace(
        capped,
        query=numbers(4, 2, 6),
        key=numbers(1, 6, 6),
        value=numbers(1, 6, 9),
        mask=np.broadcast_to(np.True_, (2, 6)),
        sink=None,
        unrotated=None,
        query_tokens=("", "\ud800"),
        key_tokens=pictures,
    )
    layers = (
        replace(plain.layers[0], stack="encoder"),
        replace(plain.layers[1], kind="cross", stack="decoder"),
        replace(plain.layers[2], stack="vision"),
    )
    text = (capped, cross, windows)
    return replace(plain, layers=layers, records=(text, text), cut_from=6)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _samples() -> dict[str, Capture]:
    plain = random_capture(9, texts=2)
    record = plain.records[0][0]
    rng = np.random.default_rng(0)
    by_head = replace(
        record,
        mask=rng.random((3, 9, 9)) < 0.7,
        bias=rng.normal(size=(3, 9, 9)).astype(np.float32),
        key=record.key[:1],  # one key head for all
        value=record.value[:1, :, :5],
        scaling=1 / 3,
    )
    flat = replace(record, bias=rng.normal(size=(9, 9)).astype(np.float32))
    odd = np.zeros((3, 9, 32), dtype=np.float32)
    all_allowed = replace(record, mask=np.ones((3, 9, 9), dtype=bool))
    odd[0, 0, :4] = [-0.0, 1e-45, np.finfo(np.float32).max, -1e-38]
    return {
        "plain": plain,
        "causal": random_capture(17, causal=True),
        "one token": random_capture(1),
        "by head": replace(plain, records=((by_head, flat), (flat, by_head))),
        "all allowed by head": replace(plain, records=((all_allowed,) * 2,) * 2),
        "everything": full_capture(),
        "odd numbers": replace(plain, records=((replace(record, query=odd),) * 2,) * 2),
        "odd strings": replace(
            random_capture(3),
            texts=('\ud800 "\\\x00🦫\n',),
            tokens=(["", "\ud800", "🦫₁"],),
            model_name="名",
            cut_from=100_000,
            texts_asked=1_000,
            seconds=0.1 + 0.2,
        ),
    }


@pytest.mark.parametrize("name", _samples())
def test_round_trip(tmp_path: Path, name: str) -> None:
    capture = _samples()[name]
    path = tmp_path / "folder" / "made" / "capture.safetensors"
    capture.save(path)
    _equal(attnviz_gui.open_capture(path), capture)
    assert [p.name for p in path.parent.iterdir()] == ["capture.safetensors"]


def test_round_trip_of_a_model(bundled: LoadedModel, tmp_path: Path) -> None:
    capture = attnviz_gui.capture(bundled, ["The brown capybara is sleeping now.", "カピバラ 🦫"])
    capture.save(str(tmp_path / "c.safetensors"))
    opened = attnviz_gui.open_capture(str(tmp_path / "c.safetensors"))
    _equal(opened, capture)
    for layer in range(6):
        a, b = capture.head(layer, 5, 1), opened.head(layer, 5, 1)
        assert np.array_equal(a.attention, b.attention)
    with pytest.raises(RuntimeError, match="opened from a file"):
        opened.verify()


def test_round_trip_of_two_stacks(tmp_path: Path) -> None:
    """As recorded from a model whose queries and keys come from different texts."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Transformer(8, 2, 1, 1, 16, batch_first=True).eval()
    names = {"encoder": ["a", "b", "c", "d", "e"], "decoder": ["x", "y", "z"]}
    capture = attnviz_gui.capture(model, (torch.randn(1, 5, 8), torch.randn(1, 3, 8)), tokens=names)
    capture.save(tmp_path / "c")
    opened = open_capture(tmp_path / "c")
    _equal(opened, capture)
    (cross,) = (at for at, layer in enumerate(opened.layers) if layer.kind == "cross")
    assert opened.query_tokens(cross) == ("x", "y", "z")
    assert opened.key_tokens(cross) == ("a", "b", "c", "d", "e")
    assert {layer.stack for layer in opened.layers} == {"encoder", "decoder"}


def test_shared_arrays_are_written_once(tmp_path: Path) -> None:
    capture = random_capture(40, causal=True, layers=5, texts=3)
    capture.save(tmp_path / "c")
    names = read_header(tmp_path / "c").arrays
    assert sum(name.startswith("mask") for name in names) == 1
    opened = open_capture(tmp_path / "c")
    assert opened.records[0][0].mask is opened.records[2][4].mask


def test_what_is_shared_is_written_once(tmp_path: Path) -> None:
    """One array seen through several views, and names that several attentions have."""
    whole = full_capture()
    cross = whole.records[0][1]
    views = replace(cross, query=cross.query[:], key=cross.key.view(), bias=cross.bias)
    whole = replace(
        whole, records=(whole.records[0], (whole.records[0][0], views, *whole.records[0][2:]))
    )
    whole.save(tmp_path / "c")
    arrays = read_header(tmp_path / "c").arrays
    assert len([name for name in arrays if name.startswith("key")]) == 3
    assert len([name for name in arrays if name.startswith("query")]) == 2
    said = json.loads(read_header(tmp_path / "c").metadata["capture"])
    assert len(said["names"]) == 2
    opened = open_capture(tmp_path / "c")
    _equal(opened, whole)
    assert opened.records[0][1].key is opened.records[1][1].key
    assert opened.records[0][1].key_tokens is opened.records[1][2].key_tokens


def test_own_names_count_queries_and_keys(tmp_path: Path) -> None:
    full_capture().save(tmp_path / "c")
    opened = open_capture(tmp_path / "c")
    for layer in range(3):
        for head in range(4):
            shape = opened.head(layer, head, 1).attention.shape
            names = opened.query_tokens(layer, 1), opened.key_tokens(layer, 1)
            assert shape == tuple(map(len, names))


def test_other_readers_read_it_too(tmp_path: Path) -> None:
    """It is a safetensors file like any other, each array at a multiple of its width."""
    capture = full_capture()
    capture.save(tmp_path / "c")
    arrays = load_file(tmp_path / "c")
    said = json.loads(read_header(tmp_path / "c").metadata["capture"])
    place = said["records"][0][1]
    _same(arrays[place["query"]], capture.records[0][1].query)
    _same(arrays[place["value"]], capture.records[0][1].value)
    start = read_header(tmp_path / "c").start
    for entry in read_header(tmp_path / "c").arrays.values():
        assert (start + entry["data_offsets"][0]) % {"F32": 4, "U8": 1}[entry["dtype"]] == 0


def test_saving_holds_no_second_copy(tmp_path: Path) -> None:
    capture = random_capture(256, layers=8, heads=8, causal=True)
    size = sum(a.nbytes for r in capture.records[0] for a in (r.query, r.key, r.value))
    tracemalloc.start()
    try:
        capture.save(tmp_path / "c")
        assert tracemalloc.get_traced_memory()[1] < 0.1 * size
    finally:
        tracemalloc.stop()
    assert (tmp_path / "c").stat().st_size > size


@pytest.mark.parametrize("harm", ["deleted", "replaced", "cut short"])
def test_an_open_capture_stays_what_it_is(tmp_path: Path, harm: str) -> None:
    capture = full_capture()
    path = tmp_path / "c"
    capture.save(path)
    opened = open_capture(path)
    if harm == "deleted":
        path.unlink()
    elif harm == "replaced":
        random_capture(7).save(path)
    else:
        with path.open("r+b") as file:
            file.truncate(10)
    _equal(opened, capture)


def test_a_file_cut_short_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its header and its arrays, as when another program writes it anew."""
    path = tmp_path / "c"
    random_capture(200).save(path)

    def then_cut(stream: Any) -> Any:
        header = header_of(stream)
        with path.open("r+b") as file:
            file.truncate(header.start + header.size // 2)
        return header

    monkeypatch.setattr("attnviz_gui.session.store.header_of", then_cut)
    _refused(path, "cut short")


def test_a_capture_that_contradicts_itself_is_not_saved(tmp_path: Path) -> None:
    """What could not be opened is refused while the model is still at hand."""
    capture = full_capture()
    record = capture.records[0][1]
    for wrong in (
        replace(record, key_tokens=("one",)),
        replace(record, sink=np.zeros(3, dtype=np.float32)),
        replace(record, scaling=float("nan")),
        replace(record, query=record.query * np.float32(np.inf)),
    ):
        with np.errstate(invalid="ignore"), pytest.raises(InputError, match="cannot be saved: "):
            replace(
                capture, records=((capture.records[0][0], wrong, capture.records[0][2]),) * 2
            ).save(tmp_path / "c")
    wrong = replace(record, query=record.query.astype(np.float64))
    with pytest.raises(TypeError, match="query is float64"):
        replace(capture, records=((wrong,) * 3,) * 2).save(tmp_path / "c")
    assert _names(tmp_path) == []


# -- format 1 --------------------------------------------------------------------------------


def test_format_1_is_read_for_ever() -> None:
    """A file as the first version wrote it, with the numbers that it was made of."""
    capture = open_capture(FORMAT_1)
    names = ["[CLS]", "brown", "カピバラ", "[SEP]"]
    assert capture.texts == ("brown カピバラ", "second")
    assert capture.tokens == (names, names)
    assert [list(s) for s in capture.special] == [[True, False, False, True]] * 2
    assert [(e.name, e.kind, e.n_heads, e.head_dim, e.stack) for e in capture.layers] == [
        ("encoder.layer.0", "self", 2, 3, ""),
        ("decoder.layer.0", "cross", 2, 3, ""),
        ("decoder.layer.1", "cross", 2, 3, ""),
    ]
    assert (capture.model_name, capture.seconds, capture.cut_from) == ("old model", 0.125, 9)

    causal, by_head, longer = capture.records[0]
    count = 0.125 * np.arange(24).reshape(2, 4, 3)
    _same(causal.query, count.astype(np.float32))
    _same(causal.key, (count - 1).astype(np.float32))
    _same(causal.value, (2 - 2 * count).astype(np.float32))
    assert causal.scaling == 3**-0.5
    _same(causal.mask, np.tril(np.ones((4, 4), dtype=bool)))
    assert capture.records[1][0].query is causal.query
    assert capture.records[1][0].mask.all()

    _same(by_head.key, (count[:1] - 0.1).astype(np.float32))
    _same(by_head.value, (0.125 * np.arange(8).reshape(1, 4, 2)).astype(np.float32))
    assert by_head.mask.sum(axis=(1, 2)).tolist() == [16, 12]
    assert not by_head.mask[1, :, 0].any()
    assert by_head.bias is not None
    _same(by_head.bias, (0.0625 * np.arange(32).reshape(2, 4, 4) - 1).astype(np.float32))
    for record in (causal, by_head, longer):
        assert record.softcap is record.sink is record.unrotated is record.query_tokens is None

    # It had no names for keys that are no tokens of the text.
    assert capture.key_tokens(2) == ("key 0", "key 1", "key 2", "key 3", "key 4")
    assert capture.key_tokens(1) == tuple(names)
    np.testing.assert_allclose(
        capture.head(2, 1).attention[0], [0.605376, 0.242691, 0.097293, 0.039004, 0.015636],
        atol=1e-6,
    )  # fmt: skip


def test_format_1_saved_anew(tmp_path: Path) -> None:
    old = open_capture(FORMAT_1)
    old.save(tmp_path / "c")
    assert read_header(tmp_path / "c").metadata["format_version"] == "2"
    _equal(open_capture(tmp_path / "c"), old)


def test_no_torch_is_needed(tmp_path: Path) -> None:
    random_capture(5).save(tmp_path / "c")
    code = (
        "import sys, attnviz_gui; attnviz_gui.open_capture(sys.argv[1]).save(sys.argv[2]);"
        "assert not {'torch', 'transformers', 'PySide6'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "c", tmp_path / "d"], check=True)
    _equal(open_capture(tmp_path / "c"), open_capture(tmp_path / "d"))


def test_an_older_capture_stays_when_saving_fails(tmp_path: Path) -> None:
    path = tmp_path / "c"
    random_capture(5).save(path)
    before = path.read_bytes()
    wrong = replace(random_capture(5), model_name={1, 2})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        wrong.save(path)
    assert path.read_bytes() == before
    random_capture(6).save(path)
    assert len(open_capture(path).tokens[0]) == 6
    assert _names(tmp_path) == ["c"]


@pytest.mark.parametrize("place", ["folder", "file/below", "/proc/no/such", "x" * 300])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot be saved to .*; choose another|is a folder"):
        random_capture(3).save(tmp_path / place)
    assert _names(tmp_path) == ["file", "folder"]


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A limit on the size of files, which fails as a full disk does: half way."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "c"
    random_capture(3).save(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(InputError, match="cannot be saved to"):
            random_capture(500).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert _names(tmp_path) == ["c"]
    assert len(open_capture(path).tokens[0]) == 3


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere" / "c")
    random_capture(3).save(link)
    assert link.is_symlink()
    assert len(open_capture(tmp_path / "elsewhere" / "c").tokens[0]) == 3


# -- files that are no captures --------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c.safetensors"
    random_capture(12, causal=True).save(path)
    return path


def _refused(path: Path, said: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=said) as caught:
            open_capture(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 400


def test_no_such_file(tmp_path: Path) -> None:
    _refused(tmp_path / "nothing", "There is no file")
    _refused(tmp_path, "is a folder; choose a capture")
    _refused(tmp_path / ("x" * 300), "cannot be read")


def test_cut_short_anywhere(file: Path) -> None:
    whole = file.read_bytes()
    for length in [0, 1, 7, 8, 9, 50, 500, len(whole) // 2, len(whole) - 1]:
        file.write_bytes(whole[:length])
        _refused(file, "cannot be opened")
    file.write_bytes(whole + b"x")
    _refused(file, "longer than its arrays")


@pytest.mark.parametrize("content", [b"hello, this is a text", b"\x80\x04N.", b"PK\x03\x04" * 9])
def test_another_kind_of_file(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    _refused(file, "cannot be opened")


def test_weights_of_a_model(tmp_path: Path) -> None:
    save_file({"w": np.zeros(3)}, tmp_path / "model.safetensors", {"format": "pt"})
    _refused(tmp_path / "model.safetensors", "is no capture .*choose its folder as the model")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("3", r"newer AttnViz \(format 3, this one reads up to 2\); update"),
        ("999999999", "newer AttnViz"),
        ("", "which format"),
        ("one", "which format"),
        ("-1", "which format"),
        ("0", "which format"),
        ("9" * 5000, "which format"),
        ("²", "which format"),
    ],
)
def test_other_formats(file: Path, version: str, said: str) -> None:
    _rewrite(file, metadata=lambda m: m | {"format_version": version})
    _refused(file, said)


def _header(entries: dict[str, Any], data: int = 0, length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(data)


_F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        _header({}, length=2**63),
        _header({}, length=10**9),
        _header({"a": {**_F32, "shape": [2**40]}}, 8),
        _header({"a": {**_F32, "shape": [2**62, 2**62, 2**62]}}, 8),
        _header({"a": {**_F32, "shape": [1] * 1000 + [2]}}, 8),
        _header({"a": {**_F32, "shape": [0, 2**62], "data_offsets": [0, 0]}}, 0),
        _header({"a": {**_F32, "shape": [-2]}}, 8),
        _header({"a": {**_F32, "shape": [2.0]}}, 8),
        _header({"a": {**_F32, "shape": "2"}}, 8),
        _header({"a": {**_F32, "shape": None}}, 8),
        _header({"a": {**_F32, "data_offsets": [0, 2**60]}}, 8),
        _header({"a": {**_F32, "data_offsets": [8, 0]}}, 8),
        _header({"a": {**_F32, "data_offsets": [0]}}, 8),
        _header({"a": {**_F32, "dtype": "F31"}}, 8),
        _header({"a": {**_F32, "dtype": ["F32"]}}, 8),
        _header({"a": 5}, 8),
        _header({"a": _F32, "b": _F32}, 8),
        _header({"a": _F32}, 16),
        _header({"a": {**_F32, "data_offsets": [8, 16]}}, 16),
        _header({"__metadata__": 5}),
        _header({"__metadata__": {"format": 5}}),
        struct.pack("<Q", 3) + b"[1]",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
    ],
)
def test_headers_that_lie(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    _refused(file, "cannot be opened|is no capture")


def _set(*path: Any, to: Any) -> Callable[[Any], None]:
    def change(said: Any) -> None:
        for step in path[:-1]:
            said = said[step]
        said[path[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("texts", to=[]),
        _set("texts", to=["a", "b"]),
        _set("texts", to=[5]),
        _set("texts", to="a"),
        _set("tokens", to=[["a"]]),
        _set("tokens", to=[]),
        _set("tokens", 0, 0, to=None),
        _set("special", to=[[99]]),
        _set("special", to=[[-1]]),
        _set("special", to=[[True]]),
        _set("special", to=[]),
        _set("layers", to=[]),
        _set("layers", 0, "n_heads", to=4),
        _set("layers", 0, "n_heads", to=0),
        _set("layers", 0, "n_heads", to=10**30),
        _set("layers", 0, "n_heads", to=True),
        _set("layers", 0, "head_dim", to=16),
        _set("layers", 0, "kind", to="other"),
        _set("layers", 0, "kind", to=["self"]),
        _set("layers", 0, "name", to=5),
        _set("layers", 0, to={}),
        _set("records", to=[]),
        _set("records", 0, to=[]),
        _set("records", 0, 0, to={}),
        _set("records", 0, 0, "query", to="nothing"),
        _set("records", 0, 0, "query", to=None),
        _set("records", 0, 0, "query", to=["query.0"]),
        _set("records", 0, 0, "key", to="mask.3"),
        _set("records", 0, 0, "mask", to="query.0"),
        _set("records", 0, 0, "bias", to="query.0"),
        _set("records", 0, 0, "bias", to="mask.3"),
        _set("records", 0, 0, "scaling", to="1"),
        _set("records", 0, 0, "scaling", to=float("nan")),
        _set("records", 0, 0, "scaling", to=float("inf")),
        _set("records", 0, 0, "scaling", to=10**400),
        _set("seconds", to=None),
        _set("cut_from", to="many"),
        _set("model_name", to=5),
    ],
)
def test_descriptions_that_lie(file: Path, change: Callable[[Any], None]) -> None:
    assert "mask.3" in read_header(file).arrays  # what some of the lies name

    def lie(metadata: dict[str, str]) -> dict[str, str]:
        said = json.loads(metadata["capture"])
        change(said)
        return metadata | {"capture": json.dumps(said)}

    _rewrite(file, metadata=lie)
    _refused(file, "cannot be opened")


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", "[" * 90_000])
def test_descriptions_that_are_none(file: Path, text: str) -> None:
    _rewrite(file, metadata=lambda m: m | {"capture": text})
    _refused(file, "description cannot be read")


def test_a_description_that_is_missing(file: Path) -> None:
    _rewrite(file, metadata=lambda m: {k: v for k, v in m.items() if k != "capture"})
    _refused(file, "description cannot be read")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(file: Path, bad: float) -> None:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        arrays["query.0"][0, 0, 0] = bad

    _rewrite(file, arrays=spoil)
    _refused(file, "numbers that are none")


def test_a_claim_of_many_tokens(file: Path) -> None:
    """Shapes that agree with each other, and with no data."""

    def lie(metadata: dict[str, str]) -> dict[str, str]:
        said = json.loads(metadata["capture"])
        said["layers"] = [{**said["layers"][0], "head_dim": 0}]
        said["records"] = [said["records"][0][:1]]
        return metadata | {"capture": json.dumps(said)}

    def empty(arrays: dict[str, np.ndarray]) -> None:
        for name in ("query.0", "key.1", "value.2"):
            arrays[name] = np.zeros((3, 12, 0), dtype=np.float32)

    _rewrite(file, metadata=lie, arrays=empty)
    _refused(file, "cannot be opened")


def _rewrite(
    path: Path,
    metadata: Callable[[dict[str, str]], dict[str, str]] = lambda m: m,
    arrays: Callable[[dict[str, np.ndarray]], None] = lambda a: None,
) -> None:
    changed = {name: array.copy() for name, array in load_file(path).items()}
    arrays(changed)
    save_file(changed, path, metadata(dict(read_header(path).metadata)))
