"""Requests about all heads: what they say, how far they are, and that they stop."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pytest

import attnviz_gui
from attnviz_gui.analysis.catalogue import CATALOGUE, PICTURE, tip
from attnviz_gui.analysis.heads import ALL_TEXTS, measure_heads
from attnviz_gui.analysis.likeness import cluster, divergences, like
from attnviz_gui.capture.baselines import random_weights, shuffled
from attnviz_gui.capture.models import load_model
from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.geometry.honesty import measure
from attnviz_gui.jobs.baselines import BaselineFitsRequest, BaselineRequest, RepeatedRequest
from attnviz_gui.jobs.fitting import FitRequest
from attnviz_gui.jobs.measuring import (
    ClusterRequest,
    LikeRequest,
    MeasureRequest,
    PictureRequest,
    TableRequest,
)
from attnviz_gui.session.fits import Basis, Fits, HeadFit
from attnviz_gui.session.head_measures import fitted, unfitted
from attnviz_gui.session.picture import make_picture
from tests.samples import random_capture, save_tiny_bert


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two texts through a BERT of two layers and random weights."""
    model = load_model(str(save_tiny_bert(tmp_path_factory.mktemp("tiny"))), device="cpu")
    return attnviz_gui.capture(model, ["a cat sees the other cat", "one two three four five six"])


def run(request, cancel=None):
    told = []
    return request(lambda *of: told.append(of), cancel or threading.Event()), told


def test_measuring_says_how_far_it_is():
    capture = random_capture(6, texts=2)
    found, told = run(MeasureRequest(capture, 1))
    np.testing.assert_array_equal(found.values, measure_heads(capture, 1).values)
    assert told[-1] == (6, 6, "Measuring heads: 6 of 6")


@pytest.mark.parametrize("with_special", [True, False])
def test_pictures_are_measured_as_the_panel_does(with_special):
    capture = random_capture(8)
    found, _ = run(PictureRequest(capture, 0, with_special, "rank"))
    picture = make_picture(capture, 0, 1, 2, show_special=with_special)
    wanted = measure(picture.before, "rank")
    for each in PICTURE:
        assert found.of(1, 2, each.name) == wanted[each.name.removeprefix("kept_")]


def test_an_undefined_picture_says_why():
    found, _ = run(PictureRequest(random_capture(1), 0))
    assert math.isnan(found.of(0, 0, "kept_objective"))
    assert found.reason(0, 0, "kept_objective")


@pytest.mark.parametrize("which", ["shuffled", "random"])
@pytest.mark.parametrize("text", [0, ALL_TEXTS])
def test_baselines_stand_beside_the_same_heads(recorded, which, text):
    found, told = run(BaselineRequest(recorded, which, text))
    own = measure_heads(recorded, text)
    assert (found.heads, found.names, found.capture) == (own.heads, own.names, recorded)
    assert not np.allclose(found.values, own.values, equal_nan=True)
    assert told[-1][:2] == ((2, 2) if text == ALL_TEXTS else (1, 1))
    beside = own.beside(which, found)
    assert beside.baselines[which] is found
    assert not own.baselines
    if text == 0:
        assert math.isfinite(found.of(0, 0, "duplicate"))  # the same tokens, so "cat" is there


@pytest.mark.parametrize("which", ["shuffled", "random"])
def test_every_measure_has_its_baselines(recorded, which):
    parts = "attention", "pictures", "repeated"
    whole, _ = run(BaselineRequest(recorded, which, 0, parts=parts))
    few, _ = run(BaselineRequest(recorded, which, 0, parts=parts[1:]))
    assert set(few.names) == {each.name for each in PICTURE} | {"induction_repeated"}
    assert set(whole.names) - set(few.names) == set(measure_heads(recorded, 0).names)
    for name in few.names:
        np.testing.assert_array_equal(whole.column(name), few.column(name))
    own, _ = run(RepeatedRequest(recorded, 0))
    assert not np.allclose(few.column("induction_repeated"), own.values[:, 0])
    assert not [name for name in whole.without("kept_").names if name.startswith("kept_")]


def test_rows_of_tensors_keep_their_numbers():
    module = attnviz_gui.load_model("bundled").module
    import torch

    ids = torch.tensor([[101, 2057, 2024, 2182, 102], [101, 2017, 2024, 2045, 102]])
    capture = attnviz_gui.capture(module, {"input_ids": ids})
    found, _ = run(BaselineRequest(capture, "random", 1))
    assert np.isfinite(found.column("entropy")).all()


