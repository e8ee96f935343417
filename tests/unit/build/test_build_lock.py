from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from djed.build import (
    BuildError,
    given_lock,
    lock_key,
    needs_lock_job,
    read_lock,
    render_lock,
    source_packages,
)
from djed.build.pylock import Choice, write_pylock
from djed.errors import ToolError, UnsafeError
from djed.model.job import At, Job, Limits
from djed.model.lock import Lock, LockedPackage
from djed.model.request import Environment, Index
from tests.support.assemblies import INTERPRETER, NODE, locked, wheel_file

INTERNAL = Index(name="internal", url="https://index.example/simple", packages=("inner",))
OWN = Index(name="own", url="https://own.example/simple")


def render(environment: Environment, settings: dict[str, str] | None = None) -> Job:
    return render_lock(environment, interpreter=INTERPRETER, node=NODE, limits=Limits(), settings=settings)


def project(job: Job) -> dict[str, dict[str, object]]:
    text = next(file.text for file in job.files if file.path == "pyproject.toml")
    return tomllib.loads(text or "")


def read(folder: Path, environment: Environment, *packages: LockedPackage, origins: str = "") -> Lock:
    """Read the lock that a job would have left with these packages."""
    choices = [Choice(package=package, file=package.wheels[0]) for package in packages]
    (folder / "pylock.toml").write_text(write_pylock(choices, "3.11.7"))
    if origins:
        (folder / "origins.txt").write_text(origins)
    return read_lock(folder, environment, interpreter=INTERPRETER, node=NODE, base="sha256:base")


def given(*packages: LockedPackage, requires_python: str | None = None, asked: tuple[str, ...] = ()) -> Lock:
    lock = Lock(packages=packages, requires_python=requires_python, origin="given")
    environment = Environment(packages=asked, lock=lock)
    return given_lock(environment, interpreter=INTERPRETER, node=NODE, base="sha256:base")


def kind_of(error: pytest.ExceptionInfo[BuildError]) -> str:
    return error.value.failure.kind


def test_the_key_is_stable_and_tells_every_question_from_another() -> None:
    plain = Environment(packages=("app",))
    changed = [
        replace(plain, packages=("app", "b")),
        replace(plain, constraints=("b<2",)),
        replace(plain, indexes=(OWN,)),
        replace(plain, exclude_newer="2024-01-01"),
        replace(plain, platform="aarch64-manylinux_2_28"),
        replace(plain, variables={"A": "1"}),
        replace(plain, lock=Lock()),
    ]
    keys = {lock_key(environment, INTERPRETER, "base") for environment in [plain, *changed]}
    keys |= {
        lock_key(plain, replace(INTERPRETER, version="3.12.1"), "base"),
        lock_key(plain, INTERPRETER, "other"),
    }
    keys |= {lock_key(plain, INTERPRETER, "base", {"UV_DEFAULT_INDEX": "https://index.example"})}
    assert len(keys) == len(changed) + 4
    assert lock_key(plain, INTERPRETER, "base", {"HTTPS_PROXY": "x"}) == lock_key(plain, INTERPRETER, "base")


def test_the_job_may_use_the_network_but_no_shared_cache() -> None:
    job = render(Environment(packages=("app",)))
    assert (job.kind, job.network, job.cache, job.python) == ("lock", True, "private", INTERPRETER.path)
    assert job.variables["UV_CACHE_DIR"] == At(place="cache")
    assert job.variables["UV_PYTHON_DOWNLOADS"] == "never"


def test_hostile_requirements_stay_inside_their_quotes() -> None:
    nasty = 'app"]\n[tool.uv]\nindex-url = "https://evil.example/'
    assert project(render(Environment(packages=(nasty,))))["project"]["dependencies"] == [nasty]


def test_each_package_of_an_index_is_bound_to_it_and_installed_only_if_asked_for() -> None:
    job = render(Environment(packages=("app",), indexes=(INTERNAL,)))
    table = project(job)
    assert table["project"]["dependencies"] == ["app", "inner ; python_version < '3'"]
    assert table["tool"]["uv"]["sources"] == {"inner": {"index": "internal"}}  # type: ignore[index]
    assert table["tool"]["uv"]["index"][0]["explicit"] is True  # type: ignore[index]
    assert "--universal" in job.command


