"""The process that downloads one model from the hub. Never imported by the window's process.

Started as ``attnviz-gui --fetch org/name`` by `attnviz_gui.capture.hub`, to which it says in lines
of JSON how far it is. Ends when its standard input does: when whoever started it is gone.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import shutil
import socket
import sys
import threading
import time
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import huggingface_hub as hub
import huggingface_hub.constants as constants
import huggingface_hub.file_download as file_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from attnviz_gui.capture.weights import BIN, BIN_INDEX, SAFE, SAFE_INDEX
from attnviz_gui.console import say as say_line

if TYPE_CHECKING:
    from collections.abc import Iterable

_ANSWER = 6.0  # seconds in which the hub has to answer
_CHUNK = 1 << 16  # bytes between two looks at whether the download is still wanted
_PAUSE = 0.1  # seconds between two reports
_FAREWELL = 1.0  # seconds in which a download that is no longer wanted may tidy up
_TEXTS = ("*.json", "*.txt", "*.model", "*.spm")  # configs and tokenizers
_SAFE_FILES = (SAFE, SAFE_INDEX, "model-*-of-*.safetensors")
_BIN_FILES = (BIN, BIN_INDEX, "pytorch_model-*-of-*.bin")

_stopped = threading.Event()


def fetch(repository: str) -> int:
    """Download a model, saying how far it is; returns the exit code."""
    if sys.stdout is None:  # a program without a console has its pipes all the same
        with suppress(OSError):
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _refuse_paths()
    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK
    host = urlsplit(constants.ENDPOINT).netloc
    begun = False
    try:
        info = hub.HfApi().model_info(repository, files_metadata=True, timeout=_ANSWER)
        sizes = {s.rfilename: s.size or 0 for s in info.siblings or ()}
        names = wanted(sizes)
        if "config.json" not in names:
            return _fail(f"{repository} holds no config.json, so it is no model of transformers.")
        if not any(n.endswith((".safetensors", ".bin")) for n in names):
            return _fail(
                f"{repository} holds no weights that AttnViz reads (model.safetensors or {BIN}); "
                "choose another model."
            )
        total = sum(sizes[name] for name in names)
        free = _free()
        if total > free:
            return _fail(
                f"{repository} takes {total / 1e9:,.1f} GB, and where the hub's cache lies "
                f"({constants.HF_HUB_CACHE}) {free / 1e9:,.1f} GB are free; make room."
            )
        _say(total=total)
        begun = True
        commit = str(info.sha)
        if not _is_plain(commit):
            return _fail(f"{host} names a version of {repository} that is none; choose another.")
        folder = hub.snapshot_download(
            repository,
            revision=commit,
            allow_patterns=[glob.escape(name) for name in names],
            tqdm_class=_Bar,
            max_workers=4,
        )
    except HFValidationError:
        return _fail(f"{repository} is no id of the hub; it looks like org/name.")
    except GatedRepoError:
        return _fail(
            f"{repository} asks for its licence to be accepted on {host} first; then log in with: "
            "hf auth login"
        )
    except RepositoryNotFoundError:
        return _fail(f"{host} has no model {repository} (or it is private); check the name.")
    except HfHubHTTPError as error:
        code = getattr(error.response, "status_code", "no")
        return _fail(f"{host} refuses {repository} (answer {code}); try it later.")
    except Exception as error:  # noqa: BLE001 - of three libraries; the sentence names it
        network = (ConnectionError, TimeoutError, socket.gaierror)
        if (
            isinstance(error, OSError)
            and error.errno is not None
            and not isinstance(error, network)
        ):
            where = f"{repository} cannot be written to {constants.HF_HUB_CACHE}"
            return _fail(f"{where}: {error.strerror or error}.")
        if begun:
            return _fail(f"The download broke off ({type(error).__name__}); try it again.")
        return _fail(f"{host} cannot be reached ({type(error).__name__}).", offline=True)
    # Last of all: what a cancelled download leaves is taken for no model.
    _point_to(Path(folder), commit)
    _say(folder=folder)
    return 0


def wanted(names: Iterable[str]) -> list[str]:
    """Return the files to fetch: texts and safetensors beside the config, ``.bin`` as last resort.

    Only names without a folder, so that nothing is written anywhere else.
    """
    plain = [n for n in names if "/" not in n and "\\" not in n and not n.startswith(".")]

    def like(patterns: Iterable[str]) -> list[str]:
        return [n for n in plain if any(fnmatch(n, pattern) for pattern in patterns)]

    safe = [n for n in like(_SAFE_FILES) if not n.endswith(".json")]
    weights = safe or [n for n in like(_BIN_FILES) if not n.endswith(".json")]
    return sorted({*like(_TEXTS), *weights})


class _Bar(tqdm):
    """Counts bytes in place of a bar on the terminal."""

    _lock_here = threading.Lock()
    _done = 0  # bytes of all files
    _said = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("name", None)
        super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
        # Of the two counters of bytes the one of those that are written.
        self._counts = kwargs.get("unit") == "B" and "Downloading" not in kwargs.get("desc", "")

    def update(self, n: float | None = 1) -> bool | None:
        """Take note of `n` more bytes."""
        if _stopped.is_set():
            raise InterruptedError("stopped")  # the library then takes its partial files away
        if self._counts and n:
            with self._lock_here:
                _Bar._done += int(n)
                now = time.monotonic()
                if now - _Bar._said >= _PAUSE:
                    _Bar._said = now
                    _say(done=_Bar._done)
        return None


def _is_plain(name: str) -> bool:
    """Return whether a name that the server gave is fit for a file: no folder, no dots alone."""
    return re.fullmatch(r"[\w-]{1,128}", name, re.ASCII) is not None


def _refuse_paths() -> None:
    """Let no server's tag of a file, which becomes its name in the cache, lead anywhere else."""
    usual = getattr(file_download, "_normalize_etag", None)
    if usual is None:
        return

    def careful(tag: str | None) -> str | None:
        plain: str | None = usual(tag)
        if plain is not None and not _is_plain(plain):
            raise OSError(errno.EPERM, f"{plain[:80]!r} is no name for a file")
        return plain

    file_download._normalize_etag = careful  # type: ignore[assignment]


def _point_to(folder: Path, commit: str) -> None:
    """Write down, as the hub's own library does, that the main branch stands for a commit."""
    main = folder.parents[1] / "refs" / "main"
    main.parent.mkdir(parents=True, exist_ok=True)
    temporary = main.with_name(f"main.{os.getpid()}.tmp")
    temporary.write_text(commit)
    temporary.replace(main)


def _free() -> int:
    """Return how many bytes fit where the cache lies, or will lie."""
    place = os.path.abspath(constants.HF_HUB_CACHE)  # noqa: PTH100 - no link is to be followed
    while not os.path.isdir(place) and os.path.dirname(place) != place:  # noqa: PTH112, PTH120
        place = os.path.dirname(place)  # noqa: PTH120
    return shutil.disk_usage(place).free


def _say(**news: Any) -> None:
    say_line(json.dumps(news))


def _fail(sentence: str, *, offline: bool = False) -> int:
    _say(fault=sentence, list=offline)
    return 1


def _end_with_parent() -> None:
    while os.read(0, 1):  # not through sys.stdin, whose lock would hinder the exit
        pass
    _stopped.set()
    time.sleep(_FAREWELL)
    os._exit(1)
