"""A tiny HTTP server that stands in for the hub: the answers that a download needs, no others."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PIECE = 1 << 14


class StandIn(ThreadingHTTPServer):
    """Serves folders as repositories, on a port of its own, until it is closed.

    `hold` keeps back every file of more than 64 kB after its first bytes until it is set; `refuse`
    holds the repositories that are answered with an HTTP status and an error code; `mute` lets
    every answer wait. A hostile one also lists the files `listed`, and says another `commit` or
    `tag`.
    """

    daemon_threads = True

    def __init__(self, **repositories: Path) -> None:
        """`repositories`: ``org__name`` = the folder that stands for ``org/name``."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = {name.replace("__", "/"): path for name, path in repositories.items()}
        self.refuse: dict[str, tuple[int, str]] = {}
        self.hold = threading.Event()
        self.hold.set()
        self.mute = threading.Event()
        self.mute.set()
        self.begun = threading.Event()
        self.listed: list[str] = []
        self.commit, self.tag = COMMIT, ""
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is to be found."""
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self.hold.set()
        self.mute.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Keep still."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        self.server.mute.wait(30)
        for name, (status, code) in self.server.refuse.items():
            if name in path and (status != 403 or "/resolve/" in path):
                self._send(status, b"{}", {"X-Error-Code": code})
                return
        for name, folder in self.server.repositories.items():
            if path.startswith(f"/api/models/{name}"):
                self._send_json(folder, name, tree="/tree/" in path)
                return
            start = f"/{name}/resolve/"
            if path.startswith(start):
                self._send_file(folder, path[len(start) :].partition("/")[2], body=body)
                return
        self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _send_json(self, folder: Path, name: str, *, tree: bool) -> None:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        listed = [(p.relative_to(folder).as_posix(), p.stat().st_size) for p in files]
        listed += [(path, 2) for path in self.server.listed]
        if tree:
            answer: object = [
                {"type": "file", "path": p, "size": size, "oid": "0" * 40} for p, size in listed
            ]
        else:
            answer = {
                "id": name, "modelId": name, "sha": self.server.commit, "private": False,
                "tags": [], "siblings": [{"rfilename": p, "size": size} for p, size in listed],
            }  # fmt: skip
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send_file(self, folder: Path, name: str, *, body: bool) -> None:
        path = folder / name
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        tag = self.server.tag or hashlib.sha1(content, usedforsecurity=False).hexdigest()
        self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not body:
            return
        self.wfile.write(content[: 1 << 16])
        if len(content) > 1 << 16:
            self.wfile.flush()
            self.server.begun.set()
            self.server.hold.wait(30)
        for start in range(1 << 16, len(content), _PIECE):
            self.wfile.write(content[start : start + _PIECE])

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
