"""The engine: the facade that every door uses. What it shows is in :mod:`djed.service.looking`; here is what it does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from djed.errors import ConflictError
from djed.model.inspection import Inspection
from djed.model.summary import Collected
from djed.service.looking import LOCAL, Looking
from djed.store import events, lookup

if TYPE_CHECKING:
    import sqlalchemy as sa

    from djed.intake.submission import Submission
    from djed.model.observation import Statistics
    from djed.model.preview import Preview, RecipeForm
    from djed.model.webhook import Delivery, Webhook
    from djed.run.interface import Runner

__all__ = ["Engine"]


class Engine(Looking):
    """The inspections of one namespace in a store, and the worker that does them. A context manager; safe for threads.

    It is :class:`djed.service.interface.Service` on this machine. What only some methods need (runners, builders, statistics) is imported
    there: a list must not wait for it.
    """

    # Asking

    def submit(
        self, submissions: Sequence[Submission], *, fresh: bool = False, key: str | None = None
    ) -> Sequence[Inspection]:
        """Accept requests; once this returns they are durable: see :class:`djed.service.interface.Service`."""
        from djed.service import asking

        return asking.submit(self, submissions, fresh=fresh, key=key)

    def retry(self, reference: str) -> Inspection:
        """A new inspection of the same request."""
        from djed.service import asking

        return asking.retry(self, reference)

    def clone(self, reference: str, changes: Mapping[str, Any]) -> Inspection:
        """A new inspection of the same request with some fields changed (RFC 7396: ``None`` resets a field)."""
        from djed.service import asking

        return asking.clone(self, reference, changes)

    def cancel(self, reference: str) -> Inspection:
        """Ask for cancellation; it is final when :meth:`get` says so. Raises ``ConflictError`` if it is final already."""
        from djed.store import inspections

        with self.store.change() as connection:
            id_ = self._find(connection, reference)
            if not inspections.flag_cancel(connection, id_):
                raise ConflictError(f"The inspection {id_} is {lookup.get(connection, id_).state} already.")
            events.add(connection, [(id_, "cancel", {}, time.time(), self.namespace)])
            self.record(connection, "inspection.cancel", id_)
            return lookup.get(connection, id_)

    def remove(self, references: Sequence[str]) -> int:
        """Forget final inspections. Their observations stay: they are evidence. Raises ``ConflictError``, and then removes none."""
        from djed.store import inspections, jobs

        with self.store.change() as connection:
            ids = {self._find(connection, reference) for reference in references}
            for id_ in sorted(ids):
                inspections.remove(connection, id_)
                self.record(connection, "inspection.remove", id_)
            jobs.remove_unused(connection)
        return len(ids)

    def preview(self, submission: Submission, *, wait: float = 30.0) -> Preview:
        """What would become of it: see :mod:`djed.service.dryrun`."""
        from djed.service.dryrun import preview

        return preview(self, submission, wait=wait)

    def recipe(self, what: str | Submission, form: RecipeForm = "containerfile") -> str:
        """The environment of an inspection, or of a request, as a recipe that can be built by hand."""
        from djed.service import recipes

        if isinstance(what, str):
            return recipes.of_inspection(self, self.get(what), form)
        return recipes.of_submission(self, what, form)

    def upload(self, digest: str, stream: BinaryIO) -> int:
        """Keep a content that requests may then name by its digest; its bytes. Raises ``RequestError`` where the digest is another."""
        from djed.store import answers

        kept = self.store.blobs.put_stream(stream, limit=self.config.limits_files, expected=digest)
        size = self.store.blobs.path(kept).stat().st_size
        with self.store.change() as connection:
            answers.put_upload(connection, self.namespace, kept, size=size, now=time.time())
        return size

    def has_file(self, digest: str) -> bool:
        """Whether the namespace uploaded that content, and it is still there."""
        from djed.store import answers

        with self.store.database.read() as connection:
            known = answers.has_upload(connection, self.namespace, digest)
        return known and self.store.blobs.has(digest)

    # Secrets and webhooks

    def secrets(self) -> Sequence[str]:
        """The names of the namespace's secrets."""
        from djed.store import secrets

        with self.store.database.read() as connection:
            return secrets.names(connection, self.namespace)

    def set_secret(self, name: str, value: bytes) -> None:
        """Keep a secret, encrypted. Raises ``RequestError``, ``ConflictError`` where there are too many."""
        from djed.store import secrets

        secrets.check(name, value)
        sealed = secrets.seal_of(self.config).seal(value, context=secrets.context(self.namespace, name))
        with self.store.change() as connection:
            secrets.put(connection, self.namespace, name, sealed=sealed, now=time.time())
            self.record(connection, "secret.set", name)

    def remove_secret(self, name: str) -> None:
        """Forget a secret. Raises ``NotFoundError``."""
        from djed.store import secrets

        with self.store.change() as connection:
            secrets.remove(connection, self.namespace, name)
            self.record(connection, "secret.remove", name)

    def webhooks(self) -> Sequence[Webhook]:
        """The namespace's webhooks, in order of creation."""
        from djed.store import webhooks

        with self.store.database.read() as connection:
            return webhooks.webhooks(connection, self.namespace)

    def add_webhook(self, url: str, events: Sequence[str] = ()) -> tuple[Webhook, str]:
        """A new webhook, and the secret by which its messages are signed. Raises ``RequestError``, ``ConflictError``."""
        from djed.worker.webhooks import register

        webhook, secret = register(self.store, self.config, url, namespace=self.namespace, kinds=events)
        with self.store.change() as connection:
            self.record(connection, "webhook.add", webhook.id)
        return webhook, secret

    def remove_webhook(self, id_: str) -> None:
        """Tell that address nothing more. Raises ``NotFoundError``."""
        from djed.store import webhooks

        with self.store.change() as connection:
            webhooks.remove(connection, self.namespace, id_)
            self.record(connection, "webhook.remove", id_)

    def deliveries(self, webhook: str, *, limit: int = 100) -> Sequence[Delivery]:
        """What it was told last, and what was given up, newest first. Raises ``NotFoundError``."""
        from djed.store import webhooks

        with self.store.database.read() as connection:
            return webhooks.deliveries(connection, self.namespace, webhook, limit=limit)

    # Working

    def runners(self) -> dict[str, Runner]:
        """The runner of each target."""
        return self.works.runners()

    def check_parts(self) -> None:
        """Raise ``MissingPartError`` where something without which no work can be done is not on this machine."""
        from djed.toolbox.parts import find_uv

        find_uv(self.config)

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker in a thread meanwhile. Leaving hands unfinished work back; running jobs go on and are adopted later.

        Raises, when left, what broke the worker: ``StoreError`` where the store cannot be written any more.
        """
        self.check_parts()
        with self.works.working(tells=False):
            yield

    @contextmanager
    def serving(self) -> Iterator[None]:
        """As :meth:`working`, and all that a service does beside it: it tells webhooks, sends logs to other machines, and tidies up."""
        from djed.worker.shipping import Shipping
        from djed.worker.upkeep import Upkeep
        from djed.worker.webhooks import Dispatcher

        self.check_parts()
        with (
            Dispatcher(self.store, self.config),
            Shipping(self.store),
            Upkeep(self.store, self.config),
            self.works.working(tells=True),
        ):
            yield

    def wait(self, ids: Sequence[str]) -> Sequence[Inspection]:
        """Work until these inspections are final."""
        with self.working():
            for _ in self.follow(ids):
                pass
        return [self.get(id_) for id_ in ids]

    # Housekeeping

    def gc(self, *, older_than: float | None = None, dry_run: bool = False) -> Collected:
        """Remove what nothing needs: see :mod:`djed.worker.sweep`."""
        from djed.worker.sweep import sweep

        return sweep(self.store, self.config, older_than=older_than, dry_run=dry_run)

    def noise(self, *, repeats: int = 20) -> Statistics:
        """Measure the A/A noise floor of this machine by real runs, and keep it: see :mod:`djed.worker.noise`."""
        from djed.worker import noise

        submission = noise.submission(repeats)
        found = self.wait([item.id for item in self.submit([submission, submission])])
        return noise.keep(self.store, found)

    def record(self, connection: sa.Connection, action: str, subject: str) -> None:
        """Keep a record of what is done in somebody's name."""
        if self.principal.name != LOCAL:
            from djed.store import access

            access.record(connection, self.principal, action, subject=subject)
