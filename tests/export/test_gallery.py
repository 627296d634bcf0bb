"""Many heads as one page: which heads, in what order, what each cell holds, and its names."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.export import gallery
from attnviz_gui.session.document import Document, Sliders
from tests.samples import random_capture


@pytest.fixture(scope="module")
def capture():
    return random_capture(9, layers=3, heads=4, head_dim=8, causal=True)


def made(capture, kind, places=None, **more):
    places = gallery.places_of(capture, None, None) if places is None else places
    sliders = more.pop("sliders", Sliders())
    return gallery.Gallery(capture, 0, places, kind, sliders, more.pop("own", {}), **more)


def test_which_heads(capture):
    assert gallery.places_of(capture, 1, None) == [(1, h) for h in range(4)]
    assert gallery.places_of(capture, None, 2) == [(i, 2) for i in range(3)]
    assert len(gallery.places_of(capture, None, None)) == 12
    assert gallery.places_of(capture, 1, 2) == [(1, 2)]
    for layer, head in ((3, None), (None, 4), (-1, None)):
        with pytest.raises(InputError, match="there are 0 to"):
            gallery.places_of(capture, layer, head)


def test_names_sort_as_the_heads_do(capture):
    assert gallery.file_stem(capture, (1, 2)) == "layer-01-head-02"
    many = random_capture(1, layers=1, heads=120, head_dim=2)
    names = [gallery.file_stem(many, (0, h)) for h in range(120)]
    assert names == sorted(names) and names[7] == "layer-00-head-007"
    assert gallery.page_name(capture, 1, None, "embedding") == "gallery-layer-01-embedding.png"
    assert gallery.page_name(capture, None, 3, "heatmap") == "gallery-head-03-heatmap.png"
    assert gallery.page_name(capture, None, None, "scatter") == "gallery-all-scatter.png"


@pytest.mark.parametrize("logarithmic", [False, True])
def test_one_colour_is_one_attention_in_every_cell(capture, logarithmic):
    shown = made(capture, "heatmap", logarithmic=logarithmic)
    low, high = shown.levels()
    for place, cell in zip(shown.places, shown(lambda *_: None, threading.Event()), strict=True):
        attention = capture.head(*place).attention
        assert cell.title == f"L{place[0]} H{place[1]}"
        at = (attention - low) / (high - low)
        if logarithmic:
            shown_ = np.log10(np.maximum(attention, low) / low)
            at = shown_ / np.log10(high / low)
        mask = capture.head(*place).mask
        assert np.abs(cell.shades - 254 * np.clip(at, 0, 1))[mask].max() <= 0.51
        assert (cell.shades[~mask] == gallery.MASKED).all()


def test_a_cell_too_small_for_its_tokens_keeps_the_largest():
    capture = random_capture(50, heads=1, layers=1)
    attention = capture.head(0, 0).attention
    cell = made(capture, "heatmap", side=10).cell((0, 0))
    expected = attention.reshape(10, 5, 10, 5).max(axis=(1, 3))
    assert cell.shades.shape == (10, 10)
    assert np.abs(cell.shades - 254 * expected).max() <= 0.51


def test_a_pixel_is_masked_where_all_its_pairs_are():
    capture = random_capture(50, heads=1, layers=1, causal=True)
    shades = made(capture, "heatmap", side=10).cell((0, 0)).shades
    allowed = np.tril(np.ones((50, 50), bool)).reshape(10, 5, 10, 5).any(axis=(1, 3))
    assert np.array_equal(shades != gallery.MASKED, allowed)


@pytest.mark.parametrize("sliders", [Sliders("centroid", 0.7, 1.5), Sliders("lifted", 0.4, 0.8)])
def test_planes_and_pairs_are_those_of_the_panels(capture, sliders):
    document = Document()
    document.open(capture)
    document.show_head(2, 1)
    document.move(mode=sliders.mode, t=sliders.t, scale=sliders.scale)
    plane = made(capture, "embedding", sliders=sliders).cell((2, 1))
    for half, frame in ((plane.before, document.picture.before), (plane.after, document.frame)):
        assert np.allclose(half.points[0], frame.projection.query_xy)
        assert np.allclose(half.points[1], frame.projection.key_xy)
    strongest = capture.head(2, 1).attention.argmax(axis=1)
    assert plane.lines.tolist() == [[i, j] for i, j in enumerate(strongest)]
    pairs = made(capture, "scatter", sliders=sliders).cell((2, 1))
    mask = document.picture.mask
    for half, frame in ((pairs.before, document.picture.before), (pairs.after, document.frame)):
        assert np.allclose(half.points[0][:, 0], frame.distances[mask])
        assert np.allclose(half.points[0][:, 1], frame.dots[mask])
    assert "→" in pairs.numbers


def test_each_head_under_its_own_fit_and_the_caption_says_so(capture):
    own = {(0, 1): Sliders("constant", 0.5)}
    shown = made(capture, "embedding", own=own)
    moved, still = shown.cell((0, 1)), shown.cell((0, 0))
    assert np.abs(moved.after.points[1] - moved.before.points[1]).max() > 0.01
    assert np.allclose(still.after.points[1], still.before.points[1])
    assert "1 head under its own" in gallery.caption(shown)
    every = replace(shown, own={p: Sliders("constant", i / 9) for i, p in enumerate(shown.places)})
    assert "each head under its own a and c" in gallery.caption(every)
    assert "a = 0, c = 1" in gallery.caption(replace(shown, own={}))
    assert "a =" not in gallery.caption(made(capture, "heatmap"))


def test_all_texts_share_their_a():
    capture = random_capture(6, texts=3, head_dim=4)
    apart = made(capture, "scatter", sliders=Sliders("centroid", 1.0))
    document = Document()
    document.open(capture)
    document.set_options(together=True)
    document.move(mode="centroid", t=1.0)
    cell = replace(apart, together=True).cell((0, 0))
    assert np.allclose(cell.after.points[0][:, 1], document.frame.dots.ravel())
    assert not np.allclose(cell.after.points[0], apart.cell((0, 0)).after.points[0])
    assert "text 1 of 3" in gallery.caption(apart)


def test_cancel_and_progress(capture):
    told, cancel = [], threading.Event()

    def tell(done, total, words):
        told.append((done, total))
        if done == 2:
            cancel.set()

    with pytest.raises(Cancelled):
        made(capture, "heatmap")(tell, cancel)
    assert told == [(0, 12), (1, 12), (2, 12)]


def test_rows_are_layers_where_all_are_shown():
    capture = random_capture(2, layers=3, heads=5)
    assert gallery.rows_and_columns(gallery.places_of(capture, None, None), 1.0) == (3, 5)
    rows, columns = gallery.rows_and_columns(gallery.places_of(capture, 0, None), 1.0)
    assert rows * columns >= 5 and columns >= rows
    assert gallery.rows_and_columns([(0, 0)], 2.0) == (1, 1)


@pytest.mark.parametrize("kind", gallery.KINDS)
def test_one_token(kind):
    cell = made(random_capture(1), kind).cell((0, 0))
    assert cell.fault or cell.shades is not None or len(cell.before.points[0]) == 1