def test_a_file_has_no_model_at_hand(recorded, tmp_path):
    recorded.save(tmp_path / "c.safetensors")
    opened = attnviz_gui.open_capture(tmp_path / "c.safetensors")
    fit = HeadFit(0, 0, "cosine", "constant", 0, 1, 1, 1)
    for request in (
        BaselineRequest(opened, "random"),
        RepeatedRequest(opened),
        BaselineFitsRequest(opened, "random", [(Basis(0), fit)]),
        LikeRequest(opened, (0, 0), baseline="shuffled"),
        ClusterRequest(opened, 2, baseline="random"),
    ):
        with pytest.raises(InputError, match="opened from a file"):
            run(request)


def test_the_repeated_sequence_gives_one_column(recorded):
    found, _ = run(RepeatedRequest(recorded, 0))
    assert found.names == ("induction_repeated",)
    assert np.isfinite(found.values).all()
    more = measure_heads(recorded, 0).extended(found)
    assert more.of(1, 3, "induction_repeated") == found.values[-1, 0]


def test_likeness_and_clusters(recorded):
    own = divergences(recorded, 1)
    found, _ = run(LikeRequest(recorded, (1, 2), 1))
    np.testing.assert_allclose(found.distances, own[6], atol=1e-6)
    (groups, distances), told = run(ClusterRequest(recorded, 3, 1))
    assert groups.labels.max() == 3
    assert told
    (again, same), told = run(ClusterRequest(recorded, 3, 1, known=distances))
    assert same is distances
    assert again.labels.tolist() == groups.labels.tolist()
    assert not told


def elsewhere(recorded, which: str, texts):
    """Capture the texts where there is nothing to find, straight from the core."""
    way = {"shuffled": shuffled, "random": random_weights}[which]
    ((_, found),) = way(recorded, texts)
    return found


@pytest.mark.parametrize("which", ["shuffled", "random"])
def test_heads_are_compared_where_there_is_nothing_to_find(recorded, which):
    there = elsewhere(recorded, which, [1])
    far, told = run(LikeRequest(recorded, (1, 2), 1, baseline=which))
    np.testing.assert_array_equal(far.distances, like(there, 1, 2))
    assert far.text == 1
    assert told[0][2].startswith({"shuffled": "Shuffling", "random": "Trying"}[which])
    (own, _), _ = run(ClusterRequest(recorded, 3, 1))
    (beside, distances), _ = run(ClusterRequest(recorded, 3, 1, baseline=which, beside=own))
    np.testing.assert_array_equal(distances, divergences(there))
    found = beside.baselines[which]
    wanted = cluster(there, n=3).labels
    same = wanted[:, None] == wanted[None]
    np.testing.assert_array_equal(found.labels[:, None] == found.labels[None], same)
    np.testing.assert_array_equal(beside.labels, own.labels)
    again, told = run(ClusterRequest(recorded, 2, 1, known=distances, baseline=which, beside=own))
    assert not told  # the model is not asked again
    assert again[0].baselines[which].labels.max() <= 3


def test_tensors_are_compared_row_by_row():
    import torch

    ids = torch.tensor([[101, 2057, 2024, 2182, 102], [101, 2017, 2024, 2045, 102]])
    capture = attnviz_gui.capture(
        attnviz_gui.load_model("bundled").module, {"input_ids": ids, "attention_mask": ids > 0}
    )
    found, _ = run(LikeRequest(capture, (1, 2), 1, baseline="random"))
    there = elsewhere(capture, "random", None)
    np.testing.assert_array_equal(found.distances, like(there, 1, 2, 1))
    assert not np.allclose(found.distances, like(there, 1, 2, 0))


@pytest.mark.parametrize("which", ["shuffled", "random"])
@pytest.mark.parametrize("text", [1, ALL_TEXTS])
def test_fits_are_made_where_there_is_nothing_to_find(recorded, which, text):
    basis = Basis(text)
    groups = [[(0, 1)], [(1, 0), (1, 2)]]
    own = [
        *run(FitRequest(recorded, basis, groups[:1], "cosine", "constant", 10.0))[0],
        *run(FitRequest(recorded, basis, groups[1:], "euclidean", "locked"))[0],
    ]
    found, told = run(BaselineFitsRequest(recorded, which, [(basis, fit) for fit in own]))
    assert [of for of, _ in found] == [basis] * 3
    there = elsewhere(recorded, which, range(2) if text == ALL_TEXTS else [1])
    there_basis = Basis(ALL_TEXTS if text == ALL_TEXTS else 0)
    wanted = [
        *run(FitRequest(there, there_basis, groups[:1], "cosine", "constant", 10.0))[0],
        *run(FitRequest(there, there_basis, groups[1:], "euclidean", "locked"))[0],
    ]
    assert [fit for _, fit in found] == wanted
    assert all(fit.answers(other) and fit != other for fit, other in zip(wanted, own, strict=True))
    assert wanted[1].shared == wanted[2].shared == ((1, 0), (1, 2))
    assert any("Fitting L0 H1" in words for *_, words in told)
    # One of the two that were fitted as one was fitted by itself since.
    alone, _ = run(BaselineFitsRequest(recorded, which, [(basis, own[2])]))
    assert [fit for _, fit in alone] == wanted[2:]


