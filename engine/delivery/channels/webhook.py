"""The webhook channel: a signed POST of the trigger as JSON, by Standard Webhooks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

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
    wait = _retry_after(reply.headers)
    if status in (429, 502, 503, 504):
        return Receipt("throttled", str(status), wait)
    if 400 <= status < 500 and status not in (408, 425):
        # Tried again like the rest: most are mistakes of configuration, mended within minutes.
        return Receipt("rejected", str(status), wait)
    return Receipt("retry", str(status), wait)


def _retry_after(headers: Mapping[str, str]) -> int:
    """Return ms; a date counts from the reply's own `date`, so nobody's clock is believed."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        seconds = float(text)
    else:
        try:
            until = parsedate_to_datetime(text)
            seconds = (until - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
        except (ValueError, TypeError):
            return 0
    return int(min(max(0.0, seconds), RETRY_AFTER_S_MAX) * 1000)


SPEC = Channel(name="webhook", render=_render, read=_read)
