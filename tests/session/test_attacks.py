"""Files made to harm: opening one gives a whole capture or one clear error, and nothing else."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tracemalloc
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from attnviz_gui.errors import InputError
from attnviz_gui.session.store import open_capture
from tests.session.test_store import FORMAT_1, full_capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnviz_gui.capture.record import Capture

TOP = Path(__file__).resolve().parents[2]
MOST = 30e6  # bytes that refusing a small file may take
MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@cache
def real(version: int) -> bytes:
    """A real file of this format, with everything that it can hold."""
    if version == 1:
        return FORMAT_1.read_bytes()
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        full_capture().save(Path(folder) / "c")
        return (Path(folder) / "c").read_bytes()


def parts(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, description and data of a file."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["capture"]), content[8 + length :]


def joined(header: dict[str, Any] | str, said: Any, data: bytes) -> bytes:
    """A file of these parts; a text stands as it is."""
    if not isinstance(header, str):
        text = said if isinstance(said, str) else json.dumps(said)
        metadata = {**header["__metadata__"], "capture": text}
        header = json.dumps({**header, "__metadata__": metadata})
    text = header.encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data


def tried(path: Path, content: bytes) -> Capture | None:
    """The capture in a file, looked through; None where it was refused as it should be."""
    path.write_bytes(content)
    try:
        capture = open_capture(path)
    except InputError as error:
        text = str(error)
        assert text.endswith(".")
        assert "\n" not in text
        assert len(text) < 500
        assert path.name in text
        return None
    look_through(capture)
    return capture


def look_through(capture: Capture) -> None:
    """All that the window would touch has the shape that it says."""
    for text, names in enumerate(capture.tokens):
        assert capture.special[text].shape == (len(names),)
        assert len(capture.records[text]) == len(capture.layers)
        for layer, of in enumerate(capture.layers):
            shape = tuple(
                map(len, (capture.query_tokens(layer, text), capture.key_tokens(layer, text)))
            )
            assert all(
                isinstance(name, str)
                for name in (of.name, of.stack, *names, *capture.query_tokens(layer, text))
            )
            for head in range(of.n_heads):
                with np.errstate(all="ignore"):  # a flipped bit makes numbers that overflow
                    attention = capture.head(layer, head, text).attention
                assert attention.shape == shape
                unrotated = capture.head(layer, head, text).unrotated
                assert unrotated is None or [len(u) for u in unrotated] == list(shape)


# -- by chance -------------------------------------------------------------------------------

place = st.one_of(st.integers(0, 4000), st.integers(0, 20_000))
flips = st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=6)


@pytest.mark.parametrize("version", [1, 2])
@given(changes=flips)
@MANY
def test_bytes_that_flip(tmp_path: Path, version: int, changes: list[tuple[int, int]]) -> None:
    content = bytearray(real(version))
    for at, byte in changes:
        content[at % len(content)] = byte
    tried(tmp_path / "c", bytes(content))


@pytest.mark.parametrize("version", [1, 2])
@given(start=place, length=st.integers(1, 300), again=st.integers(0, 3))
@MANY
def test_pieces_lost_and_doubled(
    tmp_path: Path, version: int, start: int, length: int, again: int
) -> None:
    whole = real(version)
    start %= len(whole)
    piece = whole[start : start + length]
    content = whole[:start] + piece * again + whole[start + length :]
    assert (tried(tmp_path / "c", content) is not None) == (content == whole)


hostile = st.one_of(
    st.sampled_from([
        None, True, -1, 0, 1, 2, 5, 6, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e308, -0.0, 1e999,
        float("nan"), "", "query.0", "key.1", "value.2", "mask.9", "cross", "\ud800", "x" * 5000,
        [], [0], [-1], [[]], [""], [5], ["query.0", "key.1"], {}, {"shape": [1]},
    ]),
    st.integers(), st.floats(), st.text(max_size=5),
)  # fmt: skip


def change(data: st.DataObject, tree: Any) -> None:
    """Put something hostile at some place of a tree of JSON, or take away what is there."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = data.draw(st.sampled_from(keys))
        below = tree[key]
        if isinstance(below, (dict, list)) and below and data.draw(st.integers(0, 7)):
            tree = below
            continue
        if data.draw(st.integers(0, 5)) == 0:
            del tree[key]
        elif isinstance(tree, list) and data.draw(st.integers(0, 5)) == 0:
            tree.append(copy.deepcopy(below))
        else:
            tree[key] = copy.deepcopy(data.draw(hostile))
        return


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("part", ["header", "description"])
@given(data=st.data(), times=st.integers(1, 3))
@MANY
def test_descriptions_that_lie_by_chance(
    tmp_path: Path, version: int, part: str, data: st.DataObject, times: int
) -> None:
    header, said, arrays = parts(real(version))
    del header["__metadata__"]["capture"]
    tree = header if part == "header" else said
    for _ in range(times):
        if tree:
            change(data, tree)
    if not isinstance(header.get("__metadata__"), dict):
        header["__metadata__"] = {}
    tried(tmp_path / "c", joined(header, said, arrays))


