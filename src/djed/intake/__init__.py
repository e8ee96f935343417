"""Request files and foreign formats to validated, self-contained requests.

::

    read_file ── document (yamlfile, jsonfile, tomlfile) ──┐
    read_script ── inline (PEP 723) ───────────────────────┼─▶ validate ─▶ Submission
    read_mapping ──────────────────────────────────────────┘     │
         amun, where the request is Amun's
         shape, by the table in checks (addresses, specifications, words)
         formats (requirements, pipfile, pyproject, pylock)
         files, and at last agreement
"""

from djed.intake.doors import read_file, read_mapping, read_script
from djed.intake.schema import schema
from djed.intake.submission import Submission

__all__ = ["Submission", "read_file", "read_mapping", "read_script", "schema"]
