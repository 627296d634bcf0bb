"""The command line: arguments to calls, faults to one ``error:`` line; nothing else.

Nothing heavy is imported here: ``--version`` answers without torch and without Qt.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import traceback
from typing import TYPE_CHECKING

import attnviz_gui
from attnviz_gui.console import complain, say
from attnviz_gui.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

DONE, OWN_FAULT, INPUT_FAULT = 0, 1, 2


class _Parser(argparse.ArgumentParser):
    """A parser whose faults are one ``error:`` line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")

    def parse_args(self, args: Sequence[str]) -> argparse.Namespace:  # type: ignore[override]
        """Parse; what follows an option that takes a value is its value, ``-1e-3`` too."""
        joined: list[str] = []
        waiting = False
        for argument in args:
            if waiting and argument.startswith("-") and argument not in self._option_string_actions:
                joined[-1] += f"={argument}"
            else:
                joined.append(argument)
            option = self._option_string_actions.get(argument)
            waiting = not waiting and option is not None and option.nargs is None
        return super().parse_args(joined)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    multiprocessing.freeze_support()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _dispatch(list(arguments))
    except InputError as error:
        return _fail(f"error: {' '.join(str(error).split())}", INPUT_FAULT)
    except (KeyboardInterrupt, Cancelled):
        return _fail("error: cancelled", INPUT_FAULT)
    except Exception as error:  # noqa: BLE001 - the last resort: it is written down, and named
        return _fail(f"fault: {_write_down(error)}", OWN_FAULT)


def _dispatch(arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    if command == "--fetch" and len(arguments) == 2:  # what `capture.hub` starts for a download
        from attnviz_gui.capture.fetch import fetch

        return fetch(arguments[1])
    if command == "render":
        return _render(_render_parser().parse_args(arguments[1:]))
    if command == "capture":
        return _capture(_capture_parser().parse_args(arguments[1:]))
    options = _window_parser().parse_args(arguments)
    if options.version:
        say(f"attnviz-gui {attnviz_gui.__version__}")
        return DONE
    if options.self_test:
        from attnviz_gui.self_test import run_self_test

        return DONE if run_self_test(options.json) else OWN_FAULT
    if options.json:
        raise InputError("--json belongs to --self-test; see attnviz-gui --help")
    from attnviz_gui.ui.application import run_window

    return run_window(options.files, quit_when_ready=options.quit_when_ready)


def _render(options: argparse.Namespace) -> int:
    from attnviz_gui.render import render

    for note in render(
        options.text,
        options.out,
        source=options.model,
        layer=options.layer,
        head=options.head,
        shift=options.shift,
        scale=options.scale,
        mode=options.mode,
        objective=options.objective,
        long=options.long,
        pixels=options.pixels,
    ):
        complain(f"note: {note}")
    return DONE


def _capture(options: argparse.Namespace) -> int:
    from attnviz_gui.capture.models import load_model
    from attnviz_gui.capture.recorder import record_text, record_texts
    from attnviz_gui.session.files import read_text
    from attnviz_gui.session.texts import read_lines, read_table

    many = options.lines or options.column is not None
    if many and options.file is None:
        raise InputError("--lines and --column belong to --file; see attnviz-gui capture --help")
    if options.memory is not None and not many:
        raise InputError("--memory belongs to --lines or --column, where there are many texts")
    if not many:
        text = options.text if options.file is None else read_text(options.file)
        record_text(load_model(options.model), text, long=options.long).save(options.out)
        return DONE
    from attnviz_gui.capture.budget import budget, expected_bytes
    from attnviz_gui.capture.tokens import encode
    from attnviz_gui.jobs.texts import fitted
    from attnviz_gui.session.words import size

    if options.lines:
        found = read_lines(options.file)
    else:
        found = read_table(options.file).column(options.column)
    complain(f"note: {found.words}")
    model = load_model(options.model)
    left_out: list[int] = []
    texts = fitted(model, found.texts, options.long, left_out)
    if left_out:
        complain(f"note: {found.says_left_out(left_out)}")
    n_tokens = [len(encode(model.tokenizer, text)) for text in texts]
    n_bytes, room = expected_bytes(model, n_tokens), options.memory or budget()
    takes = f"{sum(n_tokens):,} tokens; the capture takes about {size(n_bytes)}"
    if n_bytes > room:
        takes += f", more than {size(room)} of memory: it is put on the disk"
    complain(f"note: {takes}")
    record_texts(model, texts, most_bytes=room).save(options.out)
    return DONE


def _window_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="attnviz-gui",
        description="Look inside a transformer's attention.",
        epilog="Commands without a window: attnviz-gui render --help, attnviz-gui capture --help.",
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a text, a capture, a model folder"
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument(
        "--self-test", action="store_true", help="check this installation; needs no display"
    )
    parser.add_argument("--json", metavar="FILE", help="with --self-test: write the checks here")
    parser.add_argument(
        "--quit-when-ready",
        action="store_true",
        help="close the window once its first picture is drawn, to try an installation",
    )
    return parser


def _render_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="attnviz-gui render",
        description="Write heatmap.png, scatter.png and embedding.png; needs no display. Of many "
        "heads: layer-03-head-07-heatmap.png and so on, and each kind as one page.",
    )
    parser.add_argument("--text", required=True, help="the text")
    parser.add_argument(
        "--layer", type=_which, default=0, metavar="L", help="layer, from 0 (default 0), or all"
    )
    parser.add_argument(
        "--head", type=_which, default=0, metavar="H", help="head, from 0 (default 0), or all"
    )
    parser.add_argument(
        "--shift",
        metavar="A",
        help="shift a: a number added to every coordinate of the keys, centroid, or fit "
        "(default 0; 1 in the modes that follow means)",
    )
    parser.add_argument("--scale", default="1", metavar="C", help="scale c: a number, or fit")
    parser.add_argument(
        "--mode",
        metavar="MODE",
        help="what the shift's number means: constant (default), centroid, locked, balanced or "
        "lifted",
    )
    parser.add_argument(
        "--objective",
        metavar="NAME",
        help="what a fit rewards: cosine (default), rank, weighted, euclidean, plane, neighbours, "
        "article; where c plays no part in it, a fitted c stays 1",
    )
    parser.add_argument(
        "--pixels", type=int, choices=(1, 2, 3, 4), default=2, help="resolution (default 2)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder, made if missing")
    _add_model(parser)
    return parser


