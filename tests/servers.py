"""What a test does without a tool that it needs: a skip that names it, in CI an error."""

import os
from hashlib import sha256
from typing import NoReturn

import pytest

from engine.adapters.redis.wire import Wire
from engine.errors import ConfigError
from engine.runtime.local.embedded import EmbeddedBroker, EmbeddedRedis, redis_program


def unavailable(why: str) -> NoReturn:
    """Skip, or fail in CI: there only what was asked for is selected, so it must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needed in CI: {why}", pytrace=False)
    pytest.skip(why)


def started(server: EmbeddedRedis | EmbeddedBroker) -> str:
    """Start a server of ours and return its address."""
    try:
        return server.start()
    except ConfigError as error:
        unavailable(str(error))


def redis_server() -> str:
    """Return the program of the Redis server that the engine would start here."""
    try:
        return redis_program()
    except ConfigError as error:
        unavailable(str(error))


async def digest(wire: Wire) -> str:
    """Return a fingerprint of all keys of Redis with their values; what expires is seen as well."""
    seen = sha256()
    for key in sorted(await wire.call(b"KEYS", b"*")):
        seen.update(key + (await wire.call(b"DUMP", key)))
        seen.update(b"%d" % (await wire.call(b"PTTL", key) > 0))
    return seen.hexdigest()
