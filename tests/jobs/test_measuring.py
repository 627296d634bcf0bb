"""Requests about all heads: what they say, how far they are, and that they stop."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import attnviz_gui
from attnviz_gui.analysis.catalogue import CATALOGUE, PICTURE, tip
from attnviz_gui.analysis.heads import ALL_TEXTS, measure_heads
from attnviz_gui.analysis.likeness import divergences
from attnviz_gui.capture.models import load_model
from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.geometry.honesty import measure
from attnviz_gui.jobs.measuring import (
    BaselineRequest,
    ClusterRequest,
    LikeRequest,
    MeasureRequest,
    PictureRequest,
    RepeatedRequest,
    TableRequest,
)
from attnviz_gui.session.fits import Basis, Fits, HeadFit
from attnviz_gui.session.head_measures import fitted
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
    for request in (BaselineRequest(opened, "random"), RepeatedRequest(opened)):
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


def test_fits_are_columns():
    capture = random_capture(5)
    fits = Fits()
    fits.keep(Basis(0), [HeadFit(1, 0, "cosine", "constant", 0.25, 2.0, 1.0, 0.5)])
    found = fitted(measure_heads(capture, 0), fits)
    assert (found.of(1, 0, "fit_a"), found.of(1, 0, "fit_c")) == (0.25, 2.0)
    assert found.reason(0, 0, "fit_a") == "it has not been fitted yet"
    other = fitted(measure_heads(capture, 0, with_special=False), fits)
    assert np.isnan(other.column("fit_a")).all()


@pytest.mark.parametrize("kind", ["measure", "picture", "baseline", "repeated", "like", "cluster"])
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
