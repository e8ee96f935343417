"""Parameters of paths, queries and headers that several routes have, with their bounds."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path, Query

from djed.model.preview import RecipeForm

__all__ = [
    "After",
    "Digest",
    "Form",
    "Fresh",
    "JobId",
    "Key",
    "Limit",
    "Name",
    "Reference",
    "Role",
    "StreamName",
    "Wait",
]

Reference = Annotated[
    str,
    Path(
        description="Id of an inspection, a unique beginning of one (3 characters or more), `latest`, or a name (its newest).",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        examples=["latest"],
    ),
]
Role = Annotated[
    str,
    Path(
        description="What a job is for the inspection: `lock`, `build`, `wheel:PACKAGE`, `warmup:0`, `run:0` …",
        pattern=r"^[a-z]{1,20}(:[A-Za-z0-9._-]{1,200})?$",
        examples=["run:0"],
    ),
]
JobId = Annotated[
    str, Path(description="Id of a job.", pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["0123456789abcdef"])
]
StreamName = Annotated[
    str, Path(description="Which stream.", pattern=r"^(stdout|stderr)$", examples=["stdout"])
]
Digest = Annotated[
    str,
    Path(
        description="`sha256:` and 64 hexadecimal digits.",
        pattern=r"^sha256:[0-9a-f]{64}$",
        examples=["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ),
]
Name = Annotated[
    str,
    Path(
        description="Letters, digits, `.`, `_` and `-`, at most 63, a letter or digit first.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        examples=["default"],
    ),
]
Limit = Annotated[int, Query(description="Items of a page.", ge=1, le=1000)]
After = Annotated[
    str | None,
    Query(description="`next` of the page before.", min_length=1, max_length=1000, pattern=r"^[ -~]+$"),
]
Form = Annotated[RecipeForm, Query(description="What the recipe is for: any container engine, or Apptainer.")]
Fresh = Annotated[bool, Query(description="Do all anew, whatever the request says of reuse.")]
Wait = Annotated[float, Query(description="Seconds to wait for what is asked.", ge=0, le=60)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same body is answered with what the first call made.",
        min_length=1,
        max_length=255,
        pattern=r"^[ -~]+$",
    ),
]
