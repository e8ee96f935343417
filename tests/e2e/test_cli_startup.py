"""What starts fast imports little."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = (
    "pydantic",
    "rich",
    "yaml",
    "djed.intake",
    "archspec",
    "packaging",
    "alembic",
    "httpx2",
    "djed.client",
)

# The command leaves by os._exit, so what is listed is listed there.
PROGRAM = """
import os, sys
def leave(code):
    print(*sys.modules, sep="\\n", file=sys.stderr, flush=True)
    leaving(code)
leaving, os._exit = os._exit, leave
from djed.__main__ import main
main()
leave(0)
"""


def imported(*arguments: str) -> set[str]:
    """The modules that a command imports."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return set(done.stderr.split())


def test_the_version_imports_nothing() -> None:
    found = imported("--version")
    assert {name for name in found if name.startswith("djed")} == {"djed", "djed.__main__"}
    assert not found & {"cyclopts", *HEAVY}


def test_a_list_imports_nothing_heavy() -> None:
    found = imported("list")
    assert "djed.service" in found
    assert found & set(HEAVY) == set()


def test_one_command_does_not_import_another() -> None:
    found = {name for name in imported("config") if name.startswith("djed.cli.commands.")}
    assert found == {"djed.cli.commands.config"}


def test_a_closed_output_is_written_to_nothing() -> None:
    closed = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-m', 'djed', 'list', '--json'])"
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(
        [sys.executable, "-c", closed], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
