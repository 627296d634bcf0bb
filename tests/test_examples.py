"""The examples: numbers that are known, a training that is real, what the window asks of them.

Where a test trains for itself it trains on two small families; the accuracy is looked at with all
of them, in fewer epochs than the script takes.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import attnviz_gui
from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.jobs import examples
from attnviz_gui.jobs.examples import ClassifierRequest, WorkedExampleRequest, load_example
from attnviz_gui.resources import resource

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from attnviz_gui.capture.record import Capture

SENTENCE = "Send a request to the HTTP server and read its response headers."
FEW = {"numbers": "fractions statistics", "files": "shutil glob gzip"}

# Published to four decimals for torch.manual_seed(55): attention (2, 5, 5) and output (5, 4).
ATTENTION = [
    [
        [0.0424, 0.2048, 0.3446, 0.2414, 0.1667],
        [0.1729, 0.1644, 0.2146, 0.2448, 0.2033],
        [0.2667, 0.1591, 0.1675, 0.2068, 0.2000],
        [0.0698, 0.2457, 0.3001, 0.2061, 0.1782],
        [0.1792, 0.1710, 0.2114, 0.2354, 0.2030],
    ],
    [
        [0.1456, 0.1290, 0.2313, 0.2845, 0.2096],
        [0.2896, 0.3155, 0.1334, 0.0994, 0.1622],
        [0.2136, 0.3166, 0.1714, 0.1335, 0.1649],
        [0.1254, 0.2581, 0.2383, 0.2125, 0.1655],
        [0.1764, 0.2372, 0.2087, 0.1930, 0.1846],
    ],
]
OUTPUT = [
    [0.3529, 0.0220, 0.0969, -0.1303],
    [0.4565, 0.1399, 0.0720, 0.1694],
    [0.3354, 0.1571, 0.0336, 0.2145],
    [0.3725, 0.0816, 0.1403, -0.0746],
    [0.3248, 0.0932, 0.0436, 0.0879],
]
QUERY_KEY_VALUE_OF_T0 = [
    -1.3839, 0.3560, -0.5477, 0.5145,
    1.5560, -0.1749, 1.3026, -0.2896,
    1.4396, -0.2397, 0.6415, 1.2935,
]  # fmt: skip


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Capture]:
    """What a script shows; the window itself has tests of its own."""
    captures: list[Capture] = []
    monkeypatch.setattr(attnviz_gui, "show", captures.append)
    return captures


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with two small families, and nothing trained so far."""
    script = load_example("text_classifier")
    monkeypatch.setattr(script, "FAMILIES", FEW)
    monkeypatch.setattr(examples, "_shelf", [])
    return script


# -- the worked example ----------------------------------------------------------------------


def test_the_worked_example_has_its_published_numbers() -> None:
    module, X, tokens = load_example("worked_multihead").worked_example()
    with torch.no_grad():
        output, _ = module(X, X, X)
        stacked = X[0, 0] @ module.in_proj_weight.T
    np.testing.assert_allclose(output[0].numpy(), OUTPUT, atol=5e-5)
    np.testing.assert_allclose(stacked.numpy(), QUERY_KEY_VALUE_OF_T0, atol=5e-5)
    assert tokens == ["t0", "t1", "t2", "t3", "t4"]


def test_the_worked_example_as_the_window_asks_for_it() -> None:
    before = torch.get_rng_state()
    capture = WorkedExampleRequest()(silent, threading.Event())
    assert torch.equal(torch.get_rng_state(), before)
    assert capture.tokens == (["t0", "t1", "t2", "t3", "t4"],)
    assert "worked example" in capture.model_name
    for head in range(2):
        at = capture.head(0, head)
        np.testing.assert_allclose(at.attention, ATTENTION[head], atol=5e-5)
        row = np.array(QUERY_KEY_VALUE_OF_T0).reshape(3, 4)[:, 2 * head : 2 * head + 2]
        np.testing.assert_allclose([at.query[0], at.key[0], at.value[0]], row, atol=5e-5)
    assert capture.verify() <= 1e-6


def test_the_worked_example_as_a_script(
    shown: list[Capture], capsys: pytest.CaptureFixture[str]
) -> None:
    load_example("worked_multihead").main()
    said = capsys.readouterr().out
    assert all(float(number) < 1e-6 for number in re.findall(r"largest.*: (.*)", said))
    assert "0.0424 0.2048" in said
    (capture,) = shown
    np.testing.assert_allclose(capture.head(0, 1).attention, ATTENTION[1], atol=5e-5)


# -- the classifier --------------------------------------------------------------------------


