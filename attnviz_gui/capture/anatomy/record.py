"""How one head's attention is computed, step by step: frozen records of arrays and names.

Numpy inside, never torch, and nothing is computed here. Symbols and formulas are written with the
few marks ``<sub>`` and ``<sup>``, which every drawing of text understands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]
    BoolArray = npt.NDArray[np.bool_]

AxisKind = Literal["query", "key", "dimension"]
MatrixKind = Literal["signed", "share"]
Role = Literal["", "query", "key", "value"]

_MARKS = re.compile(r"</?su[bp]>")


def plain(text: str) -> str:
    """Return a symbol or formula without its marks."""
    return _MARKS.sub("", text)


@dataclass(frozen=True)
class Part:
    """A stretch of an axis: Q, K or V, or one head.

    Attributes
    ----------
    level
        0 for the coarse division (Q, K, V), 1 for heads within it.
    chosen
        True for the head that is looked at.
    """

    name: str
    start: int
    stop: int
    level: int = 0
    chosen: bool = False


@dataclass(frozen=True)
class Axis:
    """What the rows or columns of a matrix are.

    Attributes
    ----------
    kind
        Tokens that ask (``query``), tokens that are looked at (``key``), or dimensions.
    names
        The tokens; None for dimensions, which have numbers.
    """

    kind: AxisKind
    size: int
    names: tuple[str, ...] | None = None
    parts: tuple[Part, ...] = ()

    def name(self, index: int) -> str:
        """Return what one row or column is called: a token, ``17``, ``Q 17``, ``head 3 · 17``."""
        if self.names is not None:
            return self.names[index]
        inside = [part for part in self.parts if part.start <= index < part.stop]
        if not inside:
            return str(index)
        within = " ".join(part.name for part in sorted(inside, key=lambda part: part.level))
        return f"{within} · {index - max(part.start for part in inside)}"


@dataclass(frozen=True, eq=False)
class Matrix:
    """One matrix of the computation.

    Attributes
    ----------
    symbol
        As a formula writes it, ``W<sup>O</sup>``.
    words
        What it is, in a few words.
    values : (rows, columns) float32
        Minus infinity where a logit is masked.
    kind
        ``share`` for attention (0 to 1), ``signed`` for everything else.
    role
        Whose colour its name has.
    mask : (rows, columns) bool or None
        False where attention is not allowed; None where there is no such thing.
    """

    symbol: str
    words: str
    values: FloatArray = field(repr=False)
    rows: Axis
    columns: Axis
    kind: MatrixKind = "signed"
    role: Role = ""
    mask: BoolArray | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The symbol without marks."""
        return plain(self.symbol)

    @property
    def shape(self) -> str:
        """How many rows and columns, ``11 × 384``."""
        return f"{self.rows.size} × {self.columns.size}"


@dataclass(frozen=True, eq=False)
class Step:
    """One step: what is done, and the matrices that it gives, one below the other.

    Attributes
    ----------
    formula
        Written above the matrices, ``Q = X W<sub>Q</sub><sup>T</sup>``.
    note
        What a reader has to know besides; empty for nothing.
    sign
        What joins it to the step before: an arrow, or ``×`` for two factors.
    """

    name: str
    formula: str
    matrices: tuple[Matrix, ...]
    note: str = ""
    sign: Literal["→", "×", "+"] = "→"


@dataclass(frozen=True, eq=False)
class Section:
    """Some steps under one heading.

    Attributes
    ----------
    follows
        True where the first step is joined to what stands before.
    own_line
        True where it stands beside others of its kind, and is to be read like them.
    """

    name: str
    steps: tuple[Step, ...]
    follows: bool = True
    own_line: bool = False


@dataclass(frozen=True)
class Difference:
    """Largest absolute difference of two results; None where one of them is not at hand."""

    what: str
    between: str
    largest: float | None


@dataclass(frozen=True)
class Equality:
    """Whether the two ways of writing it, and the model itself, come to the same.

    Attributes
    ----------
    differences
        Of weights and outputs, between every two of the three.
    size
        Largest absolute entry of the output, which its differences are to be held against.
    tolerance
        Up to which difference (of weights; of outputs in proportion to `size`) it is rounding.
    precision
        The type that the model computes in, ``float32``.
    """

    differences: tuple[Difference, ...]
    size: float = 1.0
    tolerance: float = 1e-5
    precision: str = "float32"

    @property
    def holds(self) -> bool:
        """True where every difference that is known is rounding."""
        return all(
            d.largest is not None
            and d.largest <= self.tolerance * (max(self.size, 1.0) if d.what == "output" else 1.0)
            for d in self.known
        )

    @property
    def known(self) -> tuple[Difference, ...]:
        """The differences of which both sides are at hand."""
        return tuple(d for d in self.differences if d.largest is not None)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """How one head of one layer comes to its result on one text.

    Attributes
    ----------
    name
        Path of the attention in the model; its class where it is the whole model.
    head, n_heads
    stacked, paper
        As PyTorch computes it, and as the paper writes it.
    equality
        None where there are not two ways: the projections could not be identified.
    check
        Lines of PyTorch that check it; empty where there are none.
    check_needs
        What the names in `check` stand for, in words.
    missing
        Why it starts at q, k, v, or ends before the output; empty where it is whole.
    """

    name: str
    head: int
    n_heads: int
    stacked: tuple[Section, ...]
    paper: tuple[Section, ...]
    equality: Equality | None = None
    check: str = ""
    check_needs: str = ""
    missing: str = ""
