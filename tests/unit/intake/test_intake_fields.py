"""What each field accepts and refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from djed.config import Config
from djed.errors import Fault, RequestError
from djed.intake import read_mapping
from djed.intake.addresses import check_index, is_public_default
from djed.intake.faults import WrongValueError
from djed.intake.specifications import (
    check_python,
    check_requirement,
    check_specifier,
    check_version,
    requirement,
)

Find = Callable[[Mapping[str, Any]], tuple[Fault, ...]]
RUN: dict[str, Any] = {"command": ["true"]}

BAD: list[tuple[str, dict[str, Any]]] = [
    ("name", {"name": "a b"}),
    ("name", {"name": ""}),
    ("name", {"name": "a\n"}),
    ("name", {"name": "x" * 101}),
    ("priority", {"priority": 10**9}),
    ('labels["a b"]', {"labels": {"a b": "c"}}),
    ("sandbox", {"sandbox": "bwarp"}),
    ("reuse", {"reuse": 1}),
    ("environment", {"environment": None}),
    ("environment.base", {"environment": {"base": "Debian 12"}}),
    ("environment.python", {"environment": {"python": "three"}}),
    ("environment.python", {"environment": {"python": 3.11}}),
    ("environment.packages", {"environment": {"packages": "numpy"}}),
    ("environment.packages[1]", {"environment": {"packages": ["a", "b; rm -rf /"]}}),
    ("environment.packages[0]", {"environment": {"packages": ["a$(id)"]}}),
    ("environment.packages[0]", {"environment": {"packages": ["a`id`"]}}),
    ("environment.packages[0]", {"environment": {"packages": ["-e ."]}}),
    ("environment.packages[0]", {"environment": {"packages": ["--index-url=x"]}}),
    ("environment.packages[0]", {"environment": {"packages": ["./here"]}}),
    ("environment.packages[0]", {"environment": {"packages": ["git+https://index.example/a"]}}),
    ("environment.packages[0]", {"environment": {"packages": ["a @ file:///etc/passwd"]}}),
    ("environment.packages[0]", {"environment": {"packages": ["a @ http://index.example/a.whl"]}}),
    ("environment.packages[0]", {"environment": {"packages": ["a @ https://10.0.0.1/a.whl"]}}),
    ("environment.packages[0]", {"environment": {"packages": ["a\nb"]}}),
    ("environment.constraints[0]", {"environment": {"constraints": ["a=1"]}}),
    ("environment.requirements", {"environment": {"requirements": "requirements.txt"}}),
    ("environment.native", {"environment": {"native": ["libgomp1"]}}),
    ("environment.exclude_newer", {"environment": {"exclude_newer": "yesterday"}}),
    ("environment.exclude_newer", {"environment": {"exclude_newer": "2026-11-01T10:00:00"}}),
    ("environment.exclude_newer", {"environment": {"exclude_newer": "2026-W01"}}),
    ("environment.exclude_newer", {"environment": {"exclude_newer": "2026-11-01 10:00:00"}}),
    ("environment.platform", {"environment": {"platform": "a b"}}),
    ('environment.variables["A=B"]', {"environment": {"variables": {"A=B": "c"}}}),
    ("environment.variables.A", {"environment": {"variables": {"A": 1}}}),
    ("environment.variables.A", {"environment": {"variables": {"A": "\0"}}}),
    ("environment.variables.A", {"environment": {"variables": {"A": "x" * 200_000}}}),
    ("environment.files[0].path", {"environment": {"files": [{"path": "a\nb", "content": ""}]}}),
    ("environment.files[0].path", {"environment": {"files": [{"path": "../a", "content": ""}]}}),
    ("environment.files[0].path", {"environment": {"files": [{"path": "/a", "content": ""}]}}),
    ("environment.files[0].path", {"environment": {"files": [{"path": "./outputs/a", "content": ""}]}}),
    ("environment.files[0].path", {"environment": {"files": [{"path": "a/", "content": ""}]}}),
    ("environment.files[0].path", {"environment": {"files": [{"content": ""}]}}),
    ("environment.files[0]", {"environment": {"files": [{"path": "a"}]}}),
    ("environment.files[0]", {"environment": {"files": [{"path": "a", "content": "", "digest": "sha256:" + "0" * 64}]}}),
    ("environment.files[0].digest", {"environment": {"files": [{"path": "a", "digest": "md5:0", "size": 1}]}}),
    ("environment.files[0].size", {"environment": {"files": [{"path": "a", "digest": "sha256:" + "0" * 64}]}}),
    ("environment.files[0].source", {"environment": {"files": [{"path": "a", "source": "a"}]}}),
    ("environment.files[1].path", {"environment": {"files": [{"path": "a", "content": ""}, {"path": "./a", "content": ""}]}}),
    ("environment.files[1].path", {"environment": {"files": [{"path": "a", "content": ""}, {"path": "a/b", "content": ""}]}}),
    ("environment.lock", {"environment": {"lock": {}, "packages": ["a"]}}),
    ("environment.lock.packages[0]", {"environment": {"lock": {"packages": [{"name": "a", "version": "1"}]}}}),
    ("build.timeout", {"build": {"timeout": "0s"}}),
    ("build.resources.memory", {"build": {"resources": {"memory": "2Gx"}}}),
    ("build.resources.memory", {"build": {"resources": {"memory": 0}}}),
    ("build.resources.cpu", {"build": {"resources": {"cpu": 0}}}),
    ("build.resources.cpu", {"build": {"resources": {"cpu": "4..2"}}}),
    ("build.resources.gpu", {"build": {"resources": {"gpu": -1}}}),
    ("build.resources.processes", {"build": {"resources": {"processes": True}}}),
    ("build.resources.disk", {"build": {"resources": {"disk": "much"}}}),
    ("run.script", {"run": {"script": "a.py"}}),
    ("run.script", {"run": {"script": {"path": "a"}}}),
    ("run", {"run": {}}),
    ("run", {"run": "a.py"}),
    ("run.command", {"run": {"script": {"path": "a", "content": ""}, "command": ["a"]}}),
    ("run.command[0]", {"run": {"command": ["a\0"]}}),
    ("run.arguments", {"run": {**RUN, "arguments": ["a"]}}),
    ("run.repeat", {"run": {**RUN, "repeat": 1001}}),
    ("run.repeat", {"run": {**RUN, "repeat": "5"}}),
    ("run.warmup", {"run": {**RUN, "warmup": -1}}),
    ("run.network", {"run": {**RUN, "network": "no"}}),
    ("run.targets", {"run": {**RUN, "targets": []}}),
    ("run.targets", {"run": {**RUN, "targets": ["a", "a"]}}),
    ("run.targets[0]", {"run": {**RUN, "targets": ["a b"]}}),
    ("run.hardware.microarchitecture", {"run": {**RUN, "hardware": {"microarchitecture": "zen3++"}}}),
    ("run.hardware.any_of[0].memory", {"run": {**RUN, "hardware": {"any_of": [{"memory": "a"}]}}}),
    ("run.hardware.ordered[0].cores", {"run": {**RUN, "hardware": {"ordered": [{"cores": "+"}]}}}),
    ("run.hardware.gpu.count", {"run": {**RUN, "hardware": {"gpu": {"count": "some"}}}}),
    ("run.hardware.kernel", {"run": {**RUN, "hardware": {"kernel": "5.15"}}}),
    ("run.hardware.os", {"run": {**RUN, "hardware": {"os": "debian=>12"}}}),
]  # fmt: skip

GOOD: list[dict[str, Any]] = [
    {},
    {"run": RUN},
    {"environment": {"packages": ["numpy==2.1.*", "a[b,c]>=1,<2; python_version > '3'", "a @ https://index.example/a.whl"]}},
    {"environment": {"python": ">=3.10,<3.13", "exclude_newer": "2026-11-01T10:00:00Z", "platform": "aarch64-manylinux_2_28"}},
    {"environment": {"files": [{"path": "a/b", "content": "é"}, {"path": "a/c", "digest": "sha256:" + "0" * 64, "size": 1}]}},
    {"build": {"resources": {"cpu": 0.5, "memory": 2**30, "processes": 5}, "timeout": 90}},
    {"run": {**RUN, "resources": {"cpu": "1+"}, "hardware": {"cores": "4..8", "memory": "1Gi+", "os": "debian>=12"}}},
    {"run": {**RUN, "hardware": {"any_of": [{"microarchitecture": "zen3"}, {"ordered": [{"kernel": ">=5.15,<7"}]}]}}},
    {"sandbox": "bwrap", "reuse": "result", "priority": -5, "labels": {"a.b/c".replace("/", "-"): "any text"}},
]  # fmt: skip


@pytest.mark.parametrize(("path", "data"), BAD)
def test_a_bad_value_is_one_fault_at_its_path(faults: Find, path: str, data: dict[str, Any]) -> None:
    assert [fault.path for fault in faults(data)] == [path]


@pytest.mark.parametrize("data", GOOD)
def test_a_good_request_has_no_faults(faults: Find, data: dict[str, Any]) -> None:
    assert faults(data) == ()


def test_all_faults_come_at_once(faults: Find) -> None:
    found = faults({"nmae": "x", "environment": {"packages": [1, "a b"]}, "run": {"script": 1, "repeat": 0}})
    assert [fault.path for fault in found] == [
        "nmae", "environment.packages[0]", "environment.packages[1]", "run.script", "run.repeat",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        ({"nmae": "x"}, "Did you mean name?"),
        ({"environment": {"package": []}}, "Did you mean packages?"),
        ({"environment": {"packages": "numpy"}}, 'Write a list: ["numpy"].'),
        ({"environment": {"python": 3}}, 'Put it in quotes: "3".'),
        ({"run": {**RUN, "repeat": "5"}}, "Write it without quotes: 5."),
        ({"run": {**RUN, "network": "no"}}, "Write true or false, without quotes."),
        ({"environment": None}, "Leave the key out."),
        ({"sandbox": "bwarp"}, "Did you mean bwrap?"),
    ],
)
def test_the_hint_says_what_to_write(faults: Find, data: dict[str, Any], hint: str) -> None:
    assert [fault.hint for fault in faults(data)] == [hint]


def test_an_endless_list_is_refused_whole(faults: Find) -> None:
    (fault,) = faults({"environment": {"packages": [1] * 10_001}})
    assert fault.message == "has 10001 entries, but no more than 10000 are possible"


def test_no_more_than_a_hundred_faults_are_told(faults: Find) -> None:
    assert len(faults({str(number): 1 for number in range(5000)})) == 100


@pytest.mark.parametrize(
    "url",
    [
        "index.example/simple", "file:///srv/simple", "ftp://index.example", "https://", "https:///simple", "",
        "https://a:b@index.example/simple", "https://index.example:99999/", "https://index.example/a b", "http://[::1",
        "http://localhost/simple", "http://LOCALHOST./simple", "http://a.localhost", "http://a.local", "http://a.internal",
        "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://10.1.2.3/",
        "http://192.168.0.1/", "http://169.254.169.254/", "http://[::1]/", "http://[fe80::1]/", "http://[::ffff:127.0.0.1]/",
        "http://[2002:7f00:1::]/", "http://[64:ff9b::7f00:1]/",
        "http://0.0.0.0/", "http://[::]/", "http://224.0.0.1/", "http://1.2.3.4.5/"
    ],
)  # fmt: skip
def test_an_index_elsewhere_than_on_the_public_web_is_refused(faults: Find, url: str) -> None:
    found = faults({"environment": {"indexes": [{"name": "a", "url": url}]}})
    assert [fault.path for fault in found] == ["environment.indexes[0].url"]


def test_an_operator_can_allow_private_indexes() -> None:
    data = {"environment": {"indexes": [{"name": "a", "url": "http://127.0.0.1:3141/simple"}]}}
    request = read_mapping(data, config=Config(indexes_allow_private=True)).request
    assert request.environment.indexes[0].url == "http://127.0.0.1:3141/simple"


@pytest.mark.parametrize(
    ("indexes", "path"),
    [
        ([{"name": "a"}, {"name": "a", "packages": ["b"]}], "environment.indexes[1].name"),
        ([{"name": "a"}, {"name": "b"}], "environment.indexes[1].packages"),
        (
            [{"name": "a", "packages": ["C.d"]}, {"name": "b", "packages": ["c_D"]}],
            "environment.indexes[1].packages",
        ),
    ],
)
def test_indexes_that_would_be_merged_are_refused(
    faults: Find, indexes: list[dict[str, Any]], path: str
) -> None:
    found = faults(
        {"environment": {"indexes": [{"url": "https://index.example", **index} for index in indexes]}}
    )
    assert [fault.path for fault in found] == [path]


def test_an_ordinary_index_is_not_the_public_default() -> None:
    assert not is_public_default("https://pypi.mirror.index.example/simple")
    assert not is_public_default("http://[")


@given(
    st.from_regex(
        r"[A-Za-z0-9._-]{1,6}(\[[a-z,]{0,4}\])?\s?([=<>!~]{1,3}[0-9.*a]{1,5}(,[=<>!~]{1,2}[0-9.*]{1,4})?)?",
        fullmatch=True,
    )
)
def test_what_we_accept_packaging_accepts(text: str) -> None:
    try:
        check_requirement(text)
    except WrongValueError:
        return
    assert Requirement(text).name


@given(st.text(max_size=30) | st.text("a[]=<>!~.,;@ '\"()$-#1", max_size=20))
def test_any_text_is_a_requirement_or_refused(text: str) -> None:
    for check in (check_requirement, requirement, check_python, check_specifier, check_version):
        with suppress(WrongValueError):
            check(text)
    with suppress(WrongValueError):
        check_index(text, allow_private=False)


@given(
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,2}){0,3}", fullmatch=True),
    st.sampled_from(["==", ">=", "<", "~=", "!="]),
)
def test_plain_versions_and_specifiers_are_those_of_packaging(version: str, operator: str) -> None:
    check_version(version)
    assert Version(version).release
    try:
        check_specifier(operator + version)
    except WrongValueError:
        assert (operator, version.count(".")) == ("~=", 0)
    else:
        assert SpecifierSet(operator + version)


@given(st.dictionaries(st.sampled_from(["name", "environment", "run", "labels", "x"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["packages", "command", "script", "files", "hardware", "any_of", "path", "lock", "variables", "content"]),
        inner, max_size=3,
    ),
    max_leaves=8,
)))  # fmt: skip
def test_any_mapping_is_accepted_or_refused(data: dict[str, Any]) -> None:
    with suppress(RequestError):
        assert read_mapping(data, config=Config()).request.environment.requirements is None
