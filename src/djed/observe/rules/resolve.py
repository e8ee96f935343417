"""Why requirements cannot be met together: uv's proof, put into one sentence with the names in it."""

from __future__ import annotations

import re

from djed.model.observation import Failure
from djed.observe.case import Case
from djed.observe.rules import derivation
from djed.observe.rules.build import package_name
from djed.observe.rules.derivation import Demand, Derivation

__all__ = ["conflict", "no_python", "no_such_package", "no_such_version", "no_wheel", "python_incompatible"]

_HINTED_TAGS = re.compile(r"^hint: .{0,400}?[Ww]heels.{0,300}?(?:tags?|platforms?): (.{1,400})")
_TAG = re.compile(r"`([^`]{1,80})`")
_NO_BINARY = re.compile(
    r"Package `([^`]{1,200})` can't be installed because it (?:is marked as `--no-build`|doesn't have a source distribution or wheel)"
)
_LOCK_PYTHON = re.compile(
    r"Python (\d[\w.]{0,30}), which is incompatible with .{0,120}?Python requirement: `([^`]{1,100})`"
)
_WHEEL_PYTHON = re.compile(
    r"Package '?([\w.-]{1,200})'? requires a different Python: (\S{1,40}) not in '?([^'\n]{1,100})"
)
_NO_PYTHON = re.compile(
    r"No interpreter found for (?:Python )?(.{1,120}?)(?: in (?:virtual|managed|search|the ).{0,200})?$"
)
_EXCLUDED = re.compile(r"hint: .{0,200}?filtered by `exclude-newer`.{0,400}")


def no_such_package(case: Case) -> Failure | None:
    """No index has a package of that name."""
    proof = derivation.read(case.log)
    if proof is None or not proof.unknown:
        return None
    package = derivation.name(proof.unknown[0])
    wanted = _built_with(case) or _wanted_by(proof, package)
    return case.failure(
        "no_such_package",
        f"There is no package {package} on the index{wanted}.",
        hint="Check the spelling; a package that is on another index needs that index in environment.indexes.",
        shown=proof.lines,
        package=package,
    )


def conflict(case: Case) -> Failure | None:
    """Two sides want versions of one package that cannot both be had."""
    proof = derivation.read(case.log)
    contested = _contested(proof) if proof else None
    if proof is None or contested is None:
        return None
    one, other = contested
    package = one.package
    return case.failure(
        "conflict",
        f"No version of {package} suits both sides: {_side(one)}, and {_side(other)}.",
        hint=f"Loosen one of the two, or choose another version of {_adjustable(one, other)}.",
        shown=proof.lines,
        package=package,
        sides=tuple({"who": side.who, "requirement": side.requirement} for side in contested),
    )


def python_incompatible(case: Case) -> Failure | None:
    """The versions that would do need another Python."""
    for line in case.log:
        for pattern, who in ((_LOCK_PYTHON, "The lock"), (_WHEEL_PYTHON, None)):
            match = pattern.search(line)
            if match is not None:
                package, python, needs = (None, match[1], match[2]) if who else (match[1], match[2], match[3])
                return _python_failure(
                    case, needer=who or match[1], package=package, python=python, needs=needs, shown=(line,)
                )
    proof = derivation.read(case.log)
    if proof is None or not (proof.pythons or proof.needs_python):
        return None
    python = (
        proof.pythons[-1][0].removeprefix(">=")
        if proof.pythons
        else str(case.context.get("python") or "another")
    )
    needer, needs = proof.needs_python[-1] if proof.needs_python else ("A package", proof.pythons[-1][1])
    return _python_failure(
        case, needer=needer, package=derivation.name(needer), python=python, needs=needs, shown=proof.lines
    )


def no_wheel(case: Case) -> Failure | None:
    """There is no wheel for this Python or platform, and building from source is not allowed or not possible."""
    proof = derivation.read(case.log)
    if proof is not None and proof.no_wheel:
        requirement, trouble = proof.no_wheel[-1]
        return _wheel_failure(case, requirement, trouble, proof.lines)
    for position, line in enumerate(case.log):
        match = _NO_BINARY.search(line)
        if match is not None:
            return _wheel_failure(
                case, match[1], "platform" if "current platform" in line else "", case.log[position:]
            )
    return None


def no_such_version(case: Case) -> Failure | None:
    """The package exists, but no version of it is within the bounds."""
    proof = derivation.read(case.log)
    if proof is None:
        return None
    wanted = proof.missing[0] if proof.missing else _beyond(proof)
    if wanted is None:
        return None
    package = derivation.name(wanted)
    available = tuple(item for item in proof.available if derivation.name(item) == package)
    there = f"; there is {' and '.join(available[-2:])}" if available else ""
    excluded = next((line for line in proof.lines if _EXCLUDED.search(line)), None)
    late = "; exclude_newer leaves out what was uploaded later" if excluded else ""
    return case.failure(
        "no_such_version",
        f"There is no version {wanted}{_wanted_by(proof, package)}{there}{late}.",
        hint="Move exclude_newer to a later date, or ask for an older version."
        if excluded
        else "Ask for a version that exists.",
        shown=proof.lines,
        package=package,
        wanted=wanted,
        available=available,
    )


