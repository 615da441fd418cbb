"""Bodies as clients really send them: JSON under any content type, gzip said or not."""

import zlib
from dataclasses import dataclass
from typing import Any

import orjson

BODY_SIZE_MAX = 4 * 1024 * 1024
UNZIPPED_SIZE_MAX = 8 * 1024 * 1024
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class BadBody(Exception):
    """A body that cannot be taken as a whole: `status` 400 or 413, `reason` a stable code."""

    status: int
    reason: str
    message: str


def read_json(body: bytes, *, encoding: str) -> Any:
    """Return the JSON value of a body, unzipped when it is, whatever it says it is.

    Raises
    ------
    BadBody
        413 if it is, or becomes, too large; 400 if it cannot be read.
    """
    if len(body) > BODY_SIZE_MAX:
        raise BadBody(413, "contract/too-large", f"a body has at most {BODY_SIZE_MAX} bytes")
    if body[:2] == _GZIP or "gzip" in encoding:
        body = _unzipped(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBody(400, "contract/json", f"the body is no JSON: {error}") from None


def _unzipped(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, UNZIPPED_SIZE_MAX)
    except zlib.error as error:
        raise BadBody(400, "contract/json", f"the body is no gzip: {error}") from None
    if unpacker.unconsumed_tail:
        raise BadBody(413, "contract/too-large", f"unzipped, at most {UNZIPPED_SIZE_MAX} bytes")
    if not unpacker.eof:
        raise BadBody(400, "contract/json", "the gzip ends too early")
    return plain
