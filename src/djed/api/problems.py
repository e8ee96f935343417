"""Every error as ``application/problem+json`` (RFC 9457): what is wrong, where, and what to do; never a traceback."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from djed.api.state import call_of
from djed.compat import amun
from djed.errors import DjedError, Fault, RateError, RequestError, StoreError, TokenError

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = [
    "MEDIA_TYPE",
    "djed_problem",
    "http_problem",
    "problem",
    "stopping_problem",
    "unforeseen_problem",
    "validation_problem",
]

_logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_SOON = 5
"""Seconds after which to try again when the server or its store cannot be used."""
_DETAILS = {
    404: "There is nothing at this path.",
    405: "This path does not take that method.",
}


def djed_problem(request: Request, error: Exception) -> Response:
    """A ``DjedError``: status and words are the error's own."""
    assert isinstance(error, DjedError)
    return problem(error, call_of(request.scope).id)


def problem(error: DjedError, call: str) -> Response:
    """The same, outside a route. ``call`` is the id of the call."""
    headers = {}
    if isinstance(error, TokenError):
        headers["WWW-Authenticate"] = 'Bearer realm="djed"'
    elif isinstance(error, RateError):
        headers["Retry-After"] = str(max(1, round(error.after)))
    elif isinstance(error, StoreError) or error.transient:
        headers["Retry-After"] = str(_SOON)
    faults = error.faults if isinstance(error, RequestError) else ()
    title, detail, hint = _title(type(error)), error.message, error.hint
    if isinstance(error, StoreError):
        # Where the store lies, and what its owner can do, is not for all who call.
        _logger.warning("Call %s: %s", call, error.message)
        detail, hint = f"{title}.", None
    return _response(
        {
            "type": f"urn:djed:error:{_name(type(error))}",
            "title": title,
            "status": error.status,
            "detail": detail,
            **({"hint": hint} if hint else {}),
            **({"faults": [_fault(fault) for fault in faults]} if faults else {}),
            "request_id": call,
        },
        headers,
    )


def http_problem(request: Request, error: Exception) -> Response:
    """What the framework refuses: unknown paths and methods."""
    from starlette.exceptions import HTTPException

    assert isinstance(error, HTTPException)
    if request.url.path.startswith(f"{amun.PATH}/"):
        return amun.failure(error, request)
    status = error.status_code
    phrase = HTTPStatus(status).phrase
    detail = error.detail if error.detail != phrase else _DETAILS.get(status, f"{phrase}.")
    return _plain(status, detail, call_of(request.scope).id, error.headers)


def validation_problem(request: Request, error: Exception) -> Response:
    """Parameters of the path, the query or the headers that are not what they should be, each with its place."""
    from fastapi.exceptions import RequestValidationError

    assert isinstance(error, RequestValidationError)
    faults = tuple(_parameter_fault(item) for item in error.errors())
    first = faults[0]
    message = f"{first.path}: {first.message}."
    return problem(RequestError(message, faults=faults), call_of(request.scope).id)


def unforeseen_problem(call: str) -> Response:
    """A bug of ours; what it was is in the log, by the id of the call."""
    return _plain(500, f"The server failed; its log says why at {call}.", call, None)


def stopping_problem(call: str) -> Response:
    """The server stops; the next one may be there soon."""
    return _plain(503, "The server is about to stop.", call, {"Retry-After": str(_SOON)})


def _parameter_fault(item: Mapping[str, Any]) -> Fault:
    """``limit: Input should be a valid integer``: the kind of the parameter is in the first step of its place."""
    _, *steps = item["loc"]
    return Fault(path=".".join(map(str, steps)) or str(item["loc"][0]), message=str(item["msg"]))


def _plain(status: int, detail: str, call: str, headers: Mapping[str, str] | None) -> Response:
    phrase = HTTPStatus(status).phrase
    return _response(
        {
            "type": f"urn:djed:error:{phrase.lower().replace(' ', '-')}",
            "title": phrase,
            "status": status,
            "detail": detail,
            "request_id": call,
        },
        headers or {},
    )


def _response(value: dict[str, Any], headers: Mapping[str, str]) -> Response:
    # ASCII: a message may quote half of a surrogate pair, which UTF-8 cannot say.
    content = json.dumps(value, separators=(",", ":")).encode("ascii")
    return Response(content, value["status"], dict(headers), media_type=MEDIA_TYPE)


def _fault(fault: Fault) -> dict[str, Any]:
    optional = {"line": fault.line, "hint": fault.hint}
    return {
        "path": fault.path,
        "message": fault.message,
        **{key: value for key, value in optional.items() if value is not None},
    }


def _name(kind: type[DjedError]) -> str:
    """``NotFoundError``: ``not-found``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__.removesuffix("Error")).lower()


def _title(kind: type[DjedError]) -> str:
    return (kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip(".")
