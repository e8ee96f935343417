"""Why a package cannot be built from source: what uv, build backends, compilers and linkers say."""

from __future__ import annotations

import re

from djed.model.observation import Failure
from djed.observe.case import Case
from djed.observe.rules.packages import HEADERS, library_hint

__all__ = ["backend_failed", "compiler_missing", "header_missing", "library_missing", "package_name"]

_FAILED = re.compile(r"Failed to (?:build|download and build|prepare)[^`]{0,40}`([^`\s]{1,200})")
_BACKEND = re.compile(
    r"build backend returned an error|Call to `[^`]{1,200}` failed|Failed to (?:build|download and build)"
    r"|Failed building wheel|requirements from `build-system"
)
_RAN = re.compile(r"build backend returned an error")
_PROGRESS = re.compile(
    r"\s*(?:Using C?Python|Resolved|Building|Built|Prepared|Installed|Downloading|Downloaded) "
)
_COMPILERS = (
    r"(?:[\w.-]{0,40}-)?(?:cc|gcc|g\+\+|c\+\+|clang|clang\+\+|gfortran|cargo|rustc|nvcc|ld|make|cmake|ninja|swig|javac|go)"
    r"(?:-\d[\d.]{0,8})?"
)
_NO_TOOL = (
    re.compile(rf"(?:unable to execute|command) '?({_COMPILERS})'?(?: failed)?: No such file"),
    re.compile(rf"\[Errno 2\] No such file or directory: '((?:[^'\s]{{0,200}}/)?{_COMPILERS})'"),
    re.compile(rf"(?:^|[\s:])({_COMPILERS}): (?:command )?not found"),
    re.compile(rf"make(?:\[\d+\])?: ({_COMPILERS}): No such file"),
    re.compile(rf"linker `({_COMPILERS})` not found"),
    re.compile(r"Unknown compiler\(s\): \[{1,2}['\"]([^'\"]{1,80})"),
    re.compile(r"can't find (Rust) compiler|No CMAKE_(C|CXX|Fortran|CUDA)_COMPILER could be found"),
)
_ERRNO_TOOL = re.compile(r"error: \[Errno 2\] No such file or directory: '([^'\s]{1,200})'")
_HEADER = re.compile(
    r"fatal error: '?([\w./+-]{1,200}\.(?:h|hh|hpp|hxx|inc))'?(?:: No such file or directory| file not found)"
    r"|install a library that provides `([^`]{1,200})`"  # uv's hint, all that is left of a quiet build
)
_PKG_CONFIG = re.compile(
    r"No package '([\w.+-]{1,100})' found|Package '?([\w.+-]{1,100})'? was not found in the pkg-config"
    r"|Dependency \"([\w.+-]{1,100})\" not found"
)
# A probe that found nothing is the reason only where the end speaks of it: most builds try one name after another.
_PROBE = re.compile(r"'pkg-config --exists ([\w.+-]{1,100})' returned non-zero")
_TOOL_GIVES = re.compile(
    r"\b(pg_config|mysql_config|llvm-config|gdal-config|nc-config|curl-config|xml2-config) (?:executable )?(?:is )?not found"
    r"|([a-z]{2,12}[-_]config): (?:command )?not found"
)
_LIBRARY = re.compile(
    r"cannot find -l([\w.+-]{1,100})|library '?([\w.+-]{1,100})'? not found for -l"
    r"|unable to find library -l([\w.+-]{1,100})|provides a shared library for `([^`]{1,100})`"
)
_MODULE = re.compile(
    r"(?:ModuleNotFoundError|ImportError): No module named '([\w.]{1,200})'"
    r"|depends on `([^`]{1,200})`, but doesn't declare it as a build dependency"
)
_STATUS_ONLY = re.compile(
    r"returned non-zero exit status|^\s*(?:hint:|error: Failed to|cause:|\[std|compilation terminated|warning:)|^[\s~^|-]*$"
)
_COMPILER_ERROR = re.compile(r"^\s*[\w./+-]{1,300}:\d{1,9}(?::\d{1,9})?: (?:fatal )?error: ")

_TOOL_PACKAGES = {
    "gcc": "gcc libc6-dev",
    "cc": "gcc libc6-dev",
    "clang": "clang",
    "g++": "g++",
    "c++": "g++",
    "clang++": "clang",
    "C": "gcc",
    "CXX": "g++",
    "gfortran": "gfortran",
    "Fortran": "gfortran",
    "cargo": "cargo",
    "rustc": "rustc",
    "Rust": "rustc cargo",
    "make": "make",
    "cmake": "cmake",
    "ninja": "ninja-build",
    "swig": "swig",
    "ld": "binutils",
    "go": "golang",
    "javac": "default-jdk-headless",
    "nvcc": "nvidia-cuda-toolkit",
}


def compiler_missing(case: Case) -> Failure | None:
    """A compiler, linker or build tool is not there."""
    for line in case.log:
        for pattern in _NO_TOOL:
            match = pattern.search(line)
            if match is not None:
                return _compiler_failure(case, next(word for word in match.groups() if word), line)
        match = _ERRNO_TOOL.search(line)
        # setuptools names whatever CC says; it is a compiler if the log shows it being called as one.
        if match is not None and any(other.lstrip().startswith(match[1] + " -") for other in case.log):
            return _compiler_failure(case, match[1], line)
    return None


