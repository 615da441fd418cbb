"""Dead letters: what could not be taken, with its reason and its original bytes (WIRE.md)."""

from base64 import b64encode
from hashlib import sha256
from typing import Any

import orjson

ORIGINAL_SIZE_MAX = 32_768  # bytes kept of a larger original, which then carries its sha256


def dead_letter(
    *, id: str, reason: str, where: str, original: bytes, source: str, at: int
) -> bytes:
    """Return the value of a record of `dead.events`.

    `id`: topic:partition:offset, or the event's id. `reason`: a stable code. `at`: UTC ms.
    """
    letter: dict[str, Any] = {
        "id": id,
        "reason": reason,
        "where": where,
        "original": b64encode(original[:ORIGINAL_SIZE_MAX]).decode("ascii"),
        "source": source,
        "at": at,
    }
    if len(original) > ORIGINAL_SIZE_MAX:
        letter["size"] = len(original)
        letter["sha256"] = sha256(original).hexdigest()
    return orjson.dumps(letter)
