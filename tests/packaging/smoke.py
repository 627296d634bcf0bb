"""Try a frozen build as a stranger's machine would: ``python tests/packaging/smoke.py FOLDER``.

FOLDER is what ``pyinstaller build.spec`` made, dist/attnviz-gui. The program runs with an empty
home, without a display and, where the system can cut it off, without a network. Every line that
it writes to stderr and every line that is missing fails the test. Needs PySide6, to look at the
pictures; imports nothing of the project.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PySide6.QtGui import QImage

TEXT = "The brown capybara is sleeping now."
PICTURES = ("heatmap.png", "scatter.png", "embedding.png")
# Qt's offscreen platform says this whenever a window with a minimum size is shown.
EXPECTED = {"This plugin does not support propagateSizeHints()"}
WAIT = 300  # seconds for one run; the first one reads the whole folder from disk


class Program:
    """The frozen program in an environment of its own."""

    def __init__(self, folder: Path, work: Path) -> None:
        name = "attnviz-gui.exe" if sys.platform == "win32" else "attnviz-gui"
        self.command = [*_without_network(), str(folder.resolve() / name)]
        self.work = work
        self.home = work / "home"
        self.home.mkdir()
        kept = {k: os.environ[k] for k in ("PATH", "SYSTEMROOT", "TEMP") if k in os.environ}
        self.env = kept | {
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "LC_ALL": "C.UTF-8",
            "QT_QPA_PLATFORM": "offscreen",
            "HF_HUB_OFFLINE": "1",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it in an empty folder."""
        return subprocess.run(
            [*self.command, *arguments], env=self.env, cwd=self.work, timeout=WAIT,
            capture_output=True, text=True, encoding="utf-8", stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def succeed(self, *arguments: str) -> str:
        """Run it; it must end well and write nothing to stderr."""
        run = self.run(*arguments)
        _expect(run.returncode == 0, f"exit code {run.returncode}\n{run.stdout}{run.stderr}")
        unexpected = [line for line in run.stderr.splitlines() if line not in EXPECTED]
        _expect(not unexpected, "unexpected on stderr:\n" + "\n".join(unexpected))
        return run.stdout


def version(program: Program) -> str:
    """The version, and nothing else."""
    said = program.succeed("--version")
    _expect(said.startswith("attnviz-gui ") and said.count("\n") == 1, f"it said {said!r}")
    return said.strip()


def self_test(program: Program) -> str:
    """Every check of the self-test holds, and every view is among them."""
    report = program.work / "report.json"
    program.succeed("--self-test", "--json", str(report))
    content = json.loads(report.read_text(encoding="utf-8"))
    _expect(content["ok"] is True, f"the report says {content}")
    names = " ".join(check["name"] for check in content["checks"])
    views = "heatmap", "scatter", "embedding", "steps", "worked"
    for part in ("resources", "model", *views, "window"):
        _expect(part in names, f"no check of the {part} among {names}")
    return f"{len(content['checks'])} checks"


def render(program: Program) -> str:
    """Three pictures, each with something in it, no two the same."""
    out = program.work / "new" / "pictures"
    program.succeed("render", "--text", TEXT, "--layer", "1", "--head", "7", "--out", str(out))
    _expect(
        {f.name for f in out.iterdir()} == set(PICTURES), f"the folder holds {[*out.iterdir()]}"
    )
    sizes = [_look_at(out / name) for name in PICTURES]
    _expect(len({(out / name).read_bytes() for name in PICTURES}) == 3, "two pictures are the same")
    return ", ".join(sizes)


def window(program: Program) -> str:
    """The window opens, runs the first text and closes."""
    program.succeed("--quit-when-ready")
    return "opened and closed"


def bad_input(program: Program) -> str:
    """What the user got wrong ends in one sentence and exit code 2."""
    out = str(program.work / "none")
    for arguments in (
        ("render", "--text", "", "--out", out),
        ("render", "--text", TEXT, "--model", str(program.home), "--out", out),
    ):
        run = program.run(*arguments)
        _expect(run.returncode == 2, f"exit code {run.returncode} for {arguments}\n{run.stderr}")
        lines = run.stderr.splitlines()
        _expect(len(lines) == 1 and lines[0].startswith("error: "), f"it said {run.stderr!r}")
    return lines[0]


CHECKS = (version, self_test, render, window, bad_input)


def _look_at(path: Path) -> str:
    """A picture of a sensible size with more in it than a ground and one ink."""
    image = QImage(str(path))
    _expect(image.width() >= 300 and image.height() >= 200, f"{path.name} is {image.size()}")
    seen = [
        image.pixel(x, y)
        for x in range(0, image.width(), 3)
        for y in range(0, image.height(), 3)
    ]  # fmt: skip
    ground = max(set(seen), key=seen.count)
    share = 1 - seen.count(ground) / len(seen)
    _expect(len(set(seen)) > 20 and share > 0.01, f"{path.name} is all but empty")
    return f"{path.name} {image.width()} × {image.height()}"


def _without_network() -> list[str]:
    """The words before a command that cut it off from every network, where that is allowed."""
    unshare = shutil.which("unshare")
    for way in ("-n", "-rn"):
        if unshare and subprocess.run([unshare, way, "true"], capture_output=True).returncode == 0:
            return [unshare, way, "--"]
    print("note: this system can't cut a program off from the network")
    return []


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def main() -> int:
    """Run all checks, say how each went; returns the exit code."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print("usage: python tests/packaging/smoke.py dist/attnviz-gui", file=sys.stderr)
        return 2
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        program = Program(Path(sys.argv[1]), Path(work))
        for check in CHECKS:
            start = time.perf_counter()
            try:
                outcome = f"ok    {check.__name__}: {check(program)}"
            except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as fault:
                failed += 1
                outcome = f"FAIL  {check.__name__}: {fault}"
            print(f"{outcome}  ({time.perf_counter() - start:.1f} s)", flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