def header_missing(case: Case) -> Failure | None:
    """A header of a library, or what else one needs to build against it, is not there."""
    patterns = [_HEADER, _PKG_CONFIG, _TOOL_GIVES]
    if any("pkg-config name" in line for line in case.last(10)):
        patterns.append(_PROBE)
    for line in case.log:
        match = next((found for pattern in patterns if (found := pattern.search(line))), None)
        if match is not None:
            return _header_failure(case, next(word for word in match.groups() if word), line)
    return None


def library_missing(case: Case) -> Failure | None:
    """The linker does not find a library."""
    for line in case.log:
        match = _LIBRARY.search(line)
        if match is not None:
            library = next(word for word in match.groups() if word)
            return case.failure(
                "missing_library",
                f"{_package(case)} needs the library {library} to link with, which is not there.",
                hint=library_hint(f"lib{library}.so")
                or f"On Debian and Ubuntu it is often in a package like lib{library}-dev.",
                shown=[line, *_failed_lines(case)],
                library=library,
                package=package_name(case),
            )
    return None


def backend_failed(case: Case) -> Failure | None:
    """The package's own build code failed."""
    if not any(_BACKEND.search(line) for line in case.log):
        return None
    package = _package(case)
    # What a build imports and does not ask for is the commonest reason, and has a remedy of its own.
    module = next(
        (match[1] or match[2] for line in reversed(case.log) if (match := _MODULE.search(line))), None
    )
    if module is not None:
        return case.failure(
            "build_backend_failed",
            f"{package} needs {module} to build and does not say so: No module named '{module}'.",
            hint="Choose a version with a wheel, or one that declares what its build needs.",
            shown=[line for line in case.log if module in line] + _failed_lines(case),
            package=package_name(case),
            module=module,
        )
    said = [line for line in _backend_output(case) if not _STATUS_ONLY.search(line)]
    reason = _reason(case, said)
    return case.failure(
        "build_backend_failed",
        f"{package} cannot be built: {reason}.",
        hint="Choose a version with a wheel, or look in the log for what its build needs.",
        shown=[*_failed_lines(case), *said[-6:]],
        package=package_name(case),
    )


def _header_failure(case: Case, header: str, line: str) -> Failure:
    native = HEADERS.get(header) or HEADERS.get(header.split("/", maxsplit=1)[0] + "/")
    is_header = header.endswith((".h", ".hh", ".hpp", ".hxx", ".inc"))
    needs = f"the header {header}, which is" if is_header else f"the development files of {header}, which are"
    return case.failure(
        "header_missing",
        f"{_package(case)} needs {needs} not there.",
        hint=f"On Debian and Ubuntu the package {native} has it."
        if native
        else "Install the development package (-dev) of that library.",
        shown=[line, *_failed_lines(case)],
        header=header,
        package=package_name(case),
        native=native,
    )


def _reason(case: Case, said: list[str]) -> str:
    """The compiler's first error, else the last thing that was said, else uv's innermost cause."""
    causes = [line.strip().removeprefix("cause: ") for line in case.log if line.strip().startswith("cause: ")]
    errors = [line for line in said if _COMPILER_ERROR.search(line)]
    return (errors[:1] or said[-1:] or causes[-1:] or ["it does not say why"])[0].strip()


def _compiler_failure(case: Case, tool: str, line: str) -> Failure:
    native = _TOOL_PACKAGES.get(tool.rpartition("/")[2])
    return case.failure(
        "compiler_missing",
        f"{_package(case)} needs {tool} to build, which is not there.",
        hint=f"On Debian and Ubuntu: apt-get install {native}."
        if native
        else "Install it, or correct the CC and CXX variables.",
        shown=[line, *_failed_lines(case)],
        tool=tool,
        package=package_name(case),
        native=native,
    )


def package_name(case: Case) -> str | None:
    """What could not be built, as ``lxml==4.9`` or ``lxml``; the name of its file where nothing else is known."""
    if case.context.get("package"):
        return str(case.context["package"])
    for line in case.log:
        match = _FAILED.search(line)
        if match is not None:
            return match[1].rpartition("/")[2].removesuffix(".gz").removesuffix(".tar").removesuffix(".zip")
    return None


def _package(case: Case) -> str:
    return package_name(case) or "A package"


def _failed_lines(case: Case) -> list[str]:
    return [line for line in case.log if _FAILED.search(line)][:2]


def _backend_output(case: Case) -> tuple[str, ...]:
    """What the backend wrote: what uv quotes of its stderr or, where it was let through, all that stands before uv's own error."""
    log = case.log
    quoted = [position for position, line in enumerate(log) if line.strip() == "[stderr]"]
    # "uv build" lets the backend write for itself; "uv pip" quotes what it wrote after its own error.
    if not quoted:
        ran = [position for position, line in enumerate(log) if _RAN.search(line)]
        return tuple(line for line in log[: ran[0]] if not _PROGRESS.match(line)) if ran else ()
    following = log[quoted[-1] + 1 :]
    ends = [position for position, line in enumerate(following) if line.startswith("hint:")]
    return following[: ends[0]] if ends else following
