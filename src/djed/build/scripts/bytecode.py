"""Compile what was installed, each module once for all environments: ``bytecode.py VENV CACHE``.

An environment is mounted read-only, so without this every run would compile anew whatever it imports. What is compiled is kept by the
digest of its source: the same whoever compiled it, so no package can plant code for another one. Compiling runs no code of a package.
Runs under the job's Python, 3.7 or newer; without pathlib, whose import takes longer than most of the work.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import py_compile
import shutil
import sys
from collections.abc import Iterator

# The source beside it is the one that it was compiled from: nothing to check on import.
MODE = py_compile.PycInvalidationMode.UNCHECKED_HASH
TESTS = {"test", "tests"}
NAME = "module.py"


def modules(folder: str) -> Iterator[str]:
    """Paths of the modules below; not of tests, which are many and rarely imported."""
    for current, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in TESTS)
        for name in sorted(files):
            path = os.path.join(current, name)
            if name.endswith(".py") and not os.path.islink(path):
                yield path


def compiled(module: str, store: str) -> str | None:
    """Path of the compiled module, or None where it does not compile (a template, code of another Python)."""
    with open(module, "rb") as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    kept = os.path.join(store, digest[:2], digest + ".pyc")
    if not os.path.exists(kept):
        try:
            # Import puts the path in its place; until then nothing tells where it was compiled: the same source gives the same bytes.
            py_compile.compile(module, kept, dfile=NAME, doraise=True, invalidation_mode=MODE)
        except (py_compile.PyCompileError, ValueError, RecursionError, MemoryError):
            return None
    return kept


def main() -> None:
    """Put a compiled module beside each module of the environment."""
    venv, cache = sys.argv[1:]
    store = os.path.join(cache, "djed-bytecode-2", str(sys.implementation.cache_tag))
    version = "python{}.{}".format(*sys.version_info[:2])
    for module in modules(os.path.join(venv, "lib", version, "site-packages")):
        kept = compiled(module, store)
        if kept is None:
            continue
        place = importlib.util.cache_from_source(module)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        try:
            os.link(kept, place)
        except FileExistsError:
            continue
        except OSError:  # another file system, or too many links
            shutil.copyfile(kept, place)


main()
