"""Write what was computed as steps: matrices with their names, shapes and formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from attnviz_gui.capture.anatomy.record import Anatomy, Axis, Matrix, Part, Section, Step
from attnviz_gui.capture.anatomy.two_ways import attention, logits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from attnviz_gui.capture.anatomy.find import Projection
    from attnviz_gui.capture.anatomy.layer import LayerParts
    from attnviz_gui.capture.anatomy.record import MatrixKind, Role
    from attnviz_gui.capture.anatomy.two_ways import TwoWays, Way

MOST_HEADS = 4  # of which the paper's way shows every one
ROLES: tuple[Role, Role, Role] = ("query", "key", "value")
LETTERS = ("Q", "K", "V")


def sub(text: object) -> str:
    """Write an index below."""
    return f"<sub>{text}</sub>"


def sup(text: object) -> str:
    """Write an index above."""
    return f"<sup>{text}</sup>"


def write(parts: LayerParts, ways: TwoWays, head: int) -> Anatomy:
    """Return the steps of one head of a layer, in both ways."""
    pen = _Pen(parts, head)
    check, needs = check_lines(parts)
    return Anatomy(
        parts.name,
        head,
        pen.n_heads,
        pen.stacked(ways.stacked),
        pen.paper(ways.paper),
        ways.equality,
        check,
        needs,
        parts.missing,
    )


class _Pen:
    """Writes the steps of one head."""

    def __init__(self, parts: LayerParts, head: int) -> None:
        self.parts = parts
        self.record = parts.record
        self.head = head
        self.n_heads = len(parts.record.query)
        self.queries = Axis("query", len(parts.query_tokens), parts.query_tokens)
        # The keys of a self-attention are its queries' own tokens: their rows go together.
        self.keys = Axis("key", len(parts.key_tokens), parts.key_tokens)

    # -- as PyTorch does it ------------------------------------------------------------------

    def stacked(self, way: Way) -> tuple[Section, ...]:
        """One product, then cut."""
        sections = []
        if self.parts.projections is not None:
            sections.append(Section("Project", self._one_product(way), follows=False))
        sections.append(
            Section(
                f"Cut into {self.n_heads} heads" if sections else "Recorded",
                self._cut(way, self.head, "q", "k", "v"),
                follows=bool(sections),
            )
        )
        sections.append(Section("Attend", self._attend(way, self.head, "q", "k", "v")))
        sections.append(Section("Join the heads", self._join(way, f"W{sub('O')}", transposed=True)))
        return tuple(sections)

    def _one_product(self, way: Way) -> tuple[Step, ...]:
        projections = self.parts.projections
        assert projections is not None
        steps = [Step("Input, one row a token", "", self._inputs())]
        bias = any(p.bias is not None for p in projections)
        if not self.parts.one_source:
            weights = [
                self._weight(p, f"W{sub(letter)}", letter, role, turned=False)
                for p, letter, role in zip(projections, LETTERS, ROLES, strict=True)
            ]
            steps.append(Step("Three matrices", "", tuple(weights), sign="×"))
            symbols = self._symbols()
            formula = ", ".join(
                f"{letter} = {x} W{sub(letter)}{sup('T')}"
                for letter, x in zip(LETTERS, symbols, strict=True)
            )
            made = [
                self._product(
                    way, index, (self.queries, self._plain_keys(), self._plain_keys())[index]
                )
                for index in range(3)
            ]
            steps.append(Step("Products", formula + (" (+ b)" if bias else ""), tuple(made)))
            return tuple(steps)
        sizes = [len(p.weight) for p in projections]
        rows = Axis("dimension", sum(sizes), None, self._stack_parts())
        weight = torch.cat([p.weight for p in projections])
        stack = [
            self._matrix(
                "W", f"stacked weights, {self._where()}", weight, rows,
                self._dimensions(weight.shape[1]),
            )
        ]  # fmt: skip
        if bias:
            biases = [torch.zeros(len(p.weight)) if p.bias is None else p.bias for p in projections]
            stack.append(
                self._matrix(
                    "b", "bias", torch.cat(biases)[:, None], rows, Axis("dimension", 1, ("b",))
                )
            )
        products = torch.cat([_flat(heads) for heads in way.projected], dim=1)
        steps.append(Step("Stacked W", "", tuple(stack), note=self._kept(), sign="×"))
        steps.append(
            Step(
                "One product",
                f"Q | K | V = X W{sup('T')}" + (" + b" if bias else ""),
                (self._matrix("Q | K | V", "queries, keys, values", products, self.queries, rows),),
            )
        )
        return tuple(steps)

    def _stack_parts(self) -> tuple[Part, ...]:
        """Return Q, K and V, and the chosen head's rows in each."""
        found = []
        start = 0
        for index, projection in enumerate(self.parts.projections or ()):
            size = len(projection.weight)
            found.append(Part(LETTERS[index], start, start + size))
            of = self._served(index, self.head)
            d = projection.head_dim
            found.append(
                Part(f"head {of}", start + of * d, start + (of + 1) * d, level=1, chosen=True)
            )
            start += size
        return tuple(found)

    def _cut(self, way: Way, head: int, *letters: str) -> tuple[Step, ...]:
        """Return the head's own q, k, v, and what is done to them before they meet."""
        projections = self.parts.projections
        record = self.record
        names = [f"{letter}{sub(head)}" for letter in letters]
        if projections is None:
            return (
                Step(
                    "Recorded vectors",
                    ", ".join(names),
                    tuple(self._vector(getattr(way, role), i, head, names[i], role)
                          for i, role in enumerate(ROLES)),
                ),
            )  # fmt: skip
        d = projections[0].head_dim
        start = head * d
        steps = [
            Step(
                f"Head {head}",
                f"dimensions {start}–{start + d - 1} of each"
                if len(record.key) == self.n_heads
                else f"with key head {self._served(1, head)}",
                tuple(self._vector(way.projected[i], i, head, names[i], ROLES[i])
                      for i in range(3)),
            )
        ]  # fmt: skip
        steps += self._worked(way, head, names)
        return tuple(steps)

    def _worked(self, way: Way, head: int, names: list[str]) -> list[Step]:
        """Return norm, factor and rotation, where there are any."""
        projections = self.parts.projections
        assert projections is not None
        steps = []
        changed = [i for i, p in enumerate(projections) if p.norm is not None or p.factor != 1]
        if changed:
            norm = any(projections[i].norm is not None for i in changed)
            done = [
                f"{names[i]} ← norm({names[i]})"
                if projections[i].norm is not None
                else f"{names[i]} ← {_short(projections[i].factor)} {names[i]}"
                for i in changed
            ]
            steps.append(
                Step(
                    "Normalise" if norm else "Scale",
                    ", ".join(done),
                    tuple(
                        self._vector(way.normed[i], i, head, names[i], ROLES[i]) for i in changed
                    ),
                )
            )
        if self.parts.rotation is not None or self.parts.rotated:
            steps.append(
                Step(
                    "Rotate",
                    "rotary embedding: pairs turned by position",
                    tuple(
                        self._vector((way.query, way.key)[i], i, head, f"{names[i]}′", ROLES[i])
                        for i in range(2)
                    ),
                    note="" if self.parts.rotation is not None else "taken as it was recorded",
                )
            )
        n_extra = way.key.shape[1] - way.normed[1].shape[1]
        if n_extra:
            steps.append(
                Step(
                    "Lengthen",
                    f"{n_extra} more key{'s' if n_extra > 1 else ''} of no token",
                    tuple(
                        self._vector(
                            (way.query, way.key, way.value)[i], i, head, names[i], ROLES[i]
                        )
                        for i in (1, 2)
                    ),
                )
            )
        return steps

    def _attend(self, way: Way, head: int, *letters: str) -> tuple[Step, ...]:
        """Return logits, softmax, and the head's result."""
        record = self.record
        which = torch.tensor([head])
        raw = logits(record, way.query, way.key, which)[0]
        shares = attention(record, way.query, way.key, which)[0]
        group = head * len(record.key) // self.n_heads
        result = shares @ way.value[group]
        turned = self.parts.rotation is not None or self.parts.rotated
        q, k, v = (f"{letter}{sub(head)}" for letter in letters)
        if turned:
            q, k = f"{q}′", f"{k}′"
        product = f"{q} {k}{sup('T')}"
        d = record.query.shape[2]
        if record.scaling != 1:
            even = abs(record.scaling * d**0.5 - 1) < 1e-6
            product += f" / √{d}" if even else f" · {_short(record.scaling)}"
        if record.softcap is not None:
            cap = _short(record.softcap)
            product = f"{cap} tanh({product} / {cap})"
        if record.bias is not None:
            product += " + bias"
        masked = "" if bool(torch.isfinite(raw).all()) else "masked pairs left out"
        name = f"A{sub(head)}"
        return (
            Step(
                "Logits",
                f"L{sub(head)} = {product}",
                (self._pairs(f"L{sub(head)}", "logits", raw, head, "signed"),),
                note=masked,
            ),
            Step(
                "Softmax over each row",
                f"{name} = softmax(L{sub(head)})",
                (self._pairs(name, "attention", shares, head, "share"),),
                note="" if record.sink is None else "a sink takes the rest of each row",
            ),
            Step(
                "Weighted values",
                f"head{sub(head)} = {name} {v}",
                (
                    self._matrix(
                        f"head{sub(head)}", f"result of head {head}", result, self.queries,
                        self._dimensions(result.shape[1]),
                    ),
                ),
            ),
        )  # fmt: skip

    def _join(self, way: Way, symbol: str, *, transposed: bool) -> tuple[Step, ...]:
        """Return the concatenated heads, the output projection, and the output."""
        d = way.concat.shape[1] // self.n_heads
        every = self.n_heads <= 16
        heads = tuple(
            Part(f"head {h}", h * d, (h + 1) * d, level=1, chosen=h == self.head)
            for h in range(self.n_heads)
            if every or h == self.head
        )
        columns = Axis("dimension", way.concat.shape[1], None, heads)
        last = self.n_heads - 1
        some = ", … " if last > 1 else ""
        steps = [
            Step(
                "Concatenate",
                f"C = [head{sub(0)}{some}{', ' if last == 1 else ''}"
                + (f"head{sub(last)}]" if last else "]"),
                (self._matrix("C", "all heads side by side", way.concat, self.queries, columns),),
            )
        ]
        output = self.parts.output
        if output is not None and way.output is not None:
            weight = output.weight if transposed else output.weight.T
            axes = self._dimensions(output.weight.shape[0]), columns
            rows, across = axes if transposed else axes[::-1]
            matrices = [
                self._matrix(symbol, f"output weights, {output.name}", weight, rows, across)
            ]
            if output.bias is not None:
                # Beside the weight whose products it is added to, or below it.
                one, b = Axis("dimension", 1, ("b",)), output.bias[:, None]
                b, across, down = (b, axes[0], one) if transposed else (b.T, one, axes[0])
                matrices.append(self._matrix(f"b{sub('O')}", "output bias", b, across, down))
            bias = f" + b{sub('O')}" if output.bias is not None else ""
            formula = f"Y = C {symbol}{sup('T') if transposed else ''}{bias}"
            steps.append(Step("Output weights", "", tuple(matrices), sign="×"))
            steps.append(
                Step(
                    "Output",
                    formula,
                    (self._matrix("Y", "output of the layer's attention", way.output, self.queries,
                                  self._dimensions(way.output.shape[1])),),
                )
            )  # fmt: skip
        return tuple(steps)

    # -- as the paper writes it --------------------------------------------------------------

    def paper(self, way: Way) -> tuple[Section, ...]:
        """Weights of its own for every head."""
        projections = self.parts.projections
        sections = []
        if projections is not None:
            sections.append(
                Section("Input", (Step("one row a token", "", self._inputs()),), follows=False)
            )
        shown = range(self.n_heads) if self.n_heads <= MOST_HEADS else (self.head,)
        for head in shown:
            steps = self._own_product(way, head) if projections is not None else ()
            if projections is None:
                steps = self._cut(way, head, "Q", "K", "V")
            steps += self._attend(way, head, "Q", "K", "V")
            name = f"Head {head}"
            if len(shown) < self.n_heads:
                name += f", as each of the {self.n_heads}"
            lanes = len(shown) > 1
            sections.append(Section(name, steps, projections is not None, own_line=lanes))
        joined = self._join(way, f"W{sup('O')}", transposed=False)
        sections.append(Section("Join the heads", joined, own_line=len(shown) > 1))
        return tuple(sections)

    def _own_product(self, way: Way, head: int) -> tuple[Step, ...]:
        projections = self.parts.projections
        assert projections is not None
        weights, products, formula = [], [], []
        names = [f"{letter}{sub(head)}" for letter in LETTERS]
        for index, (p, letter, x) in enumerate(
            zip(projections, LETTERS, self._symbols(), strict=True)
        ):
            of = self._served(index, head)
            weight, _ = p.of_head(of)
            symbol = f"W{sub(of)}{sup(letter)}"
            weights.append(
                self._matrix(
                    symbol, f"{ROLES[index]} weights of head {of}", weight.T,
                    self._dimensions(weight.shape[1]), self._dimensions(weight.shape[0]),
                    role=ROLES[index],
                )
            )  # fmt: skip
            products.append(
                self._vector(way.projected[index], index, head, names[index], ROLES[index])
            )
            formula.append(f"{names[index]} = {x} {symbol}")
        bias = any(p.bias is not None for p in projections)
        return (
            Step("Its own weights", "", tuple(weights), sign="×"),
            Step(
                "Its own product",
                formula[0] + (" + b" if bias else "") + ", …",
                tuple(products),
                note=self._grouped(head),
            ),
            *self._worked(way, head, names),
        )  # fmt: skip

    # -- pieces ------------------------------------------------------------------------------

    def _inputs(self) -> tuple[Matrix, ...]:
        """Return the rows that are projected: one matrix, or one for each source."""
        assert self.parts.projections is not None
        sources: dict[str, tuple[str, Tensor, Axis]] = {}
        for symbol, projection, axis, word in zip(
            self._symbols(), self.parts.projections,
            (self.queries, self._plain_keys(), self._plain_keys()),
            ("input", "input for the keys", "input for the values"), strict=True,
        ):  # fmt: skip
            sources.setdefault(symbol, (word, projection.x, axis))
        return tuple(
            self._matrix(symbol, word, x, axis, self._dimensions(x.shape[1]))
            for symbol, (word, x, axis) in sources.items()
        )

    def _symbols(self) -> tuple[str, str, str]:
        """Return what the sources of query, key and value are called: X where they are the same."""
        assert self.parts.projections is not None
        if self.parts.one_source:
            return "X", "X", "X"
        q, k, v = (p.x for p in self.parts.projections)
        key = "X" if k.shape == q.shape and torch.equal(k, q) else f"X{sub('K')}"
        value = key if v.shape == k.shape and torch.equal(v, k) else f"X{sub('V')}"
        return "X", key, value

    def _plain_keys(self) -> Axis:
        """Return the keys that tokens stand behind."""
        assert self.parts.projections is not None
        n = len(self.parts.projections[1].x)
        return Axis("key", n, self.parts.key_tokens[:n])

    def _product(self, way: Way, index: int, rows: Axis) -> Matrix:
        projection = (self.parts.projections or ())[index]
        of, d = self._served(index, self.head), projection.head_dim
        chosen = Part(f"head {of}", of * d, (of + 1) * d, level=1, chosen=True)
        columns = Axis("dimension", len(projection.weight), None, (chosen,))
        made = _flat(way.projected[index])
        return self._matrix(
            LETTERS[index], f"{ROLES[index]}s", made, rows, columns, role=ROLES[index]
        )

    def _weight(
        self, projection: Projection, symbol: str, letter: str, role: Role, *, turned: bool
    ) -> Matrix:
        weight = projection.weight.T if turned else projection.weight
        of, d = self._served(LETTERS.index(letter), self.head), projection.head_dim
        chosen = Part(f"head {of}", of * d, (of + 1) * d, level=1, chosen=True)
        return self._matrix(
            symbol, f"{role} weights, {projection.name}", weight,
            Axis("dimension", weight.shape[0], None, (chosen,)),
            self._dimensions(weight.shape[1]), role=role,
        )  # fmt: skip

    def _vector(self, heads: Tensor, index: int, head: int, symbol: str, role: Role) -> Matrix:
        """Return one head's rows of query, key or value (`index` 0, 1, 2)."""
        values = heads[self._served(index, head)]
        rows = self.queries if index == 0 else self.keys
        if len(values) < rows.size:
            rows = self._plain_keys()
        return self._matrix(
            symbol, f"{role} of head {head}", values, rows, self._dimensions(values.shape[1]),
            role=role,
        )  # fmt: skip

    def _grouped(self, head: int) -> str:
        """Say which key head serves a query head, where several share one."""
        each = self.n_heads // len(self.record.key)
        if each == 1:
            return ""
        return f"key head {self._served(1, head)} serves {each} query heads"

    def _served(self, index: int, head: int) -> int:
        """Return which head of query, key or value (`index` 0, 1, 2) a query head goes with."""
        n = len((self.record.query, self.record.key, self.record.value)[index])
        return head * n // self.n_heads

    def _pairs(
        self, symbol: str, words: str, values: Tensor, head: int, kind: MatrixKind
    ) -> Matrix:
        """Return a matrix of queries by keys, with what is masked in it."""
        mask = self.record.mask if self.record.mask.ndim == 2 else self.record.mask[head]
        made = self._matrix(symbol, words, values, self.queries, self.keys, kind)
        return made if mask.all() else replace(made, mask=mask)

    @staticmethod
    def _dimensions(size: int) -> Axis:
        return Axis("dimension", size)

    @staticmethod
    def _matrix(
        symbol: str, words: str, values: Tensor, rows: Axis, columns: Axis,
        kind: MatrixKind = "signed", role: Role = "",
    ) -> Matrix:  # fmt: skip
        array = np.ascontiguousarray(values.numpy(), dtype=np.float32)
        return Matrix(symbol, words, array, rows, columns, kind, role)

    def _where(self) -> str:
        names = dict.fromkeys(p.name for p in self.parts.projections or ())
        return _listed(list(names))

    def _kept(self) -> str:
        """Say how the model keeps its weights where it does not stack them as they are shown."""
        projections = self.parts.projections or ()
        if self.parts.multihead is not None:
            return "in_proj_weight" if self.parts.multihead.in_proj_weight is not None else ""
        names = {p.name for p in projections}
        if len(names) > 1:
            return "the model keeps them apart"
        return f"kept as {next(iter(names)).rpartition('.')[2]}"


