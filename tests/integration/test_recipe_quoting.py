"""Whatever the names, contents and values of a request are, they come through the shell and the builders' own lexer unchanged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djed.build.definition import definition
from djed.build.recipe import HOME, TOOLS, recipe
from djed.intake.words import check_path
from djed.model.request import Environment, File, Run

HOSTILE = (
    "'", '"', "\\", "$(touch owned)", "`touch owned`", "$HOME", "${HOME}", "a b", "a\\", "<<EOF", "<<'EOF'", "# syntax=x",
    "-n", "--help", "*", "~", "!!", "%s%n", "ä€😀", "a'b\"c\\d", "&& touch owned", "; touch owned", "| touch owned", "$'x'", "\\n", "#",
)  # fmt: skip
UNFIT = ("\n", "a\nRUN touch owned", "\t", "\r\n", "\x01", "\x7f", "\u2028", " \n ", "a\\\n")
"""What no line of a Containerfile can hold."""

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def _is_path(name: str) -> bool:
    try:
        check_path(name)
    except ValueError:
        return False
    return True


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(_is_path)


def instructions(written: str) -> Iterator[tuple[str, str]]:
    """As the builders read a Containerfile: comments go, a backslash at the end of a line joins it with the next."""
    joined = ""
    for line in written.split("\n"):
        if line.lstrip().startswith("#"):
            continue
        joined += line.removesuffix("\\")
        if not line.endswith("\\") and joined.strip():
            word, _, rest = joined.partition(" ")
            yield word, rest
            joined = ""
        elif not line.endswith("\\"):
            joined = ""


def unquoted(value: str) -> str:
    r"""Docker's rule within double quotes: a backslash counts before ``"``, ``$`` and itself; a bare ``$`` would be replaced."""
    assert value[0] == value[-1] == '"'
    found, inner = "", iter(value[1:-1])
    for letter in inner:
        assert letter not in {"$", '"'}
        if letter == "\\":
            letter = next(inner)  # noqa: PLW2901
            assert letter in {"\\", '"', "$"}
        found += letter
    return found


def built(environment: Environment, run: Run | None, folder: Path) -> Mapping[str, str]:
    """Do in a folder what the recipe does to files; the variables and the command that it sets."""
    work, tools = folder / "work", folder / "tools"
    work.mkdir()
    found: dict[str, str] = {}
    written = recipe(environment, base="debian:12", content=lambda _: b"", run=run).replace(TOOLS, str(tools))
    for word, rest in instructions(written):
        if word == "RUN" and "chown" not in rest:
            done = subprocess.run(["/bin/sh", "-c", rest], cwd=work, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b"")
        elif word == "ENV" and not rest.startswith("HOME="):
            name, _, value = rest.partition("=")
            found[name] = unquoted(value)
        elif word in {"CMD", "ENTRYPOINT"}:
            found[word] = rest
    return found


