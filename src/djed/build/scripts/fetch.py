"""Fetch one file and check its hash: ``fetch.py URL FILE ALGORITHM HEX LIMIT``. Runs under the job's Python, 3.7 or newer."""

import hashlib
import sys
import urllib.error
import urllib.request

CHUNK = 1 << 20


def main() -> None:
    """Write FILE, or say why not and exit with 1."""
    url, file, algorithm, expected, limit = sys.argv[1:]
    computed, left = hashlib.new(algorithm), int(limit)
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, open(file, "wb") as target:  # noqa: S310 - only http(s) gets here
            for chunk in iter(lambda: answer.read(CHUNK), b""):
                left -= len(chunk)
                if left < 0:
                    sys.exit(f"error: {file} is larger than {limit} bytes")
                computed.update(chunk)
                target.write(chunk)
    except (urllib.error.URLError, OSError) as error:
        sys.exit(f"error: Failed to fetch: `{url}`\n  Caused by: {error}")
    if computed.hexdigest() != expected:
        sys.exit(
            f"error: Hash mismatch for `{file}`\n\nExpected:\n  {algorithm}:{expected}\n\n"
            f"Computed:\n  {algorithm}:{computed.hexdigest()}"
        )


main()
