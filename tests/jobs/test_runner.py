"""The runner: the newest request wins, cancel and close leave nothing behind."""

from __future__ import annotations

import threading

import pytest

from attnviz_gui.errors import Cancelled
from attnviz_gui.jobs.runner import Runner, Worker


@pytest.fixture
def worker():
    worker = Worker("test")
    yield worker
    worker.close()


@pytest.fixture
def runner(qapp, worker):
    runner = Runner(worker)
    runner.results = []
    runner.faults = []
    runner.finished.connect(runner.results.append)
    runner.failed.connect(runner.faults.append)
    yield runner
    runner.close()
    runner.deleteLater()


def waits_for(gate: threading.Event, result: object):
    def request(progress, cancel):
        while not gate.wait(0.005):
            if cancel.is_set():
                raise Cancelled
        return result

    return request


def test_a_result_arrives_on_the_gui_thread(qtbot, runner):
    threads = []
    runner.finished.connect(lambda _: threads.append(threading.current_thread()))
    with qtbot.waitSignal(runner.stopped):
        runner.submit(lambda progress, cancel: threading.current_thread())
    assert threads == [threading.main_thread()]
    assert runner.results[0] is not threading.main_thread()
    assert not runner.running


def test_progress_is_told_in_order(qtbot, runner):
    steps = []
    runner.progressed.connect(lambda done, total: steps.append((done, total)))

    def request(progress, cancel):
        for done in range(4):
            progress(done, 3)

    with qtbot.waitSignal(runner.stopped):
        runner.submit(request)
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_newer_request_replaces_the_older_whose_result_never_appears(qtbot, runner):
    gate = threading.Event()
    runner.submit(waits_for(gate, "old"))
    runner.submit(waits_for(gate, "new"))
    with qtbot.waitSignal(runner.stopped):
        gate.set()
    qtbot.wait(30)
    assert runner.results == ["new"]
    assert runner.faults == []


def test_a_request_that_does_not_look_at_cancel_is_dropped_all_the_same(qtbot, runner):
    gate = threading.Event()

    def deaf(progress, cancel):
        gate.wait(5)
        return "late"

    runner.submit(deaf)
    runner.cancel()
    assert not runner.running
    gate.set()
    with qtbot.waitSignal(runner.finished):
        runner.submit(lambda progress, cancel: "next")
    assert runner.results == ["next"]


def test_cancel_says_that_nothing_runs(qtbot, runner):
    gate = threading.Event()
    runner.submit(waits_for(gate, "x"))
    with qtbot.waitSignal(runner.stopped):
        runner.cancel()
    gate.set()
    qtbot.wait(30)
    assert runner.results == [] and runner.faults == []


def test_a_fault_arrives_with_its_traceback(qtbot, runner):
    def broken(progress, cancel):
        raise ZeroDivisionError("on purpose")

    with qtbot.waitSignal(runner.stopped):
        runner.submit(broken)
    assert isinstance(runner.faults[0], ZeroDivisionError)
    assert runner.faults[0].__traceback__ is not None


def test_after_close_nothing_is_taken(qtbot, runner):
    runner.close()
    runner.submit(lambda progress, cancel: "x")
    qtbot.wait(30)
    assert runner.results == []
