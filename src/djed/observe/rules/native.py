"""Why native packages cannot be installed: what apt, dnf, yum, microdnf and apk say (apt's words are recorded in the tests)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from djed.model.observation import Failure
from djed.observe.case import Case
from djed.observe.rules.image import is_ours

__all__ = ["native_conflict", "no_such_native", "repository_unreachable"]

_NAME = r"([A-Za-z0-9][A-Za-z0-9.+:~_-]{0,250})"
_UNKNOWN = (
    re.compile(rf"E: Unable to locate package {_NAME}"),
    re.compile(rf"E: Package '{_NAME}' has no installation candidate"),
    re.compile(rf"E: Couldn't find any package by (?:glob|regex) '{_NAME}'"),
    re.compile(rf"No match for argument: {_NAME}"),
    re.compile(rf"(?:Error: )?Unable to find a match: {_NAME}"),
    re.compile(rf"error: No package matches '{_NAME}'"),
    re.compile(rf"No package {_NAME} available"),
    re.compile(rf"\s{{1,8}}{_NAME} \((?:no such package|missing)\):"),
)
_VERSION = re.compile(rf"E: Version '([^']{{1,200}})' for '{_NAME}' was not found")
_NEAR = re.compile(rf"djed: nearest: {_NAME}: (\S.{{0,500}})")
_VERSIONS = re.compile(rf"djed: versions: {_NAME}: (\S.{{0,500}})")
_PROVIDED = re.compile(rf"Package {_NAME} is a virtual package provided by:")

_UNMET = re.compile(r"The following packages have unmet dependencies:")
_CONFLICT = re.compile(
    r"E: Unable to correct problems|\bbreaks: world\[|\bconflicts: \S|^\s*-? ?(?:package )?\S{1,200} conflicts with"
    r"|^\s*Problem(?: \d+)?: |conflicting requests|conflicts with file from package|Packages were downgraded"
)

_FETCH = re.compile(r"E: Failed to fetch (\S{1,2000})\s{1,8}(\S.{0,300})")
_RELEASE = re.compile(
    r"E: (?:The repository '([^']{1,500})' (.{1,200})|Release file for (\S{1,500}) (is expired.{0,200}))"
)
_METADATA = re.compile(
    r"(?:Error: )?(?:Failed to download metadata for repo|Errors during downloading metadata for repository"
    r"|error: cannot update repo|Cannot find a valid baseurl for repo:?) '?([^\s':]{1,200})'?:?(?: (\S.{0,300}))?"
)
_INDEX = re.compile(
    r"(?:WARNING|ERROR): (?:(?:Ignoring|fetching|updating and opening|opening) )?(https?://\S{1,500}?): (\S.{0,200})"
)
_HOST = re.compile(r"[a-z]{1,10}://(?:[^\s/@]{0,256}@)?([^\s/:?#]{1,255}(?::\d{1,5})?)")
_CAUSES = (
    (re.compile(r"resolv|name or service|DNS|no such host", re.IGNORECASE), "its name is not known"),
    (re.compile(r"refused", re.IGNORECASE), "the connection was refused"),
    (re.compile(r"unreachable|no route", re.IGNORECASE), "there is no way to it from here"),
    (re.compile(r"timed? ?out", re.IGNORECASE), "it did not answer in time"),
    (re.compile(r"certificate|TLS|SSL", re.IGNORECASE), "no secure connection can be made"),
    (re.compile(r"\b(?:401|403|407)\b"), "it denies access"),
    (re.compile(r"\b404\b"), "it does not have a file that it should have"),
    (re.compile(r"\b5\d\d\b"), "it has an error of its own"),
)


def no_such_native(case: Case) -> Failure | None:
    """No repository of the base has a package of that name, or not that version of it."""
    if not is_ours(case):
        return None
    for line in case.log:
        if match := _VERSION.search(line):
            return _no_version(case, match[2], match[1], line)
    for line in case.log:
        for pattern in _UNKNOWN:
            if match := pattern.search(line):
                return _no_package(case, match[1], line)
    return None


def native_conflict(case: Case) -> Failure | None:
    """Packages that cannot be installed together, or not on this base."""
    if not is_ours(case):
        return None
    start = next((position for position, line in enumerate(case.log) if _UNMET.search(line)), None)
    shown = list(_unmet(case, start)) if start is not None else []
    shown = shown or [line for line in case.log if _CONFLICT.search(line)]
    if not shown:
        return None
    reason = "; ".join(re.sub(r"\s{1,200}", " ", line.strip(" -")) for line in shown[:3])
    return case.failure(
        "native_conflict",
        f"The native packages cannot be installed together on this base: {reason}.",
        hint="Leave one of them out, ask for another version, or choose another base.",
        shown=shown,
    )


def repository_unreachable(case: Case) -> Failure | None:
    """A repository of the base gives no usable answer."""
    if not is_ours(case):
        return None
    for line in case.log:
        if match := _FETCH.search(line) or _INDEX.search(line):
            return _unreachable(case, match[1], match[2], line)
        if match := _RELEASE.search(line):
            return _unreachable(case, match[1] or match[3], match[2] or match[4], line)
        if match := _METADATA.search(line):
            return _unreachable(case, match[1], match[2] or "", line)
    return None


def _unmet(case: Case, start: int) -> Iterator[str]:
    """The lines that say what does not fit, up to apt's own conclusion."""
    for line in case.log[start + 1 : start + 40]:
        if not line.startswith(" "):
            return
        yield line


