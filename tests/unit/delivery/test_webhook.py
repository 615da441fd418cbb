"""What an answer of a channel system means."""

import pytest

from engine.delivery.channels.webhook import SPEC
from engine.delivery.model import ATTEMPTS_MAX, Endpoint, Job, Reply
from engine.registry import plugins

DATE = "Tue, 24 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("reply", "outcome", "retry_after_ms"),
    [
        (Reply(200), "accepted", 0),
        (Reply(204), "accepted", 0),
        (Reply(302, {"location": "http://127.0.0.1/"}), "retry", 0),
        (Reply(400), "rejected", 0),
        (Reply(404), "rejected", 0),
        (Reply(408), "retry", 0),
        (Reply(410), "gone", 0),
        (Reply(425), "retry", 0),
        (Reply(429, {"retry-after": "3"}), "throttled", 3_000),
        (Reply(429, {"retry-after": "999999"}), "throttled", 3_600_000),  # not for ever
        (Reply(429, {"retry-after": "-5"}), "throttled", 0),
        (Reply(429, {"retry-after": "soon"}), "throttled", 0),
        (Reply(429, {"retry-after": "²"}), "throttled", 0),
        (
            Reply(503, {"retry-after": "Tue, 24 Nov 2026 12:00:07 GMT", "date": DATE}),
            "throttled",
            7_000,
        ),
        (Reply(503, {"retry-after": "Tue, 24 Nov 2026 12:00:07 GMT"}), "throttled", 0),
        (Reply(503, {"retry-after": DATE, "date": DATE}), "throttled", 0),
        (Reply(500), "retry", 0),
        (Reply(502), "throttled", 0),
        (Reply(504), "throttled", 0),
        (Reply(0, error="refused", sent=False), "retry", 0),
        (Reply(0, error="timeout", sent=True), "unknown", 0),
    ],
)
def test_a_reply_and_what_it_means(reply: Reply, outcome: str, retry_after_ms: int) -> None:
    receipt = SPEC.read(reply)
    assert (receipt.outcome, receipt.retry_after_ms) == (outcome, retry_after_ms)


def test_the_id_is_the_triggers_and_the_hand_over_is_not_in_the_body() -> None:
    endpoint = Endpoint("crm", "https://crm.example/", ("whsec_" + "a" * 32,))
    first = SPEC.render(endpoint, "00ff", b"{}", 100, 5)
    again = SPEC.render(endpoint, "00ff", b"{}", 200, 6)
    assert first.headers["webhook-id"] == again.headers["webhook-id"] == "00ff"
    assert first.headers["webhook-timestamp"] == "100"
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]
    assert first.body == again.body
    assert again.headers["x-touchpoint-handed-over"] == "6"


def test_the_channel_is_found_by_its_file() -> None:
    assert plugins("engine.delivery.channels") == {"webhook": SPEC}


def test_of_very_many_attempts_the_first_and_the_last_are_kept() -> None:
    job = Job(b"", "crm")
    for at in range(200):
        job.note(at, "x" * 1_000)
    assert len(job.attempts) == ATTEMPTS_MAX
    assert (job.attempts[0][0], job.attempts[-1][0]) == (0, 199)
    assert len(job.attempts[-1][1]) == 200
