"""Reference cycles are taken apart on the GUI thread, never in a worker."""

from __future__ import annotations

import gc
import threading

import pytest

from attnviz_gui.jobs.garbage import COLLECTOR
from attnviz_gui.jobs.runner import Worker


class Cycle:
    """Garbage that says in which thread it was collected."""

    def __init__(self, seen: list[str]) -> None:
        self.me = self
        self.seen = seen

    def __del__(self) -> None:
        self.seen.append(threading.current_thread().name)


@pytest.fixture
def worker(qapp):
    worker = Worker("test")
    yield worker
    worker.close()


def make_garbage(seen: list[str], n: int = 20_000) -> None:
    for _ in range(n):
        Cycle(seen)


def test_a_worker_collects_nothing(qtbot, worker):
    seen: list[str] = []
    ended = threading.Event()

    def work() -> None:
        make_garbage(seen)
        ended.set()

    worker.submit(work)
    assert ended.wait(10)
    assert seen == []
    qtbot.waitUntil(lambda: COLLECTOR.tasks == 0)
    qtbot.waitUntil(gc.isenabled)
    gc.collect()
    assert set(seen) == {threading.main_thread().name}
    assert len(seen) == 20_000


def test_what_is_young_is_collected_while_the_worker_runs(qtbot, worker):
    seen: list[str] = []
    go_on = threading.Event()
    worker.submit(go_on.wait)
    try:
        assert not gc.isenabled()
        make_garbage(seen, 2_000)
        qtbot.waitUntil(lambda: len(seen) == 2_000)
        assert set(seen) == {threading.main_thread().name}
        assert not gc.isenabled()
    finally:
        go_on.set()
    qtbot.waitUntil(gc.isenabled)


def test_a_task_that_fails_is_cancelled_or_comes_too_late_counts_no_longer(qtbot, worker):
    go_on = threading.Event()

    def fail() -> None:
        raise ValueError

    worker.submit(go_on.wait)
    worker.submit(fail)
    worker.submit(go_on.wait)
    assert COLLECTOR.tasks == 3
    go_on.set()
    worker.close()
    assert COLLECTOR.tasks == 0
    assert gc.isenabled()
    with pytest.raises(RuntimeError):
        worker.submit(fail)
    assert COLLECTOR.tasks == 0


def test_a_collector_that_was_off_stays_off(qtbot, worker):
    gc.disable()
    try:
        worker.submit(lambda: None)
        qtbot.waitUntil(lambda: COLLECTOR.tasks == 0)
        COLLECTOR.tick()
        assert not gc.isenabled()
    finally:
        gc.enable()
