"""The recipe says what a request asks, in the words that every builder of images knows."""

from __future__ import annotations

import base64
import json

import pytest

from djed.build.recipe import HOME, TOOLS, host_image, recipe
from djed.errors import RequestError, TooLargeError
from djed.model.hardware import Hardware
from djed.model.image import PackageManager
from djed.model.lock import Lock, LockedPackage
from djed.model.request import Environment, File, Index, Run
from tests.support.assemblies import locked


def nothing(digest: str) -> bytes:
    raise AssertionError(digest)


def written(
    environment: Environment | None = None,
    *,
    base: str = "debian:12",
    lock: Lock | None = None,
    run: Run | None = None,
) -> list[str]:
    return recipe(environment or Environment(), base=base, content=nothing, lock=lock, run=run).splitlines()


def test_the_least_recipe_has_a_base_a_user_and_a_place_for_outputs() -> None:
    assert written() == [
        "FROM debian:12",
        "USER root",
        f"WORKDIR {HOME}",
        f'ENV HOME="{HOME}" LANG="C.UTF-8" DJED_OUTPUTS="{HOME}/outputs"',
        "",
        "RUN mkdir -p outputs && chown -R 1042:0 .",
        "USER 1042",
    ]


@pytest.mark.parametrize(
    ("system", "version", "image"),
    [("debian", "12", "debian:12"), ("arch", None, "arch"), (None, None, "scratch")],
)
def test_the_host_is_named_by_its_os_release(system: str | None, version: str | None, image: str) -> None:
    assert host_image(Hardware(arch="x86_64", os=system, os_version=version)) == image


@pytest.mark.parametrize("base", ["", "a b", "a\nRUN evil", "-x", "$HOME", "a" * 256, "ä"])
def test_what_is_no_name_of_an_image_is_refused(base: str) -> None:
    with pytest.raises(RequestError, match="not the name of an image"):
        written(base=base)


def test_a_lock_is_installed_as_it_is_with_every_hash() -> None:
    lock = Lock(
        python="3.11.7", packages=(locked("app", "1.0"), locked("native", "2.0", tag=None, source=True))
    )
    text = "\n".join(written(lock=lock))
    assert text.count("--hash=sha256:") == 2
    assert "'app==1.0 \\' \\" in text
    assert "--no-deps -r /opt/djed/requirements.txt" in text
    assert "uv venv --python 3.11.7 /opt/djed/env" in text
    assert "command -v python3.11 || command -v python3" in text


def test_one_package_without_a_hash_leaves_out_all_of_them() -> None:
    """Else pip refuses the whole file."""
    lock = Lock(
        packages=(
            locked("app", "1.0"),
            LockedPackage(name="bare", version="1", marker="sys_platform == 'linux'"),
        )
    )
    text = "\n".join(written(lock=lock))
    assert "--hash" not in text
    assert """'bare==1 ; sys_platform == '"'"'linux'"'"''""" in text


def test_without_a_lock_the_packages_are_resolved_within_their_bounds() -> None:
    index = Index(name="own", url="https://index.example/simple", packages=("torch",))
    asked = Environment(
        packages=("numpy==2.1.*",),
        constraints=("six<2",),
        indexes=(index,),
        exclude_newer="2026-01-01",
        python=">=3.10",
    )
    text = "\n".join(written(asked))
    assert "'--extra-index-url https://index.example/simple'" in text
    assert "'numpy==2.1.*'" in text
    assert "--exclude-newer '2026-01-01' -c /opt/djed/constraints.txt" in text
    assert "uv venv /opt/djed/env" in text, "a specifier is not the name of a Python"


def test_a_python_without_packages_is_no_more_than_that() -> None:
    text = "\n".join(written(Environment(python="3.11"), lock=Lock(python="3.11.7")))
    assert "uv venv --python 3.11.7 /opt/djed/env" in text
    assert "requirements.txt" not in text


def test_native_packages_are_installed_by_the_tool_that_is_there() -> None:
    text = "\n".join(written(Environment(native=("libgomp1",))))
    for tool in (
        "apt-get install -y --no-install-recommends 'libgomp1'",
        "dnf install -y 'libgomp1'",
        "apk add",
    ):
        assert tool in text


def test_the_command_is_chosen_as_a_run_chooses_it() -> None:
    def command(path: str, content: str, *arguments: str) -> str:
        return written(run=Run(script=File(path=path, content=content), arguments=arguments))[-1]

    assert command("a", "#!/usr/bin/perl\n", "x") == 'CMD ["./a", "x"]'
    assert command("a.py", "print(1)\n") == 'CMD ["python", "./a.py"]'
    assert command("a", "echo 1\n") == 'CMD ["/bin/sh", "./a"]'
    assert written(run=Run(command=("true", "ä")))[-1] == 'CMD ["true", "\\u00e4"]'


