"""What every service must do: derive from :class:`ServiceContract`, give it a ``service`` fixture, and be done when it is green.

Somebody must be at work on the service meanwhile, on a machine with a shell, and webhooks may have loopback addresses. Messages are
compared too: whoever uses a server reads the same sentences as whoever uses his own engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from djed.errors import ConflictError, NotFoundError, RequestError, UnreadableError
from djed.intake.submission import Submission
from djed.model.inspection import FINAL, Event, Inspection
from djed.model.request import Build, File, HardwareRequirement, Request, Resources, Run
from djed.service.interface import Service
from djed.toolbox.digest import digest_bytes

__all__ = ["ServiceContract", "asking", "done"]

_numbers = count(1)
_ONE = Resources(cpu=1)
_SLEEP = "exec sleep 600\n"


def asking(text: str = "exit 0\n", *, name: str | None = None, repeat: int = 1) -> Submission:
    """A request that runs a shell script on one CPU; without a name it gets one of its own."""
    content = text.encode()
    file = File(path="script.sh", digest=digest_bytes(content), size=len(content))
    run = Run(script=file, resources=_ONE, repeat=repeat)
    request = Request(name=name or f"contract-{next(_numbers)}", build=Build(resources=_ONE), run=run)
    return Submission(request=request, contents={digest_bytes(content): content})


def done(service: Service, *submissions: Submission) -> Sequence[Inspection]:
    """Submit and wait."""
    return service.wait([item.id for item in service.submit(submissions)])


class ServiceContract:
    """The tests. They share one service."""

    @pytest.fixture
    def service(self) -> Service:
        """The service under test; somebody is at work on it."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls) -> dict[str, Inspection]:
        """What one test leaves for the others."""
        return {}

    @pytest.fixture
    def finished(self, service: Service, shared: dict[str, Inspection]) -> Inspection:
        """An inspection that wrote, left a file, and is over."""
        if not shared:
            text = 'printf 0123456789; echo oops >&2; mkdir "$DJED_OUTPUTS/d"; printf left > "$DJED_OUTPUTS/d/f"\n'
            (shared["it"],) = done(service, asking(text))
        return shared["it"]

    # Asking

    def test_what_is_submitted_is_there_at_once(self, service: Service) -> None:
        """In the order in which it was submitted."""
        first, second = asking(), asking()
        made = service.submit([first, second])
        assert [item.request for item in made] == [first.request, second.request]
        assert [service.get(item.id).name for item in made] == [first.request.name, second.request.name]
        assert made[0].group == made[1].group

    def test_it_comes_to_its_end(self, finished: Inspection) -> None:
        """By somebody's work."""
        assert (finished.state, finished.outcome) == ("done", "succeeded")
        assert [item.metric for item in finished.statistics] == ["duration"]

    def test_the_same_key_makes_one_inspection(self, service: Service) -> None:
        """However often it is sent; with another request it is a mistake."""
        submission, key = asking(), f"contract-key-{next(_numbers)}"
        (first,) = service.submit([submission], key=key)
        assert [item.id for item in service.submit([submission], key=key)] == [first.id]
        with pytest.raises(ConflictError, match="idempotency key was used for another request"):
            service.submit([asking()], key=key)

    def test_without_a_key_each_is_another(self, service: Service) -> None:
        """Two submissions are two inspections."""
        submission = asking()
        assert service.submit([submission])[0].id != service.submit([submission])[0].id

    def test_a_wrong_request_names_its_faults(self, service: Service) -> None:
        """With their paths."""
        run = Run(command=("true",), hardware=HardwareRequirement(microarchitecture="nonsense"))
        with pytest.raises(RequestError) as caught:
            service.submit([Submission(request=Request(run=run))])
        assert [fault.path for fault in caught.value.faults] == ["run.hardware.microarchitecture"]

    def test_a_content_that_nobody_brought_is_refused(self, service: Service) -> None:
        """A digest alone is none."""
        request = asking(f"# {next(_numbers)} unheard of\n").request
        with pytest.raises(NotFoundError, match=r"The content sha256:[0-9a-f]{64} is not in the store\."):
            service.submit([Submission(request=request)])

    def test_a_retry_is_a_new_one_of_the_same_request(self, service: Service, finished: Inspection) -> None:
        """With an id of its own."""
        again = service.retry(finished.id)
        assert again.id != finished.id
        assert again.request == finished.request

    def test_a_clone_has_what_was_changed(self, service: Service, finished: Inspection) -> None:
        """And all else as it was; ``None`` resets."""
        clone = service.clone(finished.id, {"run": {"repeat": 3}, "labels": {"a": "b"}})
        assert (clone.request.run and clone.request.run.repeat, clone.request.labels) == (3, {"a": "b"})
        assert service.clone(clone.id, {"labels": None}).request.labels == {}
        with pytest.raises(RequestError):
            service.clone(finished.id, {"run": {"repeet": 3}})

    def test_cancelling_ends_what_runs(self, service: Service) -> None:
        """It is final soon after, and cannot be cancelled again."""
        (item,) = service.submit([asking(_SLEEP)])
        service.cancel(item.id)
        (over,) = service.wait([item.id])
        assert over.state == "cancelled"
        with pytest.raises(ConflictError, match=f"The inspection {item.id} is cancelled already"):
            service.cancel(item.id)

    def test_removing_forgets_all_or_nothing(self, service: Service) -> None:
        """What is not over stays, and with it what was named beside it."""
        over = done(service, asking(), asking())
        (busy,) = service.submit([asking(_SLEEP)])
        with pytest.raises(ConflictError, match=f"The inspection {busy.id} is "):
            service.remove([over[0].id, busy.id])
        assert service.get(over[0].id).id == over[0].id
        assert service.remove([over[0].id, over[1].name]) == 2
        with pytest.raises(NotFoundError):
            service.get(over[0].id)
        service.cancel(busy.id)
        service.wait([busy.id])

    def test_a_preview_starts_nothing(self, service: Service) -> None:
        """It says where and by which jobs."""
        submission = asking()
        found = service.preview(submission)
        assert found.fits
        assert found.run_node in {node.id for node in service.nodes()}
        assert [job.kind for job in found.jobs][-1:] == ["run"]
        assert not service.page(name=submission.request.name).items

    # Looking

    @pytest.mark.parametrize("reference", ["nothing-like-this", "zz", "", "a b", "../x", "x" * 100])
    def test_what_is_not_there_is_not_found(self, service: Service, reference: str) -> None:
        """In the same words everywhere."""
        for look in (service.get, service.jobs, service.cancel, service.retry, service.queue):
            with pytest.raises(NotFoundError) as caught:
                look(reference)
            assert caught.value.message == f"There is no inspection {reference!r}."
            assert caught.value.hint == "See them with: djed list"

    def test_it_is_found_by_id_beginning_and_name(self, service: Service) -> None:
        """A name is its newest, ``latest`` the newest of all."""
        name = f"contract-names-{next(_numbers)}"
        first, second = (service.submit([asking(name=name)])[0].id for _ in range(2))
        assert [service.get(reference).id for reference in (first, first[:8])] == [first, first]
        assert [service.get(reference).id for reference in (name, "latest")] == [second, second]

    def test_pages_hold_everything_once(self, service: Service) -> None:
        """In the order asked for, either way."""
        name = f"contract-pages-{next(_numbers)}"
        made = [item.id for item in service.submit([asking(name=name) for _ in range(5)])]
        for sort, expected in (("-created", made[::-1]), ("created", made)):
            found, after = [], None
            while True:
                page = service.page(name=name, sort=sort, limit=2, after=after)  # type: ignore[arg-type]
                assert len(page.items) <= 2
                found += [item.id for item in page.items]
                after = page.next
                if after is None:
                    break
            assert found == expected
        service.wait(made)
        assert not service.page(name=name, states=["queued", "refused"]).items
        assert len(service.page(name=name, states=["succeeded", "refused"]).items) == 5

    def test_a_forged_cursor_is_refused(self, service: Service) -> None:
        """With a sentence."""
        with pytest.raises(UnreadableError, match="The cursor is not one of this list"):
            service.page(after="bm9uc2Vuc2U")

    def test_jobs_and_attempts_tell_what_was_done(self, service: Service, finished: Inspection) -> None:
        """Each run has one accepted attempt with its report."""
        run = next(job for job in service.jobs(finished.id) if job.role == "run:0")
        assert (run.state, (run.result or {})["exit_code"]) == ("succeeded", 0)
        attempts = [item for item in service.attempts(finished.id) if item.job == run.id]
        assert [(item.name, item.state) for item in attempts] == [(run.attempt, "accepted")]

    def test_a_log_is_read_in_parts(self, service: Service, finished: Inspection) -> None:
        """Byte by byte, from anywhere."""
        job = next(job.id for job in service.jobs(finished.id) if job.role == "run:0")
        assert service.log(job) == b"0123456789"
        assert service.log(job, "stderr") == b"oops\n"
        assert service.log(job, "stdout", 4) == b"456789"
        assert service.log(job, "stdout", 4, 3) == b"456"
        assert service.log(job, "stdout", 100) == b""
        with pytest.raises(NotFoundError, match=r"There is no job 'nobody'\."):
            service.log("nobody")

    def test_an_output_is_read(self, service: Service, finished: Inspection) -> None:
        """By its path, and only what was left there."""
        with service.output(finished.id, "run:0", "d/f") as file:
            assert file.read() == b"left"
        with (
            pytest.raises(NotFoundError, match="left no file 'd/g'"),
            service.output(finished.id, "run:0", "d/g"),
        ):
            pass

    def test_its_artifact_says_what_is_in_it(self, service: Service, finished: Inspection) -> None:
        """While it is there; it is in the list."""
        assert finished.artifact is not None
        found = service.artifact(finished.artifact)
        assert found is not None
        assert found.digest == finished.artifact
        assert service.artifact("sha256:" + "0" * 64) is None
        (stored,) = [item for item in service.artifacts().items if item.digest == finished.artifact]
        assert stored.inspections >= 1
        assert stored.inspection

    def test_the_files_of_an_artifact_are_read(self, service: Service, finished: Inspection) -> None:
        """While it is there."""
        assert finished.artifact is not None
        with service.files(finished.artifact) as folder:
            assert "relocatable = true" in (folder / "pyvenv.cfg").read_text()
        with pytest.raises(NotFoundError, match="There is no artifact"), service.files("sha256:" + "0" * 64):
            pass

    def test_a_recipe_is_written_for_any_engine_and_for_apptainer(
        self, service: Service, finished: Inspection
    ) -> None:
        """Of an inspection, and of a request that was not submitted."""
        for what in (finished.id, asking()):
            assert service.recipe(what).startswith("FROM ")
            assert service.recipe(what, "apptainer").startswith("Bootstrap: docker\nFrom: ")
        with pytest.raises(NotFoundError):
            service.recipe("nobody")

    def test_observations_come_in_pages_and_by_kind(self, service: Service, finished: Inspection) -> None:
        """Newest first."""
        whole = service.observations(finished.id).items
        assert {"builds", "runs", "metric"} <= {item.kind for item in whole}
        assert [item.seq for item in whole] == sorted((item.seq for item in whole), reverse=True)
        first = service.observations(finished.id, limit=1)
        rest = service.observations(finished.id, after=first.next)
        assert [*first.items, *rest.items] == list(whole)
        assert {item.kind for item in service.observations(kind="runs").items} == {"runs"}

    def test_only_what_differs_is_told(self, service: Service) -> None:
        """Of two; of one with itself nothing can be told."""
        a, b = done(service, asking("exit 0\n"), asking("exit 3\n", repeat=2))
        found = service.difference(a.id, b.id)
        assert {"run.repeat", "run.script.digest"} <= {change.name for change in found.request}
        assert {change.name for change in found.outcome} == {"outcome", "failure"}
        with pytest.raises(RequestError, match=f"are the same inspection, {a.id}"):
            service.difference(a.id, a.id)

    def test_nodes_say_what_they_have(self, service: Service) -> None:
        """Hardware and Pythons."""
        nodes = service.nodes()
        assert nodes
        assert all(node.hardware.cores >= 1 and node.interpreters for node in nodes)

    def test_usage_counts_what_is_in_work(self, service: Service) -> None:
        """And which quotas are full: none is set."""
        (item,) = service.submit([asking(_SLEEP)])
        usage = service.usage()
        assert usage.queued + usage.working >= 1
        assert usage.full == ()
        service.cancel(item.id)
        service.wait([item.id])

    def test_what_is_over_waits_for_nothing(self, service: Service, finished: Inspection) -> None:
        """It has a state and no start."""
        place = service.queue(finished.id)
        assert (place.state, place.position, place.expected_start) == ("done", 0, None)

    # Following

    def test_events_are_told_in_order_and_from_a_position(
        self, service: Service, finished: Inspection
    ) -> None:
        """Each once."""
        events = service.events([finished.id])
        order = [(event.xact, event.seq) for event in events]
        assert order == sorted(set(order))
        assert events[-1].kind == "done"
        middle = events[len(events) // 2]
        assert service.events([finished.id], middle.position) == events[len(events) // 2 + 1 :]
        with pytest.raises(RequestError):
            service.events([finished.id], "nonsense")

    def test_following_ends_with_the_end(self, service: Service) -> None:
        """What it tells is what happened."""
        (item,) = service.submit([asking()])
        told = _events(service.follow([item.id]))
        assert service.get(item.id).state in FINAL
        assert told == list(service.events([item.id]))

    def test_following_several_tells_of_each(self, service: Service) -> None:
        """And of no other."""
        items = service.submit([asking("sleep 0.2\n"), asking(), asking()])
        service.submit([asking()])
        told = _events(service.follow([item.id for item in items]))
        for item in items:
            assert [event for event in told if event.inspection == item.id] == list(service.events([item.id]))
        assert {event.inspection for event in told} == {item.id for item in items}

    def test_following_goes_on_behind_a_position(self, service: Service, finished: Inspection) -> None:
        """Also of what is over."""
        events = service.events([finished.id])
        assert _events(service.follow([finished.id], events[0].position)) == list(events[1:])

    def test_following_with_logs_wakes_for_what_is_written(self, service: Service) -> None:
        """So that who follows sees a line when it is written, not when the script ends."""
        (item,) = service.submit([asking("echo first; sleep 1; echo second\n")])
        seen = []
        for event in service.follow([item.id], logs=True):
            job = next((job.id for job in service.jobs(item.id) if job.role == "run:0"), None)
            if event is None and job is not None:
                seen.append(service.log(job))
        assert b"first\n" in seen

    # Secrets and webhooks

    def test_secrets_are_kept_by_name_and_never_told(self, service: Service) -> None:
        """And forgotten."""
        name = f"contract_{next(_numbers)}"
        service.set_secret(name, b"\x00value\n")
        service.set_secret(name, b"another")
        assert list(service.secrets()).count(name) == 1
        service.remove_secret(name)
        assert name not in service.secrets()
        with pytest.raises(NotFoundError, match=f"There is no secret '{name}'"):
            service.remove_secret(name)

    def test_webhooks_are_kept_until_removed(self, service: Service) -> None:
        """Their secret is told once."""
        webhook, secret = service.add_webhook("http://127.0.0.1:1999/hook", ["done"])
        assert secret.startswith("whsec_")
        assert [item.url for item in service.webhooks() if item.id == webhook.id] == [
            "http://127.0.0.1:1999/hook"
        ]
        assert list(service.deliveries(webhook.id)) == []
        service.remove_webhook(webhook.id)
        assert webhook.id not in {item.id for item in service.webhooks()}
        with pytest.raises(NotFoundError):
            service.deliveries(webhook.id)

    # Housekeeping

    def test_a_clean_up_says_what_it_would_do(self, service: Service, finished: Inspection) -> None:
        """And does not do it."""
        assert service.gc(older_than=0.0, dry_run=True).inspections >= 1
        assert service.get(finished.id).id == finished.id


def _events(found: object) -> list[Event]:
    return [event for event in found if isinstance(event, Event)]  # type: ignore[attr-defined]
