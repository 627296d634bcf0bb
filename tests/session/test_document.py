"""The document: one state, told to whoever listens, and nothing derived is kept stale."""

from __future__ import annotations

import numpy as np
import pytest

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.normalization import SHIFT_MODES
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.watch import WatchedPair, watch_at
from tests.samples import random_capture


@pytest.fixture
def document() -> Document:
    d = Document()
    d.open(random_capture(8))
    return d


def test_opening_shows_the_first_head_and_says_so():
    d = Document()
    calls = []
    d.picture_changed.connect(lambda: calls.append(d.picture))
    d.open(random_capture(8))
    assert len(calls) == 1
    assert calls[0].name == "L0 H0"
    assert calls[0].query_tokens[0] == "[CLS]"


def test_a_layer_that_the_new_model_lacks_becomes_its_last(document):
    document.show_head(layer=1, head=2)
    document.open(random_capture(5, layers=1, heads=2))
    assert (document.layer, document.head) == (0, 1)


def test_heads_beyond_the_ends_mean_the_ends(document):
    document.show_head(layer=99, head=-5)
    assert (document.layer, document.head) == (1, 0)


def test_showing_the_same_head_again_says_nothing(document):
    calls = []
    document.picture_changed.connect(lambda: calls.append(1))
    document.show_head(layer=0, head=0)
    assert calls == []


def test_the_frame_follows_the_sliders(document):
    before = document.picture.before
    document.move(t=0.25)
    frame = document.frame
    np.testing.assert_allclose(frame.key, before.key + 0.25)
    document.move(mode="centroid", t=1.0, scale=2.0)
    np.testing.assert_allclose(document.frame.query, 2 * before.query)
    document.reset()
    np.testing.assert_allclose(document.frame.key, before.key)
    assert document.sliders.mode == "centroid"


def test_reset_leaves_the_locked_mode_whose_shift_is_never_zero(document):
    document.move(mode="locked", scale=3.0)
    document.reset()
    assert document.sliders.mode == "constant"
    np.testing.assert_allclose(document.frame.key, document.picture.before.key)


@pytest.mark.parametrize("show_special", [True, False])
def test_every_mode_is_drawn_and_leaves_the_attention(document, show_special):
    document.set_options(show_special=show_special)
    picture, d = document.picture, document.picture.live.key.shape[1]
    for mode in SHIFT_MODES:
        document.move(mode=mode, t=0.6, scale=2.0)
        frame = document.frame
        assert frame.key.shape[1] == d + (mode == "lifted")
        assert picture.attention_difference(frame) < 1e-5
        document.move(t=0.0, scale=1.0)
        assert (document.frame is picture.before) == (mode in ("constant", "centroid"))
    document.move(mode="lifted", t=0.6)
    assert document.frame.rank_disagreements == 0


def test_scale_stays_in_its_range(document):
    document.move(scale=1e9)
    assert document.sliders.scale == 1000.0
    document.move(scale=0.0)
    assert document.sliders.scale == 0.001


def test_hidden_special_tokens_leave_every_number_and_come_back(document):
    document.set_options(show_special=False)
    picture = document.picture
    assert picture.n_hidden == 2
    assert picture.attention.shape == (6, 6)
    np.testing.assert_array_equal(picture.attention, picture.source.attention[1:-1, 1:-1])
    assert picture.attention_difference(document.frame) < 1e-6
    document.set_options(show_special=True)
    assert document.picture.attention.shape == (8, 8)


def test_a_text_of_special_tokens_alone_is_still_shown():
    d = Document()
    capture = random_capture(2)
    object.__setattr__(capture, "special", (np.array([True, True]),))
    d.set_options(show_special=False)
    d.open(capture)
    assert d.picture.n_hidden == 0


def test_hover_covers_the_pin_and_leaves_it(document):
    document.pin(1, 2)
    document.hover(3, None)
    assert document.focus == Focus(3, None)
    document.hover()
    assert document.focus == Focus(1, 2)
    document.pin(1, 2)
    assert not document.focus


def test_another_head_keeps_the_pin_another_text_lets_go(document):
    document.pin(1, 2)
    document.show_head(head=1)
    assert document.focus == Focus(1, 2)
    document.open(random_capture(8, seed=3))
    assert not document.focus


