"""Dead letters keep what came, so that it can be tried again."""

from base64 import b64decode
from hashlib import sha256

import orjson

from engine.ingest.dead import ORIGINAL_SIZE_MAX, dead_letter


def letter(original: bytes) -> dict[str, object]:
    """Return the fields of a dead letter."""
    value = dead_letter(
        id="channel.inbox:3:17", reason="contract/json", where="re-keyer", original=original,
        source="shop", at=5,
    )  # fmt: skip
    found: dict[str, object] = orjson.loads(value)
    return found


def test_a_dead_letter_has_its_reason_and_its_bytes() -> None:
    found = letter(b"\xff not json")
    assert b64decode(str(found.pop("original"))) == b"\xff not json"
    assert found == {
        "id": "channel.inbox:3:17", "reason": "contract/json", "where": "re-keyer",
        "source": "shop", "at": 5,
    }  # fmt: skip


def test_of_a_too_large_original_the_beginning_and_the_digest_are_kept() -> None:
    original = b"x" * (ORIGINAL_SIZE_MAX + 1)
    found = letter(original)
    assert b64decode(str(found["original"])) == original[:-1]
    assert found["size"] == len(original)
    assert found["sha256"] == sha256(original).hexdigest()
