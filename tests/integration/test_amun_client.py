"""Amun's own client, as it was published (amun 0.5.0), drives a real server through every function that it has."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.support.index import LoopbackIndex, wheel
from tests.support.live import until
from tests.support.server import Served, server

amun: Any = import_module("amun")
swagger: Any = import_module("amun.swagger_client")

pytestmark = pytest.mark.needs("bwrap", "uv")

SCRIPT = """\
import json, leaf, platform
found = {"name": "Pi", "component": "leaf", "@parameters": {"reps": 1}, "@result": {"rate": 2.5}}
print(json.dumps({**found, "on": platform.python_version()}))
"""
ENDED = {"Succeeded", "Failed", "Error"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("amun") / "data"
    with server(data, environ={"DJED_AMUN_NAMESPACE": "guests"}) as found:
        yield found


@pytest.fixture(scope="module")
def url(served: Served) -> str:
    return f"{served.url}/api/v1"


@pytest.fixture(scope="module")
def api(url: str) -> Any:
    return amun.instantiate_inspection_api(url)


@pytest.fixture(scope="module")
def stack() -> Iterator[dict[str, Any]]:
    """A Pipfile and its lock, of one package."""
    leaf = wheel("leaf", "1.0")
    with LoopbackIndex(leaf) as index:
        source = {"name": "main", "url": index.url, "verify_ssl": True}
        locked = {"hashes": [f"sha256:{leaf.sha256}"], "index": "main", "version": "==1.0"}
        yield {
            "requirements": {"packages": {"leaf": "*"}, "dev-packages": {}, "source": [source]},
            "requirements_locked": {"_meta": {"pipfile-spec": 6, "sources": [source]}, "default": {"leaf": locked}, "develop": {}},
        }  # fmt: skip


def ended(url: str, id_: str) -> dict[str, Any]:
    """The status once it is final."""
    until(lambda: amun.get_inspection_status(url, id_)["workflow"]["phase"] in ENDED, id_)
    found: dict[str, Any] = amun.get_inspection_status(url, id_)
    return found


@pytest.fixture(scope="module")
def done(url: str, stack: dict[str, Any]) -> str:
    """The id of an inspection that ran twice."""
    requests = {"requests": {"cpu": "1", "memory": "512Mi"}}
    told = amun.inspect(
        url, "host", identifier="tf-dm", batch_size=2, python=stack, script=SCRIPT, build=requests, run=requests,
        environment=[{"name": "A", "value": "1"}], files=[{"path": "/home/amun/data.csv", "content": "1,2"}],
    )  # fmt: skip
    assert told["parameters"]["batch_size"] == 2
    status = ended(url, told["inspection_id"])
    assert status["workflow"]["phase"] == "Succeeded", status
    return str(told["inspection_id"])


def test_the_status_of_an_inspection(url: str, done: str) -> None:
    status = amun.get_inspection_status(url, done)
    assert status["build"]["state"] == "terminated"
    assert (status["build"]["exit_code"], status["build"]["reason"]) == (0, "Completed")
    assert status["data_stored"] is True


def test_the_log_of_a_build(url: str, done: str) -> None:
    assert "leaf==1.0" in amun.get_inspection_build_log(url, done)


def test_the_results_of_all_runs(api: Any, done: str) -> None:
    assert api.get_inspection_job_batch_size(done).batch_size == 2
    for item in range(2):
        result = api.get_inspection_job_result(done, item).result
        assert result.exit_code == 0
        assert result.stdout["@result"] == {"rate": 2.5}
        assert len(result.script_sha256) == 64
        assert result.hwinfo["cpu_info"]["arch"]
        version = result.runtime_environment["python_version"]
        assert result.stdout["on"].startswith(f"{version}."), "the stack's own Python"
        assert result.usage["ru_maxrss"] > 0
        assert result.os_release["id"] == platform.freedesktop_os_release()["ID"]
    with pytest.raises(swagger.exceptions.ApiException) as caught:
        api.get_inspection_job_result(done, 2)
    assert (caught.value.status, json.loads(caught.value.body)["parameters"]["inspection_id"]) == (404, done)


def test_the_log_of_a_run(api: Any, done: str) -> None:
    """The client expects an object, as Amun's document said, and failed on the text that Amun sent."""
    log = api.get_inspection_job_log(done, 0).log
    assert (log.exit_code, log.stderr, log.stdout["component"]) == (0, "", "leaf")


def test_the_specification(api: Any, done: str, stack: dict[str, Any]) -> None:
    found = api.get_inspection_specification(done).specification
    assert (found.base, found.identifier, found.batch_size, found.script) == ("host", "tf-dm", 2, SCRIPT)
    assert found.python.requirements_locked == stack["requirements_locked"]
    assert (found.build.requests.cpu, found.run.requests.memory) == ("1", "512Mi")
    assert found.files[0].path == "/home/amun/data.csv"


def test_what_the_client_itself_cannot_do(url: str, done: str) -> None:
    """Its wrapper reads keys that its own generated models drop, and calls a method that they do not have: no answer can mend that."""
    with pytest.raises(KeyError, match="job"):
        amun.has_inspection_job(url, done)
    with pytest.raises(KeyError, match="job"):
        amun.is_inspection_finished(url, done)
    with pytest.raises(KeyError, match="created"):
        amun.get_inspection_specification(url, done)
    with pytest.raises(AttributeError, match="get_inspection_job_logs"):
        amun.get_inspection_job_logs(url, done)


