"""Every setting, declared once; each value remembers where it came from (default < file < environment < command line).

The file is TOML: ``$DJED_CONFIG`` or ``~/.config/djed/config.toml``. A setting ``limits.disk`` is ``disk`` in its table ``[limits]``, and
``DJED_LIMITS_DISK`` in the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from djed.errors import ConfigError
from djed.model.quantity import parse_duration, parse_size
from djed.model.request import SANDBOX_LEVELS, SandboxLevel

__all__ = ["Config", "Source", "load", "settings"]

Source = Literal["default", "file", "environment", "command line"]


def _setting(name: str, default: Any, read: Callable[[str], Any], text: str) -> Any:
    metadata = {"name": name, "read": read, "help": text}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "djed"


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


def _flag(text: str) -> bool:
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither true nor false")
    return known[text.lower()]


def _level(text: str) -> str:
    if text not in SANDBOX_LEVELS:
        raise ValueError(f"{text!r} is not one of {', '.join(SANDBOX_LEVELS)}")
    return text


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a whole number")
    if int(text) < 1:
        raise ValueError(f"{text!r} is less than 1")
    return int(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The settings in force."""

    data: Path = _setting(
        "data", _data_home, _path, "Folder of the store, artifacts, caches and job directories."
    )
    sandbox_floor: SandboxLevel = _setting(
        "sandbox.floor", "none", _level, "Weakest sandbox level in which anything may run."
    )
    indexes_allow_private: bool = _setting(
        "indexes.allow_private",
        False,
        _flag,
        "Whether a request may name an index at a private or loopback address.",
    )
    locks_max_age: float = _setting(
        "locks.max_age",
        600.0,
        parse_duration,
        "How long a lock answers the same question again (for ever with exclude_newer).",
    )
    limits_disk: int = _setting(
        "limits.disk", 10 * 2**30, parse_size, "Bytes a job may leave in its directories."
    )
    limits_output: int = _setting(
        "limits.output", 16 * 2**20, parse_size, "Bytes kept of each of stdout and stderr."
    )
    limits_processes: int = _setting(
        "limits.processes", 1024, _count, "Processes and threads of a job at once."
    )
    limits_request: int = _setting("limits.request", 2**20, parse_size, "Bytes of a request file.")
    limits_files: int = _setting("limits.files", 256 * 2**20, parse_size, "Bytes of all files of a request.")
    lease: float = _setting(
        "worker.lease", 15.0, parse_duration, "How long a worker that says nothing keeps its work."
    )
    attempts: int = _setting(
        "worker.attempts", 3, _count, "Attempts of a job whose machine or supervisor died."
    )
    pythons: tuple[str, ...] = _setting(
        "pythons",
        (),
        _words,
        "Further folders or executables in which to look for Pythons, beside those that uv finds.",
    )
    uv: str | None = _setting(
        "uv",
        None,
        str,
        "The uv executable. Default: the one that was installed with Djed, else the one on the PATH.",
    )
    labels: tuple[str, ...] = _setting("labels", (), _words, "Labels of this node, as name=value.")
    sources: Mapping[str, Source] = field(default_factory=dict)
    """Source of each value by setting name."""


def settings() -> tuple[tuple[str, str, Any, str, str], ...]:
    """Name, environment variable, default, help and field name of every setting, in order of declaration."""
    found = []
    for item in fields(Config):
        if item.metadata:
            name = item.metadata["name"]
            default = item.default if item.default_factory is MISSING else item.default_factory()
            found.append((name, _variable(name), default, item.metadata["help"], item.name))
    return tuple(found)


def load(
    overrides: Mapping[str, str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Config:
    """The settings in force. ``overrides`` come from the command line, by setting name. Raises ``ConfigError``."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    layers: tuple[tuple[Source, Mapping[str, str]], ...] = (
        ("file", _read_file(file or _config_file(environ))),
        (
            "environment",
            {name: environ[variable] for name, variable, *_ in settings() if variable in environ},
        ),
        ("command line", overrides or {}),
    )
    readers = {item.metadata["name"]: item for item in fields(Config) if item.metadata}
    for source, layer in layers:
        for name, text in layer.items():
            if name not in readers:
                near = get_close_matches(name, readers, 1)
                raise ConfigError(
                    f"There is no setting {name!r} (from the {source}).",
                    hint=f"Did you mean {near[0]!r}?" if near else None,
                )
            try:
                values[readers[name].name] = readers[name].metadata["read"](text)
            except ValueError as error:
                raise ConfigError(f"The setting {name!r} (from the {source}) is wrong: {error}.") from error
            sources[name] = source
    for name in readers:
        sources.setdefault(name, "default")
    return Config(**values, sources=sources)


def _variable(name: str) -> str:
    return "DJED_" + name.upper().replace(".", "_")


def _config_file(environ: Mapping[str, str]) -> Path:
    if "DJED_CONFIG" in environ:
        return Path(environ["DJED_CONFIG"])
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "djed/config.toml"


def _read_file(path: Path) -> dict[str, str]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error}.") from error
    return dict(_flatten(tree, ""))


def _flatten(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            found.append((prefix + key, " ".join(map(str, value))))
        else:
            found.append((prefix + key, str(value)))
    return found
