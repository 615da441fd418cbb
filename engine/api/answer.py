"""What a request brings besides its body, and how it is answered: keys, CORS, language."""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from engine.api.refusals import chinese
from engine.rules.sentence import LANGUAGES

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Mapping[bytes, bytes]
RETRY_AFTER = b"1"
_ALLOWED_HEADERS = (
    b"authorization, content-type, content-encoding, anonymousid, x-retry-count, x-write-key"
)


def key_of(headers: Headers) -> str:
    """Return the write key that a request's headers name, '' if none does."""
    kind, _, rest = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if kind.lower() == "basic":
        try:
            return b64decode(rest).decode("utf-8").partition(":")[0]
        except ValueError:
            return ""
    if kind.lower() == "bearer":
        return rest
    return headers.get(b"x-write-key", b"").decode("latin-1")


def language_of(accepted: str) -> str:
    """Return the language that a request wants to be told in, zh or en, by its Accept-Language.

    Source: RFC 9110, 12.5.4. Of equal weights the first counts; en where neither is named.

    >>> [language_of(each) for each in ("zh-CN,zh;q=0.9,en;q=0.8", "en;q=0.5, zh;q=0.7", "en, zh")]
    ['zh', 'zh', 'en']
    """
    found, most = "en", 0.0
    for part in accepted.lower().split(","):
        tag, _, weight = part.partition(";")
        name = tag.strip().partition("-")[0]
        try:
            share = float(weight.strip().removeprefix("q=") or 1.0)
        except ValueError:
            continue
        if name in LANGUAGES and share > most:
            found, most = name, share
    return found


def said(message: str, accepted: str) -> str:
    """Return why a request is refused, in the language that it wants to be told in."""
    return chinese(message) if language_of(accepted) == "zh" else message


def refusal(code: str, message: str) -> bytes:
    """Return the body of an error answer.

    RudderStack's Python SDK reads `code` and `message`; without them it takes the answer for a
    broken network, and sends a batch that nobody will ever take ten times more.
    """
    return orjson.dumps({"success": False, "code": code, "message": message})


async def respond(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send an answer; `headers` are the request's."""
    answer = [(b"content-type", b"application/json")]
    if status != 204:
        answer.append((b"content-length", b"%d" % len(body)))
    origin = headers.get(b"origin")
    if origin is not None:
        answer += [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"origin"),
        ]
        if status == 204:
            asked = headers.get(b"access-control-request-headers")
            answer += [
                (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
                # SDKs invent headers (sentat, rsa-retry-reason, ...): what is asked for is allowed.
                (b"access-control-allow-headers", asked or _ALLOWED_HEADERS),
                (b"access-control-max-age", b"86400"),
            ]
    if status in (429, 503):
        answer.append((b"retry-after", RETRY_AFTER))
    await send({"type": "http.response.start", "status": status, "headers": answer})
    await send({"type": "http.response.body", "body": body})
