"""What all builders share: the base's digest, uv's settings, and the error that knows its failure class."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from djed.errors import ConfigError, ToolError
from djed.model.hardware import Interpreter, Node
from djed.model.job import At
from djed.model.observation import Failure, FailureClass, Stage
from djed.model.request import Environment
from djed.model.result import Result
from djed.toolbox.digest import digest_json

__all__ = [
    "BuildError",
    "build_error",
    "build_variables",
    "host_digest",
    "own_code",
    "require_success",
    "script",
    "uv_settings",
    "uv_variables",
]

INSECURE_REGISTRIES = "DJED_INSECURE_REGISTRIES"
"""Setting, and variable of a base job: registries that are spoken to without TLS, with commas between them."""
INDEX_VARIABLES = frozenset({"UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_INDEX_URL"})
PASSED_VARIABLES = INDEX_VARIABLES | {
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "UV_CONCURRENT_DOWNLOADS",
    "UV_HTTP_RETRIES",
    "UV_HTTP_TIMEOUT",
    "UV_INSECURE_HOST",
    "UV_SYSTEM_CERTS",
}


class BuildError(ToolError):
    """What a lock or build job left cannot be used, for a reason that has a name."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, hint=failure.hint)
        self.failure = failure


def build_error(
    stage: Stage, kind: FailureClass, message: str, *, hint: str | None = None, **subject: object
) -> BuildError:
    """A :class:`BuildError` of one sentence, with the names in ``subject``."""
    return BuildError(Failure(stage=stage, kind=kind, message=message, hint=hint, subject=subject))


def host_digest(node: Node, interpreter: Interpreter) -> str:
    """Digest of the base ``host``: what of this machine an environment rests on."""
    return digest_json(
        {
            "os": node.hardware.os,
            "os_version": node.hardware.os_version,
            "libc": node.hardware.libc,
            "arch": node.hardware.arch,
            "interpreter": [interpreter.implementation, interpreter.version, interpreter.path],
        }
    )


def uv_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the user's configuration of uv the jobs get: indexes, proxies, certificates, patience; no secret variable of an index.

    Reads uv's configuration files where no variable names an index. Raises ``ConfigError`` for one that cannot be read.
    """
    settings = {name: value for name, value in sorted(environ.items()) if name in PASSED_VARIABLES and value}
    if INDEX_VARIABLES.isdisjoint(settings):
        for path in reversed(_configuration_files(environ)):
            settings |= _configured_indexes(_read_configuration(path))
    return settings


def _configuration_files(environ: Mapping[str, str]) -> list[Path]:
    """Files that uv would read outside a project, the strongest first (https://docs.astral.sh/uv/concepts/configuration-files/)."""
    if named := environ.get("UV_CONFIG_FILE"):
        return [Path(named)]
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    return [home / "uv/uv.toml", Path("/etc/uv/uv.toml")]


def _read_configuration(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"The configuration of uv, {path}, cannot be read: {error}.") from error


def _configured_indexes(configuration: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    if isinstance(url := configuration.get("index-url"), str):
        found["UV_DEFAULT_INDEX"] = url
    others: list[str] = []
    tables = configuration.get("index")
    for table in tables if isinstance(tables, list) else []:
        # An explicit index serves only packages that a project's own sources name; ours come from the request.
        if not isinstance(table, dict) or table.get("explicit") or not isinstance(table.get("url"), str):
            continue
        if table.get("default"):
            found["UV_DEFAULT_INDEX"] = table["url"]
        else:
            others.append(table["url"])
    if others:
        found["UV_INDEX"] = " ".join(others)
    return found


def uv_variables(environment: Environment, settings: Mapping[str, str]) -> dict[str, str | At]:
    """Variables of a job that calls uv. A request that brings its default index is served by none of the configured ones."""
    variables: dict[str, str | At] = dict(settings)
    own = [index.url for index in environment.indexes if not index.packages]
    if own:
        # Empty, not left out: whoever starts the job may pass its own on. uv takes an empty one for none.
        variables |= dict.fromkeys(INDEX_VARIABLES, "") | {"UV_DEFAULT_INDEX": own[0]}
    if environment.exclude_newer:
        variables["UV_EXCLUDE_NEWER"] = environment.exclude_newer
    return variables | {
        "UV_CACHE_DIR": At(place="cache"),
        "UV_LINK_MODE": "hardlink",
        "UV_NO_PROGRESS": "1",
        "UV_PREVIEW_FEATURES": "pylock",
        "UV_PYTHON_DOWNLOADS": "never",
    }


def build_variables(environment: Environment, settings: Mapping[str, str]) -> dict[str, str | At]:
    """Variables of a job that may run a package's build code: those of the request too, but for what would steer uv."""
    own = {name: value for name, value in environment.variables.items() if not name.startswith("UV_")}
    return {**own, **uv_variables(environment, settings)}


def own_code(subcommand: str, *words: str | At) -> tuple[str | At, ...]:
    """The command of a job that runs a subcommand of :mod:`djed.build.inside`."""
    program = At(place="djed", path="build/inside")
    return (At(place="interpreter"), "-I", "-S", program, subcommand, *words)


def require_success(result: Result) -> None:
    """Refuse to seal what a job left that did not end well. Raises ``ToolError``."""
    if result.exit_code != 0:
        raise ToolError("The build did not end well, so there is nothing to keep.")


@cache
def script(name: str) -> str:
    """Text of one of our scripts that run inside jobs."""
    return (Path(__file__).parent / "scripts" / name).read_text(encoding="utf-8")
