"""All texts of a capture together: every token and every pair of them, each in its own text."""

from __future__ import annotations

import numpy as np
import pytest

from attnviz_gui.geometry.normalization import SHIFT_MODES
from attnviz_gui.geometry.projection import project
from attnviz_gui.geometry.transforms import balancing, lift, transform_vectors
from attnviz_gui.session.corpus import make_corpus
from attnviz_gui.session.document import Document, Focus, Sliders
from attnviz_gui.session.offload import LIVE_PAIRS, MOVING_PAIRS
from attnviz_gui.session.picture import make_picture
from tests.samples import random_capture

POSITIONS = [
    ("constant", 0.3, 1.2), ("centroid", 0.7, 0.8), ("locked", 0.0, 1.3), ("balanced", 0.6, 1.4),
    ("lifted", 0.5, 1.1),
]  # fmt: skip


def corpus_of(capture, text=0, **how):
    options = {"show_special": True, "rotary": True} | how
    return make_corpus(make_picture(capture, text, 0, 0, **options), **options)


def normalised(live, mode, t, scale):
    """q' and k' of all texts, from the definitions."""
    q, k = live.query, live.key
    if mode == "balanced":
        q, k = transform_vectors(q, k, balancing(q, k))
    to_query = q.mean(axis=0) - k.mean(axis=0)
    shift = {"constant": np.full(k.shape[1], t), "locked": scale**2 * q.mean(0) - k.mean(0)}
    q, k = scale * q, (k + shift.get(mode, t * to_query)) / scale
    return lift(q, k) if mode == "lifted" else (q, k)


def pairs_of(corpus, query, key):
    """Cosine distance and dot product of the allowed pairs of each text, one after the other."""
    x, y = [], []
    for text, picture in enumerate(corpus.pictures):
        q, k = query[corpus.live.queries(text)], key[corpus.live.keys(text)]
        dots = q @ k.T
        norms = np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(k, axis=1))
        x.append((1 - dots / norms)[picture.mask])
        y.append(dots[picture.mask])
    return np.concatenate(x), np.concatenate(y)


def test_every_mode_is_known_here():
    assert {mode for mode, *_ in POSITIONS} == set(SHIFT_MODES)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("position", POSITIONS, ids=lambda p: p[0])
def test_a_frame_is_what_the_definitions_say(position, causal):
    corpus = corpus_of(random_capture(23, texts=4, causal=causal, head_dim=8))
    frame = corpus.live.at(*position)
    query, key = normalised(corpus.live, *position)
    plane = project(query, key)
    turn = np.sign((plane.query_xy * frame.projection.query_xy).sum(axis=0))
    assert np.allclose(frame.projection.query_xy * turn, plane.query_xy, atol=1e-5)
    assert np.allclose(frame.projection.key_xy * turn, plane.key_xy, atol=1e-5)
    assert np.allclose(frame.projection.explained, plane.explained)
    x, y = pairs_of(corpus, query, key)
    assert len(x) == corpus.live.n_pairs == 4 * (23 * 24 // 2 if causal else 23**2)
    drawn = frame.points(corpus.sample)
    assert np.allclose(drawn[0], x, atol=1e-5) and np.allclose(drawn[1], y, atol=1e-4)
    exact = frame.values(corpus.sample.query, corpus.sample.key)
    assert np.allclose(exact[0], x, atol=1e-7) and np.allclose(exact[1], y)
    assert frame.correlation == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-10)
    assert len(corpus.live.rows.T) == 4 * 23
    block = [frame.block(t) for t in range(4)]
    assert np.array_equal(frame.block(2, slice(5, 9))[0], block[2][0][5:9])
    masks = [picture.mask for picture in corpus.pictures]
    for part, wanted in zip((0, 1), (x, y), strict=True):
        found = np.concatenate([b[part][mask] for b, mask in zip(block, masks, strict=True)])
        assert np.allclose(found, wanted, atol=1e-4)


