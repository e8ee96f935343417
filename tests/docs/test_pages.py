"""What the pages say is so: generated parts are current, links lead somewhere, examples are valid."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from djed.cli.main import build
from djed.config import load
from djed.intake import read_mapping

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md")])

LOCK = """\
lock-version = "1.0"
created-by = "a test"

[[packages]]
name = "six"
version = "1.17.0"

[[packages.wheels]]
name = "six-1.17.0-py2.py3-none-any.whl"
url = "https://index.example/six-1.17.0-py2.py3-none-any.whl"
hashes = { sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
"""


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Every fenced block of that language, with a name for it."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, body in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        ):
            yield f"{page.relative_to(ROOT)}-{number}", body


REQUESTS = dict(blocks("yaml"))
COMMANDS = sorted(
    {line for _, body in blocks("sh") for line in body.splitlines() if line.startswith("djed ")}
)


@pytest.mark.parametrize("name", ["request", "settings", "errors", "metrics", "api"])
def test_generated_part_is_current(tool: Callable[[str], ModuleType], name: str) -> None:
    """Else: make docs."""
    reference = tool("reference")
    page = DOCS / "reference" / reference.FILES[name]
    text = page.read_text(encoding="utf-8")
    assert reference.rewritten(name, text) == text


def test_every_link_leads_somewhere(tool: Callable[[str], ModuleType]) -> None:
    links = tool("links")
    assert [failure for page in links.pages() for failure in links.broken(page)] == []


def test_broken_link_and_anchor_are_found(
    tool: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tool("links")
    monkeypatch.setattr(links, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, here\n[gone](gone.md) [there](#a-heading-here) [not](#nowhere) [site](https://index.example)\n"
    )
    assert [*links.broken(page)] == [
        "page.md: gone.md leads nowhere",
        "page.md: #nowhere: there is no such heading",
    ]


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(DOCS)) for page in DOCS.glob("**/*.md")} - {"README.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


@pytest.mark.parametrize("name", REQUESTS)
def test_request_in_the_docs_is_valid(name: str, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==2.1.3\n")
    (tmp_path / "pylock.toml").write_text(LOCK)
    for script in ("matmul.py", "check.py"):
        (tmp_path / script).write_text("print(1)\n")
    data = yaml.safe_load(REQUESTS[name])
    assert read_mapping(data, config=load(), folder=tmp_path).request.name == data["name"]


@pytest.mark.parametrize("line", COMMANDS)
def test_command_in_the_docs_can_be_given(line: str) -> None:
    """Its command and options exist and its values are of the right kind."""
    tokens = shlex.split(line, comments=True)[1:]
    ours = tokens[: tokens.index("--")] if "--" in tokens else tokens
    app = build()
    _, bound, _ = app.meta.parse_args(ours, exit_on_error=False, print_error=False)
    command, _, injected = app.parse_args(bound.args, exit_on_error=False, print_error=False)
    assert callable(command)
    assert "context" in injected


def test_there_are_commands_and_requests_to_try() -> None:
    assert len(COMMANDS) > 20
    assert len(REQUESTS) > 8
