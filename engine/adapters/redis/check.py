"""Is this Redis set up as the protocol needs it? Asked once, when a process starts."""

import logging
from typing import Any

from redis.exceptions import RedisError, ResponseError

from engine.adapters.redis.slots import SlotMap
from engine.errors import ConfigError

VERSION_MIN = 7
log = logging.getLogger(__name__)


async def check_redis(url: str) -> None:
    """Look at every node that has keys; what only endangers the repair after a crash is a warning.

    A node that does not answer is not an error here: who needs it waits for it.

    Raises
    ------
    ConfigError
        `config/redis-eviction` if a node may throw state away, `config/redis-version` if it is too
        old for the Functions that commit a batch.
    """
    for name, connection in await SlotMap(url).connections():
        try:
            await connection.connect()
            await connection.send_command("INFO", "everything")
            told = _fields(await connection.read_response())
            fsync = await _fsync(connection)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("Redis at %s was not looked at: %s", name, error)
            continue
        finally:
            await connection.disconnect(nowait=True)
        _look(name, told, fsync)


def _look(name: str, told: dict[str, str], fsync: str) -> None:
    version = told.get("redis_version", "")
    if version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) < VERSION_MIN:
        raise ConfigError(
            f"Redis at {name} is {version}; want {VERSION_MIN}.0 or newer, which has Functions",
            code="config/redis-version",
        )
    policy = told.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ConfigError(
            f"Redis at {name} has maxmemory-policy {policy}, which throws state away when memory "
            "is short; want `maxmemory-policy noeviction` in its configuration",
            code="config/redis-eviction",
        )
    if told.get("aof_enabled") == "0":
        log.warning(
            "Redis at %s has `appendonly no`: what a crash takes is read from the log again, as "
            "far as the log reaches; want `appendonly yes`, `appendfsync everysec`",
            name,
        )
    elif fsync == "no":
        log.warning("Redis at %s has `appendfsync no`; want `appendfsync everysec`", name)


async def _fsync(connection: Any) -> str:
    """Return `appendfsync`, '' where we may not ask."""
    try:
        await connection.send_command("CONFIG", "GET", "appendfsync")
        reply = await connection.read_response()
    except ResponseError:
        return ""
    values = list(reply.values()) if isinstance(reply, dict) else reply[1::2]
    return bytes(values[0]).decode() if values else ""


def _fields(reply: bytes) -> dict[str, str]:
    rows = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {field: value for field, colon, value in rows if colon}
