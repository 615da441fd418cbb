"""The collector: Segment, RudderStack and CloudEvents over HTTP, a raw ASGI app on the fast path.

200 only after the broker has every event of the request, or its dead letter. One bad event never
fails its batch. 503 with Retry-After when the log cannot take it: the SDK keeps the data.
"""

from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

import orjson

from engine.api.body import BODY_SIZE_MAX, BadBody, read_json
from engine.api.settings import rudder_settings, segment_settings
from engine.clock import parse_iso
from engine.errors import ContractError, LogError
from engine.events import topics
from engine.events.cloudevents import from_binary
from engine.events.contract import Contracts
from engine.events.ids import event_id
from engine.events.record import Outgoing, partition_of
from engine.ingest.accept import EVENT_SIZE_MAX, accept
from engine.ingest.dead import dead_letter
from engine.ingest.sources import Source, Sources
from engine.ports import Clock, Publisher
from engine.runtime.observe import Meter

BATCH_MAX = 2_500  # events
IN_FLIGHT_MAX = 20_000  # events under way to the broker; then 503
RETRY_AFTER = b"1"
METHODS = {
    "track": "track", "t": "track", "identify": "identify", "i": "identify",
    "page": "page", "p": "page", "screen": "screen", "s": "screen",
    "group": "group", "g": "group", "alias": "alias", "a": "alias",
}  # fmt: skip
BATCHES = frozenset({"batch", "b", "import"})
_OK = b'{"success": true}'
_ALLOWED_HEADERS = (
    b"authorization, content-type, content-encoding, anonymousid, x-retry-count, x-write-key"
)
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Refused(Exception):
    """A request that is answered with an error status and leaves nothing behind."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Collector:
    """The ASGI app of the front door. `any_key`: source for keys that nobody knows, '' refuses."""

    def __init__(
        self,
        *,
        sources: Sources,
        contracts: Contracts,
        publisher: Publisher,
        clock: Clock,
        meter: Meter,
        partition_count: int,
        secret: bytes,
        any_key: str = "",
    ) -> None:
        self._sources = sources
        self._contracts = contracts
        self._publisher = publisher
        self._clock = clock
        self._meter = meter
        self._count = partition_count
        self._secret = secret
        self._any = sources.by_name.get(any_key) if any_key else None
        self._in_flight = 0
        self._rates: dict[str, _Bucket] = {}
        self.totals: Counter[str] = Counter()  # accepted, dead

    def serves(self, path: str) -> bool:
        """Tell whether a path is the collector's."""
        return path.startswith(("/v1/", "/sourceConfig", "/cloudevents"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = monotonic()
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        try:
            status, body = await self._answer(scope, headers, receive)
        except Refused as error:
            status = error.status
            body = orjson.dumps({"success": False, "message": str(error)})
        except LogError as error:
            status = 503
            body = orjson.dumps({"success": False, "message": f"try again: {error.message}"})
        self._meter.count("engine_collect_requests_total", status=str(status))
        self._meter.observe("engine_collect_seconds", monotonic() - began)
        await _respond(send, status, body, origin, headers.get(b"access-control-request-headers"))

    async def _answer(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive
    ) -> tuple[int, bytes]:
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS":
            return 204, b""
        if method == "GET":
            return self._settings(scope, path)
        if method != "POST":
            raise Refused(405, "want POST")
        raw = await _body(receive)
        if path.startswith("/cloudevents"):
            return await self._cloudevents(headers, raw)
        word = path.removeprefix("/v1/").strip("/")
        if word not in METHODS and word not in BATCHES:
            raise Refused(404, f"no path {path}")
        return await self._segment(word, headers, raw)

    def _settings(self, scope: Scope, path: str) -> tuple[int, bytes]:
        parts = path.strip("/").split("/")
        if parts[:2] == ["v1", "projects"] and parts[-1] == "settings":
            return 200, segment_settings(parts[2])
        if parts[0] == "sourceConfig":
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            key = (query.get("writeKey") or ["any"])[0]
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            return 200, rudder_settings(key, f"{scope.get('scheme', 'http')}://{host}")
        raise Refused(404, f"no path {path}")

    async def _segment(
        self, word: str, headers: Mapping[bytes, bytes], raw: bytes
    ) -> tuple[int, bytes]:
        encoding = headers.get(b"content-encoding", b"").decode("latin-1")
        key = _key_of(headers)
        try:
            body = read_json(raw, encoding=encoding)
        except BadBody as bad:
            source = self._source(key, headers)
            await self._bury_body(source, raw, bad)
            raise Refused(bad.status, bad.message) from None
        if not isinstance(body, dict):
            source = self._source(key, headers)
            shape = BadBody(400, "contract/shape", "want an object")
            await self._bury_body(source, raw, shape)
            raise Refused(400, shape.message)
        source = self._source(key or str(body.get("writeKey") or ""), headers)
        if word in BATCHES:
            batch = body.get("batch")
            if not isinstance(batch, list):
                shape = BadBody(400, "contract/shape", "$.batch: want a list of events")
                await self._bury_body(source, raw, shape)
                raise Refused(400, shape.message)
            messages, method = batch, None
        else:
            messages, method = [body], METHODS[word]
        if len(messages) > BATCH_MAX:
            raise Refused(413, f"a batch has at most {BATCH_MAX} events")
        said = body.get("sentAt") or headers.get(b"sentat", b"").decode("latin-1")
        await self._take(source, messages, method, _sent_at(said))
        return 200, _OK

    async def _cloudevents(self, headers: Mapping[bytes, bytes], raw: bytes) -> tuple[int, bytes]:
        source = self._source(_key_of(headers), headers)
        kind = headers.get(b"content-type", b"").decode("latin-1").lower()
        try:
            if "cloudevents" in kind:
                encoding = headers.get(b"content-encoding", b"").decode("latin-1")
                body = read_json(raw, encoding=encoding)
            else:
                named = {k.decode("latin-1"): v.decode("latin-1") for k, v in headers.items()}
                body = from_binary(named, raw, prefix="ce-")
        except (BadBody, ContractError) as error:
            bad = error if isinstance(error, BadBody) else BadBody(400, error.code, error.message)
            await self._bury_body(source, raw, bad)
            raise Refused(bad.status, bad.message) from None
        messages = body if isinstance(body, list) else [body]
        if len(messages) > BATCH_MAX:
            raise Refused(413, f"a batch has at most {BATCH_MAX} events")
        await self._take(source, messages, None, None)
        return 200, _OK

    def _source(self, key: str, headers: Mapping[bytes, bytes]) -> Source:
        source = self._sources.by_key.get(key) or self._any
        if source is None:
            raise Refused(
                401, "unknown write key; sources and their keys are in topics/sources.yaml"
            )
        origin = headers.get(b"origin")
        foreign = origin is not None and origin.decode("latin-1") not in source.origins
        if foreign and "*" not in source.origins:
            raise Refused(403, "this page may not use the key; see `origins` of the source")
        return source

    async def _take(
        self, source: Source, messages: Sequence[Any], method: str | None, sent_at: int | None
    ) -> None:
        if self._in_flight + len(messages) > IN_FLIGHT_MAX:
            raise LogError("too much is under way", code="log/full")
        if source.events_per_s and not self._bucket(source).takes(len(messages)):
            raise Refused(
                429, f"source {source.name} sends more than {source.events_per_s} a second"
            )
        now = self._clock.now()
        records: list[Outgoing] = []
        dead: Counter[str] = Counter()
        for message in messages:
            raw = _dumped(message)
            try:
                if not isinstance(message, dict):
                    raise ContractError("want an object", code="contract/shape")
                found = accept(
                    message, raw=raw, source=source, received_at=now, sent_at=sent_at,
                    contracts=self._contracts, secret=self._secret, method=method,
                )  # fmt: skip
            except ContractError as error:
                dead[error.code] += 1
                records.append(_letter(source, message, raw, error.code, str(error), now))
                continue
            partition = partition_of(found.key, self._count)
            records.append(Outgoing(topics.EVENTS, partition, found.key.encode(), found.value))
        await self._publish(records, len(messages))
        self._note(source, len(messages) - dead.total(), dead)

    async def _publish(self, records: Sequence[Outgoing], count: int) -> None:
        self._in_flight += count
        try:
            await self._publisher.publish(records)
        finally:
            self._in_flight -= count

    async def _bury_body(self, source: Source, raw: bytes, bad: BadBody) -> None:
        now = self._clock.now()
        await self._publish([_letter(source, None, raw, bad.reason, bad.message, now)], 1)
        self._note(source, 0, Counter({bad.reason: 1}))

    def _note(self, source: Source, accepted: int, dead: Counter[str]) -> None:
        self.totals["accepted"] += accepted
        self.totals["dead"] += dead.total()
        if accepted:
            self._meter.count("engine_collect_events_total", accepted, source=source.name)
        for reason, n in dead.items():
            self._meter.count("engine_dead_events_total", n, stage="collect", reason=reason)

    def _bucket(self, source: Source) -> "_Bucket":
        return self._rates.setdefault(source.name, _Bucket(source.events_per_s))


class _Bucket:
    """A token bucket of two seconds' worth."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._left = 2.0 * per_s
        self._at = monotonic()

    def takes(self, count: int) -> bool:
        """Tell whether `count` more events may pass now."""
        now = monotonic()
        self._left = min(2.0 * self._per_s, self._left + (now - self._at) * self._per_s)
        self._at = now
        if count > self._left:
            return False
        self._left -= count
        return True


def _dumped(message: Any) -> bytes:
    """Return a message's bytes; one deeper than the writer can go is cut, and refused for it."""
    try:
        return orjson.dumps(message)
    except (TypeError, RecursionError):
        return repr(message)[:EVENT_SIZE_MAX].encode("utf-8", "replace")


def _letter(
    source: Source, message: Any, raw: bytes, reason: str, where: str, now: int
) -> Outgoing:
    own = message.get("messageId") or message.get("id") if isinstance(message, dict) else None
    name = event_id(source.name, str(own) if own else None, raw)
    letter = dead_letter(
        id=name, reason=reason, where=where, original=raw, source=source.name, at=now
    )
    return Outgoing(topics.DEAD_EVENTS, 0, name.encode(), letter)


def _key_of(headers: Mapping[bytes, bytes]) -> str:
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    kind, _, rest = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            return b64decode(rest).decode("utf-8").partition(":")[0]
        except ValueError:
            return ""
    if kind.lower() == "bearer":
        return rest
    return headers.get(b"x-write-key", b"").decode("latin-1")


def _sent_at(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_iso(value)
    except (ValueError, OverflowError):
        return None


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the client left")
        part = message.get("body", b"")
        size += len(part)
        if size <= BODY_SIZE_MAX + 1:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= BODY_SIZE_MAX else b"0" * (BODY_SIZE_MAX + 1)


async def _respond(
    send: Send, status: int, body: bytes, origin: bytes | None, asked: bytes | None
) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if origin is not None:
        headers += [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"origin"),
        ]
        if status == 204:
            headers += [
                (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
                # SDKs invent headers (sentat, rsa-retry-reason, ...): what is asked for is allowed.
                (b"access-control-allow-headers", asked or _ALLOWED_HEADERS),
                (b"access-control-max-age", b"86400"),
            ]
    if status in (429, 503):
        headers.append((b"retry-after", RETRY_AFTER))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
