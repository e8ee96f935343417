"""Amun's routes, as one table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from djed.compat.amun import answers
from djed.compat.amun.errors import API_VERSION, SERVICE_VERSION, AmunRoute, respond
from djed.compat.amun.listing import listed
from djed.compat.amun.page import page
from djed.compat.amun.specification import accept, outline
from djed.errors import ConflictError, NotFoundError
from djed.model.inspection import FINAL, Inspection, JobRecord
from djed.model.principal import Principal

if TYPE_CHECKING:
    from djed.config import Config
    from djed.service.engine import Engine

__all__ = ["guest", "router"]

_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_LOG = 4 * 2**20
"""Bytes of a log in an answer."""
_LOGS = 16 * 2**20
"""Bytes of many results in an answer."""
_REPORTS = 16
"""Reports read for one status."""
_GENERATED = "OpenAPI-Generator/"
"""How Amun's published client, which was generated from its OpenAPI document, calls itself."""

Id = Annotated[str, Path(description="Id of an inspection: Amun's, ours, or its name.")]
Item = Annotated[int, Path(description="Number of a run, from 0.", ge=0, le=100_000)]
PageNumber = Annotated[int, Query(description="Page, from 1.", ge=1, le=1_000_000)]
PageLimit = Annotated[int, Query(description="Inspections of a page; 100 at most.", ge=1, le=1_000_000)]


def guest(config: Config) -> Principal | None:
    """Who calls without a token, which Amun's client cannot send by its own functions; ``None`` where nobody may."""
    if config.amun_namespace is None:
        return None
    return Principal(name="amun", namespace=config.amun_namespace, scope="submit")


def router(
    *,
    reading: Callable[..., Any],
    submitting: Callable[..., Any],
    body: Callable[..., Any],
    ready: Callable[..., Any],
) -> APIRouter:
    """All routes. The parameters are dependencies (https://fastapi.tiangolo.com/tutorial/dependencies/).

    ``reading`` and ``submitting`` leave the engine, bound to a caller who may, in ``request.state.engine``; ``body`` leaves the body
    as a mapping in ``request.state.parameters``; ``ready`` raises ``DjedError`` where calls cannot be served.
    """
    needs: dict[str | None, list[Any]] = {
        None: [],
        "read": [Depends(reading)],
        "submit": [Depends(submitting), Depends(body)],
        "draft": [Depends(reading), Depends(body)],
        "ready": [Depends(ready)],
    }
    found = APIRouter(route_class=AmunRoute, tags=["amun"])
    for method, path, handler, need in _ROUTES:
        found.add_api_route(
            path,
            handler,
            methods=[method],
            dependencies=needs[need],
            include_in_schema=False,
            response_model=None,
        )
    return found


def _engine(request: Request) -> Engine:
    return cast("Engine", request.state.engine)


def _posted(request: Request) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", request.state.parameters)


# The service


def root() -> Response:
    """To the page of the calls."""
    return RedirectResponse("/api/v1/ui", status_code=302)


def paths() -> Response:
    """The paths of the API."""
    return respond({"paths": sorted({path for _, path, *_ in _ROUTES if path != "/"})})


def ui() -> Response:
    """A page of the calls."""
    return HTMLResponse(page([(method, path, handler.__doc__ or "") for method, path, handler, _ in _ROUTES]))


def version() -> Response:
    """Version of the API and of the service."""
    return respond({"version": API_VERSION, "service_version": SERVICE_VERSION})


def probe() -> Response:
    """Whether the service is there."""
    return respond({"status": "ready", "version": SERVICE_VERSION})


# Asking


def generate_dockerfile(request: Request) -> Response:
    """What the environment would be as a Containerfile; nothing is done."""
    engine = _engine(request)
    specification, submission = outline(_posted(request), config=engine.config)
    return respond({"dockerfile": engine.recipe(submission), "parameters": {"specification": specification}})


def inspect(request: Request) -> Response:
    """Submit an inspection."""
    engine = _engine(request)
    asked = accept(_posted(request), config=engine.config, address=f"{request.base_url}api/v1")
    engine.submit([asked.submission])
    return respond(answers.submitted(asked.id, asked.specification), 202)


# Looking


def inspections(request: Request, page: PageNumber = 1, limit: PageLimit = 100) -> Response:
    """The inspections, newest first."""
    limit = min(limit, 100)
    request.state.parameters = {"page": page, "limit": limit}
    return respond(
        {"inspections": listed(_engine(request), page, limit), "parameters": request.state.parameters}
    )


def build_log(request: Request, inspection_id: Id) -> Response:
    """What the build wrote."""
    found = _found(request, inspection_id)
    engine = _engine(request)
    parts, left = [], _LOG
    for job in _jobs(engine, found):
        if job.kind != "run" and job.started_at is not None and left > 0:
            parts.append((job.role, _written(engine, job, left)))
            left -= len(parts[-1][1])
    return _told(found, inspection_id, log=answers.build_log(found, parts))


def batch_size(request: Request, inspection_id: Id) -> Response:
    """How many runs were asked for."""
    found = _found(request, inspection_id)
    return _told(found, inspection_id, batch_size=found.request.run.repeat if found.request.run else 0)


def job_result(request: Request, inspection_id: Id, item: Item) -> Response:
    """The result of a run."""
    found = _found(request, inspection_id)
    result = answers.result(_run(_engine(request), found, item))
    if result is None:
        raise NotFoundError(f"The inspection {inspection_id} has no result {item}.")
    if _is_generated(request):
        result |= {"stdout": answers.as_object(result["stdout"])}
    return _told(found, inspection_id, result=result)