def test_a_default_index_of_the_request_replaces_every_configured_one() -> None:
    settings = {"UV_DEFAULT_INDEX": "https://a.example", "UV_INDEX": "https://b.example", "HTTPS_PROXY": "p"}
    job = render(Environment(indexes=(OWN,)), settings)
    assert (job.variables["UV_DEFAULT_INDEX"], job.variables["UV_INDEX"]) == (OWN.url, "")
    assert job.variables["HTTPS_PROXY"] == "p"
    assert render(Environment(), settings).variables["UV_INDEX"] == "https://b.example"


def test_variables_of_the_request_reach_build_code_but_do_not_steer_uv() -> None:
    job = render(Environment(variables={"CFLAGS": "-O3", "UV_INDEX": "https://evil.example"}))
    assert job.variables["CFLAGS"] == "-O3"
    assert "UV_INDEX" not in job.variables


def test_date_and_platform_are_handed_on() -> None:
    job = render(Environment(exclude_newer="2024-01-01", platform="aarch64-manylinux_2_28"))
    assert job.variables["UV_EXCLUDE_NEWER"] == "2024-01-01"
    assert job.command[-2:] == ("--python-platform", "aarch64-manylinux_2_28")


def test_a_platform_that_is_not_linux_is_refused() -> None:
    with pytest.raises(BuildError, match="windows"):
        render(Environment(platform="windows"))


def test_a_lock_holds_its_python_its_platform_and_its_packages_in_order(tmp_path: Path) -> None:
    lock = read(tmp_path, Environment(), locked("b", "1"), locked("a", "2"))
    assert (lock.python, lock.platform, lock.base) == ("3.11.7", "linux-x86_64-glibc2.36", "sha256:base")
    assert list(lock.stack) == ["a", "b"]


def test_a_job_that_left_no_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="left no pylock"):
        read_lock(tmp_path, Environment(), interpreter=INTERPRETER, node=NODE, base="")


def test_a_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pylock.toml").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeError):
        read_lock(tmp_path, Environment(), interpreter=INTERPRETER, node=NODE, base="")


def test_packages_are_accepted_from_their_own_index_alone(tmp_path: Path) -> None:
    environment = Environment(indexes=(INTERNAL,))
    inner, app = locked("inner", "1.0"), locked("app", "1.0")
    good = "app==1.0\n    # from https://public.example/simple\ninner==1.0 ; x\n    # from https://index.example/simple/\n"
    lock = read(tmp_path, environment, inner, app, origins=good)
    assert [package.index for package in lock.packages] == [None, "internal"]
    for bad in (
        good.replace("https://index.example/simple/", "https://public.example/simple"),
        good.replace("https://public.example", "https://index.example"),
        good.replace("inner==1.0 ; x\n", "other==1.0\n"),
        good.replace("https://index.example/simple/", "https://[index"),
        "nothing that uv would say",
    ):
        with pytest.raises(BuildError) as caught:
            read(tmp_path, environment, inner, app, origins=bad)
        assert kind_of(caught) == "refused"


@pytest.mark.parametrize(
    "origins", ["    # from https://a\n", "app==1.0\n    # from https://a\n    # from https://b\n"]
)
def test_origins_that_say_two_things_are_refused(tmp_path: Path, origins: str) -> None:
    with pytest.raises(ToolError, match="clearly"):
        read(tmp_path, Environment(indexes=(INTERNAL,)), locked("app", "1.0"), origins=origins)


@pytest.mark.parametrize("host", ["127.0.0.1:80", "10.0.0.8", "[::1]", "169.254.169.254", "localhost"])
def test_a_file_at_a_private_address_is_refused_unless_an_index_is_there(tmp_path: Path, host: str) -> None:
    wheel = replace(wheel_file("app", "1.0"), url=f"http://{host}/app-1.0-py3-none-any.whl")
    package = replace(locked("app", "1.0"), wheels=(wheel,))
    with pytest.raises(UnsafeError, match="private"):
        read(tmp_path, Environment(), package)
    index = Index(name="near", url=f"http://{host}/simple")
    assert read(tmp_path, Environment(indexes=(index,)), package).stack == {"app": "1.0"}


def test_only_fitting_wheels_are_kept_the_best_first() -> None:
    tags = [
        "py3-none-any",
        "cp312-cp312-linux_x86_64",
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp39-abi3-linux_x86_64",
    ]
    tags += ["cp311-cp311-manylinux_2_39_x86_64", "cp311-cp311-musllinux_1_2_x86_64", "cp311-cp311-win_amd64"]
    package = replace(locked("app", "1.0"), wheels=tuple(wheel_file("app", "1.0", tag) for tag in tags))
    kept = [wheel.name.removeprefix("app-1.0-") for wheel in given(package).packages[0].wheels]
    assert kept == [
        "cp311-cp311-manylinux_2_17_x86_64.whl",
        "cp39-abi3-linux_x86_64.whl",
        "py3-none-any.whl",
    ]