@given(content=st.binary(max_size=300), version=st.sampled_from([1, 2]))
@example(b"", 1)
@MANY
def test_anything_at_all(tmp_path: Path, content: bytes, version: int) -> None:
    assert tried(tmp_path / "c", content) is None
    assert tried(tmp_path / "c", real(version)[:8] + content) is None


# -- by intent -------------------------------------------------------------------------------


def lies() -> Iterator[tuple[str, bytes]]:
    """Files that would take much, or break something later, if they were believed."""
    header, said, data = parts(real(2))
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    record = said["records"][0][0]

    def lie(**changes: Any) -> bytes:
        return joined(header, {**said, **changes}, data)

    def lie_of_array(**changes: Any) -> bytes:
        changed = {**header, record["query"]: {**entries[record["query"]], **changes}}
        return joined(changed, said, data)

    def lie_of_record(**changes: Any) -> bytes:
        text = [{**record, **changes}, *said["records"][0][1:]]
        return lie(records=[text, said["records"][1]])

    yield "shape beyond all memory", lie_of_array(shape=[4, 2**60, 6])
    yield "shape whose product overflows to the truth", lie_of_array(shape=[4, 5, 6 + 2**61])
    yield "a negative shape", lie_of_array(shape=[-4, -5, 6])
    yield "a shape of a million ones", lie_of_array(shape=[1] * 1_000_000)
    yield "offsets that overlap", lie_of_array(data_offsets=[4, 484])
    yield "offsets that run back", lie_of_array(data_offsets=[480, 0])
    yield "offsets beyond the file", lie_of_array(data_offsets=[2**62, 2**62 + 480])
    yield "another type", lie_of_array(dtype="F64")
    yield "header as long as the file says", (len(data) * 1000).to_bytes(8, "little") + data
    yield "header of nothing but length", b"\xff" * 8
    yield "header of 30 MB of spaces", joined("{" + " " * 30_000_000 + "}", None, b"")
    yield "deep header", joined('{"a":' * 90_000, None, data)
    yield "deep lists", joined("[" * 90_000, None, data)
    yield "a million lists", joined('{"a":[' + "[]," * 1_000_000 + "[]]}", None, data)
    yield "many names", joined(json.dumps({f"a{i}": 0 for i in range(90_000)}), None, data)
    yield "one name twice", joined(json.dumps(header).replace('"key.1"', '"query.0"'), None, data)
    yield "one field twice", joined(header, json.dumps(said)[:-1] + ', "texts": ["a", "b"]}', data)
    yield "deep description", joined(header, "[" * 90_000, data)
    yield "description of lists", joined(header, "[" + "[]," * 1_000_000 + "[]]", data)
    yield "a number of a million digits", joined(header, '{"a":' + "9" * 1_000_000 + "}", data)
    yield "description that is a string", joined(header, '"capture"', data)
    yield "many layers", lie(layers=said["layers"][:1] * 100_000)
    yield "many records", lie(records=[said["records"][0][:1] * 30_000] * 2)
    yield "many texts", lie(texts=["a"] * 400_000)
    yield "a layer too many", lie(layers=[*said["layers"], said["layers"][0]])
    yield "negative seconds", lie(seconds=-1.0)
    yield "a negative whole", lie(cut_from=-1)
    yield "a stack that is no text", lie(layers=[{**e, "stack": 5} for e in said["layers"]])
    yield "heads without number", lie(layers=[{**e, "n_heads": 2**62} for e in said["layers"]])
    yield (
        "negative heads",
        lie(layers=[{**e, "n_heads": -4, "head_dim": -6} for e in said["layers"]]),
    )
    yield "names that are none", lie(names=[["a", "b"], list(range(6))])
    yield "names that are a text", lie(names=["ab", "abcdef"])
    yield "names too few", lie(names=[said["names"][0][:-1], *said["names"][1:]])
    yield "no names", lie(names=None)
    yield "NaN as scaling", lie_of_record(scaling=float("nan"))
    yield "a scaling beyond float32", lie_of_record(scaling=1e308)
    yield "a cap beyond float32", lie_of_record(softcap=1e308)
    yield "infinite cap", lie_of_record(softcap=float("inf"))
    yield "a cap of 0", lie_of_record(softcap=0)
    yield "a negative cap", lie_of_record(softcap=-3.0)
    yield "a cap of true", lie_of_record(softcap=True)
    yield "a sink for another number of heads", lie_of_record(sink=record["query"])
    yield "a sink that is a number", lie_of_record(sink=0.5)
    yield "one unrotated", lie_of_record(unrotated=[record["query"]])
    yield "three unrotated", lie_of_record(unrotated=[record["query"]] * 3)
    yield "unrotated text", lie_of_record(unrotated="qk")
    yield "unrotated of another shape", lie_of_record(unrotated=[record["sink"], record["key"]])
    yield "names beyond the last", lie_of_record(query_tokens=9)
    yield "names before the first", lie_of_record(query_tokens=-1)
    yield "names by a bool", lie_of_record(query_tokens=True)
    yield "names in place", lie_of_record(query_tokens=["a"] * 5)
    yield "names for another number", lie_of_record(key_tokens=0)
    yield "a name less", lie_of_record(key=None)


