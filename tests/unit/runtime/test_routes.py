"""The front door knows where persons live by now, from what the engine tells of old ids."""

import asyncio

import msgspec
import pytest

from engine.adapters.memory import MemoryLog
from engine.events import topics
from engine.events.record import Outgoing
from engine.identity.messages import Alias, Quarantine
from engine.runtime.routes import READ_MAX, Routes
from tests.simulation.world import TENANT
from tests.unit.identity.shop import ANN, ANNS, Shop

PARTITIONS = 2


def told(log: MemoryLog, old: str, customer: str, *, shared: bool = False) -> None:
    alias = Alias(tenant="t", customer=customer, absorbed=old, at=1, shared=shared)
    value = msgspec.json.encode(alias) if customer else b""
    log.append(Outgoing(topics.ALIASES, len(old) % PARTITIONS, old.encode(), value))


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog({topics.ALIASES: PARTITIONS})


def followed(log: MemoryLog, **more: int) -> Routes:
    found = Routes(log, partition_count=PARTITIONS, **more)
    asyncio.run(found.follow())
    return found


def test_an_old_id_leads_to_where_its_person_lives_in_the_end(log: MemoryLog) -> None:
    told(log, "a", "b")
    told(log, "b", "c")
    routes = followed(log)
    assert [routes.of(each) for each in ("a", "b", "c", "stranger")] == ["c", "c", "c", "stranger"]
    told(log, "a", "d")
    asyncio.run(routes.follow())
    assert routes.of("a") == "d"


@pytest.mark.parametrize(("customer", "shared"), [("", False), ("b", True)])
def test_the_erased_and_those_that_many_share_go_by_their_own_node(
    log: MemoryLog, customer: str, shared: bool
) -> None:
    told(log, "a", "b")
    told(log, "a", customer, shared=shared)
    assert followed(log).of("a") == "a"


def test_a_ring_of_aliases_ends(log: MemoryLog) -> None:
    told(log, "a", "b")
    told(log, "b", "a")
    assert followed(log).of("a") in ("a", "b")


def test_the_newest_stay_and_old_ones_are_not_read_at_all(log: MemoryLog) -> None:
    for number in range(READ_MAX + 20):
        told(log, f"x{number:05}", "c")  # all in one partition
    routes = followed(log, routes_max=10)
    assert len(routes) == 5
    assert routes.of(f"x{READ_MAX + 19:05}") == "c"
    assert routes.of("x00000") == "x00000"
    for number in range(20):
        told(log, f"y{number:05}", "d")
    asyncio.run(routes.follow())
    assert (len(routes), routes.of("y00019"), routes.of("y00000")) == (10, "d", "y00000")


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(log: MemoryLog) -> None:
    for _ in range(3):
        told(log, "a", "b")
    routes = followed(log)
    fresh = MemoryLog({topics.ALIASES: PARTITIONS})
    told(fresh, "a", "c")
    routes._reader = fresh
    asyncio.run(routes.follow())
    asyncio.run(routes.follow())
    assert routes.of("a") == "c"


def test_with_routes_no_event_of_a_joined_person_is_passed_on() -> None:
    def forwarded(*, by_routes: bool) -> int:
        shop = Shop()

        async def play() -> int:
            await shop.rest()
            shop.sends(ANN, "device_id")
            shop.sends(ANN, "phone")
            shop.sends(ANN, "phone", "device_id", "user_id")
            await shop.rest()
            before = counted(shop, "forwarded")
            routes = Routes(shop.log, partition_count=shop.count)
            await routes.follow()
            if by_routes:
                shop.route = routes.of
            for _ in range(5):
                shop.sends(ANN, "device_id")
                shop.sends(ANN, "phone")
            await shop.rest()
            assert counted(shop, "applied") == 13
            return counted(shop, "forwarded") - before

        return asyncio.run(play())

    assert len(set(ANNS.values())) == 3
    assert forwarded(by_routes=False) == 10
    assert forwarded(by_routes=True) == 0


def test_what_too_many_share_is_told_so_that_nobody_routes_past_its_own_node() -> None:
    shop = Shop()

    async def play() -> tuple[str, str]:
        await shop.rest()
        shop.sends(ANN, "device_id")
        shop.sends(ANN, "device_id", "user_id")
        await shop.rest()
        routes = Routes(shop.log, partition_count=shop.count)
        await routes.follow()
        before = routes.of(ANNS["device_id"])
        shop.order("quar", Quarantine(TENANT), to=ANNS["device_id"])
        await shop.rest()
        await routes.follow()
        return before, routes.of(ANNS["device_id"])

    assert asyncio.run(play()) == (ANNS["user_id"], ANNS["device_id"])


def counted(shop: Shop, code: str) -> int:
    return sum(meta.counts.get(code, 0) for meta in shop.store._meta.values())
