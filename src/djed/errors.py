"""The errors of Djed.

Each class knows what the doors need: the exit code of the command line, the HTTP status, and whether the same call may
succeed later (``transient``). A handled error is one sentence and a hint; anything else is a bug and crashes.

::

    DjedError                     1  500
    ├── RequestError              2  422   the request is wrong; carries every fault with its path
    │   ├── UnreadableError       2  400   it cannot be read at all: broken JSON, a forged cursor
    │   ├── TooLargeError         2  413   it is larger than is taken
    │   └── MediaTypeError        2  415   it is of a type that is not understood
    ├── ConfigError               2  500   a setting is wrong
    ├── NotFoundError             3  404   no such inspection, job, artifact …
    ├── ConflictError             4  409   not possible in this state
    ├── RefusedError              5  422   no hardware fits, or a safety floor is not met
    ├── MissingPartError          6  503   a tool that is needed is not there (uv, bwrap …)
    ├── StoreError                7  503   the store cannot be read or written
    │   ├── StoreVersionError     7  503   written by a newer Djed
    │   ├── StoreFullError        7  507   no space left (transient)
    │   └── StoreBusyError        7  503   held by another process for too long (transient)
    ├── RunnerError               8  502   a target failed; ``transient`` says whether to try again
    ├── ToolError                 8  502   a foreign tool failed or answered nonsense
    ├── ServerError               8  502   a server cannot be reached, or failed (transient)
    ├── UnsafeError               9  422   something hostile was refused (archive entry, link, tampered artifact)
    ├── AccessError              10  403   the token does not allow it
    │   └── TokenError           10  401   there is no token, or it is unknown, expired or revoked
    └── RateError                11  429   too many requests for now (transient)
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AccessError",
    "ConfigError",
    "ConflictError",
    "DjedError",
    "Fault",
    "MediaTypeError",
    "MissingPartError",
    "NotFoundError",
    "RateError",
    "RefusedError",
    "RequestError",
    "RunnerError",
    "ServerError",
    "StoreBusyError",
    "StoreError",
    "StoreFullError",
    "StoreVersionError",
    "TokenError",
    "TooLargeError",
    "ToolError",
    "UnreadableError",
    "UnsafeError",
]


class DjedError(Exception):
    """Something went wrong in a way that a user can understand."""

    exit_code: int = 1
    status: int = 500
    transient: bool = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is wrong in a request."""

    path: str
    """Where, as ``run.resources.memory`` or ``environment.packages[2]``; empty for the whole."""
    message: str
    """What, as a sentence without its path."""
    line: int | None = None
    """Line in the file, from 1, where known."""
    hint: str | None = None
    """What to do, for example the nearest known key."""


class RequestError(DjedError):
    """The request is wrong."""

    exit_code = 2
    status = 422

    def __init__(self, message: str, *, faults: tuple[Fault, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.faults = faults


class UnreadableError(RequestError):
    """It cannot be read at all."""

    status = 400


class TooLargeError(RequestError):
    """It is larger than is taken."""

    status = 413


class MediaTypeError(RequestError):
    """It is of a type that is not understood."""

    status = 415


class ConfigError(DjedError):
    """A setting is wrong."""

    exit_code = 2


class NotFoundError(DjedError):
    """There is no such thing."""

    exit_code = 3
    status = 404


class ConflictError(DjedError):
    """That is not possible in this state."""

    exit_code = 4
    status = 409


class RefusedError(DjedError):
    """Refused before anything started: nothing fits, or a safety floor is not met."""

    exit_code = 5
    status = 422


class MissingPartError(DjedError):
    """A tool that is needed is not on this machine."""

    exit_code = 6
    status = 503


class StoreError(DjedError):
    """The store cannot be read or written."""

    exit_code = 7
    status = 503


class StoreVersionError(StoreError):
    """The store was written by a newer Djed."""


class StoreFullError(StoreError):
    """There is no space left for the store."""

    status = 507
    transient = True


class StoreBusyError(StoreError):
    """Another process held the store for too long."""

    transient = True


class RunnerError(DjedError):
    """A target failed."""

    exit_code = 8
    status = 502

    def __init__(self, message: str, *, transient: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.transient = transient


class ToolError(DjedError):
    """A foreign tool failed or answered something that cannot be read."""

    exit_code = 8
    status = 502


class UnsafeError(DjedError):
    """Something hostile was refused."""

    exit_code = 9
    status = 422


class AccessError(DjedError):
    """The token does not allow it."""

    exit_code = 10
    status = 403


class TokenError(AccessError):
    """There is no token, or it is unknown, expired or revoked."""

    status = 401


class RateError(DjedError):
    """Too many requests for now."""

    exit_code = 11
    status = 429
    transient = True

    def __init__(self, message: str, *, after: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.after = after
        """Seconds after which to try again."""


class ServerError(DjedError):
    """A server cannot be reached, or failed."""

    exit_code = 8
    status = 502
    transient = True
