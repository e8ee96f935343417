"""What a secret may be called, and how large it may be."""

from __future__ import annotations

import re

__all__ = ["SECRETS_PER_NAMESPACE", "SECRETS_PER_REQUEST", "SECRET_NAME", "SECRET_SIZE"]

SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
"""It is the name of a file in the job, too."""
SECRET_SIZE = 65_536
"""Bytes of a value at most; at least 1."""
SECRETS_PER_NAMESPACE = 100
SECRETS_PER_REQUEST = 32
