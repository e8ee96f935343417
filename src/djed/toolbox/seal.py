"""Seals what is stored encrypted: AES-256-GCM (NIST SP 800-38D), by the package cryptography.

A sealed text is ``1.`` and the base64 (RFC 4648, URL-safe) of nonce, ciphertext and tag. What it is for, its *context*, is authenticated
with it, so a row of the store that was put in another's place does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from djed.errors import ConfigError, MissingPartError, UnsafeError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["Seal"]

_VERSION = "1."
_KEY = 32
_NONCE = 12
_MOST_KEYS = 16
_FILE_CAP = 4096


class Seal:
    """Seals and opens with the keys of a file: one a line, the newest first.

    The first key seals; all of them open. So a key is changed by a new first line (``openssl rand -base64 32``), and the old one goes when
    nothing is sealed with it any more. The file is read at each call, so a running server takes a new key at once.
    """

    def __init__(self, key_file: Path) -> None:
        self._path = key_file

    def seal(self, text: bytes, *, context: str) -> str:
        """Encrypt; the first call makes the key file.

        Raises ``MissingPartError`` without cryptography, ``ConfigError`` where the key file cannot be used.
        """
        cipher = self._ciphers(make=True)[0]
        nonce = os.urandom(_NONCE)
        return (
            _VERSION
            + base64.urlsafe_b64encode(nonce + cipher.encrypt(nonce, text, context.encode())).decode()
        )

    def open(self, sealed: str, *, context: str) -> bytes:
        """Decrypt what was sealed in the same context.

        Raises ``UnsafeError`` where it was changed or sealed with another key; else like :meth:`seal`.
        """
        ciphers = self._ciphers(make=False)
        from cryptography.exceptions import InvalidTag

        with suppress(ValueError, binascii.Error):
            data = base64.urlsafe_b64decode(sealed.removeprefix(_VERSION))
            for cipher in ciphers:
                with suppress(InvalidTag):
                    return cipher.decrypt(data[:_NONCE], data[_NONCE:], context.encode())
        raise UnsafeError(
            f"What was sealed for {context} cannot be opened: it was changed, or sealed with another key.",
            hint=f"Store it anew, or put the key that sealed it into {self._path}.",
        )

    def _ciphers(self, *, make: bool) -> list[AESGCM]:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingPartError(
                "The package cryptography is not installed.", hint="pip install 'djed[secrets]'"
            ) from error
        return [AESGCM(key) for key in self._keys(make=make)]

    def _keys(self, *, make: bool) -> list[bytes]:
        try:
            lines = _read_private(self._path).split()
        except FileNotFoundError as error:
            if not make:
                raise ConfigError(
                    f"The key of the stored secrets is not there: {self._path}.",
                    hint="Copy it from the machine where they were stored (setting secrets.key).",
                ) from error
            _make(self._path)
            return self._keys(make=False)
        except OSError as error:
            raise ConfigError(f"The key file {self._path} cannot be read: {error.strerror}.") from error
        try:
            keys = [base64.b64decode(line, altchars=b"-_", validate=True) for line in lines[:_MOST_KEYS]]
        except binascii.Error:
            keys = []
        if not keys or any(len(key) != _KEY for key in keys):
            raise ConfigError(
                f"The key file {self._path} does not hold keys.",
                hint="Each line is the base64 of 32 random bytes: openssl rand -base64 32",
            )
        return keys


def _read_private(path: Path) -> bytes:
    """A file that nobody but its owner can read."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"The key file {path} can be used by others.", hint=f"chmod 600 {path}")
        return file.read(_FILE_CAP).replace(b"+", b"-").replace(b"/", b"_")


def _make(path: Path) -> None:
    """A key file with one key. It is complete when it is seen, and of several that are made at once the first stays."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(_KEY)) + b"\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(temporary, path)
    except OSError as error:
        raise ConfigError(f"The key file {path} cannot be made: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)
