"""Which Python an environment gets."""

from __future__ import annotations

import pytest

from djed.errors import RefusedError, RequestError
from djed.model.hardware import Interpreter
from djed.plan.interpreter import choose_interpreter

THERE = ["3.14.0rc2", "3.13.0", "3.12.1", "3.11.7", "3.11.2", "3.9.18"]


def pythons(*versions: str) -> list[Interpreter]:
    return [
        Interpreter(path=f"/opt/{version}/python", version=version, prefix=f"/opt/{version}")
        for version in versions
    ]


@pytest.mark.parametrize(
    ("python", "requires", "expected"),
    [
        (None, [], "3.13.0"),
        ("3.11", [], "3.11.7"),
        ("3.11.2", [], "3.11.2"),
        ("3.11.*", [], "3.11.7"),
        ("3", [], "3.13.0"),
        ("python3.12", [], "3.12.1"),
        ("cpython@3.12", [], "3.12.1"),
        (">=3.10,<3.13", [], "3.12.1"),
        ("~=3.9.0", [], "3.9.18"),
        ("3.14", [], "3.14.0rc2"),
        ("3.14.0rc2", [], "3.14.0rc2"),
        (">=3.12", [], "3.13.0"),
        (None, ["<3.13"], "3.12.1"),
        ("3.11", ["!=3.11.7", ">=3.8"], "3.11.2"),
        (None, ["", ">=3.8,<3.12"], "3.11.7"),
    ],
)
def test_chooses_the_newest_that_fits(python: str | None, requires: list[str], expected: str) -> None:
    assert choose_interpreter(pythons(*THERE), python, requires).version == expected


def test_order_of_the_list_does_not_matter() -> None:
    assert choose_interpreter(pythons(*reversed(THERE))).version == "3.13.0"


def test_of_two_alike_the_first_is_taken() -> None:
    first, second = (
        pythons("3.11.7")[0],
        Interpreter(path="/usr/bin/python3.11", version="3.11.7", prefix="/usr"),
    )
    assert choose_interpreter([first, second]) == first


def test_refusal_names_what_was_asked_and_what_is_there() -> None:
    with pytest.raises(RefusedError) as caught:
        choose_interpreter(pythons("3.13.0", "3.9.18", "3.9.18"), "3.12", [">=3.8"])
    assert caught.value.message == "No Python here satisfies 3.12 and >=3.8; there are: 3.13.0, 3.9.18."


@pytest.mark.parametrize("there", [[], ["3.14.0rc2"]])
def test_a_pre_release_alone_is_no_default(there: list[str]) -> None:
    with pytest.raises(RefusedError, match="a stable Python"):
        choose_interpreter(pythons(*there))


@pytest.mark.parametrize("python", ["newest", "3.x", ">=", "3.11; rm -rf /", "pypy3.10"])
def test_words_that_are_no_version(python: str) -> None:
    with pytest.raises(RequestError) as caught:
        choose_interpreter(pythons(*THERE), python)
    assert caught.value.faults[0].path == "environment.python"
