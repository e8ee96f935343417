from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from djed.build import BUILDERS, Builders, host_digest, uv_settings
from djed.build.compatibility import Platform, platform_of, wheel_ranks
from djed.errors import ConfigError
from djed.model.request import Environment
from tests.support.assemblies import INTERPRETER, NODE


def test_indexes_proxies_and_certificates_pass_and_secrets_do_not() -> None:
    environ = {
        "UV_DEFAULT_INDEX": "https://index.example",
        "HTTPS_PROXY": "p",
        "SSL_CERT_FILE": "/c",
        "HOME": "/nowhere",
    }
    secret = {"UV_INDEX_INTERNAL_PASSWORD": "hush", "UV_PUBLISH_TOKEN": "hush", "AWS_SECRET": "hush"}
    assert set(uv_settings(environ | secret)) == {"UV_DEFAULT_INDEX", "HTTPS_PROXY", "SSL_CERT_FILE"}


def test_indexes_of_a_configuration_file_count_where_no_variable_names_one(tmp_path: Path) -> None:
    (tmp_path / ".config/uv").mkdir(parents=True)
    (tmp_path / ".config/uv/uv.toml").write_text(
        '[[index]]\nurl = "https://a.example"\ndefault = true\n[[index]]\nurl = "https://b.example"\n'
        '[[index]]\nname = "c"\nurl = "https://c.example"\nexplicit = true\n'
    )
    home = {"HOME": str(tmp_path)}
    assert uv_settings(home) == {"UV_DEFAULT_INDEX": "https://a.example", "UV_INDEX": "https://b.example"}
    assert uv_settings({**home, "UV_INDEX": "https://x.example"}) == {"UV_INDEX": "https://x.example"}


def test_a_configuration_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "uv.toml"
    file.write_text("[[index")
    with pytest.raises(ConfigError, match=r"uv\.toml"):
        uv_settings({"UV_CONFIG_FILE": str(file)})


def test_the_base_is_the_machine_and_the_interpreter() -> None:
    other = replace(NODE, hardware=replace(NODE.hardware, os_version="13"))
    elsewhere = replace(NODE, id="local/other", target="other")
    digests = [host_digest(NODE, INTERPRETER), host_digest(other, INTERPRETER)]
    digests.append(host_digest(NODE, replace(INTERPRETER, path="/usr/bin/python3.11")))
    assert len(set(digests)) == 3
    assert host_digest(elsewhere, INTERPRETER) == digests[0]


@pytest.mark.parametrize(
    ("name", "platform"),
    [
        (None, "linux-x86_64-glibc2.36"),
        ("aarch64-manylinux_2_28", "linux-aarch64-glibc2.28"),
        ("x86_64-manylinux2014", "linux-x86_64-glibc2.17"),
        ("x86_64-unknown-linux-musl", "linux-x86_64-musl1.2"),
        ("linux", "linux-x86_64-glibc2.28"),
    ],
)
def test_platforms_have_the_names_that_uv_gives_them(name: str | None, platform: str) -> None:
    assert str(platform_of(Environment(platform=name), NODE)) == platform


def test_platform_tags_are_best_first_with_their_old_names() -> None:
    tags = Platform(arch="x86_64", libc="glibc2.17").tags()
    assert tags[:2] == ("manylinux_2_17_x86_64", "manylinux2014_x86_64")
    assert tags[-3:] == ("manylinux_2_5_x86_64", "manylinux1_x86_64", "linux_x86_64")
    assert Platform(arch="x86_64", libc="musl1.1").tags() == (
        "musllinux_1_1_x86_64",
        "musllinux_1_0_x86_64",
        "linux_x86_64",
    )
    assert Platform(arch="riscv64").tags() == ("linux_riscv64",)


@pytest.mark.parametrize(("version", "best"), [("3.7.16", "cp37-cp37m"), ("3.11.7", "cp311-cp311")])
def test_the_best_tag_is_that_of_the_interpreter_itself(version: str, best: str) -> None:
    ranks = wheel_ranks(replace(INTERPRETER, version=version), Platform(arch="x86_64", libc="glibc2.36"))
    assert str(min(ranks, key=ranks.__getitem__)) == f"{best}-manylinux_2_36_x86_64"


def test_every_builder_is_known_by_what_it_builds() -> None:
    builders = Builders()
    images = dict.fromkeys(("base", "native", "image"), "image")
    own = {name: name for name in ("venv", "wheel", "archive", "sif")}
    assert {name: builders[name].kind for name in BUILDERS} == {**images, **own}
    assert builders["venv"] is builders["venv"]