def test_without_a_wheel_and_without_a_source_there_is_no_lock() -> None:
    with pytest.raises(BuildError, match=r"no wheel for Python 3\.11\.7") as caught:
        given(locked("app", "1.0", tag="cp312-cp312-linux_x86_64"))
    assert kind_of(caught) == "no_wheel"


def test_a_package_without_a_fitting_wheel_is_built_from_its_source() -> None:
    lock = given(locked("app", "1.0", tag="cp312-cp312-linux_x86_64", source=True), locked("b", "1.0"))
    assert source_packages(lock) == ("app",)


def test_markers_of_a_given_lock_are_evaluated_for_the_chosen_python() -> None:
    old = replace(locked("app", "1.0"), marker="python_version < '3.11'")
    new = replace(locked("app", "2.0"), marker="python_full_version >= '3.11.2' and sys_platform == 'linux'")
    extra = replace(locked("b", "1.0"), marker="'docs' in dependency_groups")
    assert given(old, new, extra).stack == {"app": "2.0"}


@pytest.mark.parametrize("marker", ["no marker", "extra ==", "(" * 5_000])
def test_a_marker_that_is_none_is_named(marker: str) -> None:
    with pytest.raises(ToolError, match="marker"):
        given(replace(locked("app", "1.0"), marker=marker))


def test_two_versions_for_one_python_are_a_conflict() -> None:
    with pytest.raises(BuildError, match=r"app twice .* 1\.0 and 2\.0") as caught:
        given(locked("app", "1.0"), locked("app", "2.0"))
    assert kind_of(caught) == "conflict"


def test_a_lock_for_another_python_is_refused() -> None:
    with pytest.raises(BuildError, match=r"for Python >=3\.12") as caught:
        given(locked("app", "1.0"), requires_python=">=3.12")
    assert kind_of(caught) == "python_incompatible"


def test_what_is_asked_for_beside_a_lock_must_be_in_it() -> None:
    asked = ("App>=1", "gone ; sys_platform == 'win32'")
    assert given(locked("app", "1.0"), asked=asked).stack == {"app": "1.0"}
    for line in ("app>=2", "other"):
        with pytest.raises(BuildError) as caught:
            given(locked("app", "1.0"), asked=(line,))
        assert kind_of(caught) == "conflict"


def test_what_a_lock_of_the_request_says_is_checked_as_well_as_what_a_job_left() -> None:
    package = locked("app", "1.0", source=True)
    assert package.sdist is not None
    for wrong in (
        replace(package, name="../app"),
        replace(package, version="latest"),
        replace(package, sdist=replace(package.sdist, name="--config-file=x.tar.gz")),
        replace(package, sdist=replace(package.sdist, url="file:///etc/passwd")),
        replace(package, sdist=replace(package.sdist, hashes={"md5": "a" * 32})),
        replace(package, sdist=replace(package.sdist, hashes={"sha256": "short"})),
    ):
        with pytest.raises(ToolError):
            given(wrong)


def test_a_lock_without_addresses_needs_a_job_that_resolves_nothing_else() -> None:
    pinned = LockedPackage(name="app", version="1.0", extras=("x", "y"), hashes=("sha256:1",))
    other = LockedPackage(name="b", version="1.0", marker="sys_platform == 'win32'")
    environment = Environment(lock=Lock(packages=(pinned, other), origin="given"))
    assert needs_lock_job(environment)
    job = render(environment)
    assert "--no-deps" in job.command
    assert project(job)["project"]["dependencies"] == ["app[x,y]==1.0"]
    assert not needs_lock_job(Environment(lock=Lock(packages=(locked("app", "1.0"),))))
    with pytest.raises(BuildError):
        render(replace(environment, packages=("other",)))


def test_only_files_with_a_hash_of_the_request_are_kept(tmp_path: Path) -> None:
    package = locked("app", "1.0")
    digest = package.wheels[0].hashes["sha256"]
    known = Lock(
        packages=(LockedPackage(name="app", version="1.0", hashes=(f"sha256:{digest}",)),), origin="given"
    )
    assert read(tmp_path, Environment(lock=known), package).origin == "given"
    unknown = Lock(packages=(LockedPackage(name="app", version="1.0", hashes=("sha256:" + "0" * 64,)),))
    with pytest.raises(BuildError) as caught:
        read(tmp_path, Environment(lock=unknown), package)
    assert kind_of(caught) == "hash_mismatch"