def test_watched_pairs_are_found_by_token_and_wait_where_they_do_not_occur(document):
    document.watch([WatchedPair("t1", "t2"), WatchedPair("t1", "elsewhere")])
    assert document.watched_here == [(1, 2)]
    document.set_options(show_special=False)
    assert document.watched_here == [(0, 1)]
    document.toggle_watch(0, 1)
    assert document.watched_here == []


def test_watching_the_second_of_two_equal_tokens():
    tokens = ["a", "b", "a", "b"]
    pair = watch_at(tokens, tokens, 2, 3)
    assert pair.find(tokens, tokens) == (2, 3)
    assert pair.find(["a", "b"], ["a", "b"]) is None


def test_a_drag_keeps_turning_from_frame_to_frame_and_ends_at_rest(document):
    document.move(mode="constant", t=0.4)
    at_rest = document.frame.projection.query_xy
    document.move(t=0.0)
    said = []
    document.settled.connect(lambda: said.append(1))
    document.begin_drag()
    for t in np.linspace(0, 0.4, 50):
        document.move(t=t)
        assert document.frame is not None
    document.end_drag()
    assert said == [1]
    np.testing.assert_allclose(document.frame.projection.query_xy, at_rest)


def test_options_that_do_not_change_say_nothing(document):
    calls = []
    document.options_changed.connect(lambda: calls.append(1))
    document.set_options(lines="each query")
    assert calls == []
    document.set_options(lines="none")
    assert calls == [1]


@pytest.mark.parametrize("factor", [1e12, 1e30, np.nan])
def test_giant_coordinates_are_refused_and_the_picture_stays(document, factor):
    picture = document.picture
    giant = random_capture(6)
    for record in giant.records[0]:
        record.key[...] *= np.float32(factor)
    with pytest.raises(InputError, match=r"layer\.0 has queries or keys"):
        document.open(giant)
    assert document.picture is picture
    assert document.capture is picture.capture


class Later:
    """Work that was handed out and is not done yet."""

    def __init__(self) -> None:
        self.jobs = []

    def __call__(self, work, then) -> None:
        self.jobs.append((work, then))

    def do(self, nth: int) -> None:
        work, then = self.jobs[nth]
        then(work())


@pytest.fixture
def large() -> tuple[Document, Later]:
    d = Document()
    d.open(random_capture(560))
    d.offload = later = Later()
    return d, later


def test_a_large_head_is_computed_elsewhere_and_the_old_one_stays(large):
    document, later = large
    told = []
    document.wanted_changed.connect(lambda: told.append((document.layer, document.head)))
    document.show_head(1, 2)
    assert document.pending
    assert (document.layer, document.head) == (1, 2)
    assert document.picture.name == "L0 H0"
    assert told == [(1, 2)]
    later.do(0)
    assert not document.pending
    assert document.picture.name == "L1 H2"
    # All that a view draws was computed there.
    assert {"attention", "strongest", "live", "before"} <= set(vars(document.picture))


def test_only_the_newest_large_head_is_shown(large):
    document, later = large
    for head in (1, 2):
        document.show_head(1, head)
    later.do(0)
    assert document.picture.name == "L0 H0"
    later.do(1)
    assert document.picture.name == "L1 H2"


def test_steps_go_on_from_the_head_that_is_on_its_way(large):
    document, _ = large
    document.show_head(document.layer, document.head + 1)
    document.show_head(document.layer, document.head + 1)
    assert document.head == 2


def test_back_to_the_head_on_show_before_the_other_came(large):
    document, later = large
    document.show_head(1, 2)
    document.show_head(0, 0)
    later.do(1)
    later.do(0)
    assert document.picture.name == "L0 H0"
    assert not document.pending


def test_a_small_text_does_not_wait_for_a_large_one(large):
    document, later = large
    document.show_head(1, 2)
    document.open(random_capture(5))
    assert len(document.picture.query_tokens) == 5
    later.do(0)
    assert len(document.picture.query_tokens) == 5


def test_what_cannot_be_computed_leaves_what_is_on_show(large):
    document, _ = large
    document.show_head(1, 2)
    document.stay()
    assert (document.layer, document.head) == (0, 0)
    assert not document.pending
