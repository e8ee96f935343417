"""Image layouts made by hand, as somebody else may have made them."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from tests.support.tars import END, entry

__all__ = ["CONFIG", "DOCKER", "INDEX", "LAYER", "MANIFEST", "OCI", "TAR", "Foreign", "digest_of"]

OCI, DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
INDEX, MANIFEST, CONFIG, LAYER = (
    OCI + "index.v1+json",
    OCI + "manifest.v1+json",
    OCI + "config.v1+json",
    OCI + "layer.v1.tar",
)
TAR = entry(b"etc/os-release", b"ID=tiny\n") + END


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Foreign:
    """A layout as somebody else may have made it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = digest_of(data)
        (self.folder / "blobs" / digest.replace(":", "/")).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def json(self, value: Any, media_type: str, **more: Any) -> dict[str, Any]:
        return self.blob(json.dumps(value, indent=1).encode(), media_type, **more)

    def config(
        self, architecture: str = "amd64", tars: tuple[bytes, ...] = (TAR,), **more: Any
    ) -> dict[str, Any]:
        rootfs = {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]}
        return {"architecture": architecture, "os": "linux", "rootfs": rootfs, **more}

    def image(self, architecture: str = "amd64", *, label: str = "", **more: Any) -> dict[str, Any]:
        """The descriptor of an image of one gzip layer."""
        inner = {"Labels": {"label": label}} if label else {}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.json(self.config(architecture, config=inner), CONFIG),
            "layers": [self.blob(gzip.compress(TAR, mtime=0), LAYER + "+gzip")],
        }
        return self.json(manifest, MANIFEST, **more)

    def index(self, *manifests: Any) -> Path:
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
        return self.folder
