"""From what is posted to Amun to a submission of ours: its defaults filled in, its script fetched, its id made."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from djed.compat.amun.errors import SERVICE_VERSION
from djed.errors import Fault, RateError, RequestError, UnsafeError
from djed.intake.amun import read
from djed.toolbox.fetch import StatusError, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from djed.config import Config
    from djed.intake.submission import Submission

__all__ = ["Asked", "accept", "filled", "is_id", "outline"]

_DEFAULT_REQUESTS = {"cpu": "500m", "memory": "256Mi"}
_IDENTIFIER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,58}[A-Za-z0-9])?")
_ID = re.compile(r"inspection(-[A-Za-z0-9-]{1,60})?-[0-9]{12}-[0-9a-f]{8}")

_FETCHING = threading.BoundedSemaphore(4)
"""Scripts fetched at once: those who wait for a slow host must not keep all others waiting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What was asked, ready to be submitted."""

    id: str
    """In Amun's form; the name of our inspection."""
    specification: Mapping[str, Any]
    """As it came in, with Amun's defaults and what Amun added."""
    submission: Submission


def is_id(name: str) -> bool:
    """Whether the name of an inspection is an id in Amun's form."""
    return _ID.fullmatch(name) is not None


def accept(data: Mapping[str, Any], *, config: Config, address: str) -> Asked:
    """The submission that a specification makes. ``address`` is that of our API, as the caller knows it.

    Raises ``RequestError`` with every fault, ``RateError`` where too many scripts are being fetched.
    """
    specification = filled(data)
    id_ = _new_id(specification.get("identifier"))
    submission = read({**specification, "script": _script(specification, config)}, config=config)
    specification |= {
        "@created": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds"),
        "@amun_service_version": SERVICE_VERSION,
        "@amun_api_url": address,
        "@amun_deployment_name": "djed",
    }
    return Asked(
        id=id_,
        specification=specification,
        submission=replace(
            submission,
            request=replace(submission.request, name=id_),
            origin={"door": "amun", "specification": specification},
        ),
    )


def outline(data: Mapping[str, Any], *, config: Config) -> tuple[dict[str, Any], Submission]:
    """A specification with its defaults, and the submission that it would make. Raises ``RequestError``."""
    specification = filled(data)
    submission = read({**specification, "script": _script(specification, config)}, config=config)
    request = submission.request
    named = replace(request.environment, base=specification["base"])  # also where it would be the host
    return specification, replace(submission, request=replace(request, environment=named))


def filled(data: Mapping[str, Any]) -> dict[str, Any]:
    """A specification with Amun's defaults. What has the wrong form stays, for the check that follows."""
    size = data.get("batch_size")
    size = int(size) if isinstance(size, str) and re.fullmatch(r"[0-9]{1,9}", size) else size
    return {
        **data,
        "batch_size": 1 if size is None else size,
        "build": _stage(data.get("build")),
        "run": _stage(data.get("run")),
    }


def _stage(stage: Any) -> Any:
    stage = {} if stage is None else stage
    requests = (stage.get("requests") or {}) if isinstance(stage, Mapping) else None
    if not isinstance(requests, Mapping):
        return stage
    given = {key: value for key, value in requests.items() if value is not None}
    return {**stage, "requests": {**_DEFAULT_REQUESTS, **given}}


def _new_id(identifier: Any) -> str:
    """``inspection[-identifier]-yymmddHHMMSS-hex``, the date in local time. Raises ``RequestError``."""
    # What is no text at all is told with everything else.
    if isinstance(identifier, str) and identifier and not _IDENTIFIER.fullmatch(identifier):
        message = "has 1 to 60 letters, digits and hyphens, and no hyphen at its ends"
        fault = Fault(path="identifier", message=message)
        raise RequestError(f"An identifier {message}.", faults=(fault,))
    middle = f"-{identifier}" if identifier and isinstance(identifier, str) else ""
    now = datetime.now().astimezone()
    return f"inspection{middle}-{now:%y%m%d%H%M%S}-{secrets.token_hex(4)}"


def _script(specification: Mapping[str, Any], config: Config) -> Any:
    """The text of the script; where it is an address, what lies there."""
    script = specification.get("script")
    if not isinstance(script, str) or not re.match(r"https?://", script.strip(), re.IGNORECASE):
        return script
    with _turn():
        return _fetched(script.strip(), config)


@contextmanager
def _turn() -> Iterator[None]:
    if not _FETCHING.acquire(blocking=False):
        raise RateError("Too many scripts are being fetched at this moment.")
    try:
        yield
    finally:
        _FETCHING.release()


def _fetched(url: str, config: Config) -> str:
    """Raises ``RequestError`` in Amun's words."""
    try:
        data = fetch(url, hosts=config.fetch_hosts, size=config.fetch_size, timeout=config.fetch_timeout)
        return data.decode()
    except StatusError as error:
        raise _unobtained(url, f" (HTTP status: {error.code})") from error
    except UnsafeError as error:
        raise _unobtained(url, f", which is not allowed: {error.message}", error.hint) from error
    except RequestError as error:
        raise _unobtained(url, f": {error.message}", error.hint) from error
    except UnicodeDecodeError as error:
        raise _unobtained(url, ": it is not UTF-8 text.") from error


def _unobtained(url: str, reason: str, hint: str | None = None) -> RequestError:
    message = f"Failed to obtain script from {url[:200]}{reason}"
    return RequestError(message, faults=(Fault(path="script", message=message, hint=hint),), hint=hint)
