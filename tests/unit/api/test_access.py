"""What is counted and logged of a call."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from djed.api.access import Access
from djed.api.metrics import API
from djed.api.state import Call
from djed.model.principal import Principal
from djed.worker.counters import Counters

PRINCIPAL = Principal(name="ci", namespace="default", scope="read", token="t0ken")


def serve(counters: Counters, *, answer: bool = True, **scope: Any) -> None:
    """One call through an application that sees the route that ``scope`` says."""

    async def app(inner: Any, receive: Any, send: Any) -> None:
        inner["djed"] = Call(id="abcd", principal=PRINCIPAL)
        if not answer:
            raise ConnectionResetError
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def ignore(*_: Any) -> Any:
        """Nobody listens."""

    whole = {"type": "http", "method": "GET", "path": "/x", **scope}
    asyncio.run(Access(app, counters)(whole, ignore, ignore))


def requests(counters: Counters) -> dict[tuple[str, ...], float]:
    return {labels: cell[0] for measure, labels, cell in counters.items() if measure.kind == "counter"}


def test_a_call_is_told_by_the_template_of_its_route(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "djed.access")
    counters = Counters(API)
    route = SimpleNamespace(path="/v1/inspections/{reference}")
    serve(
        counters,
        route=route,
        path="/v1/inspections/hush",
        path_params={"reference": "abc"},
        query_string=b"secret=hush",
        headers=[(b"authorization", b"Bearer hush")],
    )
    assert requests(counters) == {("GET", "/v1/inspections/{reference}", "204"): 1}
    [record] = caplog.records
    assert record.getMessage() == "GET /v1/inspections/{reference}"
    told = vars(record)
    assert (told["status"], told["request"], told["token"], told["inspection"]) == (
        204,
        "abcd",
        "t0ken",
        "abc",
    )
    assert told["ms"] >= 0
    assert "hush" not in str(told)


def test_what_has_no_route_is_one_and_foreign_methods_are_one() -> None:
    counters = Counters(API)
    for number in range(5):
        serve(counters, path=f"/{number}", method=f"M{number}")
    assert requests(counters) == {("OTHER", "none", "204"): 5}


def test_probes_are_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "djed.access")
    serve(Counters(API), route=SimpleNamespace(path="/healthz"))
    assert not caplog.records


def test_a_caller_who_left_is_counted() -> None:
    counters = Counters(API)
    with pytest.raises(ConnectionResetError):
        serve(counters, answer=False)
    assert requests(counters) == {("GET", "none", "0"): 1}


def test_what_is_no_call_passes() -> None:
    counters = Counters(API)
    serve(counters, type="lifespan")
    assert not counters.items()
