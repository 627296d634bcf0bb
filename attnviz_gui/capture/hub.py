"""Models of the Hugging Face hub: which are on this machine, and fetching another when asked to.

A download runs in a process of its own (`attnviz_gui.capture.fetch`): it can be ended at any
moment, whatever the network does, and what it leaves are whole files of the hub's own cache.
Nothing here touches the network unless `download` is called; neither torch nor transformers is
imported.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attnviz_gui
from attnviz_gui.capture.progress import raise_if_cancelled
from attnviz_gui.capture.weights import is_whole
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnviz_gui.capture.progress import CancelToken, Report

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)

FIRST_ANSWER = 20.0  # seconds: the process has to start, and to hear from the hub
SILENCE = 60.0  # seconds without a byte after which a download is given up
_FAREWELL = 3.0  # seconds in which the process may tidy up
_LOOK = 0.1  # seconds between two looks at `cancel`


def is_hub_id(text: str) -> bool:
    """Return whether a text may name a repository of the hub: ``org/name``, or a bare name."""
    return (
        HUB_ID.fullmatch(text) is not None
        and len(text) <= 96
        and "--" not in text
        and ".." not in text
        and not text.endswith((".", "-", ".git"))
    )


def snapshot(repository: str) -> Path | None:
    """Return the folder of a repository in the local cache, None where it is not whole there."""
    if not is_hub_id(repository):
        return None
    return _snapshot(_cache() / ("models--" + repository.replace("/", "--")))


def models_on_disk() -> list[str]:
    """Return the ids of all models in the local cache that could be loaded, in their order.

    Only names are looked at; a cache of many data sets costs nothing.
    """
    try:
        folders = [entry.path for entry in os.scandir(_cache()) if entry.name[:8] == "models--"]
    except OSError:
        return []
    whole = [Path(path).name for path in folders if _snapshot(Path(path)) is not None]
    return sorted((n.removeprefix("models--").replace("--", "/") for n in whole), key=str.lower)


def download(
    repository: str, *, progress: Report | None = None, cancel: CancelToken | None = None
) -> Path:
    """Fetch a model's config, tokenizer and weights into the local cache; returns its folder.

    Weights are fetched as safetensors, as ``.bin`` only where there are no others, and never code.

    Parameters
    ----------
    repository
        Its id, ``org/name``.
    progress
        Called with the kilobytes done and in all, and words.
    cancel
        Asked ten times a second; once it is set, the download ends.

    Raises
    ------
    InputError
        When it cannot be had; the sentence says why, and names the models on this machine where
        the network is what fails.
    Cancelled
        When `cancel` was set.
    """
    refuse_malformed(repository)
    import huggingface_hub.constants as hub

    if hub.is_offline_mode():
        raise InputError(
            f"{repository} is not on this machine, and HF_HUB_OFFLINE forbids the network; "
            + on_disk()
        )
    host = urlsplit(hub.ENDPOINT).netloc
    _say(progress, 0, 0, f"Looking for {repository} on {host}…")
    total = 0
    with _process(repository) as lines:
        for said in _news(lines, cancel, host):
            if "fault" in said:
                raise InputError(said["fault"] + (" O" + on_disk()[1:] if said["list"] else ""))
            if "folder" in said:
                return Path(said["folder"])
            total = said.get("total", total)
            done = said.get("done", 0)
            words = f"Downloading {repository}: {_megabytes(done)} of {_megabytes(total)} MB"
            _say(progress, min(done, total) // 1000, max(total, 1) // 1000, words)
    raise InputError(f"The download of {repository} ended by itself; try it again.")


def refuse_malformed(repository: str) -> None:
    """Raise unless a text can be the id of a repository."""
    if not is_hub_id(repository):
        raise InputError(
            f"{repository[:100]!r} is no id of the hub; it looks like org/name, letters, digits "
            "and - _ . alone."
        )


def on_disk() -> str:
    """Return half a sentence that lists the models on this machine."""
    return "on disk there are: " + ", ".join(["bundled", *models_on_disk()]) + "."


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}" if size >= 10e6 else f"{size / 1e6:.1f}"


def _say(progress: Report | None, done: int, total: int, words: str) -> None:
    if progress is not None:
        progress(done, total, words)


def _cache() -> Path:
    import huggingface_hub.constants as hub

    return Path(hub.HF_HUB_CACHE)


def _snapshot(repository: Path) -> Path | None:
    """Return the snapshot that a repository's main branch stands for, where it is whole."""
    try:
        commit = (repository / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    if re.fullmatch(r"\w+", commit) is None:
        return None
    folder = repository / "snapshots" / commit
    return folder if is_whole(folder) else None


# -- the process that downloads --------------------------------------------------------------


@contextmanager
def _process(repository: str) -> Iterator[queue.Queue[str | None]]:
    """Run the download; yields the lines that it prints, None at its end. Leaving ends it."""
    import huggingface_hub.constants as hub

    program = [sys.executable] if getattr(sys, "frozen", False) else [
        sys.executable, "-m", "attnviz_gui",
    ]  # fmt: skip
    here = str(Path(attnviz_gui.__file__).parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_ENDPOINT": hub.ENDPOINT,
        "HF_HUB_CACHE": str(hub.HF_HUB_CACHE),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    try:
        process = subprocess.Popen(
            [*program, "--fetch", repository],
            stdin=subprocess.PIPE,  # its end tells the process that we are gone
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise InputError(
            f"The download cannot be started ({error.strerror or error}); fetch {repository} with: "
            f"hf download {repository}"
        ) from error
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    reader = threading.Thread(target=_read, args=(process.stdout, lines), name="download")
    reader.start()
    try:
        yield lines
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        process.stdout.close()


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _news(
    lines: queue.Queue[str | None], cancel: CancelToken | None, host: str
) -> Iterator[dict[str, Any]]:
    """Yield what the process says until it ends, is cancelled, or has said nothing for long."""
    patience, heard = FIRST_ANSWER, time.monotonic()
    while True:
        raise_if_cancelled(cancel)
        try:
            line = lines.get(timeout=_LOOK)
        except queue.Empty:
            if time.monotonic() - heard > patience:
                raise InputError(f"{host} does not answer; {on_disk()}") from None
            continue
        if line is None:
            return
        if line.startswith("{"):
            patience, heard = SILENCE, time.monotonic()
            yield json.loads(line)