def _bytes(gigabytes: str) -> int:
    """Return bytes of a number of GB."""
    try:
        found = float(gigabytes)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        raise argparse.ArgumentTypeError(f"{gigabytes!r} is no number of GB above 0")
    return max(int(found * 1e9), 1)


def _which(text: str) -> int | str:
    """Return a number, or ``all``."""
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor all") from error


def _capture_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="attnviz-gui capture", description="Run a model, save the capture.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", help="the text")
    what.add_argument("--file", help="a file that holds the text (UTF-8)")
    each = parser.add_mutually_exclusive_group()
    each.add_argument("--lines", action="store_true", help="each line of the file is a text")
    each.add_argument(
        "--column", metavar="NAME", help="each cell of this column of a CSV file is a text"
    )
    parser.add_argument(
        "--memory",
        type=_bytes,
        metavar="GB",
        help="with --lines or --column: memory that the capture may take, by default a third of "
        "what is free; a larger one is put on the disk",
    )
    parser.add_argument("--out", required=True, metavar="FILE.safetensors")
    _add_model(parser)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="bundled", help="bundled (default), a model folder, or a hub id"
    )
    parser.add_argument(
        "--long",
        choices=("refuse", "first", "split"),
        default="refuse",
        help="a text longer than the model reads: refuse it (default), take the first part, or "
        "split it into several",
    )


def _fail(line: str, code: int) -> int:
    complain(line)
    return code


def _write_down(fault: Exception) -> str:
    """Append a fault to the log; returns a line that says where it is."""
    from pathlib import Path

    from platformdirs import user_log_dir

    details = "".join(traceback.format_exception(fault))
    root = fault
    while isinstance(root.__cause__, Exception):  # a signal wraps what went wrong in a slot
        root = root.__cause__
    last = " ".join(traceback.format_exception_only(root)[-1].split())
    try:
        log = Path(user_log_dir("attnviz", appauthor=False)) / "attnviz.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(details)
    except OSError:
        return f"{last}\n{details}"
    return f"{last} (a fault of AttnViz's own; details in {log})"


if __name__ == "__main__":
    raise SystemExit(main())
