"""Each family of transformers that the README names, as a tiny random model: read exactly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch

from tests.families import interface_families, operand_families
from tests.families.__main__ import BEGIN, END, README
from tests.families.table import EXACT, FAMILIES, UNREPORTED, row

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a shorter text's attention depends on in a batch, beside its own tokens: a convolution, a
# pooling or a second stream over the padding.
NOT_AS_ALONE = {"convbert", "canine", "funnel", "prophetnet"}

# Those with an `nn.MultiheadAttention` beside their own.
OTHER_WAYS = {"siglip": "several ways at once"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models are faster on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("family", FAMILIES)
def test_read_exactly(family: str) -> None:
    measured = row(family)
    by_operands = family in operand_families.FAMILIES
    way = "operands of the softmax" if by_operands else "attention interface"
    assert measured.way == OTHER_WAYS.get(family, way)
    assert measured.found == measured.reported + UNREPORTED.get(family, 0) > 0
    assert measured.difference <= EXACT
    assert measured.unchanged
    if FAMILIES[family].inputs == "text":
        assert measured.padding == ("batch" if family in NOT_AS_ALONE else "alone")


def test_no_family_stands_in_both_tables() -> None:
    assert not interface_families.FAMILIES.keys() & operand_families.FAMILIES.keys()
    assert len(operand_families.FAMILIES) >= 20
    assert len(FAMILIES) >= 60


def test_the_readme_names_them() -> None:
    table = README.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    named = re.findall(r"^\| (?!Family )([^|]+?) \|", table, flags=re.MULTILINE)
    assert named == list(FAMILIES)
