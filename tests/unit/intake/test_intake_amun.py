"""A request to Amun is accepted as it is."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.config import Config
from djed.errors import Fault, RequestError
from djed.intake import Submission, read_mapping
from djed.intake.amun import recognise
from djed.model.base import hint_for
from djed.model.request import Environment, File, HardwareRequirement, Index, Request, Resources, Run

Find = Callable[[Mapping[str, Any]], tuple[Fault, ...]]
HASH = "sha256:" + "ab" * 32
SOURCE = {"name": "main", "url": "https://index.example/simple", "verify_ssl": True}
LOCKED: dict[str, Any] = {
    "_meta": {"hash": {"sha256": "…"}, "pipfile-spec": 6, "requires": {"python_version": "3.6"}, "sources": [SOURCE]},
    "default": {"Six": {"hashes": [HASH], "index": "main", "version": "==1.15.0"}},
    "develop": {},
}  # fmt: skip
PIPFILE: dict[str, Any] = {
    "packages": {"tensorflow": "==2.1.0"}, "dev-packages": {"pytest": "*"},
    "requires": {"python_version": "3.6"}, "source": [SOURCE],
}  # fmt: skip
EXAMPLE: dict[str, Any] = {
    "base": "quay.example/debian:12", "batch_size": 1, "build": {"requests": {"cpu": "1", "memory": "1Gi"}},
    "files": [], "identifier": "tf-dm-rw", "packages": [], "python_packages": ["micropipenv[toml]"],
    "package_manager": "micropipenv", "run": {"requests": {"cpu": "1", "memory": "4Gi"}},
    "python": {"requirements": PIPFILE, "requirements_locked": LOCKED},
    "script": "#!/usr/bin/env python3\nprint(1)\n",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def debian() -> Any:
    """The machine is a Debian 12."""
    release = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platform, "freedesktop_os_release", lambda: release)
        yield


def translated(**fields: Any) -> Request:
    return read_mapping({"base": "debian:12", **fields}, config=Config()).request


def run(**fields: Any) -> Run:
    found = translated(**{"script": "#!/bin/sh\n", **fields}).run
    assert found is not None
    return found


def test_the_example_of_its_documentation_is_translated() -> None:
    request = read_mapping(EXAMPLE, config=Config()).request
    assert request.name == "tf-dm-rw"
    assert request.build.resources == Resources(cpu="1", memory="1Gi")
    assert request.run is not None
    assert request.run.resources == Resources(cpu="1", memory="4Gi")
    lock = request.environment.lock
    assert lock is not None
    assert [(package.name, package.version, package.index) for package in lock.packages] == [
        ("six", "1.15.0", None)
    ]
    assert request.environment.indexes == (Index(name="main", url="https://index.example/simple"),)
    assert request.environment.python == "3.6"
    assert request.environment.packages == ()


def test_what_the_example_asks_of_an_image_is_asked_of_it(faults: Find) -> None:
    environment = translated(**{**EXAMPLE, "packages": ["which"], "base": "registry.example/s2i"}).environment
    assert (environment.base, environment.native) == ("registry.example/s2i", ("which",))
    data = {**EXAMPLE, "script": "https://files.example/matmul.py", "base": "a b"}
    assert {fault.path for fault in faults(data)} == {"base", "script"}


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_a_file_of_either_notation_is_read(read_text: Callable[[str, str], Submission], name: str) -> None:
    assert read_text(name, json.dumps(EXAMPLE)) == read_mapping(EXAMPLE, config=Config())


def test_a_fault_has_the_line_that_it_has_in_the_file(read_text: Callable[[str, str], Submission]) -> None:
    with pytest.raises(RequestError, match=r"a\.json:2: batch_size: 0 is not between") as caught:
        read_text("a.json", '{"base": "host", "script": "x",\n"batch_size": 0,\n"packages": ["which"]}')
    assert [(fault.path, fault.line) for fault in caught.value.faults] == [("batch_size", 2), ("packages", 3)]


@pytest.mark.parametrize(
    "base",
    [
        "host", "debian:12", "debian:bookworm", "debian:12-slim", "library/debian:12",
        "docker.io/library/debian:bookworm", "registry.example/debian:12", "localhost:5000/debian:12", "localhost/debian:12",
    ],
)  # fmt: skip
def test_a_base_that_is_this_machines_system_is_the_host(base: str) -> None:
    assert translated(base=base).environment.base == "host"


@pytest.mark.parametrize(
    "base",
    [
        "debian", "debian:11", "debian:latest", "ubuntu:12", "someone/debian:12", "registry.example/a/debian:12",
        "debian:12@" + HASH, "debian:12-slim-slim", "oci:/srv/base",
    ],
)  # fmt: skip
def test_any_other_base_is_an_image(base: str) -> None:
    assert translated(base=base).environment.base == base


def test_its_own_system_is_an_image_where_native_packages_are_to_go_into_it() -> None:
    environment = translated(base="debian:12", packages=["which"]).environment
    assert (environment.base, environment.native) == ("debian:12", ("which",))


@pytest.mark.parametrize("base", ["", "debian:", "https://registry.example/a", "DEBIAN:12", "/", "oci:"])
def test_what_is_no_base_is_refused_with_what_would_do(faults: Find, base: str) -> None:
    (fault,) = faults({"base": base})
    assert (fault.path, fault.hint) == ("base", hint_for(base))


def test_on_a_system_without_a_name_only_host_is_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, str]:
        raise FileNotFoundError

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert [translated(base=base).environment.base for base in ("host", "debian:12")] == ["host", "debian:12"]


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("tf-dm", "tf-dm"),
        ("a b/c", "a-b-c"),
        ("", "inspection"),
        ("é", "inspection"),
        (None, "inspection"),
        ("x" * 200, "x" * 100),
    ],
)
def test_the_identifier_is_the_name(identifier: str | None, name: str) -> None:
    assert translated(identifier=identifier).name == name


@pytest.mark.parametrize(("size", "repeat"), [(3, 3), ("3", 3), (None, 1)])
def test_the_batch_size_is_how_often_to_run(size: Any, repeat: int) -> None:
    assert run(batch_size=size).repeat == repeat


def test_resources_are_taken_as_they_are_and_nothing_is_no_limit() -> None:
    assert run(run={"requests": {"cpu": "500m", "memory": "256Mi"}}).resources == Resources(
        cpu="500m", memory="256Mi"
    )
    assert run(run={"requests": {}}).resources == run(run={}).resources == run().resources == Resources()


@pytest.mark.parametrize("stage", ["build", "run"])
def test_hardware_is_asked_of_the_stage_that_names_it(stage: str) -> None:
    hardware = {"cpu_family": 6, "cpu_model": 85, "processor": "Xeon", "physical_cpus": 4}
    request = translated(**{stage: {"requests": {"hardware": hardware}}, "script": "#!/bin/sh\n"})
    assert request.run is not None
    found = {"build": request.build.hardware, "run": request.run.hardware}
    assert found.pop(stage) == HardwareRequirement(
        cpu_family=6, cpu_model=85, processor="Xeon", physical_cpus=4
    )
    assert list(found.values()) == [HardwareRequirement()]


def test_build_and_runs_have_the_time_that_they_had() -> None:
    assert (translated().build.timeout, run().timeout) == ("4h", "4h")


@pytest.mark.parametrize(
    ("path", "inside"), [("/home/amun/a/b", "a/b"), ("a/b", "a/b"), ("/a", "a"), ("./a", "./a")]
)
def test_files_lie_in_the_working_directory(path: str, inside: str) -> None:
    submission = read_mapping({"base": "host", "files": [{"path": path, "content": "x"}]}, config=Config())
    (file,) = submission.request.environment.files
    assert (file.path, submission.contents[str(file.digest)]) == (inside, b"x")


def test_of_two_variables_of_one_name_the_last_holds() -> None:
    variables = [{"name": "A", "value": "1"}, {"name": "B", "value": ""}, {"name": "A", "value": "2"}]
    assert translated(environment=variables).environment.variables == {"A": "2", "B": ""}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"script": "#!/bin/bash\n"}, "script"),
        ({"script": "true\n"}, "script"),
        ({"script": "print()", "python_packages": ["six"]}, "script.py"),
        ({"script": "print()", "python": {"requirements": PIPFILE}}, "script.py"),
        ({"script": "#!/bin/sh\n", "python_packages": ["six"]}, "script"),
    ],
)
def test_a_script_without_a_shebang_is_for_the_python_of_its_stack(fields: dict[str, Any], path: str) -> None:
    script = run(**fields).script
    assert isinstance(script, File)
    assert (script.path, script.executable) == (path, True)


@pytest.mark.parametrize("script", [{}, {"script": None}, {"script": ""}])
def test_without_a_script_there_is_only_a_build(script: dict[str, Any]) -> None:
    assert translated(batch_size=3, **script).run is None


def test_without_a_lock_the_pipfile_is_locked_with_the_packages_beside_it() -> None:
    environment = translated(python={"requirements": PIPFILE}, python_packages=["six"]).environment
    assert environment == Environment(
        python="3.6",
        packages=("six", "tensorflow==2.1.0"),
        indexes=(Index(name="main", url="https://index.example/simple"),),
    )


def test_the_lock_goes_before_the_pipfile_but_for_a_python_that_only_the_latter_names() -> None:
    lock = {**LOCKED, "_meta": {"sources": [SOURCE]}}
    pipfile = {"packages": {"a": {"git": "x"}}, "requires": {"python_version": "3.9"}}
    environment = translated(python={"requirements": pipfile, "requirements_locked": lock}).environment
    assert (environment.python, environment.packages, environment.lock is None) == ("3.9", (), False)


def test_what_has_no_meaning_here_is_accepted() -> None:
    fields: dict[str, Any] = {
        "update": True, "upgrade_pip": 1, "send_messages": None, "force_sync": "x", "package_manager": "conda", "parallelism": 2,
        "allowed_failures": 1, "@created": "now", "@amun_api_url": {}, "anything": [[]],
    }  # fmt: skip
    python = {"constraints": [1], "runtime_environment": {"a": 1}}
    assert translated(**fields, python=python) == translated()


BAD: list[tuple[str, dict[str, Any]]] = [
    ("identifier", {"identifier": 5}),
    ("batch_size", {"batch_size": 0, "script": "x"}),
    ("batch_size", {"batch_size": "many", "script": "x"}),
    ("batch_size", {"batch_size": True, "script": "x"}),
    ("packages", {"packages": ["which"]}),
    ("packages", {"packages": "which"}),
    ("packages[0]", {"packages": ["a b"]}),
    ("python_packages[1]", {"python_packages": ["six", "b; rm -rf /"]}),
    ("python_packages[0]", {"python_packages": [1]}),
    ("python", {"python": []}),
    ("python.other", {"python": {"other": 1}}),
    ("python.requirements", {"python": {"requirements": "x"}}),
    ("python.requirements", {"python": {"requirements": {"packages": []}}}),
    ("python.requirements", {"python": {"requirements": {"packages": {"a": {"git": "x"}}}}}),
    ("python.requirements", {"python": {"requirements": {"source": [{**SOURCE, "verify_ssl": False}]}}}),
    ("python.requirements.packages.a", {"python_packages": ["six"], "python": {"requirements": {"packages": {"b": "*", "a": "=1"}}}}),
    ("python.requirements.requires", {"python": {"requirements": {"requires": {"python_version": "three"}}}}),
    ("python.requirements.source[0].url", {"python": {"requirements": {"source": [{"name": "a", "url": "file:///x"}]}}}),
    ("python.requirements_locked", {"python": {"requirements_locked": {}}}),
    ("python.requirements_locked.default.A", {"python": {"requirements_locked": {"default": {"A": {"version": "==1"}}}}}),
    ("python.requirements_locked._meta.requires", {"python": {"requirements_locked": {
        "_meta": {"requires": {"python_version": "three"}}, "default": {}}}}),
    ("build.other", {"build": {"other": 1}}),
    ("build.requests.cpu", {"build": {"requests": {"cpu": "x"}}}),
    ("build.requests.gpu", {"build": {"requests": {"gpu": 1}}}),
    ("build.requests.hardware.cpu_family", {"build": {"requests": {"hardware": {"cpu_family": "6"}}}}),
    ("build.requests.hardware.processor", {"build": {"requests": {"hardware": {"processor": " "}}}}),
    ("run.requests.memory", {"run": {"requests": {"memory": "1X"}}, "script": "x"}),
    ("run.requests.hardware.cpu_model", {"run": {"requests": {"hardware": {"cpu_model": -1}}}, "script": "x"}),
    ("files", {"files": {}}),
    ("files[0].content", {"files": [{"path": "a"}]}),
    ("files[0].source", {"files": [{"path": "a", "content": "", "source": "/etc/passwd"}]}),
    ("files[1].path", {"files": [{"path": "a", "content": ""}, {"path": "/home/amun/a", "content": ""}]}),
    ("environment", {"environment": "x"}),
    ("environment[1].name", {"environment": [{"name": "A", "value": ""}, {"name": "A B", "value": ""}]}),
    ("environment[0].value", {"environment": [{"name": "A", "value": 1}]}),
    ("environment[0].value", {"environment": [{"name": "A", "value": "\0"}]}),
    ("script", {"script": 1}),
    ("script", {"script": "http://files.example/a.py"}),
    ("script", {"script": " HTTPS://files.example/a.py"}),
    *[("files[0].path", {"files": [{"path": path, "content": ""}]}) for path in (
        "", "/", "/etc/pip.conf", "/home/other/a", "/home/amun/", "/home/amun/../a", "../a", "//a", "outputs/a", "a\0")],
]  # fmt: skip


@pytest.mark.parametrize(("path", "fields"), BAD)
def test_what_is_wrong_is_told_by_its_own_path(faults: Find, path: str, fields: dict[str, Any]) -> None:
    assert [fault.path for fault in faults({"base": "host", **fields})] == [path]


def test_every_fault_is_told_at_once(faults: Find) -> None:
    found = faults(
        {
            "base": "Other",
            "batch_size": 0,
            "packages": ["a"],
            "script": "x",
            "files": [{"path": "/a/b", "content": ""}],
        }
    )
    assert {fault.path for fault in found} == {"base", "batch_size", "packages", "files[0].path"}


@pytest.mark.parametrize(
    "ours",
    [
        {"name": "a"},
        {"environment": {"base": "host"}},
        {"base": "host", "environment": {}},
        {"base": "host", "run": {"script": "./a.sh"}},
        {"base": "host", "build": {"timeout": "1h"}},
        {"base": 12},
        {"base": None, "script": "x"},
    ],
)
def test_a_request_of_ours_is_never_taken_for_one(ours: dict[str, Any]) -> None:
    assert not recognise(ours)


def test_a_base_at_the_top_of_ours_is_an_unknown_key(faults: Find) -> None:
    (fault,) = faults({"base": "host", "run": {"command": ["true"]}})
    assert (fault.path, fault.message) == ("base", 'there is no key "base" here')


WORDS = [
    *EXAMPLE, "environment", "name", "value", "path", "content", "requests", "hardware", "cpu", "cpu_family", "requirements",
    "requirements_locked", "default", "version", "hashes", "index", "_meta", "sources", "source", "url", "requires", "python_version",
    "packages", "markers", "extras",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["==1", HASH, "main", "a", *SOURCE]) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=2), inner, max_size=5)
    ),
    max_leaves=20,
)  # fmt: skip
STACKS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("packages", "source", "requires", "default", "_meta"), JSON)
)


@given(
    st.dictionaries(st.sampled_from([*EXAMPLE, "environment"]), JSON),
    st.fixed_dictionaries({}, optional={"requirements": STACKS, "requirements_locked": STACKS}),
    st.sampled_from(["host", "x", ""]),
)
def test_any_mapping_gives_a_submission_or_its_faults(
    data: dict[str, Any], python: dict[str, Any], base: str
) -> None:
    with suppress(RequestError):
        read_mapping({"python": python, **data, "base": base}, config=Config())
