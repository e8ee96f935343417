"""What a server refuses comes out as the error that its engine raised."""

from __future__ import annotations

import json
from typing import Any

import pytest

from djed import errors
from djed.client.problems import problem
from djed.errors import DjedError, Fault, RateError, RequestError, ServerError


def told(**body: Any) -> DjedError | None:
    return problem(json.dumps(body).encode())


KINDS = {
    "not-found": errors.NotFoundError,
    "conflict": errors.ConflictError,
    "store-busy": errors.StoreBusyError,
    "missing-part": errors.MissingPartError,
    "media-type": errors.MediaTypeError,
    "too-large": errors.TooLargeError,
    "token": errors.TokenError,
    "refused": errors.RefusedError,
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_the_class_is_that_of_the_engine(name: str, kind: type[DjedError]) -> None:
    error = told(type=f"urn:djed:error:{name}", title="T", detail="A sentence.", hint="Do it.")
    assert type(error) is kind
    assert (error.message, error.hint) == ("A sentence.", "Do it.")


def test_faults_come_along() -> None:
    faults = [{"path": "run.repeat", "message": "is wrong", "line": 3, "hint": "Do it."}, {"path": "name"}, 7]
    error = told(type="urn:djed:error:request", detail="It is wrong.", faults=faults)
    assert isinstance(error, RequestError)
    assert error.faults == (
        Fault(path="run.repeat", message="is wrong", line=3, hint="Do it."),
        Fault(path="name", message=""),
    )


def test_a_rate_says_when_to_come_back() -> None:
    error = told(type="urn:djed:error:rate", detail="Too many.", after=7)
    assert isinstance(error, RateError)
    assert error.after == 7


@pytest.mark.parametrize(
    "kind", ["urn:djed:error:unheard-of", "about:blank", "urn:djed:error:", "not-found", None]
)
def test_what_is_unknown_is_the_server_s(kind: str | None) -> None:
    assert type(told(type=kind, title="Out of order")) is ServerError


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"7", b"{}", b'{"type": "x"}', b"\xff", b'{"detail": null}', b"[" * 100_000],
)
def test_what_is_no_problem_tells_none(body: bytes) -> None:
    assert problem(body) is None


def test_a_sentence_is_bounded() -> None:
    error = told(detail="x" * 100_000, hint="y" * 100_000)
    assert error is not None
    assert len(error.message) == len(error.hint or "") == 1000
