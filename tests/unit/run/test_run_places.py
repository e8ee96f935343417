"""Places become paths, and the environment is made by allow-list."""

from __future__ import annotations

import pytest

from djed.errors import RunnerError
from djed.model.job import At, Job
from djed.run.passing import passed_through
from djed.run.places import base_variables, resolve

PLACES = {"work": "/w", "outputs": "/o", "env": "/e", "uv": "/bin/uv"}


def test_every_place_in_command_and_variables_is_filled_in() -> None:
    job = Job(
        kind="run",
        command=(At(place="env", path="bin/python"), "-c", At(place="uv")),
        variables={"OUT": At(place="outputs", path="x/y"), "PLAIN": "z"},
    )
    found = resolve(job, PLACES)  # type: ignore[arg-type]
    assert found.command == ("/e/bin/python", "-c", "/bin/uv")
    assert found.variables == {"OUT": "/o/x/y", "PLAIN": "z"}


def test_a_place_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(RunnerError, match="'cache'"):
        resolve(Job(kind="run", command=(At(place="cache"),)), {"work": "/w"})


def test_the_environment_leads_the_path_before_the_interpreter() -> None:
    job = Job(kind="run", command=("x",), python="/opt/py/bin/python3.11", environment="sha256:1")
    variables = base_variables(job, PLACES)  # type: ignore[arg-type]
    assert variables["PATH"] == "/e/bin:/opt/py/bin:/usr/local/bin:/usr/bin:/bin"
    assert variables["VIRTUAL_ENV"] == "/e"


def test_a_plain_job_sees_only_these_variables() -> None:
    variables = base_variables(Job(kind="run", command=("x",)), {"work": "/w", "outputs": "/o"})
    assert set(variables) == {"PATH", "HOME", "TMPDIR", "LANG", "DJED_OUTPUTS"}


ENVIRON = {
    "HTTPS_PROXY": "http://proxy.example",
    "SSL_CERT_FILE": "/etc/cert.pem",
    "UV_DEFAULT_INDEX": "https://user:secret@index.example/simple",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "NO_PROXY": "",
}


def test_without_network_nothing_passes() -> None:
    assert passed_through(Job(kind="build", command=("x",)), ENVIRON) == {}


def test_a_run_with_network_gets_no_index_with_its_password() -> None:
    passed = passed_through(Job(kind="run", command=("x",), network=True), ENVIRON)
    assert set(passed) == {"HTTPS_PROXY", "SSL_CERT_FILE"}


@pytest.mark.parametrize("kind", ["lock", "wheel", "build"])
def test_a_build_with_network_gets_the_index(kind: str) -> None:
    passed = passed_through(Job(kind=kind, command=("x",), network=True), ENVIRON)  # type: ignore[arg-type]
    assert set(passed) == {"HTTPS_PROXY", "SSL_CERT_FILE", "UV_DEFAULT_INDEX"}