def test_what_the_wrapper_reads_is_there(served: Served, done: str) -> None:
    """For the clients of its time, whose models had it."""
    found = served.call("GET", f"/api/v1/inspect/{done}/status", token="").json()["status"]
    assert found["job"]["completions"] == found["job"]["succeeded"] == 2
    assert served.call("GET", f"/api/v1/inspect/{done}/specification", token="").json()["created"]
    logs = served.call("GET", f"/api/v1/inspect/{done}/job/logs", token="").json()["logs"]
    assert [log["exit_code"] for log in logs] == [0, 0]
    first = served.call("GET", f"/api/v1/inspect/{done}/job/log", token="").json()["log"]
    assert first == logs[0]
    assert first["stdout"]["@result"] == {"rate": 2.5}


def test_other_clients_read_the_log_of_a_run_as_text(served: Served, done: str) -> None:
    log = served.call("GET", f"/api/v1/inspect/{done}/job/1/log", token="").json()["log"]
    assert json.loads(log)["name"] == "Pi"


def test_an_inspection_that_waits_is_not_finished(url: str, served: Served) -> None:
    hardware = {"cpu_family": 1, "cpu_model": 1, "processor": "none"}
    id_ = amun.inspect(url, "host", build={"requests": {"hardware": hardware}})["inspection_id"]
    status = ended(url, id_)
    assert (status["workflow"]["phase"], status["build"]["reason"]) == ("Error", "Refused")
    assert status["workflow"]["message"]
    assert status["workflow"]["message"] in amun.get_inspection_build_log(url, id_)


def test_the_hardware_of_a_run_is_honoured(url: str) -> None:
    """Amun read that of the build alone, and dropped it."""
    hardware = {"cpu_family": 1, "cpu_model": 1, "processor": "none"}
    id_ = amun.inspect(url, "host", script="#!/bin/sh\n", run={"requests": {"hardware": hardware}})[
        "inspection_id"
    ]
    assert ended(url, id_)["workflow"]["phase"] == "Error"


def test_without_a_script_it_only_builds(url: str, api: Any, stack: dict[str, Any]) -> None:
    id_ = amun.inspect(url, "host", python=stack)["inspection_id"]
    status = ended(url, id_)
    assert (status["workflow"]["phase"], status["build"]["state"]) == ("Succeeded", "terminated")
    assert api.get_inspection_job_batch_size(id_).batch_size == 0


@pytest.mark.parametrize(
    ("script", "stdout"),
    [("#!/bin/sh\necho '{\"a\": 1}'\n", {"a": 1}), ("#!/bin/sh\necho a\n", {"text": "a\n"})],
)
def test_any_interpreter_is_taken_by_its_shebang(
    url: str, api: Any, script: str, stdout: dict[str, Any]
) -> None:
    id_ = amun.inspect(url, "host", script=script)["inspection_id"]
    assert ended(url, id_)["workflow"]["phase"] == "Succeeded"
    assert api.get_inspection_job_result(id_, 0).result.stdout == stdout


def test_a_script_that_fails_has_a_result(url: str, api: Any, served: Served) -> None:
    id_ = amun.inspect(url, "host", script="#!/bin/sh\necho no >&2; exit 3\n")["inspection_id"]
    assert ended(url, id_)["workflow"]["phase"] == "Failed"
    result = api.get_inspection_job_result(id_, 0).result
    assert (result.exit_code, result.stderr, result.stdout) == (3, "no\n", {})
    job = served.call("GET", f"/api/v1/inspect/{id_}/status", token="").json()["job"]
    assert (job["exit_code"], job["reason"], job["completions"]) == (3, "Error", job["succeeded"])


def test_what_is_refused_raises_with_amuns_words(url: str) -> None:
    with pytest.raises(swagger.exceptions.ApiException) as caught:
        amun.inspect(url, "quay.example/fedora:30")
    assert caught.value.status == 400
    body = json.loads(caught.value.body)
    assert "is not among the bases that this server allows" in body["error"]
    assert body["parameters"]["base"] == "quay.example/fedora:30"
    with pytest.raises(swagger.exceptions.ApiException) as unknown:
        amun.get_inspection_status(url, "inspection-nope")
    assert unknown.value.status == 404


def test_the_other_interfaces_of_the_client(url: str, done: str) -> None:
    configuration = swagger.Configuration(host=url)
    client = swagger.ApiClient(configuration)
    version = swagger.ServiceApi(client).get_version()
    assert (version.version, version.service_version.startswith("0.10.6+")) == ("0.10.6", True)
    specification = swagger.InspectionSpecification(
        base="fedora:30", packages=["which"], script="#!/bin/sh\n"
    )
    answer, status, headers = swagger.DebugApi(client).post_generate_dockerfile_with_http_info(specification)
    assert (status, answer.dockerfile.startswith("FROM fedora:30\n")) == (200, True)
    assert headers["X-Amun-Version"] == version.service_version
    told, status, _ = swagger.InspectionApi(client).post_inspection_with_http_info(
        swagger.InspectionSpecification(base="host")
    )
    assert (status, told.inspection_id.startswith("inspection-")) == (202, True)
    thread = swagger.InspectionApi(client).get_inspection_status(done, async_req=True)
    assert thread.get(60).status.workflow["phase"] == "Succeeded"


def test_a_token_goes_along_as_a_header_of_the_client(served: Served, url: str) -> None:
    client = swagger.ApiClient(
        swagger.Configuration(host=url), "Authorization", f"Bearer {served.new_token(namespace='team')}"
    )
    api = swagger.InspectionApi(client)
    id_ = api.post_inspection(swagger.InspectionSpecification(base="host")).inspection_id
    assert api.get_inspection_status(id_).parameters["inspection_id"] == id_
    with pytest.raises(swagger.exceptions.ApiException):
        amun.get_inspection_status(url, id_)
