"""Many texts from lines and tables, good and bad ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from attnviz_gui.errors import InputError
from attnviz_gui.session.texts import in_words, lines_of, read_lines, read_table, table_of

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_without_empty_ones():
    found = lines_of("one\r\n\r\n  two \n\t\nthree\n")
    assert found.texts == ("one", "two", "three")
    assert found.n_empty == 2
    assert found.words == "3 texts; 2 empty ones left out (lines 2, 4)"
    assert lines_of("").texts == ()
    assert lines_of("a\x0cb\u2028c").texts == ("a\x0cb\u2028c",)


def test_a_hundred_thousand_lines(tmp_path: Path):
    file = tmp_path / "many.txt"
    file.write_text("\n".join(f"line {i}" for i in range(100_000)))
    assert len(read_lines(file).texts) == 100_000


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\xff\xfe", b"a\0b\nc", b"", b" \n \n"])
def test_no_text_is_said_to_be_none(tmp_path: Path, content: bytes):
    file = tmp_path / "a.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.txt"):
        read_lines(file)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_bytes("\ufefftext,label\nThe cat sleeps.,1\n".encode())
    table = read_table(file)
    assert table.columns == ("text", "label")
    assert table.column("text").texts == ("The cat sleeps.",)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_quotes_and_delimiters(delimiter: str):
    quoted = f'"two{delimiter} words, with ""quotes""\nand a line"'
    table = table_of(f"id{delimiter}text\n1{delimiter}{quoted}\n2{delimiter}plain\n")
    assert table.columns == ("id", "text")
    assert table.column("text").texts == (
        f'two{delimiter} words, with "quotes"\nand a line', "plain",
    )  # fmt: skip
    assert table.column("2").texts == table.column("text").texts


def test_rows_that_are_too_short_are_left_out_and_counted():
    found = table_of("id,text\n1,one\n2\n3,,\n4,four,more\n").column("text")
    assert found.texts == ("one", "four")
    assert (found.n_ragged, found.n_empty) == (1, 1)
    assert "1 row without it left out" in found.words


def test_a_table_without_names_has_numbers():
    table = table_of("The cat sleeps.,1\nA dog barks.,2\n")
    assert table.columns == ("1", "2")
    assert table.column("1").texts == ("The cat sleeps.", "A dog barks.")


def test_a_column_that_is_not_there():
    with pytest.raises(InputError, match=r"no column 'body'; the table has id, text"):
        table_of("id,text\n1,one\n").column("body")
    with pytest.raises(InputError, match="holds no text"):
        table_of("id,text\n1,\n2, \n").column("text")
    with pytest.raises(InputError, match="no row"):
        table_of("\n\n")


@pytest.mark.parametrize("content", ["id,text\n", "text", "\n\nlabel;sentence\n\n"])
def test_names_alone_are_no_text(content):
    with pytest.raises(InputError, match="names of columns and no row below"):
        table_of(content)
    assert table_of("The cat sleeps.,1\n").column("1").texts == ("The cat sleeps.",)


def test_a_very_long_cell():
    assert len(table_of("id,text\n1," + "a" * 500_000).column("text").texts[0]) == 500_000


def test_what_is_left_out_is_named_by_its_line():
    found = lines_of("one\n\n\x01\x02\nfour\n")
    assert found.numbers == (1, 3, 4)
    assert found.without([1]) == ("one", "four")
    said = found.says_left_out([1])
    assert said == "1 text of which the tokenizer leaves no token and is left out (line 3)"
    assert found.says_left_out([]) == ""
    assert in_words("line", range(1, 101)) == "lines 1, 2, 3, 4, 5, 6, 7, 8 and 92 more"


def test_rows_of_a_table_are_those_of_the_file():
    found = table_of("id,text\n1,one\n\n2,\n3,three\n").column("text")
    assert found.texts == ("one", "three")
    assert (found.numbers, found.empty, found.unit) == ((2, 5), (4,), "row")
    assert found.words == "2 texts; 1 empty one left out (row 4)"
