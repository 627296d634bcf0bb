"""Captures on the disk: the same numbers, gone afterwards; a sentence where there is no room."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from attnviz_gui.capture import budget, spill
from attnviz_gui.capture.budget import expected_bytes
from attnviz_gui.capture.recorder import record, record_texts
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.capture.models import LoadedModel

TEXTS = ["The cat sleeps.", "A dog barks loudly at night.", "Rain falls softly."]


def test_on_the_disk_the_numbers_are_the_same(bundled: LoadedModel):
    capture = record_texts(bundled, TEXTS, most_bytes=0)
    plain = record(bundled, TEXTS)
    for t in range(len(TEXTS)):
        for ours, theirs in zip(capture.records[t], plain.records[t], strict=True):
            for name in ("query", "key", "value", "mask"):
                array = getattr(ours, name)
                np.testing.assert_array_equal(array, getattr(theirs, name))
                assert not array.flags.writeable
    assert isinstance(base_of(capture.records[0][0].query), spill.mmap.mmap)
    assert capture.verify() < 1e-6


def base_of(array: object) -> object:
    while isinstance(array, np.ndarray):
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


def test_its_files_go_with_it(bundled: LoadedModel):
    capture = record_texts(bundled, TEXTS, most_bytes=0)
    assert list(spill.spill_folder().iterdir())
    del capture
    gc.collect()
    assert not list(spill.spill_folder().iterdir())


def test_what_a_crash_left_is_swept(home: Path):
    left = spill.spill_folder() / "abc"
    left.mkdir(parents=True)
    (left / "one.bin").write_bytes(b"0" * 100)
    spill.sweep()
    assert not list(spill.spill_folder().iterdir())
    spill.sweep()


def test_a_sweep_leaves_alone_what_is_in_use(bundled: LoadedModel):
    capture = record_texts(bundled, TEXTS, most_bytes=0)
    spill.sweep()
    assert capture.verify() < 1e-6


def test_a_full_disk_is_said(bundled: LoadedModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spill, "free_disk", lambda: 0)
    with pytest.raises(InputError, match="free on the disk"):
        record_texts(bundled, TEXTS, most_bytes=0)


def test_the_size_is_known_before(bundled: LoadedModel):
    capture = record(bundled, TEXTS)
    expected = expected_bytes(bundled, [len(tokens) for tokens in capture.tokens])
    arrays = {
        array.__array_interface__["data"][0]: array.nbytes
        for records in capture.records
        for r in records
        for array in (r.query, r.key, r.value, r.mask)
    }
    assert expected == pytest.approx(sum(arrays.values()), rel=0.1)


def test_free_memory_is_a_number_and_a_container_is_heard(tmp_path: Path):
    assert 1 << 20 < budget.budget() < budget.free_memory() < 1 << 50
    assert budget._group(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert budget._group(tmp_path) == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert budget._group(tmp_path) is None
