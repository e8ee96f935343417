"""Numbered pages over cursors, and who may look without a token."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.compat.amun import guest
from djed.compat.amun.listing import listed
from djed.config import Config
from djed.errors import RequestError
from djed.model.summary import Page, Summary


class Engine:
    """A list of inspections by cursors, and how it was asked for."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.limits: list[int] = []

    def page(self, *, limit: int, after: str | None) -> Page[Summary]:
        self.limits.append(limit)
        start = int(after or 0)
        end = start + limit
        items = [
            Summary(
                id=f"id{number}", name=self.names[number], state="queued", outcome=None, created_at=0.0, seconds=None, node=None,
                metric=None, failure=None, repeats=1,
            )
            for number in range(start, min(end, len(self.names)))
        ]  # fmt: skip
        return Page(items=items, next=str(end) if end < len(self.names) else None)


def pages(engine: Any, page: int, limit: int) -> list[str]:
    return list(listed(engine, page, limit))


@given(st.integers(0, 30), st.integers(1, 12), st.integers(1, 12))
def test_a_page_is_a_part_of_the_whole(size: int, page: int, limit: int) -> None:
    engine = Engine(*["x"] * size)
    assert (
        pages(engine, page, limit)
        == [f"id{number}" for number in range(size)][(page - 1) * limit : page * limit]
    )


def test_what_lies_before_a_page_is_passed_in_long_strides() -> None:
    engine = Engine(*["x"] * 2600)
    assert pages(engine, 26, 100) == [f"id{number}" for number in range(2500, 2600)]
    assert engine.limits == [1000, 1000, 500, 100]


def test_a_page_too_far_down_is_refused_before_anything_is_read() -> None:
    engine = Engine("x")
    with pytest.raises(RequestError, match="newest 100000") as caught:
        pages(engine, 1002, 100)
    assert "/v1/inspections" in str(caught.value.hint)
    assert engine.limits == []
    assert pages(engine, 1001, 100) == []


def test_each_door_has_its_ids() -> None:
    amuns = "inspection-tf-261121093000-0a1b2c3d"
    assert pages(Engine("matmul", amuns), 1, 2) == ["id0", amuns]


def test_guests_have_a_namespace_only_where_the_settings_name_one() -> None:
    assert guest(Config()) is None
    found = guest(Config(amun_namespace="guests"))
    assert found is not None
    assert (found.namespace, found.scope, found.token) == ("guests", "submit", None)
