"""Server-sent events: what happens, and what jobs write, as it comes. Each stream goes on where ``Last-Event-ID`` says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response

from djed.api.auth import Reading, identify
from djed.api.following import Check, InspectionStream, JobStream, NamespaceStream
from djed.api.hub import Hub
from djed.api.parameters import JobId, Reference
from djed.api.sse import Bookmark, EventStream
from djed.api.state import Call, state_of
from djed.errors import TokenError
from djed.model.inspection import FINAL
from djed.service import reading
from djed.store import events, job_logs
from djed.store.job_logs import STREAMS

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["streams"])

LastEventId = Annotated[
    str | None, Header(description="Id of the last event that came; the stream goes on behind it.")
]
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
}
_ENDING: dict[int | str, dict[str, Any]] = {
    **_STREAM,
    204: {"description": "All was told: a browser does not come back."},
}


@router.get("/stream", response_class=Response, responses=_STREAM)
async def namespace(request: Request, engine: Reading, last_event_id: LastEventId = None) -> Response:
    """Follow all events of the namespace, from now on."""
    bookmark = Bookmark.parse(last_event_id)
    stream = NamespaceStream(_hub(request), _check(request), bookmark, namespace=engine.principal.namespace)
    return await EventStream.begin(stream.frames())


@router.get("/inspections/{reference}/stream", response_class=Response, responses=_ENDING)
async def inspection(
    *,
    request: Request,
    engine: Reading,
    reference: Reference,
    logs: Annotated[bool, Query(description="Tell what its jobs write, too.")] = False,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow an inspection from its first event to its last."""
    hub, bookmark = _hub(request), Bookmark.parse(last_event_id)
    found = await hub.run(engine.get, reference)
    if (
        bookmark.position
        and found.state in FINAL
        and not await hub.run(_any_events, hub, found.id, bookmark.position)
    ):
        return Response(None, 204)
    stream = InspectionStream(
        hub, _check(request), bookmark, inspection=found, streams=STREAMS if logs else ()
    )
    return await EventStream.begin(stream.frames())


@router.get("/jobs/{job}/stream", response_class=Response, responses=_ENDING)
async def log(
    *,
    request: Request,
    engine: Reading,
    job: JobId,
    stream: Annotated[
        Literal["stdout", "stderr", "both"], Query(description="What of its output.")
    ] = "stdout",
    last_event_id: LastEventId = None,
) -> Response:
    """Follow what a job writes, from its first byte to its last."""
    hub, bookmark = _hub(request), Bookmark.parse(last_event_id)
    await hub.run(reading.job, engine, job)
    streams = STREAMS if stream == "both" else (stream,)
    if job in bookmark.marks and await hub.run(_all_told, hub, job, bookmark, streams):
        return Response(None, 204)
    return await EventStream.begin(
        JobStream(hub, _check(request), bookmark, job=job, streams=streams).frames()
    )


def _hub(request: Request) -> Hub:
    hub = state_of(request).hub
    assert isinstance(hub, Hub)
    return hub


def _check(request: Request) -> Check:
    """Whether the token that opened a stream is still good: asked now and then while it is open."""
    state, header = state_of(request), request.headers.get("authorization")

    async def check() -> None:
        call = Call(id="")
        await identify(call, state, header)
        if call.principal is None:
            raise call.trouble or TokenError("This needs a token.")

    return check


def _any_events(hub: Hub, inspection: str, position: str) -> bool:
    with hub.store.database.read() as connection:
        return bool(events.after(connection, [inspection], position, limit=1))


def _all_told(hub: Hub, job: str, bookmark: Bookmark, streams: tuple[str, ...]) -> bool:
    """Whether the log is over and ends at the bookmark."""
    with hub.store.database.read() as connection:
        log = job_logs.look(connection, job)
    mark = bookmark.marks[job]
    return (
        log.over
        and log.number == mark.attempt
        and all(getattr(mark, stream) >= job_logs.size(hub.store, log, stream) for stream in streams)
    )