def job_log(request: Request, inspection_id: Id, item: Item) -> Response:
    """What a run wrote."""
    found = _found(request, inspection_id)
    run = _run(_engine(request), found, item)
    if run is None or run.started_at is None:
        raise NotFoundError(f"The inspection {inspection_id} has no run {item}, or it has not started.")
    if not _is_generated(request):
        text = _written(_engine(request), run, _LOG).decode("utf-8", "replace")
        return _told(found, inspection_id, log=text)
    # Amun sent text where its own document says object, so that its client, which was made from the document, failed on it.
    log = answers.log(run)
    return _told(found, inspection_id, log=log and log | {"stdout": answers.as_object(log["stdout"])})


def first_log(request: Request, inspection_id: Id) -> Response:
    """The result of the first run, as of 2018."""
    found = _found(request, inspection_id)
    log = answers.log(_run(_engine(request), found, 0))
    if log is not None:
        return _told(found, inspection_id, log=log)
    if found.request.run is None or found.state in FINAL:
        raise NotFoundError(f"The inspection {inspection_id} has no run that ended.")
    error = "The run has not ended yet."
    return respond({"error": error, "parameters": {"inspection_id": inspection_id}}, 202)


def all_logs(request: Request, inspection_id: Id) -> Response:
    """The results of all runs that ended, as of 2019; of many long ones, the first."""
    found = _found(request, inspection_id)
    engine = _engine(request)
    ended = [job for job in _jobs(engine, found) if job.role.startswith("run:") and job.ended_at is not None]
    logs: list[Mapping[str, Any]] = []
    size = 0
    for job in ended:
        log = answers.log(_run(engine, found, job.role.removeprefix("run:")))
        size += len(json.dumps(log))
        if size > _LOGS:
            break
        logs += [log] if log else []
    return _told(found, inspection_id, logs=logs)


def inspection_status(request: Request, inspection_id: Id) -> Response:
    """How far it is."""
    found = _found(request, inspection_id)
    return _told(found, inspection_id, **answers.status(found, _jobs(_engine(request), found)))


def inspection_specification(request: Request, inspection_id: Id) -> Response:
    """What was asked."""
    found = _found(request, inspection_id)
    specification = answers.specification(found)
    return _told(found, inspection_id, specification=specification, created=specification["@created"])


def _told(found: Inspection, reference: str, **more: Any) -> Response:
    """With our own id beside Amun's."""
    return respond({**more, "parameters": {"inspection_id": reference, "id": found.id}})


def _found(request: Request, reference: str) -> Inspection:
    """By its id or name alone. Raises ``NotFoundError``."""
    missing = NotFoundError(f"There is no inspection {reference[:100]!r}.")
    if not _REFERENCE.fullmatch(reference):
        raise missing
    try:
        found = _engine(request).get(reference)
    except (NotFoundError, ConflictError) as error:
        raise missing from error
    if reference not in {found.id, found.name}:
        raise missing
    return found


def _jobs(engine: Engine, found: Inspection) -> Sequence[JobRecord]:
    """Its jobs, or those of the inspection whose result answered it. Of their reports only those that tell of a failure are read."""
    try:
        jobs = engine.jobs(found.reused or found.id, reports=False)
    except NotFoundError:  # removed meanwhile
        return ()
    failed = [job.role for job in jobs if job.state == "failed"][:_REPORTS]
    reported = {role: engine.job(found.reused or found.id, role) for role in failed}
    return [reported.get(job.role, job) for job in jobs]


def _run(engine: Engine, found: Inspection, item: int | str) -> JobRecord | None:
    """A measured run with its report."""
    try:
        return engine.job(found.reused or found.id, f"run:{item}")
    except NotFoundError:
        return None


def _written(engine: Engine, job: JobRecord, most: int) -> bytes:
    """What a job wrote on both streams; ``/v1/jobs/{job}/log`` has it where it is more than ``most`` bytes."""
    stdout = engine.log(job.id, "stdout", limit=most)
    left = most - len(stdout)
    return stdout + (engine.log(job.id, "stderr", limit=left) if left > 0 else b"")


def _is_generated(request: Request) -> bool:
    return request.headers.get("user-agent", "").startswith(_GENERATED)


_INSPECTION = "/api/v1/inspect/{inspection_id}"

_ROUTES: tuple[tuple[str, str, Callable[..., Response], str | None], ...] = (
    ("GET", "/", root, "read"),
    ("GET", "/api/v1", paths, "read"),
    ("GET", "/api/v1/ui", ui, "read"),
    ("GET", "/api/v1/version", version, None),
    ("GET", "/readiness", probe, "ready"),
    ("GET", "/liveness", probe, None),
    ("POST", "/api/v1/_debug/generate-dockerfile", generate_dockerfile, "draft"),
    ("POST", "/api/v1/inspect", inspect, "submit"),
    ("GET", "/api/v1/inspect", inspections, "read"),
    ("GET", f"{_INSPECTION}/status", inspection_status, "read"),
    ("GET", f"{_INSPECTION}/specification", inspection_specification, "read"),
    ("GET", f"{_INSPECTION}/build/log", build_log, "read"),
    ("GET", f"{_INSPECTION}/job/batch-size", batch_size, "read"),
    ("GET", f"{_INSPECTION}/job/log", first_log, "read"),
    ("GET", f"{_INSPECTION}/job/logs", all_logs, "read"),
    ("GET", f"{_INSPECTION}/job/{{item}}/result", job_result, "read"),
    ("GET", f"{_INSPECTION}/job/{{item}}/log", job_log, "read"),
)
"""Method, path, handler, and what must be there for it."""
