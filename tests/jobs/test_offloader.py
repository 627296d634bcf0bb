"""Work handed to a worker: the newest wins, and may be made to rest before it begins."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QObject

from attnviz_gui.jobs.offloader import Offloader
from attnviz_gui.jobs.runner import Worker


@pytest.fixture
def make(qapp):
    worker, parent, made = Worker("test"), QObject(), []

    def offloader(**how) -> Offloader:
        made.append(Offloader(worker, faults.append, parent, **how))
        return made[-1]

    faults: list[BaseException] = []
    offloader.faults = faults
    yield offloader
    for each in made:
        each.close()
    worker.close()
    parent.deleteLater()


def test_only_the_newest_result_arrives(qtbot, make):
    offload, got = make(), []
    for n in range(3):
        offload(lambda n=n: n, got.append)
    qtbot.waitUntil(lambda: got == [2])
    qtbot.wait(50)
    assert got == [2]


def test_after_a_rest_only_the_newest_work_is_done(qtbot, make):
    offload, done, got = make(rest_ms=40), [], []
    for n in range(3):
        offload(lambda n=n: done.append(n), got.append)
    assert done == []
    qtbot.waitUntil(lambda: got == [None])
    assert done == [2]


def test_closed_during_the_rest_nothing_is_done(qtbot, make):
    offload, done = make(rest_ms=20), []
    offload(lambda: done.append(1), done.append)
    offload.close()
    qtbot.wait(80)
    assert done == []


def test_a_fault_reaches_whoever_listens(qtbot, make):
    offload = make()

    def fail() -> None:
        raise MemoryError("too much")

    offload(fail, lambda _: pytest.fail("there is no result"))
    qtbot.waitUntil(lambda: len(make.faults) == 1)
    assert isinstance(make.faults[0], MemoryError)


def test_a_patient_one_waits_until_nothing_newer_comes(qtbot, make):
    patient, hasty = make(rest_ms=80, patient=True), make(rest_ms=80)
    done = []
    for n in range(12):
        patient(lambda n=n: ("patient", n), done.append)
        hasty(lambda n=n: ("hasty", n), done.append)
        qtbot.wait(20)
    early = [who for who, _ in done]
    assert "hasty" in early and "patient" not in early
    qtbot.waitUntil(lambda: ("patient", 11) in done)
    assert [n for who, n in done if who == "patient"] == [11]
