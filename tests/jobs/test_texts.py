"""Many texts as requests: their size before, their run, and what a stopped run delivers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from attnviz_gui.errors import Cancelled, InputError, TextTooLongError
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.jobs.texts import PlanRequest, TextsRequest, fitted, in_words

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from attnviz_gui.capture.models import LoadedModel

TEXTS = ("The cat sleeps.", "A dog barks loudly at night.", "Rain falls softly.")
LONG = "word " * 600


def silent(*_: object) -> None:
    """Tell nobody."""


def test_the_size_is_said_before(bundled: LoadedModel):
    plan = PlanRequest((*TEXTS, LONG), bundled)(silent, threading.Event())
    assert (plan.n_texts, plan.n_long, plan.limit) == (4, 1, 512)
    assert plan.n_tokens > plan.longest > 600
    each = 6 * 384 * 3 * 4
    assert plan.n_bytes["refuse"] > plan.n_tokens * each
    short = sum(len(bundled.tokenizer(text)["input_ids"]) for text in TEXTS)
    assert (short + 512) * each < plan.n_bytes["first"] < (short + 600) * each
    assert plan.n_bytes["first"] < plan.n_bytes["split"] < plan.n_bytes["refuse"]
    with pytest.raises(InputError, match="Text 2: Character 1"):
        PlanRequest(("good", "\ud800"), bundled)(silent, threading.Event())


def test_long_texts_are_cut_as_one_is(bundled: LoadedModel):
    texts = (TEXTS[0], LONG)
    with pytest.raises(TextTooLongError) as caught:
        fitted(bundled, texts, "refuse")
    assert caught.value.limit == 512
    assert len(fitted(bundled, texts, "first")) == 2
    parts = fitted(bundled, texts, "split")
    assert len(parts) == 3
    assert "".join(parts[1:]) == LONG


def test_texts_without_a_token_are_left_out_and_named(bundled: LoadedModel):
    texts = ("one", "\x01\x02", "three")
    plan = PlanRequest(texts, bundled)(silent, threading.Event())
    assert (plan.n_texts, plan.left_out) == (2, (1,))
    left_out: list[int] = []
    assert fitted(bundled, texts, "first", left_out) == ("one", "three")
    assert left_out == [1]
    with pytest.raises(InputError, match="Text 2: The tokenizer"):
        fitted(bundled, texts, "first")
    with pytest.raises(InputError, match="leaves nothing of any text"):
        fitted(bundled, ("\x01",), "first", [])


def test_fitting_many_texts_is_told_and_cancelled(bundled: LoadedModel):
    told, cancel = [], threading.Event()

    def tell(done: int, total: int, words: str = "") -> None:
        told.append(words)
        cancel.set()

    with pytest.raises(Cancelled):
        fitted(bundled, ("a",) * 1000, "first", progress=tell, cancel=cancel)
    assert told == ["Counting tokens: 100 of 1,000 texts…"]


class Counting:
    """Work that counts to 1000 and keeps what it has counted."""

    def __init__(self, *, keeps: bool) -> None:
        self.keeps_done = keeps
        self.begun = threading.Event()

    def __call__(self, progress: Any, cancel: threading.Event) -> int:
        self.begun.set()
        cancel.wait(20)
        return 412


@pytest.mark.parametrize("keeps", [True, False])
def test_stopped_work_delivers_what_it_keeps(qtbot: QtBot, keeps: bool):
    worker = Worker("test")
    runner = Runner(worker)
    results: list[object] = []
    runner.finished.connect(results.append)
    work = Counting(keeps=keeps)
    runner.submit(work)
    assert work.begun.wait(20)
    with qtbot.waitSignal(runner.stopped):
        runner.stop()
    qtbot.wait(20)
    assert results == ([412] if keeps else [])
    second = Counting(keeps=keeps)
    runner.submit(second)
    assert second.begun.wait(20)
    runner.cancel()  # another request, or the window's end: nothing is delivered
    worker.close(finish=True)
    qtbot.wait(20)
    assert results == ([412] if keeps else [])
    runner.close()


def test_many_texts_are_run(bundled: LoadedModel):
    told: list[str] = []
    request = TextsRequest(TEXTS, bundled)
    capture = request(lambda *said: told.append(said[2] if len(said) > 2 else ""),
                      threading.Event())  # fmt: skip
    assert capture.texts == TEXTS
    assert capture.texts_asked is None
    assert any(words.startswith("3 texts") for words in told)


def test_a_time_is_told_in_words():
    assert [in_words(s) for s in (0.2, 12.4, 200, 7200)] == ["1 s", "12 s", "3 min", "2.0 h"]
