"""What points are coloured by: each against what it is by hand, and what is hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnviz_gui.errors import InputError
from attnviz_gui.session.coloring import COLORINGS, LEVELS, MOST_CLASSES, NEUTRAL
from attnviz_gui.session.document import Document
from tests.samples import random_capture


def document_of(capture, **options) -> Document:
    document = Document()
    document.open(capture)
    document.set_options(**options)
    return document


@pytest.mark.parametrize("name", [name for name in COLORINGS if name != "side"])
@pytest.mark.parametrize("n_tokens", [1, 2, 12])
def test_each_gives_every_point_a_class_or_a_level(name: str, n_tokens: int):
    document = document_of(random_capture(n_tokens, texts=3), color_by=name)
    found = document.colors.coloring
    assert found is not None
    for side in (found.query, found.key):
        assert len(side) == n_tokens
        assert side.min() >= NEUTRAL
        assert side.max() < (len(found.classes) if found.of_classes else LEVELS)
    if found.of_classes:
        assert sum(found.counts) == 2 * n_tokens
    document.set_options(together=True)
    assert len(document.colors.coloring.query) == 3 * n_tokens


def test_positions_go_from_the_first_token_to_the_last():
    document = document_of(random_capture(33), color_by="position")
    found = document.colors.coloring
    assert (found.low, found.high) == (0, 32)
    assert found.query[0] == 0
    assert found.query[-1] == LEVELS - 1
    assert (np.diff(found.query) >= 0).all()
    document.set_options(show_special=False)  # positions are those in the whole text
    assert (document.colors.coloring.low, document.colors.coloring.high) == (1, 31)


def test_modulo_has_a_class_for_each_rest():
    found = document_of(random_capture(11), color_by="modulo", modulo=3).colors.coloring
    assert found.classes == ("0", "1", "2")
    assert found.query.tolist() == [i % 3 for i in range(11)]
    many = document_of(random_capture(50), color_by="modulo", modulo=20).colors.coloring
    assert not many.of_classes


def test_kinds_of_the_capybara(capybara):
    found = document_of(capybara, color_by="kind").colors.coloring
    names = dict(zip(capybara.tokens[0], (found.classes[i] for i in found.query), strict=True))
    assert names == {
        "[CLS]": "special", "the": "word", "brown": "word", "cap": "word",
        "##y": "piece of a word", "##bara": "piece of a word", "is": "word", "sleeping": "word",
        "now": "word", ".": "punctuation", "[SEP]": "special",
    }  # fmt: skip


def test_the_most_frequent_tokens_have_classes_of_their_own(bundled):
    import attnviz_gui

    capture = attnviz_gui.capture(bundled, "a b a c a b d e f g h i j k l m n")
    found = document_of(capture, color_by="token").colors.coloring
    assert found.classes[:2] == ("a", "b")
    assert found.counts[:2] == (6, 4)
    assert len(found.classes) == MOST_CLASSES + 1
    assert found.classes[-1].endswith(" others")
    often = document_of(capture, color_by="frequency").colors.coloring
    assert (often.low, often.high) == (1.0, pytest.approx(3.0))


def test_attention_received_is_the_mean_over_the_queries_that_see_a_key():
    document = document_of(random_capture(9, causal=True), color_by="attention")
    picture, found = document.picture, document.colors.coloring
    received = [picture.attention[j:, j].mean() for j in range(9)]
    assert (found.query == NEUTRAL).all()
    assert found.low == pytest.approx(min(received), rel=1e-5)
    assert found.high == pytest.approx(max(received), rel=1e-5)
    assert found.key.argmax() == int(np.argmax(received))


def test_clusters_find_far_groups_and_are_the_same_again():
    capture = random_capture(20, seed=1)
    first = document_of(capture, color_by="cluster").colors.coloring
    again = document_of(capture, color_by="cluster").colors.coloring
    np.testing.assert_array_equal(first.query, again.query)
    np.testing.assert_array_equal(first.key, again.key)
    assert list(first.counts) == sorted(first.counts, reverse=True)
    from attnviz_gui.analysis.clusters import clusters

    rng = np.random.default_rng(0)
    groups = np.concatenate([rng.normal(size=(n, 4)) + 50 * i for i, n in enumerate((9, 5, 2))])
    assert clusters(groups, 3).tolist() == [0] * 9 + [1] * 5 + [2] * 2
    assert clusters(np.ones((5, 3)), 4).tolist() == [0] * 5


def test_classes_are_hidden_and_brought_back(capybara):
    document = document_of(capybara, color_by="kind")
    colors, told = document.colors, []
    colors.changed.connect(lambda: told.append(colors.hidden))
    colors.toggle(0)
    assert colors.coloring.hidden(colors.hidden) == 12
    assert colors.shown[0].sum() == 5
    document.show_head(3, 3)
    assert colors.hidden == {0}  # the same classes
    for i in (1, 2, 3):
        colors.toggle(i)
    assert colors.hidden == frozenset()  # never nothing at all
    colors.toggle(2)
    document.set_options(color_by="position")
    assert colors.hidden == frozenset()
    assert colors.shown is None
    colors.toggle(0)  # a number has no classes
    assert colors.hidden == frozenset()
    assert told


@pytest.mark.parametrize("n_texts", [1, 120])
def test_what_was_hidden_among_other_classes_is_not_hidden(n_texts: int):
    """Colours of many points come later than the points: there is a time without any."""
    capture = random_capture(20, texts=n_texts)
    document = document_of(capture, color_by="token", together=True)
    colors = document.colors
    colors.toggle(0)
    first = colors.coloring.classes
    document.show_head(1, 1)
    assert colors.coloring.classes == first
    assert colors.hidden == {0}
    document.set_options(show_special=False)
    assert colors.coloring.classes != first
    assert colors.hidden == frozenset()


def test_sizes_go_with_the_norm(capybara):
    document = document_of(capybara, size_by_norm=True)
    assert document.colors.coloring is None
    picture, (query, _) = document.picture, document.colors.sizes
    norms = np.linalg.norm(picture.drawn.query, axis=1)
    assert query.argmax() == norms.argmax()
    assert query.min() < 1.05 < query.max() <= 1.7


def test_what_takes_time_is_taken_over_only_while_it_is_wanted(capybara):
    document = document_of(capybara)
    waiting = []
    document.colors.offload = lambda work, then: waiting.append((work, then))
    document.set_options(color_by="cluster")
    assert document.colors.coloring is None
    document.set_options(color_by="kind")
    for work, then in waiting:
        then(work())
    assert document.colors.coloring.name == "kind"


@pytest.mark.parametrize(
    "wrong",
    [{"color_by": "received"}, {"color_by": None}, {"modulo": 0}, {"modulo": -3}, {"modulo": 2.5}],
)
def test_what_nothing_can_be_coloured_by_is_refused_at_once(wrong):
    document = document_of(random_capture(5), color_by="position")
    before, colors, told = document.options, document.colors.coloring, []
    document.options_changed.connect(lambda: told.append(1))
    with pytest.raises(InputError, match=r"^Po.*\.$"):
        document.set_options(**wrong)
    assert (document.options, document.colors.coloring, told) == (before, colors, [])


def test_clusters_of_vectors_that_are_all_alike():
    capture = random_capture(20, texts=3)
    alike = tuple(
        tuple(replace(r, query=np.zeros_like(r.query), key=np.zeros_like(r.key)) for r in records)
        for records in capture.records
    )
    document = document_of(
        replace(capture, records=alike), together=True, color_by="cluster", size_by_norm=True
    )
    assert document.colors.coloring.classes == ("cluster 1",)
    assert np.isfinite(np.concatenate(document.colors.sizes)).all()
