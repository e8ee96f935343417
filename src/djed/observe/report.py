"""The result of an attempt as people and programs read it: a superset of Amun's result (docs/reference/result.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from djed.model.codec import encode
from djed.model.observation import Failure
from djed.model.result import Result
from djed.observe import indicator
from djed.observe.log import window

__all__ = ["TEXT", "USAGE", "report"]

TEXT = 64 * 1024
"""Bytes of a stream that the report itself shows, half from its start and half from its end; the stream's blob has all that was kept."""
_JSON = 4 * 2**20
"""Bytes of stdout up to which it is read as JSON."""
_DEEPEST = 100
"""Levels of nesting up to which JSON is kept as JSON: deeper than any report, and safe for every reader."""
_LARGEST_INTEGER = 2**63
_LONGEST_NUMBER = 400

USAGE = (
    "ru_utime", "ru_stime", "ru_maxrss", "ru_ixrss", "ru_idrss", "ru_isrss", "ru_minflt", "ru_majflt", "ru_nswap", "ru_inblock",
    "ru_oublock", "ru_msgsnd", "ru_msgrcv", "ru_nsignals", "ru_nvcsw", "ru_nivcsw",
)  # fmt: skip
"""Keys of getrusage(2), all of which Amun's readers expect."""


def report(
    result: Result,
    *,
    stdout: bytes,
    stderr: bytes,
    script_sha256: str | None,
    python_version: str | None,
    failure: Failure | None,
) -> dict[str, Any]:
    """The result JSON. ``stdout`` and ``stderr`` are what was kept of the streams; it holds only what JSON can carry anywhere."""
    said = None if result.stdout.truncated else _json(stdout)
    shown = _text(stdout) if said is None else said[1]
    found = {
        **_amun(result, shown, _text(stderr)),
        "script_sha256": script_sha256,
        "runtime_environment": _runtime_environment(result.hardware, python_version),
        **_ours(result),
        "stdout_shortened": said is None and len(stdout) > TEXT,
        "stderr_shortened": len(stderr) > TEXT,
        "failure": None if failure is None else encode(failure),
    }
    # After chatter the numbers may stand in a line that the report leaves out.
    tail = window(stdout, head=0, tail=_JSON).decode("utf-8", "replace")
    whole = {**found, "stdout": tail if said is None else said[0]}
    found["metrics"] = indicator.metrics(whole)
    found["parameters"] = _plain(dict(indicator.parameters(whole)), 0)
    found["notes"] = [_plain(note, 0) for note in indicator.notes(whole)]
    return found


def _amun(result: Result, stdout: Any, stderr: str) -> dict[str, Any]:
    """The keys that Amun had, with its types."""
    system = result.hardware.get("os_release")
    started, ended = _moment(result.started_at), _moment(result.ended_at)
    return {
        "exit_code": _exit_code(result),
        "stdout": stdout,
        "stderr": stderr,
        "usage": {key: result.usage.get(key, 0) for key in USAGE},
        "start_datetime": started,
        "end_datetime": ended,
        "datetime": ended,
        "os_release": dict(system) if isinstance(system, Mapping) else None,
        "hwinfo": dict(result.hardware),
        "hostname": result.hostname,
    }


def _ours(result: Result) -> dict[str, Any]:
    """What Amun lacked."""
    return {
        "duration": result.duration,
        "signal": result.signal,
        "error": result.error,
        "timed_out": result.timed_out,
        "out_of_memory": result.out_of_memory,
        "disk_exceeded": result.disk_exceeded,
        "cancelled": result.cancelled,
        "lost": result.lost,
        "peak_memory": result.peak_memory,
        "node": result.node,
        "cpus": list(result.cpus),
        "sandbox": result.sandbox,
        "sandbox_tool": result.sandbox_tool,
        "limits": dict(result.limits),
        "stdout_digest": result.stdout.digest,
        "stdout_size": result.stdout.size,
        "stdout_truncated": result.stdout.truncated,
        "stderr_digest": result.stderr.digest,
        "stderr_size": result.stderr.size,
        "stderr_truncated": result.stderr.truncated,
        "outputs": [{"path": file.path, "size": file.size, "digest": file.digest} for file in result.outputs],
        "skipped": list(result.skipped),
    }


def _exit_code(result: Result) -> int:
    """As a shell has it: 128 + number where a signal ended it, 127 where it never started."""
    if result.signal is not None:
        return 128 + result.signal
    if result.exit_code is not None:
        return result.exit_code
    return 127 if result.error is not None else 128 + 9


def _moment(seconds: float) -> str | None:
    """ISO 8601 in UTC with microseconds, without an offset, as Amun wrote it; ``None`` where it never happened."""
    if not 0 < seconds < 2**37:
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def _runtime_environment(hardware: Mapping[str, Any], python_version: str | None) -> dict[str, Any]:
    processor, system = _mapping(hardware.get("cpu_info")), _mapping(hardware.get("os_release"))
    gpus = hardware.get("gpus")
    versions = [_mapping(gpu).get("cuda") for gpu in gpus] if isinstance(gpus, list | tuple) else []
    return {
        "cuda_version": next((version for version in versions if version), None),
        "hardware": {"cpu_family": processor.get("family"), "cpu_model": processor.get("model")},
        "operating_system": {"name": system.get("id"), "version": system.get("version_id")},
        "python_version": ".".join(python_version.split(".")[:2]) if python_version else None,
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _json(data: bytes) -> tuple[Any, Any] | None:
    """The JSON value that stdout is as a whole: as the script wrote it and as it can be stored; ``None`` for no JSON."""
    if not data.strip():
        return {}, {}
    if len(data) > _JSON:
        return None
    try:
        value = json.loads(data, parse_int=_integer)
        return value, _plain(value, 0)
    except (ValueError, RecursionError):
        return None


def _text(data: bytes) -> str:
    r"""What the report shows of a stream. NUL, which no database takes, is written as ``\\x00`` like any byte that is no text."""
    shown = window(data, head=TEXT // 2, tail=TEXT // 2)
    return shown.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _integer(digits: str) -> int | float:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError("a number with more digits than a float has")
    number = int(digits)
    return number if abs(number) < _LARGEST_INTEGER else float(digits)


def _plain(value: Any, depth: int) -> Any:
    """The value with ``null`` for what JSON has no word for. Raises ``ValueError`` where it is nested too deep."""
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        return {_plain(key, depth + 1): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        # Lone surrogates come from escapes such as "\ud800"; neither they nor NUL can be stored as text.
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return value
