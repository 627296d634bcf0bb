"""Train a transformer on the spot, then look at its attention.

The task: which family of Python's own modules does a sentence of their documentation come from?
The texts are the docstrings of the standard library, which every Python has. Words are tokens, the
model is PyTorch's nn.TransformerEncoder, and a test on docstrings that it never saw says how good
it is. Run it with ``python text_classifier.py``; it takes about twenty seconds.
"""

import ast
import importlib
import random
import re
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import torch
from torch import nn

import attnviz_gui
from attnviz_gui.capture.progress import raise_if_cancelled

FAMILIES = {
    "network": "email ftplib http imaplib ipaddress poplib smtplib socketserver ssl urllib xmlrpc",
    "concurrency": "asyncio concurrent multiprocessing queue sched selectors subprocess threading",
    "files": "bz2 filecmp fileinput glob gzip io os pathlib posixpath shutil tarfile zipfile",
    "numbers": "_pydatetime _pydecimal calendar datetime fractions heapq numbers random statistics",
    "testing": "bdb doctest pdb profile pstats timeit trace tracemalloc unittest",
}
STDLIB = Path(sysconfig.get_path("stdlib"))
SIZE, HEADS, LAYERS = 64, 4, 2  # of the model; each head has 16 dimensions
EPOCHS, BATCH, RATE = 8, 64, 3e-3
LONGEST = 40  # words of a sentence in training
PADDING, UNKNOWN = 0, 1  # the first two numbers of the vocabulary


def docstrings(module):
    """Yield the docstrings of a module or package: from its sources, else from the module."""
    path = STDLIB / module
    files = [f for f in sorted(path.rglob("*.py")) if not f.parent.name.startswith("test")]
    files = files or [path.with_suffix(".py")]
    if files[0].is_file():
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                    yield ast.get_docstring(node)
        return
    try:  # an application in one folder has modules, but not their sources
        importlib.import_module(module)
    except ImportError:
        return
    for name in sorted(name for name in sys.modules if f"{name}.".startswith(f"{module}.")):
        yield sys.modules[name].__doc__
        for value in list(vars(sys.modules[name]).values()):
            if getattr(value, "__module__", None) == name and callable(value):
                yield value.__doc__
                methods = vars(value).values() if isinstance(value, type) else ()
                yield from (method.__doc__ for method in methods if callable(method))


def has_sources():
    """Return whether the sources of the standard library are here."""
    return (STDLIB / "random.py").is_file()


def words(text):
    """Cut a text into its words, in small letters."""
    return re.findall(r"[^\W\d_]+", text.lower())


def texts(cancel=None):
    """Return the docstrings, each a list of its sentences: (words, number of the family)."""
    seen, found = set(), []
    for family, modules in enumerate(FAMILIES.values()):
        for docstring in (d for module in modules.split() for d in docstrings(module)):
            raise_if_cancelled(cancel)
            if not isinstance(docstring, str):
                continue
            found.append([])
            for sentence in re.split(r"(?<=[.:!?])\s+|\n\s*\n", docstring):
                cut = tuple(words(sentence)[:LONGEST])
                if len(cut) >= 5 and cut not in seen:  # what is written twice counts once
                    seen.add(cut)
                    found[-1].append((cut, family))
    return found


class Classifier(nn.Module):
    """Words and their places, a transformer encoder, the mean over the words, a score a family."""

    def __init__(self, n_words, n_families):
        super().__init__()
        self.embedding = nn.Embedding(n_words, SIZE, padding_idx=PADDING)
        layer = nn.TransformerEncoderLayer(SIZE, HEADS, 2 * SIZE, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.scores = nn.Linear(SIZE, n_families)

    def forward(self, numbers):
        """Return the scores, (B, families), of sentences given by their words' numbers, (B, T)."""
        padding = numbers == PADDING
        x = self.embedding(numbers) + places(numbers.shape[1])  # (B, T, SIZE)
        x = self.encoder(x, src_key_padding_mask=padding)
        x = x.masked_fill(padding[..., None], 0).sum(1) / (~padding).sum(1, keepdim=True)
        return self.scores(x)


def places(n):
    """Sines and cosines of 0 … n - 1, (n, SIZE): Vaswani et al. 2017, section 3.5."""
    angles = torch.arange(n)[:, None] * 1e4 ** (-torch.arange(0, SIZE, 2) / SIZE)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def numbers_of(sentences, vocabulary):
    """Return the numbers of some sentences' words, (B, T), the short sentences padded."""
    longest = max(map(len, sentences))
    rows = [[vocabulary.get(word, UNKNOWN) for word in sentence] for sentence in sentences]
    return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])