def test_a_key_that_the_shift_brings_to_zero_has_no_direction_and_one_near_it_is_exact():
    capture = random_capture(6, texts=3, head_dim=4)
    capture.records[1][0].key[0, 2] = 0.25
    capture.records[1][0].key[0, 3] = 0.25 + 1e-4 * np.arange(4)
    corpus = corpus_of(capture)
    frame = corpus.live.at("constant", -0.25, 1.0)
    distances, _ = frame.points(corpus.sample)
    undefined = np.isnan(distances)
    assert (corpus.sample.key[undefined] == 8).all() and undefined.sum() == 6
    near = corpus.sample.key == 9
    exact, _ = frame.values(corpus.sample.query[near], corpus.sample.key[near])
    assert np.allclose(distances[near], exact, atol=1e-3)  # |k + a| is 4e-4


def test_frames_follow_each_other_without_a_jump():
    corpus = corpus_of(random_capture(30, texts=3, head_dim=8))
    near = corpus.before.projection
    for t in np.linspace(0, 1, 60):
        plane = corpus.live.at("constant", float(t), 1.0, near=near).projection
        size = np.abs(near.query_xy).max()
        assert np.abs(plane.query_xy - near.query_xy).max() < 0.1 * size
        near = plane


def test_very_many_pairs_are_a_uniform_part_and_the_same_part_each_time():
    capture = random_capture(100, texts=60, causal=True, head_dim=4, layers=1, heads=1)
    corpus, again = corpus_of(capture), corpus_of(capture)
    n = 60 * 5050
    assert corpus.live.n_pairs == corpus.sample.n_pairs == n > LIVE_PAIRS
    assert len(corpus.sample.query) == MOVING_PAIRS and not corpus.sample.whole
    assert np.array_equal(corpus.sample.query, again.sample.query)
    assert np.array_equal(corpus.sample.key, again.sample.key)
    q, k = corpus.sample.query, corpus.sample.key
    assert len(np.unique(q * 6000 + k)) == MOVING_PAIRS  # no pair twice
    assert (q // 100 == k // 100).all() and (k <= q).all()  # within a text, and allowed
    per_text = np.bincount(q // 100)
    share = MOVING_PAIRS / n
    assert np.abs(per_text - 5050 * share).max() < 5 * np.sqrt(5050 * share * (1 - share))
    # Late keys, which few queries may see, as often as early ones.
    per_key = np.bincount(k % 100) / (60 * np.arange(100, 0, -1))
    assert np.abs(per_key[:80] - share).max() < 0.06


def test_pairs_are_gone_through_in_blocks(monkeypatch):
    corpus = corpus_of(random_capture(23, texts=3, causal=True, head_dim=8))
    whole = corpus.live.rows
    monkeypatch.setattr("attnviz_gui.geometry.together.BLOCK", 100)
    again = corpus_of(corpus.capture)
    assert [r.stop - r.start for r in again.live.row_blocks(1)] == [4, 4, 4, 4, 4, 3]
    assert np.allclose(again.live.rows, whole)


def test_few_pairs_are_all_drawn():
    corpus = corpus_of(random_capture(5, texts=2))
    assert corpus.sample.whole and len(corpus.sample.query) == 50
    assert corpus.sample.product == pytest.approx(
        np.concatenate(
            [
                (corpus.live.query[p] @ corpus.live.key[p].T).ravel()
                for p in (slice(0, 5), slice(5, 10))
            ]
        )
    )


def test_a_point_knows_its_text_and_token():
    corpus = corpus_of(random_capture(7, texts=3), text=1, show_special=False)
    assert corpus.words == "all 3 texts, 15 tokens"
    token = corpus.query_token(11)
    assert (token.text, token.index, token.place, token.name) == (2, 1, 2, "t2")
    assert corpus.key_token(0).name == "t1"
    part = corpus.before.text(2)
    assert np.array_equal(part.projection.query_xy, corpus.before.projection.query_xy[10:])
    lengths = part.line_lengths(([1], [4]))
    ends = corpus.before.projection.query_xy[11] - corpus.before.projection.key_xy[14]
    assert lengths == pytest.approx([np.hypot(*ends)])


# -- the document ----------------------------------------------------------------------------------


@pytest.fixture
def document():
    d = Document()
    d.open(random_capture(9, texts=4, layers=2))
    d.set_options(together=True)
    return d


def test_all_texts_are_there_when_they_are_asked_for(document):
    assert document.corpus.words == "all 4 texts, 36 tokens"
    assert document.corpus.pictures[0] is document.picture
    document.set_options(together=False)
    assert document.corpus is None and document.corpus_frame is None
    alone = Document()
    alone.set_options(together=True)
    alone.open(random_capture(9))
    assert alone.corpus is None


def test_another_text_keeps_the_corpus_and_another_head_makes_its_own(document):
    first = document.corpus
    document.show_head(text=2)
    assert document.corpus is first and document.picture.text == 2
    document.show_head(head=1)
    assert document.corpus is not first
    assert document.corpus.pictures[2] is document.picture
    before = document.corpus
    document.set_options(show_special=False)
    assert document.corpus is not before and document.corpus.words == "all 4 texts, 28 tokens"


def test_the_frame_follows_the_sliders(document):
    assert document.corpus_frame is document.corpus.before
    document.move(mode="centroid", t=0.5, scale=1.2)
    frame = document.corpus_frame
    assert document.corpus_frame is frame
    live = document.corpus.live
    assert np.allclose(frame.shift, 0.5 * (live.query_mean - live.key_mean))
    assert frame.near is document.corpus.before.projection
    document.begin_drag()
    document.move(t=0.6)
    assert document.corpus_frame.near is frame.projection
    moving = document.corpus_frame
    document.end_drag()
    assert document.corpus_frame is not moving
    assert document.corpus_frame.near is document.corpus.before.projection
    document.move(mode="balanced", t=0.0, scale=1.0)
    assert document.corpus_frame is not document.corpus.before
    document.move(mode="constant")
    assert document.sliders == Sliders() and document.corpus_frame is document.corpus.before


def test_a_token_of_another_text_is_shown_and_pinned(document):
    document.show_token(3, query=4)
    assert document.picture.text == 3 and document.pinned == Focus(query=4)
    document.show_token(3, query=4)
    assert document.pinned == Focus(query=4)
    document.show_token(1, key=2)
    assert document.picture.text == 1 and document.pinned == Focus(key=2)


def test_a_corpus_is_made_in_the_worker_and_the_picture_waits_for_it():
    document, later = Document(), []
    document.open(random_capture(9, texts=4))
    document.offload = lambda work, then: later.append((work, then))
    old = document.picture
    document.set_options(together=True)
    assert document.pending and document.picture is old and document.corpus is None
    document.show_token(2, key=5)
    for work, then in later:
        then(work())
    assert document.picture.text == 2 and document.corpus is not None
    assert document.pinned == Focus(key=5)
    document.set_options(together=False)
    assert not document.pending and document.corpus is None


def test_what_a_mode_needs_of_all_texts_is_made_in_the_worker_and_nothing_moves_before(document):
    later, moved = [], []
    document.offload = lambda work, then: later.append((work, then))
    document.frame_changed.connect(lambda: moved.append(document.sliders.mode))
    for mode in ("balanced", "lifted"):
        document.move(mode=mode, t=0.5)
        assert document.sliders.mode != mode and not moved
        work, then = later.pop()
        then(work())
        assert moved == [mode] and document.sliders.t == 0.5
        assert document.corpus.live.ready(mode)
        document.move(t=0.6)
        assert not later  # from then on every frame is at hand
        document.move(mode="centroid")
        moved.clear()
    document.move(mode="balanced")
    document.show_head(head=1)
    work, then = later.pop()
    then(work())
    assert document.corpus.live.ready("balanced")
