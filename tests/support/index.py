"""A package index on loopback that serves tiny distributions made on the spot (simple API in its JSON form, PEP 691)."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

__all__ = ["Distribution", "LoopbackIndex", "sdist", "wheel"]

UPLOADED = "2020-01-01T00:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """One file of the index."""

    name: str
    filename: str
    content: bytes
    uploaded: str = UPLOADED
    advertised: str | None = None
    """The sha256 that the index tells, where that shall be a lie."""

    @property
    def sha256(self) -> str:
        return self.advertised or hashlib.sha256(self.content).hexdigest()


def wheel(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
    metadata: Sequence[str] = (),
    entry_points: str = "",
    uploaded: str = UPLOADED,
    advertised: str | None = None,
) -> Distribution:
    """A wheel with a module of the package's name that knows its ``VERSION``."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    members = dict(files or {f"{module}/__init__.py": f"VERSION = {version!r}\n"})
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {line}" for line in requires]
    members[f"{info}/METADATA"] = "\n".join([*lines, *metadata]) + "\n"
    pure = "true" if tag.endswith("any") else "false"
    members[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
    if entry_points:
        members[f"{info}/entry_points.txt"] = entry_points
    rows = [f"{path},{_record_hash(text)},{len(text)}" for path, text in members.items()]
    members[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in members.items():
            archive.writestr(path, text)
    return Distribution(
        name=name,
        filename=f"{module}-{version}-{tag}.whl",
        content=buffer.getvalue(),
        uploaded=uploaded,
        advertised=advertised,
    )


def sdist(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    at_build: str = "",
    dynamic: bool = False,
    advertised: str | None = None,
) -> Distribution:
    """A source distribution with a build backend of its own (needs no other package).

    ``at_build`` is Python that its backend executes; ``dynamic`` makes a resolver execute it too, to learn the metadata.
    """
    module = name.replace("-", "_")
    root = f"{module}-{version}"
    header = ["Metadata-Version: 2.2", f"Name: {name}", f"Version: {version}"]
    lines = [*header, *(f"Requires-Dist: {line}" for line in requires)]
    project = ["[build-system]", "requires = []", 'build-backend = "backend"', 'backend-path = ["."]']
    if not dynamic:
        project += [
            "[project]",
            f'name = "{name}"',
            f'version = "{version}"',
            f"dependencies = {list(requires)!r}",
        ]
    members = {
        "pyproject.toml": "\n".join(project) + "\n",
        "PKG-INFO": "\n".join([*header, "Dynamic: Requires-Dist"] if dynamic else lines) + "\n",
        "backend.py": _BACKEND.format(
            module=module, version=version, metadata="\n".join(lines) + "\n", at_build=at_build
        ),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in members.items():
            entry = tarfile.TarInfo(f"{root}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return Distribution(
        name=name, filename=f"{root}.tar.gz", content=buffer.getvalue(), advertised=advertised
    )


_BACKEND = """\
import zipfile

INFO = "{module}-{version}.dist-info"
METADATA = {metadata!r}
WHEEL = "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"


def build_wheel(directory, config_settings=None, metadata_directory=None):
    exec({at_build!r})
    name = "{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(directory + "/" + name, "w") as archive:
        archive.writestr("{module}/__init__.py", "VERSION = '{version}'\\nBUILT = True\\n")
        archive.writestr(INFO + "/METADATA", METADATA)
        archive.writestr(INFO + "/WHEEL", WHEEL)
        archive.writestr(INFO + "/RECORD", "")
    return name
"""


def _record_hash(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class LoopbackIndex:
    """Serves distributions at ``url`` while it is entered; counts in ``asked`` the paths that it was asked for."""

    def __init__(self, *distributions: Distribution) -> None:
        self.distributions = distributions
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Address of the simple API."""
        return f"http://127.0.0.1:{self._server.server_port}/simple"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, name: str) -> dict[str, object] | None:
        """The project page, or nothing where there is no such project."""
        files = [
            {
                "filename": item.filename,
                "url": f"../../files/{item.filename}",
                "hashes": {"sha256": item.sha256},
                "size": len(item.content),
                "upload-time": item.uploaded,
            }
            for item in self.distributions
            if item.name == name
        ]
        return (
            {"meta": {"api-version": "1.1"}, "name": name, "files": files, "versions": []} if files else None
        )

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        self.asked.append(path)
        parts = path.strip("/").split("/")
        if parts[0] == "simple" and len(parts) == 2 and (page := self.page(parts[1])):
            return 200, "application/vnd.pypi.simple.v1+json", json.dumps(page).encode()
        if parts[0] == "files":
            for item in self.distributions:
                if item.filename == parts[-1]:
                    return 200, "application/octet-stream", item.content
        return 404, "text/plain", b"not found"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = index.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - likewise

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                return

        return Handler