def test_what_a_line_cannot_hold_is_exported_by_a_start_script() -> None:
    lines = written(Environment(variables={"TWO": "a\nb", "ONE": "a"}), run=Run(command=("true",)))
    assert 'ENV ONE="a"' in lines
    assert not [line for line in lines if "TWO" in line]
    assert lines[-2:] == [f'ENTRYPOINT ["{TOOLS}/start"]', 'CMD ["true"]']


def test_a_command_that_a_line_cannot_hold_is_in_the_start_script() -> None:
    lines = written(run=Run(command=("echo", "x" * 60_000)))
    assert lines[-1] == f'ENTRYPOINT ["{TOOLS}/start"]'
    assert not [line for line in lines if line.startswith("CMD")]


def test_lines_and_instructions_stay_within_what_the_tools_take() -> None:
    """64 KiB a line for Docker's parser, 128 KiB for an argument of a program."""
    many = tuple(
        LockedPackage(name=f"p{n}", version="1", hashes=tuple(f"sha256:{k:064}" for k in range(40)))
        for n in range(100)
    )
    big = File(path="big", content="x" * 500_000)
    lines = written(Environment(files=(big,)), lock=Lock(packages=many))
    assert max(len(line) for line in lines) < 64 * 1024
    instructions = "\n".join(lines).replace("\\\n", "").splitlines()
    assert max(len(line) for line in instructions) < 128 * 1024
    assert len(instructions) < 100, "an image has 127 layers at most"


def test_files_beyond_what_layers_hold_are_refused() -> None:
    with pytest.raises(TooLargeError, match="4 MiB"):
        written(Environment(files=(File(path="a", digest="sha256:" + "0" * 64, size=5 * 2**20),)))


def test_only_what_every_tool_knows_is_used() -> None:
    environment = Environment(
        native=("a",),
        packages=("b",),
        variables={"C": "<<EOF"},
        files=(File(path="<<EOF", content="# syntax"),),
    )
    lines = written(environment, run=Run(command=("true",)))
    text = "\n".join(lines)
    assert {line.split()[0] for line in lines if line and line[0].isupper()} <= {
        "FROM",
        "USER",
        "WORKDIR",
        "ENV",
        "RUN",
        "CMD",
        "ENTRYPOINT",
    }
    assert not any(word in text for word in ("--mount", "# syntax", "# escape", "COPY"))
    assert base64.b64encode(b"# syntax").decode() in text


def test_the_command_is_json() -> None:
    words = ['a"b', "c\\d", "$HOME", "e f"]
    (line,) = [line for line in written(run=Run(command=tuple(words))) if line.startswith("CMD ")]
    assert json.loads(line.removeprefix("CMD ")) == words


@pytest.mark.parametrize(
    ("manager", "line"),
    [
        ("apt", "RUN apt-get update && \\"),
        ("dnf", "RUN dnf install -y 'libgomp1'"),
        ("apk", "RUN apk add --no-cache 'libgomp1'"),
    ],
)
def test_where_the_package_manager_is_known_there_is_no_choice(manager: PackageManager, line: str) -> None:
    text = recipe(Environment(native=("libgomp1",)), base="debian:12", content=nothing, manager=manager)
    assert line in text.splitlines()
    assert "command -v" not in text


@pytest.mark.parametrize(
    ("base", "way"),
    [
        ("oci:/a b", "skopeo copy 'oci:/a b' containers-storage:localhost/djed-base"),
        (
            "docker-archive:/a.tar",
            "skopeo copy 'docker-archive:/a.tar' docker-daemon:localhost/djed-base:latest",
        ),
        ("rootfs:/root.tar", "podman import '/root.tar' localhost/djed-base"),
    ],
)
def test_a_base_in_a_file_is_brought_into_the_engine_first(base: str, way: str) -> None:
    lines = written(base=base)
    assert any(way in line for line in lines if line.startswith("#"))
    assert "FROM localhost/djed-base" in lines


def test_the_command_stands_in_place_of_what_the_base_would_start() -> None:
    assert written(run=Run(command=("true",)))[-2:] == ["ENTRYPOINT []", 'CMD ["true"]']
    assert not [line for line in written() if line.startswith("ENTRYPOINT")]
