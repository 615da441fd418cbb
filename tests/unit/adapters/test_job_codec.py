"""A delivery of the next release: settled here, it keeps what we do not know."""

import msgspec

from engine.adapters.redis.ledger import decode_job, encode_job
from engine.delivery.model import Job


def test_what_the_next_release_added_to_a_job_stays() -> None:
    job = Job(b"trigger", "crm", attempts=[(1, "http/503")], expires_at=9)
    later = [*msgspec.msgpack.decode(encode_job(job)), {"new": 1}]
    found = decode_job(msgspec.msgpack.encode(later))
    assert found.attempts == [(1, "http/503")]
    found.state = "sent"
    found.note(2, "")
    written = msgspec.msgpack.decode(encode_job(found.settled()))
    assert written == [b"", "crm", "sent", [[1, "http/503"], [2, ""]], 9, {"new": 1}]


def test_a_job_of_ours_or_of_an_earlier_release_is_as_it_was() -> None:
    job = Job(b"trigger", "crm", expires_at=9)
    assert decode_job(encode_job(job)) == job
    assert decode_job(msgspec.msgpack.encode([b"trigger", "crm"])) == Job(b"trigger", "crm")
