"""The hub: what is on this machine, and downloads from a stand-in that speaks its language."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from typing import TYPE_CHECKING

import huggingface_hub.constants as constants
import pytest

import attnviz_gui
from attnviz_gui.capture import hub
from attnviz_gui.capture.models import load_model
from attnviz_gui.cli import main
from attnviz_gui.errors import Cancelled, InputError
from tests.capture.stand_in import COMMIT, StandIn
from tests.capture.tiny import TEXT, tiny_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good tiny model, as it would lie on the hub, and what nobody fetches."""
    made = tiny_folder(tmp_path / "tiny", "bert")
    (made / "modeling_tiny.py").write_text("raise SystemExit")
    (made / "pytorch_model.bin").write_bytes(os.urandom(1000))
    (made / "onnx").mkdir()
    (made / "onnx" / "config.json").write_text("{}")
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def server(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in for the hub that holds org/tiny, and a network that may be used."""
    server = StandIn(org__tiny=folder)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield server
    server.close()


def put(folder: Path, cache: Path, repository: str) -> Path:
    """Lay a folder into a cache as the hub does; returns the snapshot."""
    place = cache / ("models--" + repository.replace("/", "--"))
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    return shutil.copytree(folder, place / "snapshots" / COMMIT)


# -- on this machine -------------------------------------------------------------------------


def test_no_cache_holds_no_models(cache: Path) -> None:
    assert hub.models_on_disk() == []
    assert hub.on_disk() == "on disk there are: bundled."


def test_the_models_of_the_cache_are_those_that_are_whole(folder: Path, cache: Path) -> None:
    for name in ("org/Tiny", "a-b/c.d", "bare"):
        put(folder, cache, name)
    (put(folder, cache, "org/half") / "config.json").unlink()
    for weights in ("model.safetensors", "pytorch_model.bin"):
        (put(folder, cache, f"org/no-{weights}") / "model.safetensors").unlink()
    (cache / f"models--org--no-model.safetensors/snapshots/{COMMIT}/pytorch_model.bin").unlink()
    (cache / "datasets--org--words" / "snapshots").mkdir(parents=True)
    (cache / "models--org--empty").mkdir()
    (cache / "models--org--lost" / "refs").mkdir(parents=True)
    (cache / "models--org--lost" / "refs" / "main").write_text("../../../etc")
    assert hub.models_on_disk() == ["a-b/c.d", "bare", "org/no-pytorch_model.bin", "org/Tiny"]


def test_a_model_of_the_cache_is_loaded_without_the_network(folder: Path, cache: Path) -> None:
    put(folder, cache, "org/tiny")
    model = load_model("org/tiny", device="cpu")
    assert (model.name, model.source) == ("tiny", "org/tiny")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "weights/../../x", "/etc/passwd", "a\\b", "..", "x/y"]
)
@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_weights_outside_their_folder_are_refused(folder: Path, name: str, kind: str) -> None:
    """Whether or not what the index names is there."""
    for weights in ("model.safetensors", "pytorch_model.bin"):
        (folder / weights).unlink()
    index = {"weight_map": {"a": "model-1.safetensors", "b": name}}
    (folder / f"{kind}.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"names weights outside its own folder"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("where", ["top", "nested"])
def test_a_config_that_claims_millions_of_layers(folder: Path, form: str, where: str) -> None:
    """Building them would take hours: refused before anything is built."""
    for weights in {"model.safetensors", "pytorch_model.bin"} - {form}:
        (folder / weights).unlink()
    path = folder / "config.json"
    config = json.loads(path.read_text())
    lie = {"num_hidden_layers": 4_000_000}
    config.update(lie if where == "top" else {"parts": [{"text_config": lie}]})
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"claims 4,000,000 layers \(num_hidden_layers\)"):
        load_model(folder, device="cpu")


def test_loading_is_cancelled_between_its_stages(folder: Path) -> None:
    """At each stage, and nothing is left that hinders the next load."""
    words: list[str] = []
    load_model(folder, device="cpu", progress=lambda *news: words.append(news[2]))
    assert words and set(words) == {"Loading tiny…"}
    for stage in range(len(words)):
        said: list[str] = []

        def cancel(after: int = stage, said: list[str] = said) -> bool:
            return len(said) > after

        with pytest.raises(Cancelled):
            load_model(
                folder, device="cpu", progress=lambda *n, s=said: s.append(n[2]), cancel=cancel
            )
        assert len(said) == stage + 1
    assert attnviz_gui.capture(load_model(folder, device="cpu"), TEXT).verify() <= 1e-6


# -- downloads -------------------------------------------------------------------------------


def test_a_download_brings_what_is_needed_and_says_how_far_it_is(
    server: StandIn, cache: Path
) -> None:
    said: list[tuple[int, int, str]] = []
    model = load_model("org/tiny", device="cpu", progress=lambda *news: said.append(news))
    assert (model.name, model.source) == ("tiny", "org/tiny")
    assert attnviz_gui.capture(model, TEXT).verify() <= 1e-6
    snapshot = hub.snapshot("org/tiny")
    assert snapshot is not None and cache in snapshot.parents
    names = {path.name for path in snapshot.rglob("*")}
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= names
    assert not names & {"modeling_tiny.py", "pytorch_model.bin", "onnx"}
    assert hub.models_on_disk() == ["org/tiny"]
    done = [news for news in said if news[1]]
    assert done and done == sorted(done) and all(0 <= n <= total for n, total, _ in done)
    assert said[0][2].startswith("Looking for org/tiny on 127.0.0.1:")
    assert "Downloading org/tiny: 0.0 of " in done[0][2]
    assert said[-1] == (0, 0, "Loading tiny…")
    asked = len(server.asked)
    load_model("org/tiny", device="cpu")
    assert len(server.asked) == asked


def test_bin_files_only_where_there_are_no_others(server: StandIn, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert (hub.download("org/tiny") / "pytorch_model.bin").stat().st_size == 1000


def test_a_cancelled_download_ends_and_leaves_no_model(server: StandIn, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(bytes(3_000_000))
    server.hold.clear()
    cancel = threading.Event()
    threading.Thread(target=lambda: server.begun.wait(30) and cancel.set()).start()
    with pytest.raises(Cancelled):
        hub.download("org/tiny", cancel=cancel)
    assert server.begun.is_set()
    assert hub.snapshot("org/tiny") is None
    assert hub.models_on_disk() == []
    server.hold.set()
    assert hub.is_whole(hub.download("org/tiny"))


def test_a_hub_that_does_not_answer_is_given_up(
    server: StandIn, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, cache, "org/other")
    monkeypatch.setattr(hub, "FIRST_ANSWER", 1.0)
    server.mute.clear()
    with pytest.raises(InputError, match=r"does not answer; on disk .*: bundled, org/other\."):
        hub.download("org/tiny")


def test_a_download_that_falls_silent_is_given_up(
    server: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "model.safetensors").write_bytes(bytes(3_000_000))
    monkeypatch.setattr(hub, "SILENCE", 1.0)
    server.hold.clear()
    with pytest.raises(InputError, match="does not answer"):
        hub.download("org/tiny")


def test_a_cache_that_cannot_be_written_is_said(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(InputError, match=r"org/tiny cannot be written to .*file.hub: Not a direc"):
        hub.download("org/tiny")


def test_no_network_is_said_at_once(server: StandIn, folder: Path, cache: Path) -> None:
    put(folder, cache, "org/other")
    server.close()
    started = time.monotonic()
    with pytest.raises(InputError, match=r"cannot be reached .* there are: bundled, org/other\."):
        load_model("org/tiny")
    assert time.monotonic() - started < hub.FIRST_ANSWER


def test_offline_asks_nobody(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE forbids the network"):
        hub.download("org/tiny")
    assert server.asked == []


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b/c", "../x", "org/", "/x", "a--b/c", "a/..", "é/x", "x" * 97, "a/b.git"]
)
def test_what_is_no_id_is_refused_before_anybody_is_asked(server: StandIn, name: str) -> None:
    with pytest.raises(InputError, match="is no id of the hub"):
        hub.download(name)
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "RepoNotFound", "has no model org/tiny"),
        (401, "RepoNotFound", "has no model org/tiny"),
        (403, "GatedRepo", "asks for its licence to be accepted"),
        (500, "", r"refuses org/tiny \(answer 500\)"),
    ],
)
def test_what_the_hub_refuses_is_said(server: StandIn, status: int, code: str, said: str) -> None:
    server.refuse["org/tiny"] = (status, code)
    with pytest.raises(InputError, match=said):
        hub.download("org/tiny")
    assert hub.snapshot("org/tiny") is None


@pytest.mark.parametrize("where", ["listed", "commit", "tag"])
def test_no_server_writes_outside_the_cache(
    server: StandIn, tmp_path: Path, cache: Path, where: str
) -> None:
    """Neither by a file's path, nor by the names of a version and of a file in the cache."""
    outside = "../../../../outside"
    if where == "listed":
        server.listed = [f"{outside}.json", "/outside.json", "sub/config.json", f"a/{outside}"]
        hub.download("org/tiny")
    else:
        setattr(server, where, outside)
        with pytest.raises(InputError, match=r"cannot be written|that is none"):
            hub.download("org/tiny")
    names = {path.name for path in tmp_path.iterdir()}
    assert names <= {"tiny", "hub"}
    assert not [path for path in tmp_path.rglob("*outside*") if "tiny" not in path.parts]


@pytest.mark.parametrize(
    ("missing", "said"),
    [(["config.json"], "holds no config.json"),
     (["model.safetensors", "pytorch_model.bin"], "holds no weights that AttnViz reads")],
)  # fmt: skip
def test_a_repository_that_is_no_model(
    server: StandIn, folder: Path, missing: list[str], said: str
) -> None:
    for name in missing:
        (folder / name).unlink()
    with pytest.raises(InputError, match=said):
        hub.download("org/tiny")


def test_the_command_line_takes_ids(
    server: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "capture.safetensors"
    arguments = ["capture", "--text", TEXT, "--out", str(out), "--model"]
    assert main([*arguments, "org/tiny"]) == 0
    assert attnviz_gui.open_capture(out).model_name == "tiny"
    assert main([*arguments, "org/none"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: There is no folder org/none. 127.0.0.1:")
    assert "has no model org/none" in said and said.count("\n") == 1


def test_files_to_fetch() -> None:
    from attnviz_gui.capture.fetch import wanted

    assert wanted(
        ["config.json", "../up.json", "a/b.json", "..\\x.json", ".hidden.json", "x.py", "x.pkl",
         "model-00001-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.model",
         "pytorch_model.bin", "adapter_model.safetensors", "vocab.txt"]
    ) == [
        "config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json",
        "tokenizer.model", "vocab.txt",
    ]  # fmt: skip
