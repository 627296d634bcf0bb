"""The real `main()`, end to end: what it writes, what it prints, how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QImage

import attnviz_gui
from attnviz_gui import cli
from attnviz_gui.geometry.fit import fit
from attnviz_gui.render import _wished, wish_of
from attnviz_gui.session.document import Sliders

TEXT = "The brown capybara is sleeping now."
PICTURES = ["embedding.png", "heatmap.png", "scatter.png"]


def error_line(capsys) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    return lines[0]


def look(file: Path) -> np.ndarray:
    image = QImage(str(file)).convertToFormat(QImage.Format.Format_RGB32)
    return np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), -1).copy()


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"attnviz-gui {attnviz_gui.__version__}\n"


def test_render_writes_three_pictures(qapp, tmp_path, capsys):
    folder = tmp_path / "deep" / "folder"
    assert cli.main(["render", "--text", TEXT, "--layer", "1", "--out", str(folder)]) == 0
    assert sorted(p.name for p in folder.iterdir()) == PICTURES
    for name in PICTURES:
        assert len(np.unique(look(folder / name))) > 50, name
    assert capsys.readouterr().err == ""


def test_the_same_call_writes_the_same_pictures(qapp, tmp_path):
    for name in "ab":
        call = ["render", "--text", TEXT, "--shift", "centroid", "--out", str(tmp_path / name)]
        assert cli.main(call) == 0
    for name in PICTURES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_shift_and_scale_reach_the_pictures_and_leave_the_heatmap(qapp, tmp_path):
    for name, extra in {
        "plain": [],
        "moved": ["--shift", "-0.2", "--scale", "2"],
        "fitted": ["--shift", "fit", "--scale", "fit"],
    }.items():
        assert cli.main(["render", "--text", TEXT, *extra, "--out", str(tmp_path / name)]) == 0
    caption = 60  # the lowest rows of the other figures name a and c
    plain = look(tmp_path / "plain" / "heatmap.png")
    for name in ("moved", "fitted"):
        np.testing.assert_array_equal(look(tmp_path / name / "heatmap.png"), plain)
        for kind in ("scatter.png", "embedding.png"):
            a, b = look(tmp_path / "plain" / kind), look(tmp_path / name / kind)
            assert (a[:-caption] != b[:-caption]).any()


def sliders_of(*arguments: str, capture=None):
    """Return where `render` would put the sliders of a head."""
    options = cli._render_parser().parse_args(["--text", "x", "--out", "y", *arguments])
    wish = wish_of(options.shift, options.scale, options.mode, options.objective)
    return _wished(wish, capture, (1, 7), 0).sliders


def test_a_fit_follows_the_objective_and_holds_what_is_given(capybara):
    head = capybara.head(1, 7)
    found = {}
    for name in ("cosine", "euclidean", "neighbours"):
        wished = "--objective", name
        both = sliders_of("--shift", "fit", "--scale", "fit", *wished, capture=capybara)
        best = fit(head, name)
        assert (both.mode, both.t, both.scale) == ("constant", best.t, best.scale)
        of_t = sliders_of("--shift", "fit", "--scale", "0.5", *wished, capture=capybara)
        assert of_t.scale == 0.5
        of_c = sliders_of("--shift", "0.25", "--scale", "fit", *wished, capture=capybara)
        assert of_c.t == 0.25 and (of_c.scale == 1) == (name == "cosine")
        found[name] = both
    assert len(set(found.values())) == 3


def test_the_mode_says_what_the_shift_means(capybara):
    assert sliders_of() == Sliders("constant", 0.0, 1.0)
    assert sliders_of("--shift", "centroid") == Sliders("centroid", 1.0, 1.0)
    assert sliders_of("--mode", "lifted", "--shift", "centroid") == Sliders("lifted", 1.0, 1.0)
    assert sliders_of("--mode", "balanced") == Sliders("balanced", 1.0, 1.0)
    assert sliders_of("--mode", "balanced", "--shift", "0.5").t == 0.5
    assert sliders_of("--mode", "locked", "--scale", "2") == Sliders("locked", 0.0, 2.0)
    fitted = sliders_of("--mode", "locked", "--scale", "fit", capture=capybara)
    assert fitted.scale == fit(capybara.head(1, 7), shift_mode="locked").t


def test_a_scale_that_plays_no_part_is_named(qapp, tmp_path, capsys):
    call = ["render", "--text", TEXT, "--scale", "fit", "--pixels", "1", "--out", str(tmp_path)]
    assert cli.main(call) == 0
    assert capsys.readouterr().err == "note: c plays no part in cosine, so it stays 1\n"


def test_a_fit_that_ends_where_its_search_ends_is_named(qapp, tmp_path, capsys):
    call = ["render", "--text", TEXT, "--pixels", "1", "--out", str(tmp_path)]
    assert cli.main([*call, "--shift", "fit", "--layer", "1", "--head", "7"]) == 0
    assert capsys.readouterr().err == ""  # its best lies within
    assert cli.main([*call, "--shift", "fit"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("note: the best shift found, −0.69") and said.count("\n") == 1
    assert "to try beyond it, give --shift a number" in said
    locked = ["--layer", "2", "--head", "5", "--mode", "locked", "--objective", "euclidean"]
    assert cli.main([*call, *locked, "--scale", "fit"]) == 0
    assert capsys.readouterr().err.startswith("note: the best scale found, 10.0, lies at the end")
    assert cli.main([*call, "--shift", "fit", "--head", "all"]) == 0
    assert " of 12 fits, at the end" in capsys.readouterr().err


def test_all_heads_of_a_layer_and_all_layers_of_a_head(qapp, tmp_path, capsys):
    for name, what in {
        "layer": ["--layer", "3", "--head", "all"],
        "head": ["--layer", "all"],
    }.items():
        call = ["render", "--text", TEXT, *what, "--pixels", "1", "--shift", "centroid"]
        assert cli.main([*call, "--out", str(tmp_path / name)]) == 0
    of_layer, of_head = (
        sorted(p.name for p in (tmp_path / n).iterdir()) for n in ("layer", "head")
    )
    kinds = ("embedding", "heatmap", "scatter")
    assert of_layer == sorted(
        [f"gallery-layer-03-{kind}.png" for kind in kinds]
        + [f"layer-03-head-{head:02d}-{kind}.png" for head in range(12) for kind in kinds]
    )
    assert of_head == sorted(
        [f"gallery-head-00-{kind}.png" for kind in kinds]
        + [f"layer-{layer:02d}-head-00-{kind}.png" for layer in range(6) for kind in kinds]
    )
    # A head's own picture is the one that it has by itself.
    one = ["render", "--text", TEXT, "--layer", "3", "--head", "7", "--shift", "centroid"]
    assert cli.main([*one, "--pixels", "1", "--out", str(tmp_path / "one")]) == 0
    for kind in kinds:
        by_itself = look(tmp_path / "one" / f"{kind}.png")
        seven, six = (
            (look(tmp_path / "layer" / f"layer-03-head-{head}-{kind}.png") != by_itself).mean()
            for head in ("07", "06")
        )
        assert seven < 0.002 < six  # the last digit may place a point's edge elsewhere
        assert len(np.unique(look(tmp_path / "layer" / f"gallery-layer-03-{kind}.png"))) > 50
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--text", ""], "text"),
        (["--text", "  \n "], "text"),
        (["--text", TEXT, "--layer", "6"], "0 to 5"),
        (["--text", TEXT, "--head", "-1"], "0 to 11"),
        (["--text", TEXT, "--layer", "two"], "--layer: 'two' is neither a number nor all"),
        (["--text", TEXT, "--shift", "much"], "--shift"),
        (["--text", TEXT, "--shift", "nan"], "--shift"),
        (["--text", TEXT, "--shift", "1e30"], "--shift"),
        (["--text", TEXT, "--shift", "-1e400"], "--shift"),
        (["--text", TEXT, "--scale", "0"], "--scale"),
        (["--text", TEXT, "--scale", "centroid"], "--scale"),
        (["--text", TEXT, "--mode", "sideways"], "--mode"),
        (["--text", TEXT, "--mode", "locked", "--shift", "0.5"], "--shift"),
        (["--text", TEXT, "--mode", "constant", "--shift", "centroid"], "--mode"),
        (["--text", TEXT, "--objective", "beauty", "--shift", "fit"], "beauty"),
        (["--text", TEXT, "--objective", "rank"], "--shift fit"),
        (["--text", TEXT, "--objective", "weighted", "--shift", "fit"], "weighted"),
        (["--text", TEXT, "--layer", "all", "--head", "12"], "0 to 11"),
        (["--text", TEXT, "--layer", "6", "--head", "all"], "0 to 5"),
        (["--text", TEXT, "--model", "no/such/folder/here"], "model"),
        (["--text", "capybara " * 11_000], "512"),
        ([], "--text"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, arguments, says):
    assert cli.main(["render", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert says in error_line(capsys)
    assert not list(tmp_path.glob("out/*"))


def test_what_follows_an_option_is_its_value_also_with_a_dash(qapp, tmp_path, capsys):
    call = ["render", "--text", "-x", "--shift", "-1e-3", "--pixels", "1", "--out", str(tmp_path)]
    assert cli.main(call) == 0
    assert capsys.readouterr().err == ""
    assert cli.main(["render", "--text", "--out", str(tmp_path)]) == 2
    assert "--text" in error_line(capsys)


@pytest.mark.parametrize("out", ["", " ", "~nobody-of-that-name/x", "a\0b"])
def test_a_folder_that_has_no_name(capsys, out):
    assert cli.main(["render", "--text", TEXT, "--out", out]) == 2
    assert "name" in error_line(capsys)


@pytest.mark.parametrize("name", ["no such file", "x" * 300, "a\0b"])
def test_a_file_that_is_not_there(tmp_path, capsys, name):
    assert cli.main([str(tmp_path / name)]) == 2
    assert "there is no file or folder" in error_line(capsys)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names there")
def test_a_capture_replaces_files_and_nothing_else(tmp_path, capsys):
    for target in (tmp_path / "pipe", tmp_path / "folder"):
        os.mkfifo(target) if target.name == "pipe" else target.mkdir()
        assert cli.main(["capture", "--text", "a", "--out", str(target)]) == 2
        error_line(capsys)
        assert not target.is_file()
    longest = tmp_path / ("x" * 255)
    assert cli.main(["capture", "--text", "a", "--out", str(longest)]) == 0
    assert longest.is_file()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a Unix device")
def test_a_text_without_an_end(tmp_path, capsys):
    call = ["capture", "--file", "/dev/zero", "--out", str(tmp_path / "c.safetensors")]
    assert cli.main(call) == 2
    assert "too large" in error_line(capsys)


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["render", "--text", TEXT, "--out", str(tmp_path / "file" / "x")]) == 2
    assert "can't be made" in error_line(capsys)


def test_a_picture_that_cannot_be_written(qapp, tmp_path, capsys):
    (tmp_path / "heatmap.png").mkdir()
    (tmp_path / "heatmap.png" / "x").write_text("")
    assert cli.main(["render", "--text", TEXT, "--out", str(tmp_path)]) == 2
    assert "can't be written" in error_line(capsys)


def test_a_folder_that_is_no_model(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    call = ["render", "--text", TEXT, "--model", str(tmp_path / "empty"), "--out", str(tmp_path)]
    assert cli.main(call) == 2
    assert "empty" in error_line(capsys)


def test_a_long_text_is_cut_only_when_asked_and_then_said(qapp, tmp_path, capsys):
    text = "capybara " * 400
    call = ["render", "--text", text, "--long", "first", "--pixels", "1", "--out", str(tmp_path)]
    assert cli.main(call) == 0
    err = capsys.readouterr().err
    assert err.startswith("note: ") and "512 of " in err
    call[4] = "split"
    assert cli.main(call) == 0
    assert "split into" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "text-2").iterdir()) == PICTURES


def test_capture_saves_what_open_capture_reads(tmp_path):
    file = tmp_path / "c.safetensors"
    assert cli.main(["capture", "--text", TEXT, "--out", str(file)]) == 0
    opened = attnviz_gui.open_capture(file)
    assert opened.texts == (TEXT,)
    assert opened.head(1, 7).attention.shape == (11, 11)


def test_an_unknown_option(capsys):
    assert cli.main(["--frobnicate"]) == 2
    assert "--help" in error_line(capsys)


def test_self_test_reports_every_check(qapp, tmp_path, capfd):
    report = tmp_path / "report.json"
    assert cli.main(["--self-test", "--json", str(report)]) == 0
    data = json.loads(report.read_text(encoding="utf-8"))
    assert data["ok"] and data["version"] == attnviz_gui.__version__
    names = [check["name"] for check in data["checks"]]
    assert {"resources", "bundled model", "exactness", "view heatmap", "window"} <= set(names)
    assert all(check["ok"] for check in data["checks"])
    out, err = capfd.readouterr()
    assert "FAIL" not in out and err == ""


def test_the_window_by_itself_without_a_home(tmp_path):
    """A fresh process, as on the first start: opens, runs, draws, closes; says nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "attnviz_gui", "--quit-when-ready"],
        env={**os.environ, "HOME": str(tmp_path / "nobody"), "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="a Unix shell")
@pytest.mark.parametrize(
    ("ending", "code", "says"),
    [(">&-", 0, ""), ("2>&- | head -c 0", 0, ""), (">/dev/full", 2, "error: the output")],
)
def test_output_that_nobody_reads(ending, code, says):
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" -m attnviz_gui --version {ending}', sys.executable],
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert done.stderr.startswith(says) and len(done.stderr.splitlines()) == bool(says)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are a matter of X11")
def test_without_a_display_the_window_says_what_to_do():
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env.pop("QT_QPA_PLATFORM", None)
    done = subprocess.run(
        [sys.executable, "-m", "attnviz_gui"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no display")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are a matter of X11")
@pytest.mark.parametrize(
    "where",
    [
        {"DISPLAY": ":4711"},
        {"DISPLAY": ":4711", "QT_QPA_PLATFORM": "xcb"},
        {"WAYLAND_DISPLAY": "nobody"},
        {"WAYLAND_DISPLAY": "nobody", "DISPLAY": ":4711"},
    ],
)
def test_a_display_that_does_not_answer_is_named_instead_of_aborting(where):
    names = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    env = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-m", "attnviz_gui"],
        env={**env, **where}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(("error: the display", "error: a window needs the library"))
    assert len(done.stderr.splitlines()) == 1


def test_many_texts_from_lines_or_a_column(tmp_path: Path):
    from attnviz_gui.session.store import open_capture

    file, out = tmp_path / "texts.csv", tmp_path / "out.safetensors"
    file.write_text('id,text\n1,"The cat, asleep."\n\n2,A dog barks.\n')
    assert cli.main(["capture", "--file", str(file), "--column", "text", "--out", str(out)]) == 0
    assert open_capture(out).texts == ("The cat, asleep.", "A dog barks.")
    assert cli.main(["capture", "--file", str(file), "--lines", "--out", str(out)]) == 0
    assert len(open_capture(out).texts) == 3
    assert cli.main(["capture", "--file", str(file), "--column", "no", "--out", str(out)]) == 2
    assert cli.main(["capture", "--text", "x", "--lines", "--out", str(out)]) == 2


def test_lines_that_leave_no_token_are_left_out_and_named(tmp_path, capsys):
    from attnviz_gui.session.store import open_capture

    file, out = tmp_path / "texts.txt", tmp_path / "out.safetensors"
    file.write_text("one\n\n\x01\x02\nfour\n")
    assert cli.main(["capture", "--file", str(file), "--lines", "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "note: 3 texts; 1 empty one left out (line 2)" in said
    assert "leaves no token and is left out (line 3)" in said
    assert open_capture(out).texts == ("one", "four")


def test_the_memory_of_many_texts_is_said_and_can_be_set(tmp_path, capsys):
    from attnviz_gui.session.store import open_capture

    file = tmp_path / "texts.txt"
    file.write_text("The cat sleeps.\nA dog barks.\n")
    given = ["capture", "--file", str(file), "--lines", "--out"]
    assert cli.main([*given, str(tmp_path / "a.safetensors")]) == 0
    assert "note: 13 tokens; the capture takes about 0.4 MB\n" in capsys.readouterr().err
    assert cli.main([*given, str(tmp_path / "b.safetensors"), "--memory", "0.0001"]) == 0
    said = capsys.readouterr().err
    assert "about 0.4 MB, more than 0.1 MB of memory: it is put on the disk" in said
    a, b = (open_capture(tmp_path / f"{name}.safetensors") for name in "ab")
    assert all(
        (x.query == y.query).all() and (x.value == y.value).all()
        for one, other in zip(a.records, b.records, strict=True)
        for x, y in zip(one, other, strict=True)
    )
    for wrong in ("0", "-1", "much", "nan"):
        assert cli.main([*given, str(tmp_path / "c.safetensors"), "--memory", wrong]) == 2
        error_line(capsys)
    alone = ["capture", "--text", "x", "--memory", "1", "--out", str(tmp_path / "c.safetensors")]
    assert cli.main(alone) == 2
    assert "--lines or --column" in error_line(capsys)
