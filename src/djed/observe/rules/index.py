"""What uv says when an index does not answer or a file is not what it should be (uv 0.13; recorded in the tests)."""

from __future__ import annotations

import re

from djed.model.observation import Failure
from djed.observe.case import Case

__all__ = ["hash_mismatch", "unreachable"]

_MISMATCH = re.compile(r"[Hh]ash mismatch for `?([^`\s]{1,200})")
_DIGEST = re.compile(r"\b((?:sha256|sha384|sha512|md5|blake2b):[0-9a-fA-F]{16,128})\b")
_FETCH = re.compile(
    r"(?:Failed to fetch|Could not connect|Request failed after [^:]{1,80}): ?`?(https?://[^\s`]{1,2000})"
)
_STATUS = re.compile(r"HTTP (?:status (?:client|server) error \(|Error )(\d{3})")
# uv takes a denied index for one that lacks the package, and tells the truth in a hint only.
_CREDENTIALS = re.compile(
    r"An index(?: URL)? \((https?://[^\s)]{1,2000})\)? .{0,120}?(401|403) (?:Unauthorized|Forbidden)"
)
# Without user name and password: the address goes into messages.
_HOST = re.compile(r"https?://(?:[^\s/@]{0,256}@)?([^\s/:?#]{1,255}(?::\d{1,5})?)")
_OFFLINE = re.compile(r"network (?:was|is|connectivity is) disabled|offline mode", re.IGNORECASE)

# The last cause that says something a person can act on, most telling first.
_CAUSES = (
    (re.compile(r"dns error|failed to lookup address|Name or service not known|failure in name resolution"), "its name is not known"),
    (re.compile(r"Connection refused"), "the connection was refused"),
    (re.compile(r"Network is unreachable|No route to host"), "there is no way to it from here"),
    (re.compile(r"certificate|corrupt message|Handshake|\bTLS\b|\bSSL\b", re.IGNORECASE), "no secure connection can be made"),
    (re.compile(r"timed? ?out|deadline", re.IGNORECASE), "it did not answer in time"),
    (re.compile(r"connection (?:closed|reset)|error sending request|client error", re.IGNORECASE), "the connection broke"),
)  # fmt: skip


def hash_mismatch(case: Case) -> Failure | None:
    """A file does not have the hash that the lock names."""
    for position, line in enumerate(case.log):
        match = _MISMATCH.search(line)
        if match is None:
            continue
        shown = case.log[position : position + 8]
        digests = _DIGEST.findall("\n".join(shown))
        package = match[1]
        return case.failure(
            "hash_mismatch",
            f"A file of {package} does not have the hash that was asked for.",
            hint="The file was changed after it was locked, or the lock names another file; lock again and look what changed.",
            shown=shown,
            package=package,
            expected=tuple(digests[:-1]),
            computed=digests[-1] if digests else None,
        )
    return None


def unreachable(case: Case) -> Failure | None:
    """An index gave no usable answer: no connection, no permission, or an error of its own."""
    return _denied(case) or _broken(case) or _offline(case)


def _denied(case: Case) -> Failure | None:
    for line in case.log:
        match = _CREDENTIALS.search(line)
        if match is not None:
            return _status_failure(case, match[1], int(match[2]), [line])
    return None


def _broken(case: Case) -> Failure | None:
    for position, line in enumerate(case.log):
        match = _FETCH.search(line)
        if match is None:
            continue
        causes = case.log[position : position + 8]
        text = "\n".join(causes)
        status = _STATUS.search(text)
        if status is not None:
            return _status_failure(case, match[1], int(status[1]), causes)
        reason = next((words for pattern, words in _CAUSES if pattern.search(text)), "it could not be read")
        host = _host(match[1])
        return case.failure(
            "index_unreachable",
            f"The index at {host} cannot be reached: {reason}.",
            hint="Check the address of the index and the network of this machine, then try again.",
            shown=causes,
            index=host,
        )
    return None


def _offline(case: Case) -> Failure | None:
    for line in case.log:
        if _OFFLINE.search(line):
            return case.failure(
                "index_unreachable",
                "No index was asked because the network is off.",
                hint="Allow the network for locking.",
                shown=[line],
            )
    return None


def _status_failure(case: Case, url: str, status: int, shown: list[str] | tuple[str, ...]) -> Failure:
    host = _host(url)
    if status in {401, 403}:
        message = f"The index at {host} denies access ({status})."
        hint = "Give the credentials of the index in its URL or in a netrc file, and check that they may read it."
    elif status >= 500:
        message = f"The index at {host} has an error of its own ({status})."
        hint = "Try again later, or use another index."
    else:
        message = f"The index at {host} answered {status} for a file that it should have."
        hint = "The file may have been removed from the index; lock again."
    return case.failure("index_unreachable", message, hint=hint, shown=shown, index=host, status=status)


def _host(url: str) -> str:
    match = _HOST.match(url)
    return match[1] if match else url
