"""``djed push``: an artifact to where it is used."""

from typing import Annotated

from cyclopts import Parameter

from djed.cli.artifacts import find_digest, short
from djed.cli.parameters import Injected, Json
from djed.cli.render.text import bold, dim
from djed.errors import NotFoundError
from djed.model.quantity import format_size

__all__ = ["push"]


def push(
    digest: Annotated[str, Parameter(name="DIGEST", help="An artifact: its digest, or the beginning of it.")],
    destination: Annotated[
        str,
        Parameter(
            name="DEST",
            help="oci:DIR, oci-archive:FILE, docker-archive:FILE, docker-daemon:NAME, containers-storage:NAME or REGISTRY/NAME:TAG "
            "for an image; a file for anything else.",
        ),
    ],
    /,
    *,
    force: Annotated[bool, Parameter(help="Replace a file or an image layout that is there.")] = False,
    insecure: Annotated[
        bool, Parameter(help="A registry without TLS, or with a certificate that nobody vouches for.")
    ] = False,
    compress: Annotated[
        bool, Parameter(help="Let a registry have smaller layers; the image gets another digest by it.")
    ] = False,
    json: Json = False,
    context: Injected,
) -> None:
    """Bring an artifact to a file, to the images of an engine, or to a registry.

    Files and folders need no other program; engines and registries are reached by skopeo, with its logins.
    """
    from djed.service import push as pushing

    with context.engine() as engine:
        whole = find_digest(engine, digest)
        artifact = engine.artifact(whole)
        if artifact is None:
            raise NotFoundError(f"There is no artifact {digest}.", hint="See them with: djed artifacts")
        to = pushing.read_destination(destination, artifact)
        with engine.files(whole) as files:
            done = pushing.push(files, artifact, to, force=force, insecure=insecure, compress=compress)
    if json:
        found = {"digest": whole, "kind": artifact.kind, "destination": done.destination}
        context.console.json({**found, "manifest": done.digest, "size": done.size})
        return
    size = "" if done.size is None else f" ({format_size(done.size)})"
    context.console.note("Pushed ", bold(f"{artifact.kind} {short(whole)}"), dim(size))
    context.console.out(f"{done.destination}@{done.digest}" if done.digest else done.destination)
