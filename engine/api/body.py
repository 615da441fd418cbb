"""Bodies as clients really send them: JSON under any content type, gzip said or not."""

import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from engine.api.admission import Room
from engine.errors import LogError

BODY_SIZE_MAX = 4 * 1024 * 1024
UNZIPPED_SIZE_MAX = 8 * 1024 * 1024
DRAINED_SIZE_MAX = 64 * 1024 * 1024  # read to answer 413: one who is cut off sees no answer at all
_GZIP = b"\x1f\x8b"
Receive = Callable[[], Awaitable[dict[str, Any]]]


@dataclass(slots=True)
class BadBody(Exception):
    """A body that cannot be taken as a whole: `status` 400 or 413, `reason` a stable code."""

    status: int
    reason: str
    message: str


class Left(Exception):
    """The client went away before its body was whole."""


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed body. `plain`: its unzipped bytes; `strict`: it is JSON as RFC 8259 has it."""

    value: Any
    plain: bytes
    strict: bool = True

    def written(self, message: Any) -> bytes:
        """Return the bytes of one event of the body."""
        if message is self.value:
            return self.plain
        try:
            if self.strict:
                return orjson.dumps(message)
        except TypeError:
            pass  # nested deeper than orjson writes: the slow writer goes further
        try:
            # Half an emoji can be written as an escape only.
            text = json.dumps(message, ensure_ascii=not self.strict, separators=(",", ":"))
            return text.encode()
        except RecursionError:
            return self.plain  # too deep for any writer; the event is inside


async def read_body(receive: Receive, room: Room) -> bytes:
    """Return a request's body, of a too large one its first BODY_SIZE_MAX + 1 bytes.

    It holds its size of `room`, which the caller gives back.

    Raises
    ------
    Left
        If the client went away.
    LogError
        If too many bodies are under way.
    """
    parts: list[bytes] = []
    size = kept = 0
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Left
            part = message.get("body", b"")
            size += len(part)
            part = part[: BODY_SIZE_MAX + 1 - kept]
            room.take(len(part))
            kept += len(part)
            parts.append(part)
            if not message.get("more_body") or size > DRAINED_SIZE_MAX:
                return b"".join(parts)
    except (Left, LogError):
        room.give(kept)
        raise


def unzipped(body: bytes, *, encoding: str) -> bytes:
    """Return the plain bytes of a body, whatever it says of itself.

    Raises
    ------
    BadBody
        413 if it is, or becomes, too large; 400 if its gzip is broken.
    """
    if len(body) > BODY_SIZE_MAX:
        raise BadBody(413, "contract/too-large", f"a body has at most {BODY_SIZE_MAX} bytes")
    if body[:2] != _GZIP and "gzip" not in encoding:
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, UNZIPPED_SIZE_MAX + 1)
    except zlib.error as error:
        raise BadBody(400, "contract/json", f"the body is no gzip: {error}") from None
    if len(plain) > UNZIPPED_SIZE_MAX:
        raise BadBody(413, "contract/too-large", f"unzipped, at most {UNZIPPED_SIZE_MAX} bytes")
    if not unpacker.eof:
        raise BadBody(400, "contract/json", "the gzip ends too early")
    return plain


def parse_json(plain: bytes) -> Body:
    """Return the JSON value of plain bytes.

    What some clients write and RFC 8259 forbids is read too: half of an emoji (JavaScript cuts
    them), NaN (Python writes it), bytes that are no UTF-8, control characters. All are one event's
    mistake; refusing the body would make the SDK drop the whole batch.

    Raises
    ------
    BadBody
        400 if it cannot be read.
    """
    try:
        return Body(orjson.loads(plain), plain)
    except orjson.JSONDecodeError as error:
        why = str(error)
    try:
        text = plain.decode("utf-8", "surrogateescape")
        return Body(json.loads(text, strict=False), plain, strict=False)
    except (ValueError, RecursionError):
        raise BadBody(400, "contract/json", f"the body is no JSON: {why}") from None
