"""The metrics, the log and the webhooks of a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Served, server

pytestmark = pytest.mark.needs("bwrap")

LOG = {"DJED_LOG_FORMAT": "json", "DJED_WEBHOOKS_ALLOW_PRIVATE": "true", "DJED_WORKER_LEASE": "1s"}


@pytest.fixture
def served(data: Path) -> Iterator[Served]:
    with server(data, environ=LOG) as it:
        yield it


def finish(served: Served, id_: str) -> dict[str, Any]:
    inspection: dict[str, Any] = served.get(f"/v1/inspections/{id_}?wait=60")
    assert inspection["state"] == "done"
    return inspection


def samples(served: Served) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    answer = served.call("GET", "/metrics")
    assert answer.status_code == 200
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def ran(served: Served) -> float:
    return sum(
        value
        for labels, value in samples(served).get("djed_attempts_total", {}).items()
        if ("kind", "run") in labels
    )


def test_what_was_done_is_told_and_stays_after_a_restart(data: Path) -> None:
    with server(data, environ=LOG) as first:
        finish(first, first.submit())
        finish(first, first.submit("exit 3\n"))
        assert first.stop() == 0
    with server(data, token=first.token, environ=LOG) as second:
        found = samples(second)
        assert ran(second) == 2
        assert sum(found["djed_inspection_seconds_count"].values()) == 2
        failed = frozenset({("kind", "run"), ("failure", "nonzero_exit")})
        assert found["djed_job_seconds_count"][failed] == 1
        assert found["djed_wait_seconds_count"][frozenset()] == 2
        assert found["djed_transaction_seconds_count"][frozenset()] > 0
        assert found["djed_workers"][frozenset()] == 1


def test_a_killed_worker_takes_nothing_along(data: Path) -> None:
    with server(data, environ=LOG) as first:
        finish(first, first.submit())
        while ran(first) == 0:  # it keeps its counters every third of a lease
            time.sleep(0.1)
        first.kill()
    with server(data, token=first.token, environ=LOG) as second:
        assert ran(second) == 1


def test_metrics_need_a_token(served: Served) -> None:
    assert served.call("GET", "/metrics", token="").status_code == 401
    assert served.call("GET", "/metrics", token=served.new_token("read")).status_code == 200


def test_calls_are_counted_and_logged_without_what_is_secret(served: Served) -> None:
    id_ = served.submit()
    served.call("GET", f"/v1/inspections/{id_}?after=hush-hush")
    served.call("GET", "/no/such/path/hush-hush")
    requests = samples(served)["djed_api_requests_total"]
    known = {("method", "GET"), ("route", "/v1/inspections/{reference}"), ("status", "200")}
    unknown = {("method", "GET"), ("route", "none"), ("status", "404")}
    assert requests[frozenset(known)] == requests[frozenset(unknown)] == 1
    served.stop()
    text = (served.data.parent / f"{served.data.name}.log").read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    access = [line for line in lines if line["logger"] == "djed.access"]
    [line] = [line for line in access if line["event"] == "GET /v1/inspections/{reference}"]
    assert (line["status"], line["inspection"]) == (200, id_)
    assert served.token.split("_")[1] == line["token"]
    assert "hush-hush" not in text
    assert served.token not in text


def test_a_webhook_is_told_of_the_end(served: Served) -> None:
    came: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        receiver.timeout = 60
        hook = {"url": f"http://127.0.0.1:{receiver.server_port}/", "events": ["done"]}
        assert served.call("POST", "/v1/webhooks", json=hook).status_code == 201
        id_ = served.submit()
        receiver.handle_request()
    [message] = came
    assert message["kind"] == "done"
    assert message["inspection"]["id"] == id_
    assert message["inspection"]["outcome"] == "succeeded"
