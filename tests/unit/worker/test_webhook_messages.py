"""The signature of a message, what answers mean, and how long is waited."""

from __future__ import annotations

import base64

import pytest

from djed.worker import webhooks
from djed.worker.webhooks import sign


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([200, 201, 204, 299], "delivered"),
        ([408, 429, 500, 503], "failed"),
        ([301, 302, 400, 401, 404], "refused"),
        ([410], "gone"),
    ],
)
def test_what_an_answer_means(statuses: list[int], verdict: str) -> None:
    assert {webhooks._judge(status).verdict for status in statuses} == {verdict}


def test_the_pause_grows_from_a_second_to_an_hour() -> None:
    for failures, least, most in [(1, 1, 2), (2, 2, 4), (8, 128, 256), (12, 1800, 3600), (10**6, 1800, 3600)]:
        assert all(least <= webhooks._pause(failures) <= most for _ in range(50))
