"""The console's own API: what it refuses, and in which language."""

import asyncio
from typing import Any

import orjson
import pytest

from engine.api.console import console
from engine.errors import StoreError


class Nobody:
    """A lookup that knows nobody, or has lost its store."""

    async def find(self, name: str) -> None:
        """Return nobody."""
        if name == "lost":
            raise StoreError("nobody is at lost yet", code="store/behind")


def asked(path: str, *, method: str = "GET", language: str = "") -> tuple[int, dict[str, str]]:
    """Return status and body of an answer that is JSON."""
    nothing: Any = None
    lookup: Any = Nobody()
    app = console(
        lookup=lookup, rules_of=nothing, feed=nothing, clock=nothing, totals=nothing, more=[]
    )
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"x"), (b"accept-language", language.encode())]
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"", "headers": headers,
        "server": ("x", 80), "scheme": "http",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], orjson.loads(b"".join(m.get("body", b"") for m in sent))


@pytest.mark.parametrize(
    ("path", "method", "status", "code", "en", "zh"),
    [
        ("/api/customers/u:1", "GET", 404, "customer/unknown",
         "no customer has u:1", "没有标识为 u:1 的客户"),
        ("/api/customers/lost", "GET", 503, "store/behind",
         "nobody is at lost yet", "lost 处还没有客户"),
        ("/static/..", "GET", 404, "http/path", "no such file", "没有这个文件"),
        ("/api/rule", "GET", 404, "http/path", "no path /api/rule", "没有路径 /api/rule"),
        ("/api/totals", "PUT", 405, "http/method", "want GET, HEAD", "应为 GET, HEAD"),
    ],
)  # fmt: skip
def test_a_refusal_has_a_code_and_words_of_the_language_that_is_asked_for(
    path: str, method: str, status: int, code: str, en: str, zh: str
) -> None:
    for language, words in (("", en), ("en-GB, zh;q=0.5", en), ("zh-CN,zh;q=0.9,en;q=0.8", zh)):
        found = asked(path, method=method, language=language)
        assert found == (status, {"error": words, "code": code})
