"""What came of a real inspection, over HTTP: waiting, logs whole and in parts, outputs, artifacts; and one key asked many times at once."""

from __future__ import annotations

import csv
import io
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from djed.model.artifact import Artifact
from djed.model.codec import decode
from djed.model.inspection import AttemptRecord, Event, Inspection, JobRecord
from djed.model.summary import StoredObservation
from tests.support.server import Served, server

pytestmark = pytest.mark.needs("uv")

SCRIPT = """\
mkdir -p "$DJED_OUTPUTS/deep"
printf 0123456789
printf oops >&2
printf '<script>' > "$DJED_OUTPUTS/deep/gr\u00f6\u00dfe.html"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with server(tmp_path_factory.mktemp("results") / "data") as made:
        yield made


@pytest.fixture(scope="module")
def done(served: Served) -> Any:
    """An inspection that ended well."""
    id_ = served.submit(SCRIPT)
    found = served.get(f"/v1/inspections/{id_}", params={"wait": 60})
    assert found["outcome"] == "succeeded", found
    return found


def test_it_is_waited_for(done: Any) -> None:
    assert done["final"] is True
    assert decode(Inspection, done).state == "done"


def test_a_wait_ends_with_a_change(served: Served) -> None:
    id_ = served.submit("sleep 60\n")
    path = f"/v1/inspections/{id_}"
    tag = served.call("GET", path).headers["etag"]
    threading.Timer(0.2, served.call, ("POST", f"{path}/cancel")).start()
    while True:  # it is also told that it is locking, building, running
        answer = served.call("GET", path, params={"wait": 30}, headers={"If-None-Match": tag})
        assert answer.status_code == 200
        assert answer.headers["etag"] != tag
        tag = answer.headers["etag"]
        if answer.json()["final"]:
            break
    assert answer.json()["state"] == "cancelled"
    assert served.call("GET", path, params={"wait": 30}, headers={"If-None-Match": tag}).status_code == 304


def test_a_wait_that_is_over_is_answered_as_it_is(served: Served) -> None:
    id_ = served.submit("sleep 60\n")
    path = f"/v1/inspections/{id_}"
    assert served.get(path, params={"wait": 0.2})["final"] is False
    served.call("POST", f"{path}/cancel")
    assert served.get(path, params={"wait": 30})["state"] == "cancelled"


def test_logs_are_whole_or_in_parts(served: Served, done: Any) -> None:
    path = f"/v1/inspections/{done['id']}/logs/run:0"
    whole = served.call("GET", f"{path}/stdout")
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-disposition"].startswith("attachment")
    part = served.call("GET", f"{path}/stdout", headers={"Range": "bytes=-3"})
    assert (part.status_code, part.content) == (206, b"789")
    assert part.headers["content-range"] == "bytes 7-9/10"
    beyond = served.call("GET", f"{path}/stdout", headers={"Range": "bytes=10-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")
    assert beyond.headers["content-type"] == "application/problem+json"
    assert served.call("GET", f"{path}/stderr").content == b"oops"
    assert served.call("GET", f"{path}/stdin").status_code == 422


def test_a_job_is_found_by_its_id(served: Served, done: Any) -> None:
    items = served.get(f"/v1/inspections/{done['id']}/jobs")["items"]
    run = next(decode(JobRecord, item) for item in items if item["role"] == "run:0")
    assert decode(JobRecord, served.get(f"/v1/jobs/{run.id}")) == run
    told = served.call("GET", f"/v1/jobs/{run.id}/log", params={"offset": 2, "limit": 3})
    assert told.content == b"234"
    (attempt,) = [
        item
        for item in served.get(f"/v1/inspections/{done['id']}/attempts")["items"]
        if item["job"] == run.id
    ]
    assert decode(AttemptRecord, attempt).state == "accepted"


def test_outputs_are_files_and_never_pages(served: Served, done: Any) -> None:
    path = f"/v1/inspections/{done['id']}/outputs/run:0"
    answer = served.call("GET", f"{path}/deep/größe.html")
    assert (answer.status_code, answer.content) == (200, b"<script>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "filename*=UTF-8''gr%C3%B6%C3%9Fe.html" in answer.headers["content-disposition"]
    part = served.call("GET", f"{path}/deep/größe.html", headers={"Range": "bytes=1-6"})
    assert part.content == b"script"
    for wrong in ("deep", "deep/x", "..%2F..%2Fresult.json", "%2Fetc%2Fpasswd", "deep/%00"):
        assert served.call("GET", f"{path}/{wrong}").status_code in {404, 422}, wrong


def test_events_lead_to_the_end(served: Served, done: Any) -> None:
    items = served.get(f"/v1/inspections/{done['id']}/events")["items"]
    found = [decode(Event, item) for item in items]
    assert [item["position"] for item in items] == [event.position for event in found]
    assert {"state", "done"} <= {event.kind for event in found}


def test_its_artifact_is_handed_out(served: Served) -> None:
    request = {
        "environment": {"python": ">=3.11"},
        "run": {"script": {"path": "a.py", "content": "print(1)"}, "resources": {"cpu": 1}},
    }
    made = served.call("POST", "/v1/inspections", json=request).json()
    found = served.get(f"/v1/inspections/{made['id']}", params={"wait": 60})
    assert found["outcome"] == "succeeded", found
    path = f"/v1/artifacts/{found['artifact']}"
    artifact = decode(Artifact, served.get(path))
    assert artifact.digest in {item["digest"] for item in served.get("/v1/artifacts")["items"]}
    with tarfile.open(fileobj=io.BytesIO(served.call("GET", f"{path}/download").content)) as archive:
        names = archive.getnames()
        assert {name.split("/")[0] for name in names} == {f"venv-{artifact.digest[7:23]}"}
        assert names == sorted(names, key=lambda name: name.split("/"))
        assert not any(member.linkname.startswith("/") for member in archive.getmembers())


def test_observations_are_json_and_csv(served: Served, done: Any) -> None:
    found = served.get("/v1/observations", params={"inspection": done["id"]})["items"]
    assert {"runs", "metric"} <= {decode(StoredObservation, item).kind for item in found}
    answer = served.call("GET", f"/v1/observations?inspection={done['id']}", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["seq"] for row in rows] == [str(item["seq"]) for item in found]


def test_a_plan_shows_the_lock_the_jobs_and_the_node(served: Served) -> None:
    request = {"run": {"script": {"path": "a.sh", "content": "exit 0"}}}
    plan = served.call("POST", "/v1/plan", json=request, params={"wait": 30}).json()
    assert plan["fits"] is True
    assert plan["run_node"] in {node["id"] for node in served.get("/v1/nodes")["items"]}
    assert [job["kind"] for job in plan["jobs"]][-1] == "run"
    assert plan["recipe"].startswith("FROM ")
    wanted = {**request["run"], "hardware": {"arch": "vax"}}
    refused = served.call("POST", "/v1/plan", json={"run": wanted}).json()
    assert (refused["fits"], bool(refused["considered"])) == (False, True)


def test_one_key_asked_many_times_at_once_makes_one_inspection(served: Served) -> None:
    token = served.new_token("submit", namespace="same")
    body = {"name": "same", "until": "lock"}

    def ask(_: int) -> str:
        answer = served.call(
            "POST", "/v1/inspections", token=token, json=body, headers={"Idempotency-Key": "k"}
        )
        return str(answer.json().get("id", answer.text))

    with ThreadPoolExecutor(16) as threads:
        made = set(threads.map(ask, range(100)))
    assert len(made) == 1
    assert len(served.get("/v1/inspections", token=token)["items"]) == 1
