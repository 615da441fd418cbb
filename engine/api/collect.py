"""The collector: Segment, RudderStack and CloudEvents over HTTP, a raw ASGI app on the fast path.

200 only after the broker has every event of the request, or its dead letter. One bad event never
fails its batch. 503 with Retry-After when the log cannot take it: the SDK keeps the data.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

from engine.api.admission import BODIES_SIZE_MAX, EVENTS_MAX, Bucket, Room
from engine.api.answer import Headers, Send, key_of, refusal, respond, said
from engine.api.body import BadBody, Body, Left, Receive, parse_json, read_body, unzipped
from engine.api.parcel import Opened, Parcel, usual_batch
from engine.api.settings import rudder_settings, segment_settings
from engine.errors import ContractError, LogError
from engine.events import topics
from engine.events.cloudevents import from_binary
from engine.events.contract import Contracts
from engine.events.ids import event_id
from engine.events.record import Outgoing, partition_of
from engine.ingest.accept import accept
from engine.ingest.dead import dead_letter
from engine.ingest.sources import Source, Sources
from engine.ingest.usual import Taken, usual_of
from engine.ports import Clock, Publisher
from engine.runtime.observe import Meter

BATCH_MAX = 2_500  # events
METHODS = {
    "track": "track", "t": "track", "identify": "identify", "i": "identify",
    "page": "page", "p": "page", "screen": "screen", "s": "screen",
    "group": "group", "g": "group", "alias": "alias", "a": "alias",
}  # fmt: skip
BATCHES = frozenset({"batch", "b", "import"})
_OK = b'{"success": true}'
Scope = Mapping[str, Any]


class Refused(Exception):
    """A request that is answered with an error status and leaves nothing behind."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Collector:
    """The ASGI app of the front door.

    `any_key`: source for keys that nobody knows, '' refuses. `routes`: home -> where its person is
    believed to live, such as `runtime/routes.py`; None: at home.
    """

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
        routes: Callable[[str], str] | None = None,
    ) -> None:
        self._sources = sources
        self._contracts = contracts
        self._publisher = publisher
        self._clock = clock
        self._meter = meter
        self._count = partition_count
        self._secret = secret
        self._any = sources.by_name.get(any_key) if any_key else None
        self._routes = routes
        self._usual = {
            name: usual_of(each, contracts, secret) for name, each in sources.by_name.items()
        }
        self._bodies = Room(BODIES_SIZE_MAX)
        self._events = Room(EVENTS_MAX)
        self._buckets: dict[str, Bucket] = {}
        self.totals: Counter[str] = Counter()  # accepted, dead

    def serves(self, path: str) -> bool:
        """Tell whether a path is the collector's."""
        return path.startswith(("/v1/", "/sourceConfig", "/cloudevents"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = monotonic()
        headers = dict(scope["headers"])
        try:
            status, body = await self._answer(scope, headers, receive)
        except Refused as error:
            status, body = error.status, refusal(error.code, _said(str(error), headers))
        except LogError as error:
            status, body = 503, refusal(error.code, _said(f"try again: {error.message}", headers))
        except Left:
            return
        self._meter.count("engine_collect_requests_total", status=str(status))
        self._meter.observe("engine_collect_seconds", monotonic() - began)
        await respond(send, status, body, headers)

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[int, bytes]:
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS":
            return 204, b""
        if method == "GET":
            return self._settings(scope, path)
        if method != "POST":
            raise Refused(405, "http/method", "want POST")
        word = path.removeprefix("/v1/").strip("/")
        if word != "cloudevents" and word not in METHODS and word not in BATCHES:
            raise Refused(404, "http/path", f"no path {path}")
        raw = await read_body(receive, self._bodies)
        try:
            await self._post(word, headers, raw)
        finally:
            self._bodies.give(len(raw))
        return 200, _OK

    async def _post(self, word: str, headers: Headers, raw: bytes) -> None:
        key = key_of(headers)
        source = self._source(key, headers) if key else None
        try:
            if word == "cloudevents":
                await self._cloudevents(source, headers, raw)
            else:
                await self._segment(source, word, headers, raw)
        except BadBody as bad:
            await self._bury(source or self._source(key, headers), raw, bad)
            raise Refused(bad.status, bad.reason, bad.message) from None

    def _settings(self, scope: Scope, path: str) -> tuple[int, bytes]:
        parts = path.strip("/").split("/")
        if parts[:2] == ["v1", "projects"] and parts[-1] == "settings":
            return 200, segment_settings(parts[2])
        if parts[0] == "sourceConfig":
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            key = (query.get("writeKey") or ["any"])[0]
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            return 200, rudder_settings(key, f"{scope.get('scheme', 'http')}://{host}")
        raise Refused(404, "http/path", f"no path {path}")

    async def _segment(
        self, source: Source | None, word: str, headers: Headers, raw: bytes
    ) -> None:
        plain = unzipped(raw, encoding=_encoding(headers))
        said = headers.get(b"sentat", b"").decode("latin-1")
        parcel = _usual(word, plain, said) if source is not None else None
        if source is None or parcel is None:
            value = _object(plain)
            source = source or self._source(str(value.value.get("writeKey") or ""), headers)
            parcel = Parcel(METHODS.get(word), lambda: _opened(word, value, said))
        try:
            _check_count(len(parcel))
        except BadBody as bad:
            await self._bury(source, raw, bad)
            raise Refused(bad.status, bad.reason, bad.message) from None
        await self._take(source, parcel)

    async def _cloudevents(self, source: Source | None, headers: Headers, raw: bytes) -> None:
        source = source or self._source("", headers)
        if b"ce-specversion" in headers:
            plain = unzipped(raw, encoding=_encoding(headers))
            named = {k.decode("latin-1"): v.decode("latin-1") for k, v in headers.items()}
            try:
                body = Body(from_binary(named, plain, prefix="ce-"), plain)
            except ContractError as error:
                raise BadBody(400, error.code, error.message) from None
            # Written anew: its attributes are in headers, which a dead letter does not keep.
            messages = [dict(body.value)]
        else:
            body = _parsed(headers, raw)
            messages = body.value if isinstance(body.value, list) else [body.value]
        _check_count(len(messages))
        await self._take(source, Parcel(None, lambda: Opened(body, messages)))

    def _source(self, key: str, headers: Headers) -> Source:
        source = self._sources.by_key.get(key) or self._any
        if source is None:
            raise Refused(
                401,
                "source/unknown",
                "unknown write key; sources and their keys are in topics/sources.yaml",
            )
        origin = headers.get(b"origin")
        foreign = origin is not None and origin.decode("latin-1") not in source.origins
        if foreign and "*" not in source.origins:
            raise Refused(
                403, "source/origin", "this page may not use the key; see `origins` of the source"
            )
        return source

    async def _take(self, source: Source, parcel: Parcel) -> None:
        count = len(parcel)
        if source.events_per_s and not self._bucket(source).takes(count):
            raise Refused(
                429,
                "source/too-fast",
                f"source {source.name} sends more than {source.events_per_s} a second",
            )
        now = self._clock.now()
        usual = self._usual[source.name]
        records: list[Outgoing] = []
        dead: Counter[str] = Counter()
        for index in range(count):
            found = None
            if parcel.usual:
                found = usual(parcel.usual[index], now, parcel.sent_at, parcel.method)
            if found is None:
                message, raw = parcel.whole(index)
                try:
                    found = self._accepted(message, raw, source, parcel, now)
                except ContractError as error:
                    dead[error.code] += 1
                    records.append(_letter(source, message, raw, error.code, str(error), now))
                    continue
            home, value = found
            if self._routes is not None:
                home = self._routes(home)
            partition = partition_of(home, self._count)
            records.append(Outgoing(topics.EVENTS, partition, home.encode(), value))
        await self._publish(records)
        self._note(source, count - dead.total(), dead)

    def _accepted(
        self, message: Any, raw: bytes, source: Source, parcel: Parcel, now: int
    ) -> Taken:
        if not isinstance(message, dict):
            raise ContractError("want an object", code="contract/shape")
        _, home, value = accept(
            message, raw=raw, source=source, received_at=now, sent_at=parcel.sent_at,
            contracts=self._contracts, secret=self._secret, method=parcel.method,
        )  # fmt: skip
        return home, value

    async def _publish(self, records: Sequence[Outgoing]) -> None:
        self._events.take(len(records))
        try:
            await self._publisher.publish(records)
        finally:
            self._events.give(len(records))

    async def _bury(self, source: Source, raw: bytes, bad: BadBody) -> None:
        now = self._clock.now()
        await self._publish([_letter(source, None, raw, bad.reason, bad.message, now)])
        self._note(source, 0, Counter({bad.reason: 1}))

    def _note(self, source: Source, accepted: int, dead: Counter[str]) -> None:
        self.totals["accepted"] += accepted
        self.totals["dead"] += dead.total()
        if accepted:
            self._meter.count("engine_collect_events_total", accepted, source=source.name)
        for reason, n in dead.items():
            self._meter.count("engine_dead_events_total", n, stage="collect", reason=reason)

    def _bucket(self, source: Source) -> Bucket:
        found = self._buckets.get(source.name)
        if found is None:
            found = self._buckets[source.name] = Bucket(source.events_per_s)
        return found


def _parsed(headers: Headers, raw: bytes) -> Body:
    return parse_json(unzipped(raw, encoding=_encoding(headers)))


def _said(message: str, headers: Headers) -> str:
    return said(message, headers.get(b"accept-language", b"").decode("latin-1"))


def _encoding(headers: Headers) -> str:
    return headers.get(b"content-encoding", b"").decode("latin-1").lower()


def _usual(word: str, plain: bytes, said: str) -> Parcel | None:
    """Return a body's events unread; None where it is read in full at once."""

    def opened() -> Opened:
        return _opened(word, _object(plain), said)

    if word in BATCHES:
        batch = usual_batch(plain)
        if batch is None:
            return None
        return Parcel(None, opened, usual=batch.batch, sent_at=batch.sentAt or said)
    if METHODS[word] == "track" and not said:
        return Parcel("track", opened, usual=(plain,))
    return None


def _object(plain: bytes) -> Body:
    body = parse_json(plain)
    if not isinstance(body.value, dict):
        raise BadBody(400, "contract/shape", "want an object")
    return body


def _opened(word: str, body: Body, said: str) -> Opened:
    value = body.value
    said = value.get("sentAt") or said
    if word in METHODS:
        # What stands alone and does not say its type is kept with it: `dead retry` has no path.
        alone = value if value.get("type") is not None else {**value, "type": METHODS[word]}
        return Opened(body, [alone], said)
    batch = value.get("batch")
    if not isinstance(batch, list):
        raise BadBody(400, "contract/shape", "$.batch: want a list of events")
    return Opened(body, batch, said)


def _check_count(count: int) -> None:
    if count > BATCH_MAX:
        raise BadBody(413, "contract/too-large", f"{count} events; a batch has at most {BATCH_MAX}")


def _letter(
    source: Source, message: Any, raw: bytes, reason: str, where: str, now: int
) -> Outgoing:
    own = message.get("messageId") or message.get("id") if isinstance(message, dict) else None
    name = event_id(source.name, _clean(str(own)) if own else None, raw)
    letter = dead_letter(
        id=name, reason=reason, where=_clean(where), original=raw, source=source.name, at=now
    )
    return Outgoing(topics.DEAD_EVENTS, 0, name.encode(), letter)


def _clean(text: str) -> str:
    """Return a text that can be written: half of an emoji cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
