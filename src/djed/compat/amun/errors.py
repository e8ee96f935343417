"""Every error of Amun's routes as its clients know it.

Amun answered ``{"error", "parameters"}``, and connexion, which checked its schema, RFC 7807 (https://www.rfc-editor.org/rfc/rfc7807);
ours is both at once. What is wrong with a request is 400 here, as Amun knew no 422.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from djed import __version__
from djed.errors import DjedError, NotFoundError, RateError, RequestError, TokenError, UnreadableError
from djed.model.codec import encode

__all__ = ["API_VERSION", "PATH", "SERVICE_VERSION", "AmunRoute", "failure", "respond"]

API_VERSION = "0.10.6"
"""The version of Amun whose API this is."""
SERVICE_VERSION = f"{API_VERSION}+djed.{__version__}"
"""What the header ``X-Amun-Version`` says, and the metric ``amun_api_info``."""

PATH = "/api/v1"
"""Below it, everything is Amun's."""

_HEADER = "X-Amun-Version"
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class AmunRoute(APIRoute):
    """A route whose answers all have the header ``X-Amun-Version``, and whose errors have Amun's form."""

    def get_route_handler(self) -> _Handler:
        """What serves a call."""
        serve = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                response = await serve(request)
            except (DjedError, HTTPException, RequestValidationError) as error:
                return failure(_known(error), request)
            response.headers[_HEADER] = SERVICE_VERSION
            return response

        return handler


def respond(value: Mapping[str, Any], status: int = 200) -> Response:
    """A mapping as JSON."""
    # ASCII: a message may quote half of a surrogate pair, which UTF-8 cannot say.
    content = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    return Response(content, status, media_type="application/json")


def _known(error: DjedError | HTTPException | RequestValidationError) -> DjedError | HTTPException:
    """What the framework found wrong with a parameter, in our words; a path that cannot be is one that is not there."""
    if not isinstance(error, RequestValidationError):
        return error
    first = error.errors()[0]
    kind, *steps = first["loc"]
    if kind == "path":
        return NotFoundError("There is no such run: they are numbered from 0.")
    return UnreadableError(f"{'.'.join(map(str, steps))}: {first['msg']}.")


def failure(error: DjedError | HTTPException, request: Request) -> Response:
    """An error, also of the framework: where there is nothing at a path, or another method."""
    status, message = _verdict(error)
    hint = error.hint if isinstance(error, DjedError) else None
    faults = error.faults if isinstance(error, RequestError) else ()
    response = respond(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": message,
            "error": message,
            "parameters": getattr(request.state, "parameters", None) or _parameters(request),
            **({"hint": hint} if hint else {}),
            **({"faults": encode(faults)} if faults else {}),
        },
        status,
    )
    response.headers["Content-Type"] = "application/problem+json"
    response.headers[_HEADER] = SERVICE_VERSION
    response.headers.update(_headers(error))
    return response


def _parameters(request: Request) -> dict[str, Any]:
    """As they were given: what is wrong with them may be what there is to say."""
    listing = {key: value for key, value in request.query_params.items() if key in {"page", "limit"}}
    return {**request.path_params, **listing}


def _verdict(error: DjedError | HTTPException) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    return 400 if error.status == HTTPStatus.UNPROCESSABLE_ENTITY else error.status, error.message


def _headers(error: DjedError | HTTPException) -> Mapping[str, str]:
    if isinstance(error, HTTPException):
        return error.headers or {}
    if isinstance(error, TokenError):
        return {"WWW-Authenticate": 'Bearer realm="djed"'}
    if isinstance(error, RateError):
        return {"Retry-After": str(max(1, round(error.after)))}
    return {"Retry-After": "5"} if error.transient else {}
