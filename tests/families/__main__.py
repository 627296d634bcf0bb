"""Print the table of families, or write it into the README: ``python -m tests.families``."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from pathlib import Path

import torch

from tests.families.table import FAMILIES, markdown, row

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- table: families -->", "<!-- end: families -->"


def main() -> None:
    """Measure every family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    to_readme = parser.parse_args().readme
    torch.set_num_threads(1)  # tiny models are faster on one
    with contextlib.redirect_stderr(io.StringIO()):
        table = markdown([row(name) for name in FAMILIES])
    if not to_readme:
        sys.stdout.write(f"{table}\n")
        return
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