def train(progress=None, cancel=None, epochs=EPOCHS):
    """Return (model, vocabulary, accuracy, baseline, examples), the same ones every time.

    `progress` is called with the steps done and in all; `cancel`, a threading.Event, stops it.

    The accuracy is that on docstrings which training never saw; the baseline calls each of their
    sentences by the commonest family. The examples are some of them: (sentence, family).
    """
    found = texts(cancel)
    random.Random(0).shuffle(found)
    held_out = [pair for docstring in found[::5] for pair in docstring]
    learnt = [pair for at, docstring in enumerate(found) if at % 5 for pair in docstring]
    counts = Counter(word for sentence, _ in learnt for word in sentence)
    known = ["<pad>", "<unk>", *(word for word, n in counts.most_common() if n > 1)]
    vocabulary = {word: number for number, word in enumerate(known)}
    [(commonest, _)] = Counter(family for _, family in learnt).most_common(1)
    baseline = sum(family == commonest for _, family in held_out) / len(held_out)
    short = [(" ".join(s), list(FAMILIES)[f]) for s, f in held_out if 8 <= len(s) <= 14]

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):  # nobody else's random numbers change
        torch.manual_seed(0)
        torch.set_num_threads(1)  # the matrices are small: threads would wait for one another
        try:
            model = Classifier(len(vocabulary), len(FAMILIES))
            fit(model, batches(learnt, vocabulary), epochs, progress, cancel)
        finally:
            torch.set_num_threads(threads)
    model.eval()
    with torch.no_grad():
        right = [model(x).argmax(1) == family for x, family in batches(held_out, vocabulary)]
    return model, vocabulary, float(torch.cat(right).float().mean()), baseline, short[:100:10]


def batches(sentences, vocabulary):
    """Return pairs (numbers of words, families); sentences of one length together."""
    ordered = sorted(sentences, key=lambda pair: len(pair[0]))
    cut = (ordered[at : at + BATCH] for at in range(0, len(ordered), BATCH))
    return [
        (numbers_of([s for s, _ in b], vocabulary), torch.tensor([f for _, f in b])) for b in cut
    ]


def fit(model, learnt, epochs, progress, cancel):
    """Move the model's weights until it knows the families of what it reads."""
    steps = epochs * len(learnt)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(steps):
        raise_if_cancelled(cancel)
        if step % len(learnt) == 0:
            random.Random(step).shuffle(learnt)
        numbers, families = learnt[step % len(learnt)]
        loss = nn.functional.cross_entropy(model(numbers), families)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, steps)


def predict(model, vocabulary, text):
    """Return the family that the model takes a text for, and how sure it is, 0 to 1."""
    with torch.no_grad():
        shares = model(numbers_of([words(text)], vocabulary))[0].softmax(0)
    return list(FAMILIES)[int(shares.argmax())], float(shares.max())


def look(model, vocabulary, text):
    """Return what the model's attention does on a text; words it does not know are marked."""
    names = [word if word in vocabulary else f"<unk> {word}" for word in words(text)]
    inputs = {"numbers": numbers_of([words(text)], vocabulary)}
    return attnviz_gui.capture(model, inputs, tokens=names)


def main():
    """Train, say how well it went, and show the attention on a sentence of the test."""
    if not has_sources():
        print("Python's sources are missing here: the texts are those of modules in memory.")
    model, vocabulary, accuracy, baseline, examples = train()
    print(f"accuracy on unseen docstrings: {accuracy:.0%}; always the commonest: {baseline:.0%}")
    for sentence, family in examples:
        print(f"{family:>12}, taken for {predict(model, vocabulary, sentence)[0]:<12} {sentence}")
    attnviz_gui.show(look(model, vocabulary, examples[0][0]))


if __name__ == "__main__":
    main()
