"""``python -m tests.support.rpmdb``: make the recorded RPM database that the tests read, and what rpm says of it.

Needs rpm and rpmbuild (Debian: ``apt-get install rpm``). The packages are made up here; nobody else's data is in it.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import tempfile
from pathlib import Path

RECORDED = Path(__file__).resolve().parent.parent / "unit/toolbox/recorded"
FORMAT = "%{NAME}|%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}|%{ARCH}|%{SOURCERPM}|%{LICENSE}|%{SIZE}\\n"
SPECS = {
    "lamp": """
        Epoch: 2
        Version: 1.4
        License: MIT AND Apache-2.0
        BuildArch: noarch
        Requires: oil >= 1:2.0, /usr/bin/wick, (glass or shade)
        Requires(pre): oil
        Provides: light = 9
        Obsoletes: candle < 1.4, torch
    """,
    "oil": "Epoch: 1\nVersion: 2.5~rc1\nLicense: CC0-1.0\nBuildArch: noarch",
    "wick": "Version: 0^20260101\nLicense: GPL-2.0-or-later\nRequires: oil\nConflicts: wind",
    "glass": "Version: 3\nLicense: MIT\nBuildArch: noarch\nProvides: shade = 3, bundled(sand)",
    "gpg-pubkey": "Version: 5\nLicense: pubkey\nBuildArch: noarch",
}
REST = """
Name: {name}
Release: 1.test
Summary: A part of a lamp
{fields}
%description
A part of a lamp.
%install
mkdir -p %{{buildroot}}/usr/bin
printf '%s\\n' 'burns' > %{{buildroot}}/usr/bin/{name}
%files
/usr/bin/{name}
"""


def main() -> None:
    """Write ``rpmdb.sqlite.gz`` and ``rpmdb.json``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for package, fields in SPECS.items():
            text = REST.format(name=package, fields="\n".join(line.strip() for line in fields.splitlines()))
            (folder / f"{package}.spec").write_text(text)
            _run(
                "rpmbuild",
                "-bb",
                f"-D_topdir {folder}/top",
                f"-D_rpmdir {folder}/rpms",
                "-D_buildhost build.example",
                folder / f"{package}.spec",
            )
        database = folder / "db"
        _rpm(database, "-i", "--nodeps", "--justdb", *sorted((folder / "rpms").rglob("*.rpm")))
        said = {
            line.partition("|")[0]: {
                "line": line,
                **{
                    relation: sorted(
                        set(_rpm(database, "-q", f"--{relation}", line.partition("|")[0]).splitlines())
                    )
                    for relation in ("requires", "provides", "obsoletes")
                },
            }
            for line in sorted(_rpm(database, "-qa", "--qf", FORMAT).splitlines())
        }
        data = (database / "rpmdb.sqlite").read_bytes()
    (RECORDED / "rpmdb.sqlite.gz").write_bytes(gzip.compress(data, mtime=0))
    (RECORDED / "rpmdb.json").write_text(json.dumps(said, indent=1) + "\n")


def _rpm(database: Path, *arguments: str | Path) -> str:
    return _run("rpm", "--dbpath", database, *arguments)


def _run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
