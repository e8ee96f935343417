"""pyproject.toml and its [tool.uv]."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from djed.intake import Submission
from djed.model.request import Index

Fold = Callable[..., Submission]
Messages = Callable[..., list[str]]
PROJECT = """\
[project]
name = "My_Project"
requires-python = ">=3.10"
dependencies = ["numpy>=2", "a; python_version > '3'"]

[project.optional-dependencies]
plot = ["matplotlib"]
all = ["my-project[plot,All]", "tqdm"]
other = ["never"]

[tool.uv]
exclude-newer = "2026-11-01T00:00:00Z"
constraint-dependencies = ["numpy<3"]

[tool.uv.sources]
torch_x = { index = "gpu" }

[[tool.uv.index]]
name = "gpu"
url = "https://gpu.example/simple"
explicit = true

[[tool.uv.index]]
name = "main"
url = "https://index.example/simple"
default = true
"""


def test_a_project_becomes_packages_indexes_and_a_date(fold: Fold) -> None:
    environment = fold("pyproject.toml", {"pyproject.toml": PROJECT}).request.environment
    assert environment.packages == ("numpy>=2", "a; python_version > '3'")
    assert environment.python == ">=3.10"
    assert environment.exclude_newer == "2026-11-01T00:00:00Z"
    assert environment.constraints == ("numpy<3",)
    assert environment.indexes == (
        Index(name="gpu", url="https://gpu.example/simple", packages=("torch-x",)),
        Index(name="main", url="https://index.example/simple"),
    )


def test_extras_are_picked_and_may_name_one_another(fold: Fold) -> None:
    packages = fold("pyproject.toml[ALL]", {"pyproject.toml": PROJECT}).request.environment.packages
    assert packages[2:] == ("tqdm", "matplotlib")


@pytest.mark.parametrize(
    ("named", "text", "message"),
    [
        ("[x]", "[project]\n", 'there is no extra "x"'),
        ("", "[tool.poetry]\n", "there is no [project] table"),
        ("", "[project]\ndynamic = ['dependencies']\n", "the dependencies are dynamic"),
        ("", "[project]\ndependencies = [1]\n", "dependencies must be a list of texts"),
        ("", "[project]\ndependencies = ['-e .']\n", "pyproject.toml: packages[0]: "),
        ("", "[project]\n[tool.uv]\nfind-links = ['.']\n", "find-links in [tool.uv]"),
        ("", "[project]\n[tool.uv]\nexclude-newer = '1 week'\n", "pyproject.toml: exclude_newer: "),
        ("", "[project]\n[tool.uv.sources]\na = {git = 'x'}\n", "not simply from an index"),
        ("", "[project]\n[tool.uv.sources]\na = {index = 'x'}\n", 'names the index "x", which is not there'),
        ("", "[project]\n[[tool.uv.index]]\nname = 'a'\nurl = 'https://index.example'\n", "would be merged"),
        ("", "[project]\n[[tool.uv.index]]\nurl = 'file:///a'\ndefault = true\n", "indexes[0].url: "),
        ("", "project = 3\n", "project must be a table"),
    ],
)
def test_a_bad_project_is_a_sentence(fold_faults: Messages, named: str, text: str, message: str) -> None:
    (found,) = fold_faults("pyproject.toml" + named, {"pyproject.toml": text})
    assert message in found