def test_what_was_fitted_in_another_way_does_not_stand_beside():
    capture = random_capture(5)
    fits, there = Fits(), Fits()
    one = HeadFit(1, 0, "cosine", "constant", 0.25, 2.0, 1.0, 0.5)
    fits.keep(Basis(0), [one, replace(one, head=1), replace(one, head=2, reason="all equal")])
    fits.keep(Basis(ALL_TEXTS), [replace(one, layer=0)])
    own = measure_heads(capture, 0)
    assert unfitted(own, fits, there) == [
        (Basis(ALL_TEXTS), replace(one, layer=0)), (Basis(0), one), (Basis(0), replace(one, head=1))
    ]  # fmt: skip
    there.keep(Basis(0), [replace(one, t=7.0), replace(one, head=1, objective="rank", t=8.0)])
    there.keep(Basis(ALL_TEXTS), [replace(one, layer=0, t=9.0)])
    beside = fitted(own, there, asked=fits)
    assert beside.of(1, 0, "fit_a") == 7.0
    assert beside.of(0, 0, "fit_a") == 9.0
    assert math.isnan(beside.of(1, 1, "fit_a"))
    assert beside.reason(1, 1, "fit_a") == "it has not been fitted yet"
    assert unfitted(own, fits, there) == [(Basis(0), replace(one, head=1))]
    there.keep(Basis(0), [replace(one, scale_factor=10.0)])  # over a wider range
    assert (Basis(0), one) in unfitted(own, fits, there)
    fits.keep(Basis(0), [replace(one, layer=0)])  # now of this text
    assert (Basis(0), replace(one, layer=0)) in unfitted(own, fits, there)
    assert math.isnan(fitted(own, there, asked=fits).of(0, 0, "fit_a"))


def test_fits_are_columns():
    capture = random_capture(5)
    fits = Fits()
    fits.keep(Basis(0), [HeadFit(1, 0, "cosine", "constant", 0.25, 2.0, 1.0, 0.5)])
    found = fitted(measure_heads(capture, 0), fits)
    assert (found.of(1, 0, "fit_a"), found.of(1, 0, "fit_c")) == (0.25, 2.0)
    assert found.reason(0, 0, "fit_a") == "it has not been fitted yet"
    other = fitted(measure_heads(capture, 0, with_special=False), fits)
    assert np.isnan(other.column("fit_a")).all()


@pytest.mark.parametrize(
    "kind", ["measure", "picture", "baseline", "repeated", "like", "cluster", "fits", "alike"]
)
def test_cancel_stops_each(recorded, kind):
    cancel = threading.Event()
    cancel.set()
    request = {
        "measure": MeasureRequest(recorded),
        "picture": PictureRequest(recorded),
        "baseline": BaselineRequest(recorded, "shuffled"),
        "repeated": RepeatedRequest(recorded),
        "like": LikeRequest(recorded, (0, 0)),
        "cluster": ClusterRequest(recorded, 2),
        "fits": BaselineFitsRequest(
            recorded, "random", [(Basis(0), HeadFit(0, 0, "cosine", "constant", 0, 1, 1, 1))]
        ),
        "alike": LikeRequest(recorded, (0, 0), baseline="shuffled"),
    }[kind]
    with pytest.raises(Cancelled):
        run(request, cancel)


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "heads.csv"
    written, _ = run(TableRequest([("layer", "say, what"), (0, 1 / 3), (1, math.nan)], path))
    assert written.read_text(encoding="utf-8").splitlines() == [
        'layer,"say, what"', "0,0.3333333333333333", "1,",
    ]  # fmt: skip
    with pytest.raises(InputError, match="must end in"):
        run(TableRequest([], tmp_path / "heads.txt"))
    with pytest.raises(InputError, match="folder"):
        (tmp_path / "folder.csv").mkdir()
        run(TableRequest([], tmp_path / "folder.csv"))
    with pytest.raises(InputError, match="another place"):
        run(TableRequest([], path / "beneath" / "a.csv"))
    assert [f.name for f in path.parent.iterdir()] == ["heads.csv"]


def test_every_column_says_what_it_is():
    for name, each in CATALOGUE.items():
        assert each.name == name
        assert each.definition in tip(each)
        assert f"Source: {each.source}" in tip(each)
        assert tip(each)[-2:].strip(".?!") and tip(each)[-1] in ".?!"  # one sign at the end
