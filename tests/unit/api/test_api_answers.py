"""Prepared answers and their tags."""

from __future__ import annotations

import json

import pytest
from starlette.requests import Request

from djed.api.answers import answer, tagged, unchanged
from djed.model.access import Namespace, Quota


def asking(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs})


def test_a_noun_is_its_json() -> None:
    made = answer(Namespace(name="lab", quota=Quota(cpu=1.5)), 201, headers={"Location": "/x"})
    assert json.loads(bytes(made.body)) == {"name": "lab", "quota": {"cpu": 1.5}}
    assert (made.status_code, made.headers["location"]) == (201, "/x")


@pytest.mark.parametrize("known", ['"a"', 'W/"a"', '"b", "a"', '"b",W/"a"', "*", "a"])
def test_who_has_it_is_told_that_it_is_unchanged(known: str) -> None:
    found = unchanged(asking(if_none_match=known), "a")
    assert found is not None
    assert found.status_code == 304
    assert found.headers["etag"] == '"a"'
    assert found.headers["cache-control"] == tagged("a")["Cache-Control"]


@pytest.mark.parametrize("known", ["", '"b"', '"aa"', '"A"', "W/", '","'])
def test_who_has_something_else_is_not(known: str) -> None:
    assert unchanged(asking(if_none_match=known), "a") is None
    assert unchanged(asking(), "a") is None
