"""Amun's requests on images, through a real server: what it was made for, and what its first deployments asked of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.images import debian_root
from tests.support.server import Served, server

pytestmark = pytest.mark.needs("uv", "bwrap", "mmdebstrap", "podman", "index")

DEBIAN = ("python3", "ca-certificates")


def specification(base: str, **fields: Any) -> dict[str, Any]:
    """The example of its documentation, of what can still be had."""
    return {
        "base": base,
        "batch_size": 2,
        "build": {"requests": {"cpu": "1", "memory": "1Gi"}},
        "files": [{"path": "/home/amun/data.csv", "content": "1,2\n"}],
        "identifier": "tf-dm-rw",
        "packages": ["libgomp1"],
        "python_packages": [],
        "package_manager": "micropipenv",
        "environment": [{"name": "OMP_NUM_THREADS", "value": 'it\'s "1" $HOME'}],
        "run": {"requests": {"cpu": "1", "memory": "4Gi"}},
        "python": {
            "requirements": {
                "packages": {"six": "==1.16.0"},
                "dev-packages": {},
                "requires": {"python_version": "3.11"},
            }
        },
        "script": "import os, six\nprint(six.__version__, open('data.csv').read().strip(), os.environ['OMP_NUM_THREADS'])\n"
        "print(os.path.exists('/usr/lib/x86_64-linux-gnu/libgomp.so.1'), open('/etc/os-release').read().count('bookworm') > 0)\n",
        **fields,
    }


@pytest.fixture(scope="module")
def base() -> str:
    return f"rootfs:{debian_root(DEBIAN)}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("amun")
    with server(folder / "data", environ={"DJED_AMUN_NAMESPACE": "guests", "DJED_BASES": base}) as found:
        yield found


def final(served: Served, id_: str) -> dict[str, Any]:
    """Its status, once it is over."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        status: dict[str, Any] = served.call("GET", f"/api/v1/inspect/{id_}/status", token="").json()[
            "status"
        ]
        if status["workflow"]["phase"] not in {"Pending", "Running"}:
            return status
        threading.Event().wait(0.2)
    raise AssertionError("it did not end")


def test_the_example_is_built_on_an_image_and_run(served: Served, base: str) -> None:
    answer = served.call("POST", "/api/v1/inspect", token="", json=specification(base))
    assert answer.status_code == 202, answer.text
    id_ = answer.json()["inspection_id"]
    status = final(served, id_)
    log = served.call("GET", f"/api/v1/inspect/{id_}/build/log", token="").text
    assert status["workflow"]["phase"] == "Succeeded", (status, log)
    for item in range(2):
        found = served.call("GET", f"/api/v1/inspect/{id_}/job/{item}/result", token="").json()["result"]
        assert found["exit_code"] == 0, found
        assert found["stdout"] == '1.16.0 1,2 it\'s "1" $HOME\nTrue True\n'
    told = served.call("GET", f"/api/v1/inspect/{id_}/specification", token="").json()["specification"]
    assert (told["base"], told["packages"]) == (base, ["libgomp1"])


def test_a_base_that_nobody_allowed_is_answered_with_the_reason(served: Served) -> None:
    asked = specification("registry.example/thoth-station/s2i-thoth-ubi8-py36")
    answer = served.call("POST", "/api/v1/inspect", token="", json=asked)
    assert answer.status_code == 400, answer.text
    assert "is not among the bases that this server allows" in answer.json()["error"]


def test_what_would_be_built_can_be_seen_for_any_base(served: Served) -> None:
    asked = specification("registry.example/thoth-station/s2i-thoth-ubi8-py36")
    answer = served.call("POST", "/api/v1/_debug/generate-dockerfile", token="", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["dockerfile"].startswith("FROM registry.example/thoth-station/s2i-thoth-ubi8-py36")
