"""The page of the calls, where Amun had Swagger UI: plain HTML without scripts and without style."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["page"]


def page(calls: Iterable[tuple[str, str, str]]) -> str:
    """The page. Each call has its method, path and purpose."""
    rows = "\n".join(
        f"<tr><td>{escape(method)}</td><td><code>{escape(path)}</code></td><td>{escape(purpose)}</td></tr>"
        for method, path, purpose in calls
    )
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Amun's calls</title></head>
<body>
<h1>Amun's calls</h1>
<p>This is Djed. It answers the calls of Amun as Amun did; its own are under <code>/v1</code>.</p>
<table>
<thead><tr><th>Method</th><th>Path</th><th>What it does</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""
