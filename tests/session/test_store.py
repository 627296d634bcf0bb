"""Captures on disk: exact to the bit, whole or not at all, and nothing believed unchecked."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import attnviz_gui
from attnviz_gui.capture.header import read_header
from attnviz_gui.errors import InputError
from attnviz_gui.session.store import open_capture
from tests.samples import random_capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import Capture


def _equal(a: Capture, b: Capture) -> None:
    for name in ("texts", "tokens", "layers", "model_name", "seconds", "cut_from"):
        assert getattr(a, name) == getattr(b, name), name
    for first, second in zip(a.special, b.special, strict=True):
        assert first.dtype == second.dtype == bool
        assert np.array_equal(first, second)
    for text_a, text_b in zip(a.records, b.records, strict=True):
        for x, y in zip(text_a, text_b, strict=True):
            for name in ("query", "key", "value", "mask", "bias"):
                array, other = getattr(x, name), getattr(y, name)
                if array is None:
                    assert other is None
                else:
                    assert array.dtype == other.dtype
                    assert array.shape == other.shape
                    assert array.tobytes() == other.tobytes()
            assert x.scaling == y.scaling


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
    odd[0, 0, :4] = [-0.0, 1e-45, np.finfo(np.float32).max, -1e-38]
    return {
        "plain": plain,
        "causal": random_capture(17, causal=True),
        "one token": random_capture(1),
        "by head": replace(plain, records=((by_head, flat), (flat, by_head))),
        "odd numbers": replace(plain, records=((replace(record, query=odd),) * 2,) * 2),
        "odd strings": replace(
            random_capture(3),
            texts=('\ud800 "\\\x00🦫\n',),
            tokens=(["", "\ud800", "🦫₁"],),
            model_name="名",
            cut_from=100_000,
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


def test_shared_arrays_are_written_once(tmp_path: Path) -> None:
    capture = random_capture(40, causal=True, layers=5, texts=3)
    capture.save(tmp_path / "c")
    names = read_header(tmp_path / "c").arrays
    assert sum(name.startswith("mask") for name in names) == 1
    opened = open_capture(tmp_path / "c")
    assert opened.records[0][0].mask is opened.records[2][4].mask


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
        ("2", r"newer AttnViz \(format 2, this one reads up to 1\); update"),
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


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", "[" * 200_000])
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
