"""Nothing that a user can meet is without a word of explanation."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import get_args

import pytest

import djed.model
from djed import errors
from djed.cli.main import COMMANDS
from djed.config import settings
from djed.model.artifact import ArtifactKind
from djed.model.inspection import Outcome, State
from djed.model.job import JobKind
from djed.model.observation import FAILURE_CLASSES, Stage, Verdict
from djed.model.request import SANDBOX_LEVELS, Reuse

DOCS = Path(__file__).parent.parent.parent / "docs"

# Nouns that are an entry under another word.
UNDER_ANOTHER = {"gpu": "gpu device", "new job": "job"}


def _nouns() -> set[str]:
    """The classes of the model in the words of people: ``JobRecord`` is a job record."""
    found = set()
    for module in pkgutil.iter_modules(djed.model.__path__):
        for name, kind in vars(importlib.import_module(f"djed.model.{module.name}")).items():
            if dataclasses.is_dataclass(kind) and inspect.isclass(kind) and not name.startswith("_"):
                found.add(re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower())
    return found


def _glossary() -> set[str]:
    """The first cells of its tables."""
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)
    return {word.strip("` ").lower() for cell in cells for word in cell.split(",")} - {"word", "---"}


@pytest.mark.parametrize("noun", sorted(_nouns()))
def test_noun_of_the_model_is_in_the_glossary(noun: str) -> None:
    assert UNDER_ANOTHER.get(noun, noun) in _glossary()


@pytest.mark.parametrize("words", [State, Outcome, Stage, Verdict, JobKind, ArtifactKind, Reuse], ids=str)
def test_word_with_a_fixed_meaning_is_in_the_glossary(words: object) -> None:
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8")
    assert [word for word in get_args(words) if f"`{word}`" not in glossary] == []


def test_sandbox_level_is_in_the_glossary() -> None:
    assert set(SANDBOX_LEVELS) <= _glossary()


def test_glossary_has_no_word_twice() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    cells = [cell for cell in re.findall(r"^\| (.+?) \|", text, re.MULTILINE) if cell not in {"word", "---"}]
    assert len(cells) == len(set(cells))


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("settings.md", [name for name, *_ in settings()]),
        ("errors.md", [name for name in errors.__all__ if name != "Fault"]),
        ("failures.md", list(FAILURE_CLASSES)),
        ("cli.md", [f"djed {name}" for name in COMMANDS]),
    ],
    ids=["settings", "errors", "failure classes", "commands"],
)
def test_reference_leaves_none_out(page: str, words: list[str]) -> None:
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    assert [word for word in words if f"`{word}" not in text] == []


def test_error_is_drawn_in_the_tree_of_its_module() -> None:
    """With its exit code and status as they are."""
    drawing = errors.__doc__ or ""
    for name in errors.__all__:
        kind = getattr(errors, name)
        if issubclass(kind, errors.DjedError):
            assert re.search(rf"\b{name} +{kind.exit_code} +{kind.status}\b", drawing), name