def no_python(case: Case) -> Failure | None:
    """There is no such Python on the node, says uv."""
    for line in case.log:
        match = _NO_PYTHON.search(line)
        if match is not None:
            return case.failure(
                "no_python",
                f"There is no Python {match[1]} on this node.",
                hint="`djed doctor` lists the Pythons that are there; install it, or ask for one of those.",
                shown=[line],
                python=match[1],
            )
    return None


def _contested(proof: Derivation) -> tuple[Demand, Demand] | None:
    """The two demands that cannot both be met: on the package that comes last in the proof and is wanted by two sides.

    The sentences of a proof sum up earlier ones, so the last demand of each side says most. A package whose versions fail for a reason
    of their own (Python, wheels, none there) is not what the conflict is about.
    """
    unfit = (wanted for wanted, _ in (*proof.no_wheel, *proof.needs_python))
    excused = {derivation.name(item) for item in (*proof.missing, *unfit)}
    by_package: dict[str, list[Demand]] = {}
    for demand in proof.demands:
        by_package.setdefault(demand.package, []).append(demand)
    for package in reversed([demand.package for demand in proof.demands]):
        sides = by_package[package]
        bounded = [side for side in sides if side.requirement != package]
        latest = {(side.who if side.who == "you" else derivation.name(side.who)): side for side in bounded}
        wishes = [side for side in bounded if side.who == "you"]
        if package in excused:
            continue
        # Two wishes of the user himself come first: no package is to blame.
        if len(wishes) > 1:
            return wishes[0], wishes[1]
        if len(latest) > 1:
            ordered = sorted(latest.values(), key=lambda side: side.who == "you")
            return ordered[0], ordered[-1]
    return None


def _side(demand: Demand) -> str:
    return (
        f"you ask for {demand.requirement}"
        if demand.who == "you"
        else f"{demand.who} needs {demand.requirement}"
    )


def _adjustable(one: Demand, other: Demand) -> str:
    return " or ".join(
        dict.fromkeys(
            derivation.name(side.who) if side.who != "you" else side.package for side in (one, other)
        )
    )


def _wanted_by(proof: Derivation, package: str) -> str:
    """``, which flask==3.0 needs`` where a package and not the user wants it."""
    sides = [demand.who for demand in proof.demands if demand.package == package]
    return f", which {sides[0]} needs" if sides and "you" not in sides else ""


def _built_with(case: Case) -> str:
    """``, which lxml==4.9 needs to build`` where the proof is about a build's own requirements."""
    if not any("build-system.requires" in line for line in case.log):
        return ""
    return f", which {package_name(case) or 'a package'} needs to build"


def _beyond(proof: Derivation) -> str | None:
    """What is wanted of a package of which the proof says that only others are there."""
    limited = {derivation.name(item) for item in proof.available}
    return next((demand.requirement for demand in proof.demands if demand.package in limited), None)


def _python_failure(
    case: Case, *, needer: str, package: str | None, python: str, needs: str, shown: tuple[str, ...]
) -> Failure:
    return case.failure(
        "python_incompatible",
        f"{needer} needs Python {needs}, and this environment has {python}.",
        hint=f"Set environment.python to a version that meets {needs}, or ask for an older release.",
        shown=shown,
        package=package,
        python=python,
        requires_python=needs,
    )


def _wheel_failure(case: Case, requirement: str, trouble: str, shown: tuple[str, ...]) -> Failure:
    package = derivation.name(requirement)
    hints = [match for line in shown if (match := _HINTED_TAGS.search(line))]
    # A proof may name several kinds of unfit wheels; the hint about the same kind lists what there is.
    fitting = [
        match for match in hints if trouble.split(" tag", maxsplit=1)[0].rpartition(" ")[2] in match[0]
    ] or hints
    tags = tuple(tag for match in fitting[-1:] for tag in _TAG.findall(match[1]))
    kind = fitting[-1][0] if fitting else trouble
    what = (
        "this Python"
        if "ABI" in kind
        else "this platform"
        if "platform" in kind
        else "this Python and platform"
    )
    known = f"; there are wheels for {', '.join(tags[-6:])}" if tags else ""
    return case.failure(
        "no_wheel",
        f"{requirement} has no wheel for {what}{known}.",
        hint=f"Choose another version of {package} or another environment.python; or let it be built from source, if there is a source.",
        shown=shown,
        package=package,
        tags=tags,
    )