def _no_version(case: Case, name: str, version: str, line: str) -> Failure:
    there = _told(case, _VERSIONS, name)
    has = f"; there is {', '.join(there)}" if there else ""
    return case.failure(
        "no_such_native",
        f"The repositories of the base have no version {version} of {name}{has}.",
        hint="Ask for a version that is there, or leave the version out.",
        shown=[line, *(item for item in case.log if _VERSIONS.search(item))],
        native=name,
        version=version,
        available=there,
    )


def _no_package(case: Case, name: str, line: str) -> Failure:
    providers = _providers(case, name)
    if providers:
        return case.failure(
            "no_such_native",
            f"{name} is not a package but a role that several play: {', '.join(providers[:6])}.",
            hint="Name the one that you mean.",
            shown=[line],
            native=name,
            available=providers,
        )
    near = _told(case, _NEAR, name)
    like = f"; near it {'are' if len(near) > 1 else 'is'} {', '.join(near)}" if near else ""
    return case.failure(
        "no_such_native",
        f"There is no package {name} in the repositories of the base{like}.",
        hint=f"Write {near[0]}, if that is meant; the names are those of the base's own system."
        if near
        else "Check the spelling; the names are those of the base's own system.",
        shown=[item for item in case.log if item == line or name in item],
        native=name,
        available=near,
    )


def _told(case: Case, pattern: re.Pattern[str], name: str) -> tuple[str, ...]:
    for line in case.log:
        match = pattern.fullmatch(line)
        if match is not None and match[1] == name:
            return tuple(match[2].split(", "))
    return ()


def _providers(case: Case, name: str) -> tuple[str, ...]:
    for position, line in enumerate(case.log):
        match = _PROVIDED.search(line)
        if match is not None and match[1] == name:
            following = case.log[position + 1 : position + 30]
            ends = next(
                (index for index, item in enumerate(following) if not item.startswith("  ")), len(following)
            )
            return tuple(words[0] for item in following[:ends] if (words := item.split()))
    return ()


def _unreachable(case: Case, where: str, said: str, line: str) -> Failure:
    host = match[1] if (match := _HOST.search(where)) else where
    reason = next(
        (words for pattern, words in _CAUSES if pattern.search(said)), said or "it gives no usable answer"
    )
    return case.failure(
        "repository_unreachable",
        f"The package repository {host} of the base cannot be used: {reason}.",
        hint="Check the network and the proxy of this machine, and the repositories that the base names; then `djed retry`.",
        shown=[
            item
            for item in case.log
            if host in item and item.startswith(("E:", "Err", "W", "ERROR", "error"))
        ]
        or [line],
        repository=host,
    )
