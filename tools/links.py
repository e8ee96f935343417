"""Checks that every relative link in the Markdown files leads to a file, and every anchor to a heading."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["broken", "main", "pages"]

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """The Markdown files of the project."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def broken(page: Path) -> Iterator[str]:
    """A sentence for each link of a page that leads nowhere. Links to other sites are left alone."""
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            yield f"{page.relative_to(ROOT)}: {link} leads nowhere"
        elif anchor and target.suffix == ".md" and anchor not in _anchors(target):
            yield f"{page.relative_to(ROOT)}: {link}: there is no such heading"


def _anchors(page: Path) -> set[str]:
    """Headings as the usual renderers name them: lower case, punctuation left out, spaces to hyphens."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def main() -> int:
    """Print what is broken; the exit code says whether anything is."""
    failures = [failure for page in pages() for failure in broken(page)]
    for failure in failures:
        print(failure)
    print(
        f"{len(failures)} links lead nowhere."
        if failures
        else f"Every link in {len(pages())} pages leads somewhere."
    )
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