def test_lies_are_told_and_take_nothing(tmp_path: Path) -> None:
    """Each is refused in one sentence, before anything of the claimed size is allocated."""
    count = 0
    for name, content in lies():
        tracemalloc.start()
        try:
            assert tried(tmp_path / "c", content) is None, name
            taken = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert taken < MOST + 3 * len(content), f"{name}: {taken / 1e6:.0f} MB"
        count += 1
    assert count > 50


def test_lies_fit_into_little_memory(tmp_path: Path) -> None:
    """Under a limit that the system sets, which also counts what Python does not."""
    pytest.importorskip("resource")
    for name, content in lies():
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    code = """
import pathlib, resource, sys
import attnviz_gui
from attnviz_gui.session.store import open_capture
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 150_000_000,) * 2)
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        open_capture(path)
    except attnviz_gui.InputError as error:
        print("computer's memory" in str(error), path.stem)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not say how much memory a process has")
    answer = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=TOP, check=True, capture_output=True, text=True
    )
    lines = answer.stdout.splitlines()
    assert len(lines) == len(list(tmp_path.iterdir()))
    assert [line for line in lines if not line.startswith("False ")] == []


def test_a_file_larger_than_memory(tmp_path: Path) -> None:
    """Its header is true; there is no room for its numbers."""
    pytest.importorskip("resource")
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not say how much memory a process has")
    header, said, _ = parts(real(2))
    record = said["records"][0][0]
    shape = [4, 5, 20_000_000]  # 1.6 GB, of which the disk holds nothing
    size = 4 * shape[0] * shape[1] * shape[2]
    header[record["value"]] = {
        "dtype": "F32", "shape": shape, "data_offsets": [0, size],
    }  # fmt: skip
    keep = {record["value"]: header[record["value"]]}
    place = size
    for name, entry in header.items():
        if name not in (record["value"], "__metadata__"):
            begin, end = entry["data_offsets"]
            keep[name] = {**entry, "data_offsets": [place, place + end - begin]}
            place += end - begin
    path = tmp_path / "c"
    path.write_bytes(joined({"__metadata__": header["__metadata__"], **keep}, said, b""))
    os.truncate(path, path.stat().st_size + place)
    code = """
import pathlib, resource, sys
import attnviz_gui
from attnviz_gui.session.store import open_capture
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 300_000_000,) * 2)
try:
    open_capture(sys.argv[1])
except attnviz_gui.InputError as error:
    print(error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code, path], cwd=TOP, check=True, capture_output=True, text=True
    )
    assert "does not fit into this computer's memory; " in answer.stdout


def test_no_file_at_all(tmp_path: Path) -> None:
    """A pipe would be waited for, and a device never ends."""
    for path in (Path("/dev/zero"), Path("/dev/null"), Path("/proc/self/mem")):
        if path.exists():
            with pytest.raises(InputError, match="cannot be"):
                open_capture(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="a device or a pipe"):
            open_capture(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="cannot be read"):
        open_capture(tmp_path / "loop")
