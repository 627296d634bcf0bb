"""The walls of the house, looked at from a fresh process: who has loaded what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import attnviz_gui

CODE = Path(attnviz_gui.__file__).parent
TOP = CODE.parent
QT = {"PySide6", "shiboken6", "pyqtgraph", "superqt"}
MODELS = {"torch", "transformers", "tokenizers", "safetensors", "huggingface_hub"}
HEAVY = {"sklearn", "scipy", "pandas", "matplotlib", "openTSNE", "umap"}

LOADED = "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules}, sep='\\n')"


def loaded(code: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after the code."""
    run = subprocess.run(
        [sys.executable, "-c", code + LOADED], capture_output=True, text=True, check=False, cwd=TOP
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def modules(*without: str) -> list[str]:
    """Every module of the package but those of the given folders."""
    found = []
    for path in sorted(CODE.rglob("*.py")):
        parts = path.relative_to(TOP).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not set(parts) & {*without, "_resources"}:
            found.append(".".join(parts))
    return found


def imported() -> set[str]:
    """The packages that are imported anywhere in the code, at its top or where needed."""
    names: set[str] = set()
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module)
    return names


def test_the_package_itself_is_instant() -> None:
    """Even numpy stays out until something needs it."""
    assert not loaded("import attnviz_gui") & (QT | MODELS | HEAVY | {"numpy", "psygnal"})


def test_the_version_needs_neither_torch_nor_qt() -> None:
    code = """
import runpy, sys
sys.argv = ["attnviz-gui", "--version"]
try:
    runpy.run_module("attnviz_gui", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
"""
    seen = loaded(code)
    assert attnviz_gui.__version__ in seen  # it did print the version
    assert not seen & (QT | MODELS | HEAVY | {"numpy", "psygnal"})


def test_all_but_the_window_knows_no_qt() -> None:
    names = modules("ui", "jobs")
    assert "attnviz_gui.session.document" in names
    assert not loaded("\n".join(f"import {name}" for name in names)) & QT


@pytest.mark.parametrize("module", ["ui.main_window", "ui.application"])
def test_the_window_starts_without_models(module: str) -> None:
    """Torch and what is built on it are imported in the worker, once the window is there."""
    seen = loaded(f"import attnviz_gui.{module}")
    assert "PySide6" in seen
    assert not seen & (MODELS | HEAVY)


def test_the_import_contracts_hold() -> None:
    """The contracts of pyproject.toml, by import-linter."""
    if not (TOP / "pyproject.toml").is_file():
        pytest.skip("these tests do not run in a checkout")
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    run = subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=TOP, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_the_frozen_build_excludes_nothing_that_is_imported() -> None:
    spec = TOP / "build.spec"
    if not spec.is_file():
        pytest.skip("these tests do not run in a checkout")
    (excludes,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(spec.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXCLUDES"
    )
    assert "tkinter" in excludes
    wanted = imported()
    assert not [
        name for name in excludes if any(w == name or w.startswith(f"{name}.") for w in wanted)
    ]