def test_the_classifier_learns() -> None:
    """All families, a third of the epochs: far better than calling all by the commonest."""
    script = load_example("text_classifier")
    told: list[tuple[int, int]] = []
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    trained = examples._Trained(*script.train(lambda *at: told.append(at), epochs=3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert trained.accuracy > trained.baseline + 0.2
    assert 0.2 < trained.baseline < 0.5
    assert told[-1][0] == told[-1][1] == len(told)
    assert not trained.model.training

    # The accuracy is that of the examples' kind: docstrings held out, their families known.
    right = [
        script.predict(trained.model, trained.vocabulary, text)[0] == family
        for text, family in trained.examples
    ]
    assert len(right) == 10
    assert sum(right) >= 4
    assert script.predict(trained.model, trained.vocabulary, SENTENCE)[0] == "network"


def test_training_is_the_same_every_time(classifier: ModuleType) -> None:
    torch.manual_seed(1)
    first = classifier.train(epochs=2)
    torch.manual_seed(2)
    second = classifier.train(epochs=2)
    assert first[1:] == second[1:]
    for name, weights in first[0].state_dict().items():
        assert torch.equal(weights, second[0].state_dict()[name]), name


def test_what_is_held_out_is_not_learnt(classifier: ModuleType) -> None:
    found = classifier.texts()
    sentences = [sentence for docstring in found for sentence, _ in docstring]
    assert len(sentences) == len(set(sentences))
    assert {family for docstring in found for _, family in docstring} == {0, 1}
    assert all(5 <= len(sentence) <= classifier.LONGEST for sentence in sentences)


def test_training_is_cancelled(classifier: ModuleType) -> None:
    cancel = threading.Event()
    threads = torch.get_num_threads()

    def progress(done: int, total: int) -> None:
        assert done <= 3
        if done == 3:
            cancel.set()

    with pytest.raises(Cancelled):
        ClassifierRequest(SENTENCE)(progress, cancel)
    assert torch.get_num_threads() == threads
    assert examples._shelf == []
    with pytest.raises(Cancelled):  # before the first docstring is read
        classifier.train(cancel=cancel)


def test_a_second_text_does_not_train_again(classifier: ModuleType) -> None:
    told: list[tuple[int, int]] = []
    text = "Return the capybara\N{EM DASH}as a Fraction!"
    first = ClassifierRequest(text)(lambda *at: told.append(at), threading.Event())
    assert len(told) > 10
    (trained,) = examples._shelf
    told.clear()
    second = ClassifierRequest("Copy a file.")(lambda *at: told.append(at), threading.Event())
    assert examples._shelf == [trained]
    assert told == []

    assert first.texts == (text,)
    assert first.tokens == (["return", "the", "<unk> capybara", "as", "a", "fraction"],)
    assert second.tokens == (["copy", "a", "file"],)
    assert [layer.n_heads for layer in first.layers] == [4, 4]
    assert first.verify() <= 1e-5
    family, _ = classifier.predict(trained.model, trained.vocabulary, "Copy a file.")
    assert second.model_name == (
        f"docstring classifier says {family} ({100 * trained.accuracy:.0f} % right, "
        f"majority {100 * trained.baseline:.0f} %)"
    )


def test_without_the_sources_modules_in_memory_serve(
    classifier: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    shown: list[Capture], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """As in an application in one folder; and the script as a person runs it."""
    monkeypatch.setattr(classifier, "STDLIB", tmp_path)
    monkeypatch.setattr(classifier, "FAMILIES", {**FEW, "none": "no_such_module"})
    classifier.main()
    said = capsys.readouterr().out
    assert "sources are missing" in said
    accuracy, baseline = map(int, re.findall(r"(\d+)%", said))
    assert baseline < accuracy <= 100
    assert len(shown) == 1
    capture = ClassifierRequest("Copy a file.")(silent, threading.Event())
    assert "trained on modules in memory" in capture.model_name


@pytest.mark.parametrize(
    ("text", "said"), [("", "no word"), (" 1 + 2 = 3 …", "no word"), ("a " * 513, "has 513")]
)
def test_texts_that_it_cannot_read(classifier: ModuleType, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ClassifierRequest(text)(silent, threading.Event())


def test_other_scripts_are_read_as_words(classifier: ModuleType) -> None:
    assert classifier.words("Öffne die Datei_2: カピバラ 3") == [
        "öffne",
        "die",
        "datei",
        "カピバラ",
    ]


# -- where they are --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["worked_multihead", "text_classifier"])
def test_the_scripts_are_resources(name: str) -> None:
    path = resource(f"examples/{name}.py")
    assert load_example(name) is load_example(name)
    assert load_example(name).__file__ == str(path)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="examples/none"):
        load_example("none")


def test_requests_are_records() -> None:
    assert ClassifierRequest("a") == ClassifierRequest("a") != ClassifierRequest("b")
    assert len({WorkedExampleRequest(), WorkedExampleRequest()}) == 1
    request: Any = ClassifierRequest("a")
    with pytest.raises(AttributeError):
        request.text = "b"
