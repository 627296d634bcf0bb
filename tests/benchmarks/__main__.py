"""Print the table: ``python -m tests.benchmarks``, or some of it: ``… startup slider``."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

PARTS = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.{0 if seconds >= 0.1 else 2}f} ms"


def ratio(seconds: float, plain: float | None) -> str:
    """How this compares with the plain way: times its time, and the other way round below 1."""
    if not plain:
        return ""
    share = seconds / plain
    return f"{share:.2f}" if share >= 0.7 else f"{share:.3f} ({1 / share:,.0f} × less)"


def main() -> int:
    chosen = sys.argv[1:] or PARTS
    if unknown := set(chosen) - set(PARTS):
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["HF_HUB_OFFLINE"] = "1"
    head = ("what", "measured", "plain way", "ratio", "goal")
    layout = "{:<66} {:>11} {:>11}  {:<22} {}"
    print(layout.format(*head))
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home  # the user's settings would open another window
        for name in ("CONFIG", "CACHE", "STATE", "DATA"):
            os.environ[f"XDG_{name}_HOME"] = str(Path(home) / name.lower())
        for part in PARTS:
            if part not in chosen:
                continue
            for what, ours, plain, goal, *how in import_module(f"tests.benchmarks.{part}").rows():
                write = how[0] if how else milliseconds
                row = (what, write(ours), "" if plain is None else write(plain), ratio(ours, plain))
                print(layout.format(*row, goal), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
