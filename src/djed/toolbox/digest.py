"""Digests: ``sha256:<hex>`` of bytes, files and JSON values."""

from __future__ import annotations

import hashlib
import json
from io import BufferedReader
from typing import Any

__all__ = ["digest_bytes", "digest_json", "digest_stream"]


def digest_bytes(data: bytes) -> str:
    """Digest of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """Digest of a JSON value in canonical form (sorted keys, no spaces)."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def digest_stream(stream: BufferedReader) -> str:
    """Digest of the rest of a binary stream; constant memory."""
    return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
