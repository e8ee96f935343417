"""Contents as a CycloneDX 1.7 document (ECMA-424)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from djed import __version__
from djed.model.contents import Contents, FoundInterpreter, NativePackage, PythonPackage
from djed.observe.sbom.parts import (
    CONTAINERS,
    Part,
    document_uuid,
    expression,
    first_line,
    parts,
    requirements,
)

__all__ = ["cyclonedx"]

_ROOT = "contents"
_SYSTEM = "operating-system"


def cyclonedx(contents: Contents, *, created: str | None = None) -> dict[str, Any]:
    """The document as a JSON value; ``created`` is its time.

    Components are the operating system, interpreters, packages and Python files; layers, symbols and what else there is are
    properties whose names begin with ``djed:``. The root requires all of them, packages require what the edges say.
    """
    found = parts(contents)
    refs = _references(found)
    components = [
        *_system(contents),
        *map(_interpreter, contents.interpreters),
        *(_component(part, ref) for part, ref in zip(found, refs, strict=True)),
    ]
    required = {_ROOT: [component["bom-ref"] for component in components]}
    required |= {
        refs[one]: [refs[other] for other in others] for one, others in requirements(contents, found).items()
    }
    files = [_file(item.path, item.sha256) for item in contents.python_files]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": document_uuid(contents).urn,
        "version": 1,
        "metadata": _metadata(contents, created),
        "components": [*components, *files],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(others)} if others else {"ref": ref}
            for ref in (_ROOT, *(component["bom-ref"] for component in components))
            for others in [required.get(ref, [])]
        ],
    }
    if contents.skipped or contents.kind == "log":
        document["compositions"] = [{"aggregate": "incomplete", "assemblies": [_ROOT]}]
    return document


def _references(found: tuple[Part, ...]) -> list[str]:
    """A unique name for each: its package URL, with a number where others have the same."""
    seen: dict[str, int] = {}
    names = []
    for part in found:
        count = seen[part.purl] = seen.get(part.purl, 0) + 1
        names.append(part.purl if count == 1 else f"{part.purl}#{count}")
    return names


def _metadata(contents: Contents, created: str | None) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "container" if contents.kind in CONTAINERS else "application",
        "bom-ref": _ROOT,
        "name": contents.target,
    }
    if contents.digest:
        component["version"] = contents.digest
        algorithm, _, value = contents.digest.partition(":")
        if algorithm == "sha256":
            component["hashes"] = [{"alg": "SHA-256", "content": value}]
    component["properties"] = [
        {"name": f"djed:{name}", "value": value} for name, value in _properties(contents)
    ]
    tool = {"type": "application", "name": "djed", "version": __version__}
    time = {"timestamp": created} if created else {}
    return {**time, "tools": {"components": [tool]}, "component": component}


def _properties(contents: Contents) -> Iterator[tuple[str, str]]:
    yield "kind", contents.kind
    yield "size", str(contents.size)
    for number, layer in enumerate(contents.layers):
        yield f"layer:{number}:digest", layer.digest
        yield f"layer:{number}:size", str(layer.size)
        if layer.created_by:
            yield f"layer:{number}:created_by", layer.created_by
    for path, version in contents.cuda.items():
        yield f"cuda:{path}", version
    for path, versions in contents.symbols.items():
        yield f"symbols:{path}", " ".join(versions)
    for sentence in contents.skipped:
        yield "skipped", sentence


def _system(contents: Contents) -> list[dict[str, Any]]:
    system = contents.os_release
    if not system:
        return []
    component = {"type": "operating-system", "bom-ref": _SYSTEM, "name": system.get("ID") or "linux"}
    if system.get("VERSION_ID"):
        component["version"] = system["VERSION_ID"]
    if system.get("PRETTY_NAME"):
        component["description"] = system["PRETTY_NAME"]
    return [component]


def _interpreter(found: FoundInterpreter) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "application",
        "bom-ref": f"interpreter:{found.path}",
        "name": "python",
    }
    if found.version:
        component["version"] = found.version
    if found.link:
        component["properties"] = [{"name": "djed:link", "value": found.link}]
    return {**component, "evidence": {"occurrences": [{"location": found.path}]}}


def _component(part: Part, ref: str) -> dict[str, Any]:
    package = part.package
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": ref,
        "name": package.name,
        "version": package.version,
        "purl": part.purl,
    }
    if package.licence:
        component["licenses"] = [_licence(package.licence)]
    if properties := list(_about(package)):
        component["properties"] = [{"name": f"djed:{name}", "value": value} for name, value in properties]
    if isinstance(package, PythonPackage) and package.location:
        component["evidence"] = {"occurrences": [{"location": package.location}]}
    return component


def _about(package: NativePackage | PythonPackage) -> Iterator[tuple[str, str]]:
    if isinstance(package, PythonPackage):
        if package.installer:
            yield "installer", package.installer
        return
    if package.source:
        yield "source", package.source
    if package.size is not None:
        yield "size", str(package.size)


def _licence(licence: str) -> dict[str, Any]:
    if known := expression(licence):
        return {"expression": known, "acknowledgement": "declared"}
    name = first_line(licence)
    told: dict[str, Any] = {"name": name, "acknowledgement": "declared"}
    if name != licence.strip():
        told["text"] = {"content": licence}
    return {"license": told}


def _file(path: str, sha256: str) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{path}",
        "name": path,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }
