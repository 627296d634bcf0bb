"""A property that is computed once, and that no other thread waits for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from attnviz_gui.lazy import lazy


class Slow:
    def __init__(self, go: threading.Event | None = None) -> None:
        self.go = go
        self.begun = threading.Event()
        self.times = 0

    @lazy
    def number(self) -> int:
        """A number."""
        self.times += 1
        self.begun.set()
        if self.go is not None:
            assert self.go.wait(30)
        return 5


def test_it_is_computed_once():
    slow = Slow()
    assert [slow.number, slow.number] == [5, 5]
    assert slow.times == 1
    assert Slow.number.__doc__ == "A number."


def test_one_object_does_not_wait_for_another():
    go = threading.Event()
    first, second = Slow(go), Slow()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: first.number)
        assert first.begun.wait(30)
        assert second.number == 5  # would never end if it waited
        assert not future.done()
        go.set()
        assert future.result(30) == 5
