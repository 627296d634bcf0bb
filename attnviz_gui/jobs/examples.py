"""The requests for the examples: small models that are made or trained here, run in a worker.

The scripts are for a learner to read, in ``resources/examples``; here they are loaded by path and
asked for a capture. torch is imported by them, in the worker, never when the window starts.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any, NamedTuple

from attnviz_gui.errors import InputError
from attnviz_gui.resources import resource

if TYPE_CHECKING:
    from types import ModuleType

    from attnviz_gui.capture.progress import Progress
    from attnviz_gui.capture.record import Capture

MOST_WORDS = 512


class _Trained(NamedTuple):
    """What the script's `train` returns."""

    model: Any
    vocabulary: dict[str, int]
    accuracy: float
    baseline: float
    examples: list[tuple[str, str]]


# The trained classifier: a second text does not train again. The lock keeps two from training.
_shelf: list[_Trained] = []
_training = threading.Lock()


@dataclass(frozen=True)
class WorkedExampleRequest:
    """Run `nn.MultiheadAttention(4, 2)` with seed 55 on five tokens."""

    def __call__(self, progress: Progress, cancel: threading.Event) -> Capture:
        """Make the module and record it."""
        import attnviz_gui

        module, X, tokens = load_example("worked_multihead").worked_example()
        capture = attnviz_gui.capture(module, (X,), tokens=tokens, progress=progress, cancel=cancel)
        return replace(
            capture, texts=(" ".join(tokens),), model_name="worked example, 4 dimensions, 2 heads"
        )


@dataclass(frozen=True)
class ClassifierRequest:
    """Run the classifier of docstrings on a text; the first request trains it.

    Attributes
    ----------
    text
        As the user typed it; its words are the tokens.
    """

    text: str

    def __call__(self, progress: Progress, cancel: threading.Event) -> Capture:
        """Train the classifier unless it is at hand, and record it.

        The capture's `model_name` says which family it takes the text for, and how often it is
        right on sentences that it never saw, beside calling them all by the commonest family.

        Raises
        ------
        InputError
            When the text has no word, or too many.
        Cancelled
            When `cancel` was set; nothing half trained is kept.
        """
        script = load_example("text_classifier")
        n_words = len(script.words(self.text))
        if not n_words:
            raise InputError("There is no word in the text; type a sentence in English.")
        if n_words > MOST_WORDS:
            raise InputError(
                f"The classifier reads single sentences, at most {MOST_WORDS} words, and the text "
                f"has {n_words}; type a shorter one."
            )
        with _training:
            if not _shelf:
                progress(0, 0)
                _shelf.append(_Trained(*script.train(progress, cancel)))
            trained = _shelf[0]
        family, _ = script.predict(trained.model, trained.vocabulary, self.text)
        capture: Capture = script.look(trained.model, trained.vocabulary, self.text)
        return replace(capture, texts=(self.text,), model_name=_name(script, family, trained))


def _name(script: ModuleType, family: str, trained: _Trained) -> str:
    source = "" if script.has_sources() else ", trained on modules in memory"
    return (
        f"docstring classifier says {family} ({100 * trained.accuracy:.0f} % right, "
        f"majority {100 * trained.baseline:.0f} %{source})"
    )


def load_example(name: str) -> ModuleType:
    """Return a script of ``resources/examples`` as a module, loaded once.

    Raises
    ------
    FileNotFoundError
        When this installation lacks it.
    """
    known = f"attnviz_gui_examples_{name}"
    if known not in sys.modules:
        path = resource(f"examples/{name}.py")
        spec = spec_from_file_location(known, path)
        assert spec is not None
        module = module_from_spec(spec)
        # Compiled here: an import would leave a __pycache__ among the resources.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
        sys.modules[known] = module
    return sys.modules[known]