def _flat(heads: Tensor) -> Tensor:
    """Return (H, T, d) as (T, H d)."""
    return heads.permute(1, 0, 2).flatten(1)


def _listed(names: Sequence[str]) -> str:
    """Write dotted names without what they have in common."""
    if len(names) == 1:
        return names[0]
    common = names[0].rpartition(".")[0]
    if common and all(name.rpartition(".")[0] == common for name in names):
        return f"{common}: " + ", ".join(name.rpartition(".")[2] for name in names)
    return ", ".join(names)


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


# -- the line that checks it -----------------------------------------------------------------

_WHOLE = """\
import torch

W, d = mha.in_proj_weight.chunk(3), mha.head_dim
torch.allclose(
    torch.cat([
        torch.softmax(X @ Wq.T @ (X @ Wk.T).mT / d**0.5, -1) @ (X @ Wv.T)
        for Wq, Wk, Wv in zip(*(w.split(d) for w in W))
    ], -1) @ mha.out_proj.weight.T,
    mha(X, X, X)[0], atol=1e-5)
"""
_WHOLE_BIAS = """\
import torch
from torch.nn.functional import linear

W, b, d = mha.in_proj_weight.chunk(3), mha.in_proj_bias.chunk(3), mha.head_dim
torch.allclose(
    linear(torch.cat([
        torch.softmax(linear(X, Wq, bq) @ linear(X, Wk, bk).mT / d**0.5, -1) @ linear(X, Wv, bv)
        for Wq, Wk, Wv, bq, bk, bv in zip(*(p.split(d) for p in (*W, *b)))
    ], -1), mha.out_proj.weight, mha.out_proj.bias),
    mha(X, X, X)[0], atol=1e-5)
"""
_PRODUCT = """\
import torch

{module} = model.get_submodule("{name}")
{module}.register_forward_hook(lambda m, x, y: print(torch.allclose(
    torch.cat([x[0] @ W for W in m.weight{turn}.split({d}, dim=-1)], -1){bias}, y, {close})))
model(**inputs)
"""


def check_lines(parts: LayerParts) -> tuple[str, str]:
    """Return lines of PyTorch that check the equality, and what the names in them stand for."""
    projections = parts.projections
    if projections is None:
        return "", ""
    record, mha = parts.record, parts.multihead
    if mha is not None:
        plain = (
            parts.one_source
            and mha.in_proj_weight is not None
            and bool(record.mask.all())
            and record.bias is None
            and len(parts.key_tokens) == len(projections[1].x)
        )
        if not plain:
            return "", ""
        biased = mha.in_proj_bias is not None
        return (
            _WHOLE_BIAS if biased else _WHOLE,
            f"mha: the nn.MultiheadAttention in eval mode; X: its input, "
            f"{len(projections[0].x)} × {mha.embed_dim}",
        )
    query = projections[0]
    code = _PRODUCT.format(
        module="query" if query.stride == len(query.weight) else "qkv",
        name=query.name,
        d=query.head_dim,
        turn="" if query.transposed else ".T",
        bias="" if query.bias is None else " + m.bias",
        close="atol=1e-5" if parts.precision == "float32" else "rtol=0.02, atol=0.02",
    )
    return code, "model: the model in eval mode; inputs: what its tokenizer gives, with tensors"