def started(found: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """The variables that a command sees, which is ``env -0``."""
    words = [*json.loads(found.get("ENTRYPOINT", "[]")), *json.loads(found["CMD"])]
    variables = {name: value for name, value in found.items() if name not in {"CMD", "ENTRYPOINT"}}
    seen = subprocess.run(
        words, cwd=folder / "work", env={"PATH": os.defpath, **variables}, capture_output=True, check=True
    )
    return dict(item.split("=", 1) for item in seen.stdout.decode().split("\0") if item)


def check(files: Mapping[str, str], variables: Mapping[str, str]) -> None:
    environment = Environment(
        files=tuple(File(path=path, content=content) for path, content in files.items()), variables=variables
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        found = built(environment, Run(command=("env", "-0")), folder)
        left = {
            str(path.relative_to(folder / "work")): path.read_bytes()
            for path in (folder / "work").rglob("*")
            if path.is_file()
        }
        assert left == {os.path.normpath(path): content.encode() for path, content in files.items()}
        seen = started(found, folder)
        assert {name: seen[name] for name in variables} == variables


@settings(max_examples=15)
@given(names, text, text)
def test_whatever_is_asked_comes_through(name: str, content: str, value: str) -> None:
    check({name: content}, {"VALUE": value})


@pytest.mark.parametrize("odd", HOSTILE)
def test_hostile_text_comes_through(odd: str) -> None:
    check({odd: odd, f"folder {odd}/file": odd}, {"A": odd, "B": f"{odd} {odd}"})


def test_text_that_no_line_holds_comes_through() -> None:
    check({"file": "".join(UNFIT)}, {f"V{number}": odd for number, odd in enumerate(UNFIT)})


def test_the_parts_of_a_long_file_are_put_together_again() -> None:
    check({"long": "0123456789abcde\n" * 20_000}, {"LONG": "x" * 40_000})


@pytest.mark.parametrize("tool", ["apt-get", "dnf", "microdnf", "yum", "apk"])
def test_native_packages_are_installed_by_the_tool_that_is_there(tool: str, tmp_path: Path) -> None:
    """And where it fails, or there is none, the build does."""
    (_, step), *_ = [item for item in instructions(native()) if item[0] == "RUN"]
    program = tmp_path / tool
    program.write_text('#!/bin/sh\necho "$@" >> called\ncase "$*" in *fails*) exit 3;; esac\n')
    program.chmod(0o755)
    (tmp_path / "rm").write_text("#!/bin/sh\n")
    (tmp_path / "rm").chmod(0o755)

    def code(text: str, path: Path = tmp_path) -> int:
        return subprocess.run(
            ["/bin/sh", "-c", text], cwd=tmp_path, env={"PATH": str(path)}, capture_output=True, check=False
        ).returncode

    assert code(step) == 0
    assert (tmp_path / "called").read_text().splitlines()[-1].endswith(" which libgomp1")
    assert code(step.replace("libgomp1", "fails")) != 0
    assert code(step, tmp_path / "empty") == 1


def native() -> str:
    return recipe(Environment(native=("which", "libgomp1")), base="a", content=lambda _: b"")


def test_a_script_can_be_executed_and_other_files_cannot() -> None:
    with tempfile.TemporaryDirectory() as place:
        environment = Environment(files=(File(path="data", content="1"),))
        built(environment, Run(script=File(path="a b", content="#!/bin/sh\n")), Path(place))
        modes = {path.name: path.stat().st_mode & 0o111 for path in Path(place, "work").iterdir()}
        assert modes == {"a b": 0o111, "data": 0}


def defined(environment: Environment, run: Run, folder: Path) -> str:
    """Do in a folder what the definition does when it is built; the script that a container of it runs."""
    text = definition(environment, base="debian:12", content=lambda _: b"", run=run)
    text = text.replace(TOOLS, str(folder / "tools")).replace(HOME, str(folder / "work"))
    found = re.split(r"^%(\w+)$", text, flags=re.MULTILINE)
    sections = dict(zip(found[1::2], found[2::2], strict=True))
    (folder / "tools").mkdir()
    done = subprocess.run(["/bin/sh", "-c", sections["post"]], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return sections["environment"] + sections["runscript"]


@pytest.mark.parametrize("odd", [*HOSTILE, "{{ x }}", "%post", "{{{"])
def test_hostile_text_comes_through_a_definition(odd: str, tmp_path: Path) -> None:
    environment = Environment(
        files=(File(path=odd, content=odd), File(path=f"folder {odd}/file", content=odd)),
        variables={"A": odd, "B": f"{odd}\n{odd}"},
    )
    script = defined(environment, Run(command=("env", "-0")), tmp_path)
    for path in (odd, f"folder {odd}/file"):
        assert (tmp_path / "work" / path).read_text() == odd
    seen = subprocess.run(
        ["/bin/sh", "-c", script], cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, check=True
    )
    variables = dict(item.split("=", 1) for item in seen.stdout.decode().split("\0") if item)
    assert (variables["A"], variables["B"]) == (odd, f"{odd}\n{odd}")
    words = defined_words(odd, tmp_path / "again")
    assert words == [odd, "x\ny"]


def defined_words(odd: str, folder: Path) -> list[str]:
    """What a command is given."""
    folder.mkdir()
    script = defined(Environment(), Run(command=("printf", "%s\\0", odd, "x\ny")), folder)
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=folder, env={"PATH": os.defpath}, capture_output=True, check=True
    )
    return done.stdout.decode().split("\0")[:-1]
