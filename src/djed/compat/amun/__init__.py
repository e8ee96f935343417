"""Amun's API (version 0.10.6) over the engine, so that its clients find what they know. Needs the extra ``server``.

::

    routes ── specification  what is asked: its defaults, its script, its id, the request that it makes
       │  └── answers        what is answered: status, results, logs in Amun's form
       └── errors            every error in Amun's form and in connexion's at once; the header X-Amun-Version

docs/reference/amun.md has every route, and what is there beside Amun's own.
"""

from __future__ import annotations

from djed.compat.amun.errors import PATH, SERVICE_VERSION, failure
from djed.compat.amun.routes import guest, router

__all__ = ["PATH", "SERVICE_VERSION", "failure", "guest", "router"]
