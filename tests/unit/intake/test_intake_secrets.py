"""The names of secrets in a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from djed.config import Config
from djed.errors import Fault
from djed.intake import read_mapping
from djed.model.secret import SECRETS_PER_REQUEST


def _request(*names: Any) -> dict[str, Any]:
    return {"run": {"command": ["true"], "secrets": list(names)}}


def test_names_are_taken_as_they_are() -> None:
    run = read_mapping(_request("token", "key.pem", "_A-1"), config=Config()).request.run
    assert run is not None
    assert run.secrets == ("token", "key.pem", "_A-1")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "-a", "1a", "a b", "a\n", "ä", "x" * 64, 7, None]
)
def test_what_is_no_name_is_a_fault_at_its_place(
    faults: Callable[[Mapping[str, Any]], tuple[Fault, ...]], name: Any
) -> None:
    (fault,) = faults(_request("token", name))
    assert fault.path == "run.secrets[1]"


@pytest.mark.parametrize(
    "names", [("a", "a"), tuple(f"n{number}" for number in range(SECRETS_PER_REQUEST + 1))]
)
def test_twice_or_too_many_is_a_fault(
    faults: Callable[[Mapping[str, Any]], tuple[Fault, ...]], names: tuple[str, ...]
) -> None:
    (fault,) = faults(_request(*names))
    assert fault.path == "run.secrets"
