"""The project that uv resolves: a pyproject.toml that says what an environment asks for.

Per-package indexes. uv looks a package up in the index that ``[tool.uv.sources]`` names only where the project itself depends on it,
not where a dependency of a dependency brings it. So each such package is a direct dependency with a marker that never holds: it adds
nothing, and a universal resolution (markers are kept until its end; here it is narrowed to one platform) still learns its index from it.
"""

from __future__ import annotations

from collections.abc import Sequence

from djed.build.pylock import toml_text
from djed.model.hardware import Interpreter
from djed.model.request import Environment

__all__ = ["has_package_indexes", "write_project"]

_NEVER = "python_version < '3'"


def has_package_indexes(environment: Environment) -> bool:
    """Whether some packages come from an index of their own."""
    return any(index.packages for index in environment.indexes)


def write_project(
    environment: Environment, requirements: Sequence[str], *, interpreter: Interpreter, arch: str
) -> str:
    """Text of the pyproject.toml. ``requirements`` are those of the environment, or the pins of a lock that lacks addresses."""
    dependencies, sources, tables = [*requirements], [], []
    for index in environment.indexes:
        if not index.packages:
            continue  # the default index is a variable of the job
        tables += [
            "",
            "[[tool.uv.index]]",
            f"name = {toml_text(index.name)}",
            f"url = {toml_text(index.url)}",
        ]
        tables.append("explicit = true")
        sources += [f"{toml_text(name)} = {{ index = {toml_text(index.name)} }}" for name in index.packages]
        dependencies += [f"{name} ; {_NEVER}" for name in index.packages]
    lines = [
        "[project]",
        'name = "djed-environment-root"',
        'version = "0"',
        f"requires-python = {toml_text('==' + interpreter.version)}",
        f"dependencies = {_list(dependencies)}",
        "",
        "[tool.uv]",
        f"constraint-dependencies = {_list(environment.constraints)}",
    ]
    if sources:
        here = [f"sys_platform == 'linux' and platform_machine == '{arch}'"]
        lines += [f"environments = {_list(here)}", f"required-environments = {_list(here)}"]
        lines += [*tables, "", "[tool.uv.sources]", *sources]
    return "\n".join(lines) + "\n"


def _list(values: Sequence[str]) -> str:
    return "[" + ", ".join(toml_text(value) for value in values) + "]"
