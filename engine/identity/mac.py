"""Control records carry the engine's own seal, so that no data producer can forge one."""

import hmac
from functools import lru_cache

MAC_SIZE = 16  # bytes
SEEN_MAX = 64  # seals: a tick comes to all partitions with the same bytes


@lru_cache(maxsize=SEEN_MAX)
def sign(kind: str, key: bytes, value: bytes, secret: bytes) -> bytes:
    """Return the seal of a control record: HMAC-SHA256 of kind, key and value, 16 bytes of it."""
    message = b"\0".join((kind.encode("ascii"), key, value))
    return hmac.digest(secret, message, "sha256")[:MAC_SIZE]


def holds(seal: bytes | None, kind: str, key: bytes, value: bytes, secret: bytes) -> bool:
    """Tell whether a seal is ours; compares in constant time."""
    return seal is not None and hmac.compare_digest(seal, sign(kind, key, value, secret))
