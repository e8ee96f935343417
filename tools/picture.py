"""Makes docs/picture.svg from what two real inspections print: a measured one, and one whose point is the verdict."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

__all__ = ["main", "svg"]

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 104
_CELL = 12.2  # width of a letter in rich's drawing


def main() -> None:
    """Run, draw, write."""
    with tempfile.TemporaryDirectory() as data:
        shown = [
            _run("djed", "inspect", f"examples/{name}/inspection.yaml", data=data)
            for name in ("matmul", "broken")
        ]
    (ROOT / "docs/picture.svg").write_text(svg("\n\n".join(shown)), encoding="utf-8")
    print("docs/picture.svg: drawn")


def svg(text: str) -> str:
    """A picture of a terminal that shows ``text`` with its colours (ECMA-48 SGR). It loads nothing from anywhere."""
    console = Console(
        width=WIDTH, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text.from_ansi(text))
    own_fonts = re.sub(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    drawn = console.export_svg(title="djed", theme=MONOKAI, code_format=own_fonts, unique_id="djed")
    return re.sub(
        r' x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"([^>]*)>((?:&#160;)+)', _without_margin, drawn
    )


def _without_margin(found: re.Match[str]) -> str:
    """A run of text that begins where its first letter does: some renderers drop the blanks before it and stretch the rest."""
    blanks = len(found[5]) // len("&#160;") * _CELL
    return f' x="{float(found[1]) + blanks:.1f}" y="{found[2]}" textLength="{float(found[3]) - blanks:.1f}"{found[4]}>'


def _run(*command: str, data: str) -> str:
    """The command line and all that it prints, in colour."""
    environment = {**os.environ, "DJED_DATA": data, "COLUMNS": str(WIDTH)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [*command, "--color", "always"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return f"\x1b[1m$ {' '.join(command)}\x1b[0m\n{done.stdout.rstrip()}"


if __name__ == "__main__":
    main()
