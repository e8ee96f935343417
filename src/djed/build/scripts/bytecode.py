"""Compile what was installed, each wheel once for all environments: ``bytecode.py VENV CACHE < PACKAGES``.

PACKAGES has a line ``name hash`` for each package; the hash is that of its wheel, which uv has checked. Compiling runs no code of a
package. An environment is mounted read-only, so without this every run would compile anew whatever it imports. Runs under the job's
Python, 3.8 or newer; without pathlib, whose import takes longer than the work.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import py_compile
import re
import shutil
import sys
from collections.abc import Iterable, Iterator

# By hash, checked on import: right wherever the environment is moved, and even where two packages bring the same file.
MODE = py_compile.PycInvalidationMode.CHECKED_HASH
TESTS = {"test", "tests"}


def sources(site_packages: str, distribution: str) -> Iterator[str]:
    """Paths of the modules that a distribution brought, relative; without its tests."""
    with open(os.path.join(site_packages, distribution, "RECORD"), encoding="utf-8", newline="") as stream:
        for row in csv.reader(stream):
            parts = row[0].split("/") if row else [""]
            if parts[-1].endswith(".py") and parts[0] and ".." not in parts and TESTS.isdisjoint(parts):
                yield row[0]


def compile_all(site_packages: str, paths: Iterable[str], target: str) -> None:
    """Compile into ``target``; what does not compile (templates, code of another Python) is left out."""
    for path in paths:
        module = os.path.join(site_packages, path)
        compiled = importlib.util.cache_from_source(os.path.join(target, path))
        try:
            py_compile.compile(module, compiled, doraise=True, invalidation_mode=MODE)
        except (py_compile.PyCompileError, OSError, ValueError, RecursionError, MemoryError):
            continue


def link_all(site_packages: str, paths: Iterable[str], target: str) -> None:
    """Put the compiled files beside their modules."""
    for path in paths:
        place = importlib.util.cache_from_source(os.path.join(site_packages, path))
        compiled = importlib.util.cache_from_source(os.path.join(target, path))
        if not os.path.exists(compiled):
            continue
        os.makedirs(os.path.dirname(place), exist_ok=True)
        try:
            os.link(compiled, place)
        except FileExistsError:
            continue
        except OSError:  # another file system
            shutil.copyfile(compiled, place)


def main() -> None:
    """Compile or link every package that PACKAGES names."""
    venv, cache = sys.argv[1:]
    version = "python{}.{}".format(*sys.version_info[:2])
    site_packages = os.path.join(venv, "lib", version, "site-packages")
    store = os.path.join(cache, "djed-bytecode", str(sys.implementation.cache_tag))
    hashes = dict(line.split() for line in sys.stdin)
    for entry in sorted(os.listdir(site_packages)):
        name = re.sub(r"[-_.]+", "-", entry.split("-", 1)[0]).lower()
        if not entry.endswith(".dist-info") or name not in hashes:
            continue
        paths = list(sources(site_packages, entry))
        target = os.path.join(store, hashes[name].replace(":", "-"))
        if not os.path.isdir(target):
            fresh = f"{target}.{os.getpid()}"
            os.makedirs(fresh)
            compile_all(site_packages, paths, fresh)
            try:
                os.rename(fresh, target)
            except OSError:  # another job was faster
                shutil.rmtree(fresh)
        link_all(site_packages, paths, target)


main()
