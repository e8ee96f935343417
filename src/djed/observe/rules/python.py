"""Why Python could not import something: which module, which package lacks it."""

from __future__ import annotations

import re
import sys

from djed.model.observation import Failure
from djed.observe.case import Case
from djed.observe.rules import traceback
from djed.observe.rules.packages import MODULES, REMOVED
from djed.observe.rules.traceback import Raised

__all__ = ["import_error"]

_NO_MODULE = re.compile(r"No module named '?([\w.]{1,200})'?")
_NO_NAME = re.compile(
    r"cannot import name '([\w.]{1,200})' from (?:partially initialized module )?'([\w.]{1,200})'"
)
_NO_ATTRIBUTE = re.compile(
    r"(?:partially initialized )?module '([\w.]{1,200})' has no attribute '([\w.]{1,200})'"
)
_CIRCULAR = "circular import"


def import_error(case: Case) -> Failure | None:
    """An import failed: a module or a name is not there, or a package fails while it is imported."""
    chain = traceback.read(case.stderr)
    if not chain:
        return None
    for raised in reversed(_causes(chain)):
        for rule in (_no_module, _no_name, _no_attribute):
            failure = rule(case, raised)
            if failure is not None:
                return failure
    return _fails_on_import(case, chain[-1])


def _causes(chain: tuple[Raised, ...]) -> tuple[Raised, ...]:
    """The exceptions that may be the reason: the last one, and what it was raised from if it was raised on purpose.

    ``try: import a / except ImportError: …`` chains a failed import to whatever happens later, which has other reasons.
    """
    last = chain[-1]
    on_purpose = bool(last.frames) and last.frames[-1].source.startswith("raise")
    return chain if on_purpose or last.kind == "ImportError" else chain[-1:]


def _no_module(case: Case, raised: Raised) -> Failure | None:
    match = (
        _NO_MODULE.match(raised.message) if raised.kind in {"ModuleNotFoundError", "ImportError"} else None
    )
    if match is None:
        return None
    module = match[1]
    package = _package(case, raised)
    needs = f", which {package} needs" if package else ", which the script imports"
    return case.failure(
        "import_error",
        f"No module named '{module}'{needs}.",
        hint=_module_hint(module, package),
        shown=raised.lines,
        module=module,
        package=package,
    )


def _no_name(case: Case, raised: Raised) -> Failure | None:
    match = _NO_NAME.search(raised.message) if raised.kind == "ImportError" else None
    if match is None:
        return None
    name, module = match[1], match[2]
    package = _package(case, raised)
    owner = traceback.distribution(case, module.split(".")[0])
    if _CIRCULAR in raised.message:
        hint = f"{owner} imports itself in a circle; another version of it may not, or a file of yours has the name of a module."
    else:
        hint = _lacking_hint(owner, package)
    return case.failure(
        "import_error",
        f"{package or 'The script'} cannot import '{name}' from {module}.",
        hint=hint,
        shown=raised.lines,
        module=module,
        name=name,
        package=package,
        owner=owner,
    )


def _no_attribute(case: Case, raised: Raised) -> Failure | None:
    match = _NO_ATTRIBUTE.search(raised.message) if raised.kind == "AttributeError" else None
    if match is None or not _while_importing(raised):
        return None
    module, name = match[1], match[2]
    owner = traceback.distribution(case, module.split(".")[0])
    package = _package(case, raised) or owner
    return case.failure(
        "import_error",
        f"{package} cannot be imported: module '{module}' has no '{name}'.",
        hint=f"Choose another version of {package}." if owner == package else _lacking_hint(owner, package),
        shown=raised.lines,
        module=module,
        name=name,
        package=package,
        owner=owner,
    )


def _fails_on_import(case: Case, raised: Raised) -> Failure | None:
    package = _package(case, raised)
    if (
        package is None
        or not _while_importing(raised)
        or raised.kind in {"KeyboardInterrupt", "SystemExit", "MemoryError"}
    ):
        return None
    return case.failure(
        "import_error",
        f"{package} fails while it is imported: {raised.kind}: {raised.message}".rstrip(": "),
        hint=f"Choose another version of {package} or of what it needs; their releases do not fit one another.",
        shown=raised.lines,
        package=package,
        exception=raised.kind,
    )


def _lacking_hint(owner: str, package: str | None) -> str:
    if owner in sys.stdlib_module_names:
        return f"This Python's {owner} does not have it: choose a newer {package or 'script'} or an older Python."
    return f"The installed {owner} does not have it: choose versions of {package or 'your script'} and {owner} that belong together."


def _while_importing(raised: Raised) -> bool:
    """Whether an import statement of the script led here."""
    # The outermost frame is the script's; where it calls into a package that imports late, the script was already running.
    scripts = [frame for frame in raised.frames if frame.module is None]
    return bool(scripts) and scripts[0].imports and scripts[0].function == "<module>"


def _package(case: Case, raised: Raised) -> str | None:
    modules = [frame.module for frame in raised.frames if frame.module]
    return traceback.distribution(case, modules[-1]) if modules else None


def _module_hint(module: str, package: str | None) -> str:
    top = module.split(".", maxsplit=1)[0]
    if top in REMOVED:
        since, replacement = REMOVED[top]
        instead = f", or add {replacement}" if replacement else ""
        return f"'{top}' left the standard library with Python {since}: choose an older Python or a newer {package or 'way'}{instead}."
    if top in sys.stdlib_module_names:
        return f"'{top}' belongs to the standard library: this Python was built without it, or is too old or too new."
    if package is None:
        return f"Add {MODULES.get(top, top)} to environment.packages."
    return f"Add {MODULES.get(top, top)} to environment.packages, or choose another version of {package}, which does not ask for it."
