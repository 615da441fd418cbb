"""Standard Webhooks: what is signed, how, and how a receiver checks it."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
TOLERANCE_S = 300


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return `v1,<base64>` of HMAC-SHA256 over `id.timestamp.body`.

    Source: Standard Webhooks specification, section Signature scheme.
    """
    key = b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode("ascii")


def signed_headers(
    secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """Return the three headers of a webhook; one signature per active secret."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(
            signature(secret, message_id, timestamp_s, body) for secret in secrets
        ),
    }


def holds(headers: Mapping[str, str], body: bytes, secret: str, *, now_s: int) -> bool:
    """Tell whether a webhook was signed with a secret, within five minutes of now."""
    try:
        timestamp = int(headers["webhook-timestamp"])
        given = headers["webhook-signature"].split()
        wanted = signature(secret, headers["webhook-id"], timestamp, body)
    except (KeyError, ValueError):
        return False
    if abs(now_s - timestamp) > TOLERANCE_S:
        return False
    return any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given)
