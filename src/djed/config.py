"""Every setting, declared once; each value remembers where it came from (default < file < environment < command line).

The file is TOML: ``$DJED_CONFIG`` or ``~/.config/djed/config.toml``. A setting ``limits.disk`` is ``disk`` in its table ``[limits]``, and
``DJED_LIMITS_DISK`` in the environment.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from djed.errors import ConfigError
from djed.model.principal import DEFAULT_NAMESPACE
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


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text):
        raise ValueError(
            f"{text!r} is not a name: letters, digits, '.', '_' and '-', at most 63, a letter or digit first"
        )
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
        raise ValueError(f"{text!r} is not an address like https://djed.example")
    return text.rstrip("/")


def _store(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("it does not begin with postgresql://")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _log_format(text: str) -> str:
    if text not in {"text", "json"}:
        raise ValueError(f"{text!r} is neither text nor json")
    return text


def _log_level(text: str) -> str:
    if text.lower() not in {"debug", "info", "warning", "error"}:
        raise ValueError(f"{text!r} is not one of debug, info, warning, error")
    return text.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The settings in force."""

    data: Path = _setting(
        "data", _data_home, _path, "Folder of the store, artifacts, caches and job directories."
    )
    store: str | None = _setting(
        "store",
        None,
        _store,
        "Address of the database, as postgresql://USER@HOST/NAME. Default: an SQLite file in the data folder.",
    )
    blobs: Path | None = _setting(
        "blobs",
        None,
        _path,
        "Folder of contents, shared by all machines that share a database. Default: blobs in the data folder.",
    )
    namespace: str = _setting(
        "namespace", DEFAULT_NAMESPACE, _name, "Namespace in which the command line works without a server."
    )
    server: str | None = _setting(
        "server", None, _address, "Address of a Djed server that is to do the work, as https://djed.example."
    )
    token: str | None = _setting("token", None, str, "Token for that server.")
    node: str | None = _setting(
        "node", None, _name, "Name of this machine as a node. Default: its host name."
    )
    sandbox_floor: SandboxLevel = _setting(
        "sandbox.floor", "none", _level, "Weakest sandbox level in which anything may run."
    )
    bases: tuple[str, ...] = _setting(
        "bases",
        (),
        _words,
        "Bases that requests through the server may name, as patterns: registry.example/*, oci:/srv/bases/*. Default: the host alone.",
    )
    registries_insecure: tuple[str, ...] = _setting(
        "registries.insecure",
        (),
        _words,
        "Registries of images, as host:port, that are spoken with without TLS.",
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
    gone: float = _setting(
        "worker.gone",
        600.0,
        parse_duration,
        "Silence after which all workers of another machine are given up, and their work is done elsewhere.",
    )
    serve_host: str = _setting("serve.host", "127.0.0.1", str, "Address on which the server listens.")
    serve_port: int = _setting(
        "serve.port", 8570, _port, "Port on which the server listens; 0: any free one."
    )
    serve_open: bool = _setting(
        "serve.open", False, _flag, "Serve without tokens; only on a loopback address."
    )
    serve_work: bool = _setting("serve.work", True, _flag, "Whether the server process works as well.")
    serve_body: int = _setting(
        "serve.body", 32 * 2**20, parse_size, "Bytes of the body of a call, but for uploads of files."
    )
    serve_rate: int = _setting("serve.rate", 1000, _count, "Calls a second of each token, on average.")
    serve_connections: int = _setting(
        "serve.connections", 20_000, _count, "Connections at once; more are refused with status 503."
    )
    serve_patience: float = _setting(
        "serve.patience",
        10.0,
        parse_duration,
        "How long a client may take for the head of a call, or for a part of its body.",
    )
    serve_stop: float = _setting(
        "serve.stop", 10.0, parse_duration, "How long calls in progress may take when the server stops."
    )
    log_format: str = _setting("log.format", "text", _log_format, "Form of the server's log: text or json.")
    log_level: str = _setting(
        "log.level", "info", _log_level, "Least level in the server's log: debug, info, warning or error."
    )
    secrets_key: Path | None = _setting(
        "secrets.key",
        None,
        _path,
        "File with the key of the stored secrets. Default: secrets.key in the data folder, made when it is needed.",
    )
    fetch_hosts: tuple[str, ...] = _setting(
        "fetch.hosts", (), _words, "Hosts from which a script that is named by its address may be fetched."
    )
    fetch_size: int = _setting("fetch.size", 2**20, parse_size, "Bytes of a script that is fetched.")
    fetch_timeout: float = _setting(
        "fetch.timeout", 20.0, parse_duration, "Time for fetching a script, redirects included."
    )
    webhooks_allow_private: bool = _setting(
        "webhooks.allow_private", False, _flag, "Whether webhooks may have private or loopback addresses."
    )
    webhooks_max_age: float = _setting(
        "webhooks.max_age",
        86_400.0,
        parse_duration,
        "How long an event is tried before its webhook is given up on it.",
    )
    idempotency_max_age: float = _setting(
        "idempotency.max_age", 86_400.0, parse_duration, "How long an idempotency key is remembered."
    )
    retention_age: float | None = _setting(
        "retention.age", None, parse_duration, "How long final inspections are kept. Default: for ever."
    )
    retention_count: int | None = _setting(
        "retention.count", None, _count, "Final inspections kept in each namespace. Default: all."
    )
    retention_size: int | None = _setting(
        "retention.size", None, parse_size, "Bytes of results kept in each namespace. Default: all."
    )
    retention_every: float = _setting(
        "retention.every", 600.0, parse_duration, "Time between two clean-ups by the workers."
    )
    amun_namespace: str | None = _setting(
        "amun.namespace",
        None,
        _name,
        "Namespace in which Amun's calls are answered without a token. Default: they need one.",
    )
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
