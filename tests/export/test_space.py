"""The file of places: every token of every head, the numbers to the last digit, or no file."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.export.space import COLUMNS, ROLES, CaptureSpace, export_space, space_of
from attnviz_gui.geometry.fit import fit
from attnviz_gui.geometry.normalization import Normalization
from attnviz_gui.geometry.space import shared_space
from tests.samples import random_capture

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.capture.record import Capture


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def expected_rows(space: CaptureSpace) -> list[tuple[object, ...]]:
    """Every row, from the places of the space, text after text."""
    capture, rows = space.capture, []
    for i, (layer, head) in enumerate(space.heads):
        at = [0, 0]
        for text in range(len(capture.texts)):
            for role, side in enumerate((space.space.query_xy, space.space.key_xy)):
                tokens = capture.tokens[text]
                for position, token in enumerate(tokens):
                    x, y = side[i][at[role] + position]
                    rows.append((layer, head, text, position, token, ROLES[role], x, y))
                at[role] += len(tokens)
    return rows


def test_a_row_for_each_token_role_and_head_of_every_text(tmp_path: Path):
    capture = random_capture(7, layers=2, heads=3, head_dim=5, texts=2)
    space = space_of(capture)
    assert space.heads == tuple((layer, head) for layer in range(2) for head in range(3))
    file = export_space(space, tmp_path / "places.csv")
    found = [
        (*(int(row[name]) for name in COLUMNS[:4]), row["token"], row["role"],
         float(row["x"]), float(row["y"]))
        for row in rows_of(file)
    ]  # fmt: skip
    assert found == expected_rows(space)
    assert len(found) == space.n_rows == 2 * 3 * 2 * 2 * 7

    with np.load(export_space(space, tmp_path / "places.npz"), allow_pickle=False) as saved:
        columns = [saved[name].tolist() for name in COLUMNS[:4]]
        columns.append([str(saved["tokens"][i]) for i in saved["token"]])
        columns.append([str(saved["roles"][i]) for i in saved["role"]])
        columns += [saved["x"].tolist(), saved["y"].tolist()]
        assert list(zip(*columns, strict=True)) == found
        for name in ("axes", "mean", "explained", "limits"):
            np.testing.assert_array_equal(saved[name], getattr(space.space, name))
        np.testing.assert_array_equal(saved["factors"][:, 2], space.space.factors)
        assert saved["factors"][:, :2].tolist() == [list(head) for head in space.heads]
        assert saved["left_out"].shape == (0, 2)
        assert str(saved["model"]) == "random"


def test_a_head_on_many_texts_is_one_head():
    capture = random_capture(6, layers=1, heads=2, head_dim=4, texts=3)
    space = space_of(capture, Normalization("centroid", 2.0))
    for i in range(2):
        heads = [capture.head(0, i, text) for text in range(3)]
        query = np.concatenate([head.query for head in heads])
        key = np.concatenate([head.key for head in heads])
        points = np.concatenate(Normalization("centroid", 2.0).apply(query, key))
        points = points / np.sqrt((points**2).sum(axis=1).mean())
        places = (points - space.space.mean) @ space.space.axes
        np.testing.assert_allclose(
            np.concatenate([space.space.query_xy[i], space.space.key_xy[i]]), places, atol=1e-12
        )


def test_fits_of_some_heads(capybara: Capture):
    found = fit(capybara.head(1, 2)).normalization
    space = space_of(capybara, {(1, 2): found})
    heads = [capybara.head(*head) for head in space.heads]
    each = [found if head == (1, 2) else Normalization() for head in space.heads]
    expected = shared_space(heads, each)
    np.testing.assert_array_equal(space.space.axes, expected.axes)
    with pytest.raises(InputError, match="L99 H0"):
        space_of(capybara, {(99, 0): found})


def test_heads_of_another_dimension_are_named_in_the_file(tmp_path: Path):
    capture = random_capture(5, layers=3, heads=2, head_dim=4)
    narrow = random_capture(5, layers=1, heads=2, head_dim=3, seed=4)
    records = (*capture.records[0][:2], narrow.records[0][0])
    layers = (*capture.layers[:2], narrow.layers[0])
    mixed = replace(capture, layers=layers, records=(records,))
    space = space_of(mixed)
    assert [name for name, _ in space.left_out] == ["L2 H0", "L2 H1"]
    rows = rows_of(export_space(space, tmp_path / "a.csv"))
    assert {row["layer"] for row in rows} == {"0", "1"}
    with np.load(export_space(space, tmp_path / "a.npz"), allow_pickle=False) as saved:
        assert saved["left_out"][:, 0].tolist() == ["L2 H0", "L2 H1"]
        assert "3 coordinates" in saved["left_out"][0, 1]
        assert len(saved["factors"]) == 4
        assert len(saved["x"]) == len(rows) == space.n_rows


def test_any_token_is_written(tmp_path: Path):
    capture = random_capture(4, layers=1, heads=1, head_dim=3)
    tokens = ['say "a, b"', "two\nlines", "日本", "half \ud83d of a pair"]
    space = space_of(replace(capture, tokens=(tokens,)))
    rows = rows_of(export_space(space, tmp_path / "tokens.csv"))
    assert [row["token"] for row in rows[:3]] == tokens[:3]
    assert rows[3]["token"] == "half \\ud83d of a pair"
    with np.load(export_space(space, tmp_path / "tokens.npz"), allow_pickle=False) as saved:
        assert [str(saved["tokens"][i]) for i in saved["token"][:3]] == tokens[:3]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path):
    space = space_of(random_capture(4, layers=1, heads=1, head_dim=3))
    kept = tmp_path / "kept.csv"
    kept.write_text("old")
    with pytest.raises(Cancelled):
        export_space(space, kept, cancel=lambda: True)
    assert kept.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.csv"]
    with pytest.raises(InputError, match=r"\.csv or \.npz"):
        export_space(space, tmp_path / "places.txt")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        export_space(space, tmp_path / "folder.csv")
    with pytest.raises(InputError, match="choose another place"):
        export_space(space, kept / "inside.csv")
    assert kept.read_text() == "old"
    export_space(space, tmp_path / "new folder" / "PLACES.CSV")
    assert len(rows_of(tmp_path / "new folder" / "PLACES.CSV")) == space.n_rows
