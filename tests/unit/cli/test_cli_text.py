"""Text for terminals: nothing that a job or a name says is obeyed."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from djed.cli.render.table import Column, table
from djed.cli.render.text import bold, cell_width, log_lines, neutralise, plain, shorten

ANYTHING = st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x1b[]m\x9b\x07\x00\r\n\u202e")))


@given(ANYTHING)
def test_nothing_a_terminal_obeys_survives(text: str) -> None:
    shown = neutralise(text)
    assert not [letter for letter in shown if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@given(ANYTHING)
def test_neutralising_twice_changes_nothing(text: str) -> None:
    assert neutralise(neutralise(text)) == neutralise(text)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_honest_text_is_left_alone(text: str) -> None:
    assert neutralise(text) == text


@given(ANYTHING)
def test_lines_of_a_log_are_neutral(text: str) -> None:
    assert all(neutralise(line) == line for line in log_lines(text))


def test_colours_and_titles_vanish_whole() -> None:
    assert neutralise("\x1b[1;31mred\x1b[0m \x1b]0;title\x07and \x1b]8;;http://x\x1b\\link") == "red and link"


def test_a_lone_control_character_is_shown() -> None:
    assert neutralise("a\x07b\x1bc\x7f\x85\u202e") == "a␇b␛c␡\\x85\\u202e"


def test_a_log_ends_lines_as_terminals_do() -> None:
    assert log_lines("one\r\ntwo\rthree\n\n\n") == ["one", "two", "three"]


def test_only_the_last_lines_are_taken() -> None:
    assert log_lines("a\nb\nc\n", last=2) == ["b", "c"]
    assert log_lines("a\nb\n", last=0) == []


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "M"])), st.integers(1, 40))
def test_shortened_text_fits(text: str, width: int) -> None:
    assert cell_width(shorten(text, width)) <= width


def test_wide_characters_count_twice() -> None:
    assert cell_width("日本") == 4
    assert shorten("日本語", 5) == "日本…"


CELLS = st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=5)


@given(CELLS, st.integers(30, 120))
def test_a_table_fits_its_width(rows: list[tuple[str, str]], width: int) -> None:
    columns = [Column(title="NAME", least=8), Column(title="WHAT", least=8)]
    lines = table(columns, rows, width=width)
    assert all(cell_width("".join(map(plain, line)).rstrip()) <= width for line in lines)


def test_a_table_is_not_cut_without_a_width() -> None:
    lines = table([Column(title="A", least=2), Column(title="B")], [["x" * 300, bold("y")]])
    assert "".join(map(plain, lines[1])) == "x" * 300 + "  y"


def test_numbers_stand_right() -> None:
    lines = table([Column(title="N", right=True), Column(title="X")], [["1", "a"], ["10", "b"]])
    assert ["".join(map(plain, line)) for line in lines] == [" N  X", " 1  a", "10  b"]
