"""The webhook channel: a signed POST of the trigger as JSON, by Standard Webhooks."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.delivery.model import Endpoint, Receipt, Reply, Request
from engine.delivery.sign import signed_headers

RETRY_AFTER_S_MAX = 3_600


@dataclass(frozen=True, slots=True)
class Channel:
    """What a channel can do: render a trigger for an endpoint, read a reply."""

    name: str
    render: Callable[[Endpoint, str, bytes, int, int], Request]
    read: Callable[[Reply], Receipt]


def _render(
    endpoint: Endpoint, trigger_id: str, body: bytes, now_s: int, handed_over: int
) -> Request:
    """Return the request; `webhook-id` is the trigger's id on every attempt."""
    headers = {
        "content-type": "application/json",
        "user-agent": "touchpoint",
        # Outside the signed body: its bytes are a function of the log, this is not.
        "x-touchpoint-handed-over": str(handed_over),
        **signed_headers(endpoint.secrets, trigger_id, now_s, body),
    }
    return Request(endpoint.url, headers, body, endpoint.private, endpoint.timeout_s)


def _read(reply: Reply) -> Receipt:
    """Return what a reply means (ECOSYSTEM.md 2.1)."""
    status = reply.status
    if status == 0:
        if not reply.sent:
            return Receipt("retry", reply.error or "no connection")
        return Receipt("unknown", reply.error or "no answer")
    if 200 <= status < 300:
        return Receipt("accepted", str(status))
    if status == 410:
        return Receipt("gone", "410")
    wait = _retry_after(reply)
    if status in (429, 502, 503, 504):
        return Receipt("throttled", str(status), wait)
    # Also 3xx and 4xx: a mistake of configuration is mended within minutes, so it is worth a retry.
    return Receipt("retry", str(status), wait)


def _retry_after(reply: Reply) -> int:
    text = reply.headers.get("retry-after", "")
    return min(int(text), RETRY_AFTER_S_MAX) * 1000 if text.isdigit() else 0


SPEC = Channel(name="webhook", render=_render, read=_read)
