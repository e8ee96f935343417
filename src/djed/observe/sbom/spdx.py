"""Contents as an SPDX 2.3 document."""

from __future__ import annotations

import re
from typing import Any

from djed import __version__
from djed.model.contents import Contents, PythonPackage
from djed.observe.sbom.parts import (
    CONTAINERS,
    Part,
    digest_of,
    document_uuid,
    expression,
    first_line,
    parts,
    requirements,
)

__all__ = ["spdx"]

_DOCUMENT = "SPDXRef-DOCUMENT"
_ROOT = "SPDXRef-Contents"
_NONE = "NOASSERTION"
_EPOCH = "1970-01-01T00:00:00Z"


def spdx(contents: Contents, *, created: str | None = None) -> dict[str, Any]:
    """The document as a JSON value; ``created`` is its time, without which it says 1970: SPDX wants one.

    Packages are what was looked into, the operating system, interpreters and packages. Python files are not there, for SPDX 2.3 wants
    their SHA-1.
    """
    found = parts(contents)
    licences = _Licences()
    names = [_name(part) for part in found]
    packages = [
        _system(contents),
        *_interpreters(contents),
        *(_package(part, name, licences) for part, name in zip(found, names, strict=True)),
    ]
    held = [package for package in packages if package]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": contents.target,
        "documentNamespace": f"https://djed.invalid/spdx/{document_uuid(contents)}",
        "creationInfo": {"created": created or _EPOCH, "creators": [f"Tool: djed-{__version__}"]},
        "packages": [_root(contents), *held],
        "relationships": [
            _relationship(_DOCUMENT, "DESCRIBES", _ROOT),
            *(_relationship(_ROOT, "CONTAINS", package["SPDXID"]) for package in held),
            *(
                _relationship(names[one], "DEPENDS_ON", names[other])
                for one, others in requirements(contents, found).items()
                for other in others
            ),
        ],
    }
    if licences.texts:
        document["hasExtractedLicensingInfos"] = licences.infos()
    return document


class _Licences:
    """Licences that SPDX has no identifier for: each gets one of this document, with its text."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def declared(self, licence: str | None) -> str:
        """What a package says of its licence."""
        if not licence or not licence.strip():
            return _NONE
        if known := expression(licence):
            return known
        return self.texts.setdefault(licence, f"LicenseRef-{len(self.texts) + 1}")

    def infos(self) -> list[dict[str, Any]]:
        """Those licences with their texts."""
        return [
            {"licenseId": name, "name": first_line(text), "extractedText": text}
            for text, name in self.texts.items()
        ]


def _name(part: Part) -> str:
    # The number makes it unique; the name is for people.
    return f"SPDXRef-{part.number}-{re.sub(r'[^A-Za-z0-9.-]', '-', part.identity)}"


def _described(name: str, version: str | None, purpose: str, spdx_id: str) -> dict[str, Any]:
    package = {"SPDXID": spdx_id, "name": name}
    if version:
        package["versionInfo"] = version
    return {
        **package,
        "primaryPackagePurpose": purpose,
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": _NONE,
        "copyrightText": _NONE,
    }


def _root(contents: Contents) -> dict[str, Any]:
    purpose = "CONTAINER" if contents.kind in CONTAINERS else "APPLICATION"
    package = _described(contents.target, digest_of(contents), purpose, _ROOT)
    algorithm, _, value = (contents.digest or "").partition(":")
    if algorithm == "sha256":
        package["checksums"] = [{"algorithm": "SHA256", "checksumValue": value}]
    told = [
        f"layer {number}: {layer.digest}, {layer.size} bytes" for number, layer in enumerate(contents.layers)
    ]
    told += [f"left out: {sentence}" for sentence in contents.skipped]
    if told:
        package["comment"] = "\n".join(told)
    return package


def _system(contents: Contents) -> dict[str, Any] | None:
    system = contents.os_release
    if not system:
        return None
    package = _described(
        system.get("ID") or "linux", system.get("VERSION_ID"), "OPERATING-SYSTEM", "SPDXRef-OperatingSystem"
    )
    if system.get("PRETTY_NAME"):
        package["summary"] = system["PRETTY_NAME"]
    return package


def _interpreters(contents: Contents) -> list[dict[str, Any]]:
    return [
        {
            **_described("python", found.version, "APPLICATION", f"SPDXRef-Interpreter-{number}"),
            "sourceInfo": f"{found.path} -> {found.link}" if found.link else found.path,
        }
        for number, found in enumerate(contents.interpreters)
    ]


def _package(part: Part, name: str, licences: _Licences) -> dict[str, Any]:
    package = part.package
    told = _described(package.name, package.version, "LIBRARY", name)
    told["licenseDeclared"] = licences.declared(package.licence)
    if isinstance(package, PythonPackage):
        if package.location:
            told["sourceInfo"] = f"found in {package.location}"
    elif package.source:
        told["sourceInfo"] = f"built from {package.source}"
    told["externalRefs"] = [
        {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}
    ]
    return told


def _relationship(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
